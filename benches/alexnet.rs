//! AlexNet by every algorithm, one image, all threads: `cargo bench`, `cargo bench -- conv3`, `cargo bench -- forward`.
//!
//! Criterion times every algorithm on every convolution, and whole passes by each family and `auto`, each verified before.
//! It times one after another, for its own report, filters and baselines. What it timed is then measured once more in
//! turn, as `convlab bench` does: on a machine that drifts only that can be compared. The table at the end, the charts and
//! the records in `results/local` are of these rounds.

mod layers;
mod passes;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use conv_measure::{Effort, Machine, Stop, hardware_threads, pool};
use conv_net::Network;
use conv_report::table;
use conv_report::tables::{Query, Topic, tables};
use conv_simd::Isa;
use convlab::measure::Bench;
use convlab::results::{LOCAL_RESULTS, Results};
use convlab::suite;
use criterion::Criterion;

/// Counts scratch and prepared weights.
#[global_allocator]
static ALLOCATOR: conv_measure::memory::CountingAllocator = conv_measure::memory::CountingAllocator;

/// Of the rounds after criterion: enough for medians to differ by little, so that all of it ends in a few minutes.
const EFFORT: Effort =
    Effort { samples: 21, budget: Duration::from_millis(120), patience: 1, cold: false, ..Effort::FULL };

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo runs benches in the folder of their package; results are the workspace's.
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(10)
        .nresamples(10_000)
        .configure_from_args();
    let isas = [Isa::best()];
    let pool_of_all = || pool(hardware_threads());
    let results = is_measuring().then(|| Results::open(LOCAL_RESULTS.as_ref())).transpose()?;

    let threads = pool_of_all()?;
    let (mut cases, mut choosers) = (Vec::new(), Vec::new());
    let names = suite::ALEXNETS.map(String::from);
    for case in suite::cases(suite::problems(&names, &[1], &[])?.problems, &conv_tune::algorithms(), &isas) {
        cases.extend(layers::bench(&mut criterion, &threads, case));
    }
    let networks: Vec<Network> = names.iter().map(|name| Network::by_name(name, 1)).collect::<Result<_, _>>()?;
    for network in &networks {
        choosers.push(passes::bench(&mut criterion, &threads, network));
    }
    criterion.final_summary();
    drop(threads);

    let Some(results) = results else { return Ok(()) };
    let bench = Bench::new(&Machine::detect(), pool_of_all()?, &isas, EFFORT, Stop::default())?;
    results.keep(&bench.machine_records()?)?;
    let mut measured = Vec::new();
    for case in cases {
        results.keep(&bench.measure(&case)?.records)?;
        measured.push(case.problem.label());
    }
    for (network, choosers) in networks.iter().zip(choosers).filter(|(_, choosers)| !choosers.is_empty()) {
        results.keep(&bench.measure_forward(network, &choosers)?)?;
        measured.push(network.name().into());
    }
    if measured.is_empty() {
        return Ok(());
    }
    let query = Query { names: measured, batch: Some(1), threads: Some(hardware_threads()), ..Query::default() };
    let places = results.finish()?;
    for made in tables(&results.records()?, Topic::Families, &query) {
        println!("{}\n\n{}\n", made.caption, table(&made.header, &made.rows));
    }
    println!("{places}");
    Ok(())
}

/// Whether this is to be measured: `cargo bench` says so, and neither lists nor only tests it.
fn is_measuring() -> bool {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    given("--bench") && !["--test", "--list", "--help", "-h", "--version"].into_iter().any(given)
}
