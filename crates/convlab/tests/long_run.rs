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

/// Passes after which the first figures are taken: pools and allocators have what they need by then.
const WARM: usize = 2_000;

/// Growth that is none: pages that an allocator keeps for later.
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
    let mut warm = None;
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
        let done = (turn + 1) * PREPARED_FOR;
        if done == WARM {
            warm = Some(figures());
        }
        if done.is_multiple_of(WARM) {
            let (resident, open) = figures();
            println!("after {done} passes: {resident} KiB resident, {open} open files");
        }
    }
    let (resident, open) = figures();
    let (warm_resident, warm_open) = warm.unwrap();
    assert!(resident <= warm_resident + GROWTH_KB, "{warm_resident} KiB after {WARM} passes, {resident} at the end");
    assert_eq!(open, warm_open, "open files");
}
