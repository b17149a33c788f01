//! Ten thousand passes of several networks, prepared anew now and then: memory and open files stay what they were.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use conv_core::{PlanOptions, Problem};
use conv_net::onnx::{self, Model};
use conv_net::{ForwardPass, Network, Synthetic, read_image};
use conv_tune::Chooser;

const PASSES: usize = 10_000;

/// Passes between two preparations, each from a file.
const PREPARED_FOR: usize = 100;

/// Passes at the beginning and at the end whose figures are compared: of each the least, since what an allocator keeps for later goes
/// up and down by tens of megabytes.
const WINDOW: usize = 2_000;

/// Growth that is none.
const GROWTH_KB: usize = 16 << 10;

/// Resident memory in KiB, and open files.
fn figures() -> (usize, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let resident = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (resident, fs::read_dir("/proc/self/fd").unwrap().count())
}

/// `cargo test --release -p convlab --test long_run -- --ignored --nocapture`
#[test]
#[ignore = "minutes: part of the long tests"]
fn memory_and_files_stay_the_same_over_ten_thousand_passes() {
    let folder = tempfile::tempdir().unwrap();
    let networks = [("squeezenet1_1", 1), ("mobilenet_v2", 1)];
    let files = networks.map(|(name, batch)| {
        let network = Network::by_name(name, batch).unwrap();
        let path = folder.path().join(format!("{name}.onnx"));
        onnx::write(&path, &network, false, &mut Synthetic::new(&network, 0)).unwrap();
        path
    });
    let photograph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conv-net/images/chelsea.jpg");
    let pool = conv_measure::pool(conv_measure::online_threads()).unwrap();
    let options = PlanOptions::new(pool.current_num_threads());
    let choosers = Chooser::all();
    let mut all = Vec::new();
    for turn in 0..PASSES / PREPARED_FOR {
        let mut model = Model::open(&files[turn % files.len()], None, &[]).unwrap();
        let network = model.network().clone();
        // Every family in its turn, as `auto` and `--algorithm FAMILY` choose.
        let chooser = &choosers[turn % choosers.len()];
        let choose = |problem: &Problem| chooser.choose(problem, &options).method;
        let mut pass = pool.install(|| ForwardPass::new(&network, &mut model, &choose, &options)).unwrap();
        let map = pass.inputs()[0].map().unwrap();
        let image = read_image(&photograph, map).unwrap();
        let input = image.repeat(pass.batch());
        for _ in 0..PREPARED_FOR {
            pool.install(|| pass.run(&[&input], &mut ())).unwrap();
        }
        assert!(pass.output(0).unwrap().iter().all(|y| y.is_finite()));
        drop((pass, model));
        all.push(figures());
        if all.len().is_multiple_of(WINDOW / PREPARED_FOR) {
            let (resident, open) = all[turn];
            println!("after {} passes: {resident} KiB resident, {open} open files", all.len() * PREPARED_FOR);
        }
    }
    let turns = WINDOW / PREPARED_FOR;
    let least = |figures: &[(usize, usize)]| {
        (figures.iter().map(|figures| figures.0).min().unwrap(), figures.iter().map(|figures| figures.1).min().unwrap())
    };
    let (first, last) = (least(&all[..turns]), least(&all[all.len() - turns..]));
    println!("the least of the first {WINDOW} passes and of the last: {first:?}, {last:?}");
    assert!(last.0 <= first.0 + GROWTH_KB, "{} KiB in the first {WINDOW} passes, {} in the last", first.0, last.0);
    assert_eq!(last.1, first.1, "open files");
}
