//! Every algorithm on one convolution.

use std::time::Instant;

use conv_measure::memory::plannable_bytes;
use conv_measure::{Subject, Workload};
use convlab::suite::Case;
use criterion::{Criterion, SamplingMode, Throughput};
use rayon::ThreadPool;

/// A group of benchmarks, one an algorithm. Returns the case with those that the filter let through, if there are any;
/// nothing is prepared for the others.
pub fn bench(criterion: &mut Criterion, pool: &ThreadPool, case: Case) -> Option<Case> {
    let mut group = criterion.benchmark_group(case.problem.label());
    group.throughput(Throughput::Elements(case.problem.flops() as u64));
    group.sampling_mode(SamplingMode::Flat);
    let mut workload = None;
    let mut timed = Vec::new();
    for &candidate in &case.candidates {
        let mut subject = None;
        group.bench_function(candidate.method.algorithm.name(), |bencher| {
            // Before criterion's clock starts, which it does once to warm up.
            let workload =
                pool.install(|| workload.get_or_insert_with(|| Workload::new(&case.problem).expect("memory")));
            let subject = pool.install(|| {
                subject.get_or_insert_with(|| {
                    let made = Subject::new(candidate, workload, plannable_bytes());
                    made.unwrap_or_else(|failure| panic!("{failure}"))
                })
            });
            bencher.iter_custom(|runs| {
                pool.install(|| {
                    let start = Instant::now();
                    for _ in 0..runs {
                        subject.run(workload).expect("a plan runs on its own workload");
                    }
                    start.elapsed()
                })
            });
        });
        timed.extend(subject.map(|_| candidate));
    }
    group.finish();
    (!timed.is_empty()).then_some(Case { candidates: timed, ..case })
}
