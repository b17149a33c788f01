//! A pass allocates nothing, keeps what its plan says, and is prepared in hardly more. One test: the counting allocator counts the whole process.

use conv_core::{PlanOptions, Problem};
use conv_measure::memory::counted;
use conv_measure::pool;
use conv_net::onnx::{self, Model};
use conv_net::{ForwardPass, Network, Safetensors, Synthetic, Weights};
use conv_tune::Chooser;

#[global_allocator]
static ALLOCATOR: conv_measure::memory::CountingAllocator = conv_measure::memory::CountingAllocator;

/// Bytes that a pass may keep beside what it plans: names, and tables of a few numbers for each layer.
const TABLE_BYTES: isize = 512 << 10;

#[test]
fn a_pass_allocates_nothing_and_keeps_what_it_plans() {
    for (name, batch, threads) in [("paper", 1, 1), ("paper", 3, 2), ("owt", 2, 2), ("mobilenet_v2", 3, 2)] {
        let network = Network::by_name(name, batch).unwrap();
        let what = format!("{name}, batch {batch}, {threads} threads");
        pool(threads).unwrap().install(|| {
            let mut weights = Synthetic::new(&network, 0);
            let options = PlanOptions::new(threads);
            let choose = |problem: &Problem| Chooser::Auto.choose(problem, &options).method;
            let (pass, counts) = counted(|| ForwardPass::new(&network, &mut weights, &choose, &options));
            let mut pass = pass.unwrap();
            let counts = counts.unwrap();
            let (kept, planned) = (counts.retained_bytes, pass.memory().total_bytes().cast_signed());
            assert_peak(&what, counts.peak_bytes, pass.memory().total_bytes());
            assert!((planned..=planned + TABLE_BYTES).contains(&kept), "{what}: {kept} bytes kept, {planned} planned");
            let input = vec![0.5; pass.inputs()[0].floats()];
            // The test's own machinery may allocate now and then on another thread; a pass would do so each time.
            let run = || counted(|| pass.run(&[&input], &mut ())).1.unwrap().allocations;
            assert_eq!(std::iter::repeat_with(run).take(3).min(), Some(0), "{what}: allocations of a run");
        });
    }
    weights_of_files_are_not_kept_twice();
}

/// What planning has in memory at most is within 5% of the plan.
fn assert_peak(what: &str, peak: usize, planned: usize) {
    assert!(peak <= planned + planned / 20, "{what}: {peak} bytes at the peak, {planned} planned");
}

/// Files of weights are read as they are prepared, whatever their format.
fn weights_of_files_are_not_kept_twice() {
    let network = Network::by_name("owt", 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owt.onnx");
    onnx::write(&path, &network, true, &mut Synthetic::new(&network, 0)).unwrap();
    let tensors = folder.path().join("owt.safetensors");
    std::fs::write(&tensors, safetensors(&network)).unwrap();
    type Open<'a> = &'a dyn Fn() -> (Network, Box<dyn Weights>);
    let model: Open<'_> = &|| {
        let model = Model::open(&path, None, &[]).unwrap();
        (model.network().clone(), Box::new(model))
    };
    let file: Open<'_> = &|| (network.clone(), Box::new(Safetensors::open(&tensors, &network).unwrap()));
    for (what, open) in [("ONNX", model), ("safetensors", file)] {
        let choose = |problem: &Problem| Chooser::Auto.choose(problem, &PlanOptions::new(1)).method;
        let (pass, counts) = counted(|| {
            let (network, mut weights) = open();
            ForwardPass::new(&network, &mut *weights, &choose, &PlanOptions::new(1)).unwrap()
        });
        assert_peak(what, counts.unwrap().peak_bytes, pass.memory().total_bytes());
    }
}

/// Zeros as the weights of `network`.
fn safetensors(network: &Network) -> Vec<u8> {
    let (mut header, mut end) = (Vec::new(), 0);
    for node in network.nodes() {
        for parameter in &node.parameters {
            let (name, part, shape, start) = (&node.name, parameter.name, &parameter.shape, end);
            end += 4 * parameter.len();
            header
                .push(format!(r#""{name}.{part}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
        }
    }
    let header = format!("{{{}}}", header.join(","));
    let mut file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    file.resize(file.len() + end, 0);
    file
}
