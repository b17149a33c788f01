//! Ten thousand passes of several networks, prepared anew now and then: memory and open files stay what they were.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use conv_core::{PlanOptions, Problem};
use conv_net::onnx::{self, Model};
use conv_net::{ForwardPass, Network, Synthetic, read_image};
use conv_tune::Chooser;

const PASSES: usize = 10_000;

/// Passes between two preparations, each from a file.
const PREPARED_FOR: usize = 100;

/// Passes before each of these figures: long enough that every family prepared every network.
const WINDOW: usize = 2_000;

/// Growth that is none: less than a hundred bytes a pass.
const GROWTH_KB: usize = 512;

/// The GNU allocator keeps what is freed for later: of blocks up to the largest that was freed so far everything, up to 64 MiB at the end
/// of each of its heaps, where any small block pins what lies before it. With these limits it does not: resident memory is what is in use
/// (18.7 MiB after every preparation, where it was 26 to 220 without).
const ALLOCATOR: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

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
    // An allocator reads its environment once: this test runs in a process of its own.
    if ALLOCATOR.iter().any(|(name, _)| env::var_os(name).is_none()) {
        let mut again = Command::new(env::current_exe().unwrap());
        let status = again.args(["--ignored", "--nocapture"]).envs(ALLOCATOR).status().unwrap();
        return assert!(status.success(), "{status}");
    }
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
    let most = |figures: &[(usize, usize)]| {
        (figures.iter().map(|figures| figures.0).max().unwrap(), figures.iter().map(|figures| figures.1).max().unwrap())
    };
    // The first window pages in code, and starts threads.
    let (first, last) = (most(&all[turns..2 * turns]), most(&all[all.len() - turns..]));
    println!("the most of passes {WINDOW} to {} and of the last {WINDOW}: {first:?}, {last:?}", 2 * WINDOW);
    assert!(last.0 <= first.0 + GROWTH_KB, "{} KiB in the second {WINDOW} passes, {} in the last", first.0, last.0);
    assert_eq!(last.1, first.1, "open files");
}
