//! Whole forward passes on a photograph, the convolutions by each family and by `auto`, all threads: `cargo bench`,
//! `cargo bench -- paper/forward`.
//!
//! Each pass is held against the direct one's probabilities before it is timed. When all are done, records and charts
//! are in `results/local/`.

mod common;

use std::path::Path;
use std::time::Instant;

use alexnet::{Network, Weights, networks, read_image};
use conv_core::PlanOptions;
use convlab::bench::{LOCAL_RESULTS_OF_WORKSPACE, is_measuring, keep};
use convlab::forward::TimedPass;
use convlab::machine::{Machine, hardware_threads, pool};
use convlab::record::{Cache, Clock, Model, Record, prepare_folder};
use convlab::registry::{Chooser, families};
use criterion::{Criterion, SamplingMode};
use rayon::ThreadPool;

/// Probabilities that differ by more are an error, not rounding.
const TOLERANCE: f32 = 1e-4;

const PHOTOGRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../alexnet/images/chelsea.jpg");

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
            ..machine.record()
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
    let mut data = None;
    let mut records = Vec::new();
    for name in families().into_iter().chain(["auto"]) {
        let mut pass = None;
        group.bench_function(name, |bencher| {
            // Before criterion's clock starts, which it does once to warm up.
            let data = pool.install(|| data.get_or_insert_with(|| Data::new(network)));
            let pass = pool.install(|| pass.get_or_insert_with(|| data.prepare(network, name)));
            bencher.iter_custom(|runs| {
                pool.install(|| {
                    let start = Instant::now();
                    for _ in 0..runs {
                        pass.sample(&data.input).expect("a pass runs on its own input");
                    }
                    start.elapsed()
                })
            });
        });
        records.extend(pass.map(|pass: TimedPass| pass.record(base.clone())));
    }
    group.finish();
    records
}

/// What every pass of a network is given, and what must come out.
struct Data {
    weights: Weights,
    input: Vec<f32>,
    probabilities: Vec<f32>,
}

impl Data {
    fn new(network: &Network) -> Data {
        let weights = Weights::synthetic(network, 0).expect("memory for the weights");
        let input = read_image(Path::new(PHOTOGRAPH), network.input).expect("the photograph");
        let mut direct = pass(network, &weights, "direct");
        let probabilities = direct.run(&input).expect("a pass runs on its own input").to_vec();
        Data { weights, input, probabilities }
    }

    /// Prepares a pass and verifies what it computes.
    fn prepare(&self, network: &Network, name: &str) -> TimedPass {
        let mut pass = pass(network, &self.weights, name);
        let probabilities = pass.run(&self.input).expect("a pass runs on its own input");
        for (class, (got, expected)) in probabilities.iter().zip(&self.probabilities).enumerate() {
            let distance = (got - expected).abs();
            assert!(distance <= TOLERANCE, "{} by {name}: class {class} is {got} for {expected}", network.name);
        }
        pass
    }
}

fn pass(network: &Network, weights: &Weights, name: &str) -> TimedPass {
    let chooser = Chooser::by_name(name).expect("a family or auto");
    let options = PlanOptions::new(rayon::current_num_threads());
    TimedPass::new(network, weights, 1, &chooser, &options).expect("memory for the pass")
}
