//! Whole forward passes of one image, the convolutions by each family and by `auto`, all threads: `cargo bench`,
//! `cargo bench -- paper/forward`.
//!
//! Each pass is held against the direct one's probabilities before it is timed. When all are done, records and charts
//! are in `results/local/`.

mod common;

use std::time::Instant;

use conv_measure::{Machine, hardware_threads, pool};
use conv_net::{Network, networks};
use conv_report::record::{Cache, Clock, Model, Record, prepare_folder};
use conv_simd::Isa;
use conv_tune::Chooser;
use convlab::bench::{LOCAL_RESULTS_OF_WORKSPACE, is_measuring, keep};
use convlab::forward::TimedPass;
use convlab::measure::ForwardWorkload;
use criterion::{Criterion, SamplingMode};
use rayon::ThreadPool;

fn main() {
    let mut criterion = common::criterion();
    let measuring = is_measuring();
    if measuring {
        prepare_folder(LOCAL_RESULTS_OF_WORKSPACE.as_ref()).expect("the results can be written");
    }
    let machine = Machine::detect();
    let pool = pool(hardware_threads()).expect("a pool of the machine's own threads");
    let mut records = Vec::new();
    for network in networks() {
        let base = Record {
            threads: pool.current_num_threads(),
            model: Some(Model::Run),
            cache: Some(Cache::Warm),
            clock: Some(Clock::Criterion),
            ..convlab::records::origin(&machine)
        };
        records.extend(bench_network(&mut criterion, &pool, &network, &base));
    }
    criterion.final_summary();
    if measuring && !records.is_empty() {
        for file in keep(LOCAL_RESULTS_OF_WORKSPACE.as_ref(), &records).expect("the results can be written") {
            println!("{}", file.display());
        }
    }
}

/// Benches the passes of `network` that the filter lets through, each prepared when its turn comes and dropped after it.
fn bench_network(criterion: &mut Criterion, pool: &ThreadPool, network: &Network, base: &Record) -> Vec<Record> {
    let mut group = criterion.benchmark_group(format!("{}/forward", network.name));
    group.sampling_mode(SamplingMode::Flat);
    let mut workload = None;
    let mut records = Vec::new();
    for chooser in Chooser::all() {
        let mut pass = None;
        group.bench_function(chooser.name(), |bencher| {
            // Before criterion's clock starts, which it does once to warm up.
            let workload = pool.install(|| {
                workload.get_or_insert_with(|| ForwardWorkload::new(network, 1, Isa::best()).expect("memory"))
            });
            let pass = pool.install(|| {
                pass.get_or_insert_with(|| workload.prepare(&chooser).unwrap_or_else(|error| panic!("{error}")))
            });
            bencher.iter_custom(|runs| {
                pool.install(|| {
                    let start = Instant::now();
                    for _ in 0..runs {
                        pass.sample(workload.input()).expect("a pass runs on its own input");
                    }
                    start.elapsed()
                })
            });
        });
        records.extend(pass.map(|pass: TimedPass| pass.record(base.clone(), None)));
    }
    group.finish();
    records
}
