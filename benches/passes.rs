//! Whole forward passes of one network, the convolutions by each family and by `auto`.

use std::time::Instant;

use conv_net::Network;
use conv_simd::Isa;
use conv_tune::Chooser;
use convlab::measure::ForwardWorkload;
use criterion::{Criterion, SamplingMode};
use rayon::ThreadPool;

/// Benches the passes that the filter lets through, each prepared when its turn comes, held against the direct one's
/// probabilities, and dropped after it. Returns their choosers.
pub fn bench(criterion: &mut Criterion, pool: &ThreadPool, network: &Network) -> Vec<Chooser> {
    let mut group = criterion.benchmark_group(format!("{}/forward", network.name()));
    group.sampling_mode(SamplingMode::Flat);
    let mut workload = None;
    let mut timed = Vec::new();
    for chooser in Chooser::all() {
        let mut pass = None;
        group.bench_function(chooser.name(), |bencher| {
            // Before criterion's clock starts, which it does once to warm up.
            let workload = pool.install(|| {
                workload.get_or_insert_with(|| ForwardWorkload::new(network, Isa::best()).expect("memory"))
            });
            let pass = pool.install(|| {
                pass.get_or_insert_with(|| workload.prepare(&chooser).unwrap_or_else(|error| panic!("{error}")))
            });
            bencher.iter_custom(|runs| {
                let inputs = workload.inputs();
                pool.install(|| {
                    let start = Instant::now();
                    for _ in 0..runs {
                        pass.run(&inputs).expect("a pass runs on its own input");
                    }
                    start.elapsed()
                })
            });
        });
        if pass.is_some() {
            timed.push(chooser);
        }
    }
    group.finish();
    timed
}
