//! Everything that is read from files.

use std::path::Path;

use conv_core::{PlanOptions, Problem};
use conv_net::onnx::Model;
use conv_net::{
    Builder, Conv, ForwardPass, Linear, Map, Network, Operator, Safetensors, Shape, Weights, Window, read_image,
};
use conv_report::tables::{Query, Topic, tables};
use conv_report::{compare, markdown, record, table};
use conv_simd::Isa;
use conv_tune::{Chooser, TunedPlan};
use convlab::problem_file;

use crate::files::with_file;

/// Memory that arrays and passes may take.
const MEMORY_LIMIT: usize = 64 << 20;

/// Operations, times two, of a model that is run.
const MAX_FLOPS: u128 = 2_000_000;

/// Floats of all values together of a model that is run.
const MAX_FLOATS: u128 = 1 << 20;

/// Nodes of a model that is run.
const MAX_NODES: usize = 200;

const TOPICS: [Topic; 16] = [
    Topic::Summary,
    Topic::Best,
    Topic::Families,
    Topic::Memory,
    Topic::Speedup,
    Topic::Isa,
    Topic::Errors,
    Topic::Passes,
    Topic::Peers,
    Topic::Scale,
    Topic::Phases,
    Topic::Roofline,
    Topic::PeerLayers,
    Topic::Choices,
    Topic::Regret,
    Topic::Stability,
];

