//! Every algorithm on every convolution of AlexNet, batch 1, all threads: `cargo bench`, `cargo bench -- conv3`.
//!
//! Each is verified against the f64 oracle before it is timed. When all are done, records and charts are in
//! `results/local/`. Criterion times one candidate after another; `convlab bench` interleaves them, which is better for
//! comparing on a machine that drifts.

mod common;

use std::time::Instant;

use conv_simd::Isa;
use convlab::bench::{Calls, LOCAL_RESULTS_OF_WORKSPACE, is_measuring, keep};
use convlab::machine::{Machine, hardware_threads, pool};
use convlab::measure::{Bench, Effort, Subject, Workload};
use convlab::record::{Cache, Clock, Model, Record, prepare_folder};
use convlab::registry::algorithms;
use convlab::suite::{self, Case, label};
use criterion::{Criterion, SamplingMode, Throughput};

/// Counts scratch and prepared weights.
#[global_allocator]
static ALLOCATOR: convlab::memory::CountingAllocator = convlab::memory::CountingAllocator;

fn main() {
    let mut criterion = common::criterion();
    let measuring = is_measuring();
    if measuring {
        prepare_folder(LOCAL_RESULTS_OF_WORKSPACE.as_ref()).expect("the results can be written");
    }
    let isas = [Isa::best()];
    let pool = pool(hardware_threads()).expect("a pool of the machine's own threads");
    // A mere test of the benches has no use for the peak.
    let bench = Bench::new(&Machine::detect(), pool, if measuring { &isas } else { &[] }, Effort::FULL)
        .expect("memory to measure bandwidth");
    let problems = suite::problems(&["paper".into(), "owt".into()], &[1]).expect("built-in networks").problems;
    let mut records = bench.machine_records();
    for case in suite::cases(problems, &algorithms(), &isas) {
        records.extend(bench_case(&mut criterion, &bench, &case));
    }
    criterion.final_summary();
    if measuring && records.len() > bench.machine_records().len() {
        for file in keep(LOCAL_RESULTS_OF_WORKSPACE.as_ref(), &records).expect("the results can be written") {
            println!("{}", file.display());
        }
    }
}

/// A group of benchmarks, one an algorithm. Nothing is prepared for those that a filter leaves out.
fn bench_case(criterion: &mut Criterion, bench: &Bench, case: &Case) -> Vec<Record> {
    let mut group = criterion.benchmark_group(label(&case.problem));
    group.throughput(Throughput::Elements(case.problem.flops() as u64));
    // As many runs in every sample, so that samples are alike and a median of them means something.
    group.sampling_mode(SamplingMode::Flat);
    let mut workload = None;
    let mut records = Vec::new();
    for &candidate in &case.candidates {
        let mut subject = None;
        let mut calls = Calls::default();
        group.bench_function(candidate.method.algorithm.name(), |bencher| {
            // Before criterion's clock starts, which it does once to warm up.
            let workload =
                bench.pool().install(|| workload.get_or_insert_with(|| Workload::new(&case.problem).expect("memory")));
            let subject = bench.pool().install(|| {
                subject.get_or_insert_with(|| {
                    Subject::new(candidate, workload).unwrap_or_else(|failure| panic!("{failure}"))
                })
            });
            bencher.iter_custom(|runs| {
                bench.pool().install(|| {
                    let start = Instant::now();
                    for _ in 0..runs {
                        subject.run(workload).expect("a plan runs on its own workload");
                    }
                    calls.add(runs, start.elapsed())
                })
            });
        });
        if let Some(subject) = subject {
            let record = Record {
                model: Some(Model::Run),
                cache: Some(Cache::Warm),
                clock: Some(Clock::Criterion),
                ..bench.record(&subject)
            };
            records.push(subject.timed(record, &calls.samples()));
        }
    }
    group.finish();
    records
}