/// A convolution in benchdnn's syntax: what is taken must be the same again when it is written out.
pub fn descriptor(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match text.parse::<Problem>() {
        Ok(problem) => {
            let written = problem.to_string();
            let again: Problem = written.parse().unwrap_or_else(|error| panic!("'{written}': {error}"));
            assert_eq!(again, problem, "'{written}'");
            let [height, width] = problem.output_size();
            assert_eq!(problem.output_len(), problem.batch() * height * width * problem.out_channels());
            assert!(problem.flops_inside() <= problem.flops());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file of them, with another beside it that it may include.
pub fn problems(bytes: &[u8]) {
    with_file("more.txt", b"mb1ic3ih5oc4kh3n\"more\"\n--mb=2", |_| {});
    with_file("problems.txt", bytes, |path| match problem_file::read(path) {
        Ok(read) => {
            let words = read.left_out.to_string();
            assert_eq!(words.lines().count(), 1, "{words:?}");
            for problem in read.problems {
                descriptor(problem.to_string().as_bytes());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
}

/// An array, alone or in an archive: what is taken must be the same again when it is written.
pub fn npy(bytes: &[u8]) {
    with_file("array.npy", bytes, |path| match conv_net::npy::read(path, MEMORY_LIMIT) {
        Ok(array) => {
            assert_eq!(array.data.len(), array.shape.iter().product::<usize>());
            conv_net::npy::write(path, &array.shape, &array.data).expect("an array that was read");
            let again = conv_net::npy::read(path, MEMORY_LIMIT).expect("an array that was written");
            assert_eq!(again.shape, array.shape);
            let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&again.data), bits(&array.data));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
}

/// All constants of `network`.
fn read_all(network: &Network, weights: &mut dyn Weights) {
    for node in network.nodes() {
        for (index, parameter) in node.parameters.iter().enumerate() {
            let floats = parameter.shape.iter().try_fold(1, |all: usize, &size| all.checked_mul(size));
            let Some(floats) = floats.filter(|&floats| floats <= MEMORY_LIMIT / size_of::<f32>()) else { continue };
            if let Err(error) = weights.read(node, index, 0, &mut vec![0.0; floats]) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// Two layers with tensors of a few floats.
fn small_network() -> Network {
    let mut builder = Builder::new("small");
    let input = builder.input("input", &[1, 2, 4, 4]).expect("a small input");
    let conv = Conv { out_channels: 3, windows: Window::square(3, 1, 1), groups: 1, bias: true };
    let conv = builder.node("c1", Operator::Conv(conv), &[input]).expect("a small convolution");
    let linear = Operator::Linear(Linear { out_features: 5, bias: true });
    let linear = builder.node("f1", linear, &[conv]).expect("a small layer");
    builder.finish(&[linear]).expect("a small network")
}

/// Weights of a small network.
pub fn safetensors(bytes: &[u8]) {
    thread_local! {
        static NETWORK: Network = small_network();
    }
    with_file("weights.safetensors", bytes, |path| {
        NETWORK.with(|network| match Safetensors::open(path, network) {
            Ok(mut weights) => read_all(network, &mut weights),
            Err(error) => assert!(!error.to_string().is_empty()),
        });
    });
}

/// A model, with a file beside it in which its tensors may be; run, if that takes a moment.
pub fn onnx(bytes: &[u8]) {
    with_file("weights.bin", &[0x3d; 4096], |_| {});
    with_file("model.onnx", bytes, |path| {
        let mut model = match Model::open(path, None, &[]) {
            Ok(model) => model,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let network = model.network().clone();
        assert!(!convlab::describe::describe(&network).is_empty());
        let floats = network.values().iter().filter_map(|value| value.shape.as_ref()).map(Shape::floats);
        let flops = network.nodes().iter().filter_map(|node| node.problem.as_ref()).map(Problem::flops);
        let large = floats.map(|floats| floats as u128).sum::<u128>() > MAX_FLOATS || flops.sum::<u128>() > MAX_FLOPS;
        if large || network.nodes().len() > MAX_NODES {
            return;
        }
        read_all(&network, &mut model);
        let options = PlanOptions::new(1).isa(Isa::best()).memory_limit(MEMORY_LIMIT);
        let choose = |problem: &Problem| Chooser::Auto.choose(problem, &options).method;
        let mut pass = match ForwardPass::new(&network, &mut model, &choose, &options) {
            Ok(pass) => pass,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        if pass.work().iter().map(|work| work.flops).sum::<u128>() > MAX_FLOPS {
            return;
        }
        let inputs: Vec<Vec<f32>> = pass.inputs().iter().map(|shape| vec![0.5; shape.floats()]).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        pass.run(&inputs, &mut ()).expect("inputs of the shapes that the pass states");
        for (index, shape) in pass.outputs().enumerate() {
            assert!(pass.output(index).is_none_or(|output| output.len() == shape.floats()));
        }
    });
}

/// A picture.
pub fn image(bytes: &[u8]) {
    let map = Map::new(12, 16, 3);
    with_file("picture", bytes, |path| match read_image(path, map) {
        Ok(pixels) => {
            assert_eq!(pixels.len(), map.floats());
            assert!(pixels.iter().all(|pixel| pixel.abs() < 3.0), "a pixel beyond white and black");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
}

/// A tuned plan: what is taken must be the same again when it is written.
pub fn plan(bytes: &[u8]) {
    with_file("plan.toml", bytes, |path| match TunedPlan::read(path) {
        Ok(plan) => {
            plan.write(path).expect("a plan that was read");
            let again = TunedPlan::read(path).expect("a plan that was written");
            assert_eq!(again.layers(), plan.layers());
            for layer in plan.layers() {
                let problem: Problem = layer.problem.parse().expect("a problem that was checked");
                let method = plan.method(&problem).expect("the method of a layer");
                assert!(method.algorithm.supports(&problem).is_ok());
            }
            assert_eq!(plan.clone().merged_with(again).layers().len(), plan.layers().len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
}

/// Records, and all tables and comparisons of them.
pub fn records(bytes: &[u8]) {
    with_file("records.jsonl", bytes, |path| match record::read(path) {
        Ok(records) => {
            for topic in TOPICS {
                for made in tables(&records, topic, &Query::default()) {
                    assert!(made.rows.iter().all(|row| row.len() == made.header.len()));
                    assert!(!(table(&made.header, &made.rows) + &markdown(&made.header, &made.rows)).is_empty());
                }
            }
            let (rows, _) = compare::of_records(&records, &records);
            assert!(!compare::summary(&rows, 0.02).is_empty());
            let (_, means) = compare::means_table(&compare::means(&rows), 0.02);
            assert_eq!(means.len(), compare::means(&rows).len());
            let merged = record::merged(records.clone(), &records);
            assert_eq!(merged.len(), records.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
}

/// Records, and the page of them with its charts.
pub fn page(bytes: &[u8]) {
    with_file("records.jsonl", bytes, |path| {
        let Ok(records) = record::read(path) else { return };
        match conv_report::page(&records, Path::new("records.jsonl")) {
            Ok(page) => assert!(page.ends_with("</html>\n")),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
