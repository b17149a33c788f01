//! Values that share a buffer or are read again, and random graphs of them.

use conv_core::PlanOptions;
use conv_net::{
    Activation, Affine, AveragePool, Binary, Concat, ForwardPass, Linear, Network, Operator, Pool, Slice, Synthetic,
    ValueId, Window,
};

use crate::common::{Kept, oracle_only};
use crate::graph::{Graph, RELU, Random, check, compare, conv, maps, normalisation, shape, tensors};
use crate::reference;

#[test]
fn normalisations_are_folded_behind_a_convolution_and_not_in_front() {
    for bias in [true, false] {
        for sizes in maps() {
            let (mut graph, input) = Graph::on(&format!("folded in {sizes:?}"), &sizes);
            let first = graph.add(conv(7, 3, bias), &[input]);
            let normalised = graph.add(normalisation(), &[first]);
            let scaled = graph.add(Operator::Affine(Affine), &[normalised]);
            let relu = graph.add(RELU, &[scaled]);
            let linear = graph.add(Operator::Linear(Linear { out_features: 6, bias }), &[relu]);
            let normalised = graph.add(normalisation(), &[linear]);
            assert_eq!(graph.check(&[normalised]), ["n2", "n6"]);

            // The padding is of zeros, not of what a normalisation makes of them.
            let (mut graph, input) = Graph::on(&format!("in front, {sizes:?}"), &sizes);
            let normalised = graph.add(normalisation(), &[input]);
            let padded = graph.add(conv(7, 3, bias), &[normalised]);
            assert_eq!(graph.check(&[padded]), ["n2", "n3"]);

            // Whoever reads the convolution too must find it as it is.
            let (mut graph, input) = Graph::on(&format!("read twice, {sizes:?}"), &sizes);
            let first = graph.add(conv(7, 3, bias), &[input]);
            let normalised = graph.add(normalisation(), &[first]);
            let relu = graph.add(RELU, &[first]);
            let sum = graph.add(Operator::Binary(Binary::Add), &[normalised, relu]);
            assert_eq!(graph.check(&[sum]), ["n2", "n3", "n4", "n5"]);

            // As an output it is read, too.
            let (mut graph, input) = Graph::on(&format!("output, {sizes:?}"), &sizes);
            let first = graph.add(conv(7, 3, bias), &[input]);
            let normalised = graph.add(normalisation(), &[first]);
            assert_eq!(graph.check(&[first, normalised]), ["n2", "n3"]);
        }
    }
}

#[test]
fn residuals() {
    for sizes in maps() {
        let (mut graph, input) = Graph::on(&format!("residual {sizes:?}"), &sizes);
        let first = graph.add(conv(sizes[1], 3, false), &[input]);
        let first = graph.add(normalisation(), &[first]);
        let first = graph.add(RELU, &[first]);
        let second = graph.add(conv(sizes[1], 3, false), &[first]);
        let second = graph.add(normalisation(), &[second]);
        let sum = graph.add(Operator::Binary(Binary::Add), &[second, input]);
        let relu = graph.add(RELU, &[sum]);
        assert_eq!(graph.check(&[relu]), ["n2", "n5", "n7"]);
    }
}

#[test]
fn joined() {
    for sizes in tensors() {
        for axis in 0..sizes.len() {
            let mut graph = Graph::new(&format!("joined along {axis}, {sizes:?}"));
            let inputs = [0, 1, 4].map(|more| {
                let mut sizes = sizes.clone();
                sizes[axis] += more;
                graph.input(&sizes)
            });
            let output = graph.add(Operator::Concat(Concat { axis }), &inputs);
            let again = graph.add(Operator::Concat(Concat { axis }), &[output, inputs[2]]);
            graph.check(&[output, again]);
        }
    }
}

#[test]
fn sums_are_where_an_operand_was() {
    let clip = Operator::Activation(Activation::Clip { low: -0.5, high: 0.75 });
    for sizes in maps() {
        let (mut graph, input) = Graph::on(&format!("sums in place {sizes:?}"), &sizes);
        let convolution = || conv(sizes[1], 3, false);
        let add = Operator::Binary(Binary::Add);
        let first = graph.add(convolution(), &[input]);
        let between = graph.add(convolution(), &[first]);
        let between = graph.add(convolution(), &[between]);
        let between = graph.add(normalisation(), &[between]);
        let sum = graph.add(add.clone(), &[first, between]);
        let clipped = graph.add(clip.clone(), &[sum]);
        // Not where a convolution reads while it writes, nor where others still read.
        let own = graph.add(convolution(), &[clipped]);
        let own = graph.add(add.clone(), &[own, clipped]);
        let other = graph.add(convolution(), &[input]);
        let other = graph.add(convolution(), &[other]);
        let read_again = graph.add(add, &[other, own]);
        let last = graph.add(RELU, &[own]);
        let layers = graph.check(&[read_again, last]);
        assert_eq!(layers, ["n2", "n3", "n4", "n8", "n9", "n10", "n11", "n12", "n13"]);
    }
}

#[test]
fn joined_where_the_parts_are() {
    for sizes in maps() {
        let (mut graph, input) = Graph::on(&format!("joined in place {sizes:?}"), &sizes);
        let join = || Operator::Concat(Concat { axis: 1 });
        let branch = |graph: &mut Graph, channels| {
            let value = graph.add(conv(channels, 3, false), &[input]);
            graph.add(RELU, &[value])
        };
        let parts = [4, 1, 5].map(|channels| branch(&mut graph, channels));
        // As a dense block has them: the first two are joined, too, and what is joined is normalised.
        let two = graph.add(join(), &parts[..2]);
        let normal = graph.add(normalisation(), &[two]);
        let three = graph.add(join(), &parts);
        let pooled = graph.add(Operator::MaxPool(Pool { windows: Window::square(3, 1, 1), ceil: false }), &[three]);
        let all = graph.add(join(), &[three, pooled]);
        let outer = branch(&mut graph, 2);
        let most = graph.add(join(), &[outer, three]);
        // The branches, and what is normalised, pooled, and joined to that: a value is in one place only.
        assert_eq!(graph.check(&[normal, all, most]).len(), 4 + 3, "{sizes:?}");
    }
}

#[test]
fn nothing_is_added_to_what_parts_are_read_from() {
    for sizes in maps() {
        let (mut graph, input) = Graph::on(&format!("sum of joined {sizes:?}"), &sizes);
        let first = graph.add(conv(4, 3, false), &[input]);
        let second = graph.add(conv(3, 3, false), &[input]);
        let joined = graph.add(Operator::Concat(Concat { axis: 1 }), &[first, second]);
        let third = graph.add(conv(7, 3, false), &[input]);
        let sum = graph.add(Operator::Binary(Binary::Add), &[joined, third]);
        let later = graph.add(normalisation(), &[first]);
        graph.check(&[sum, later]);
    }
}

/// What is the same in memory is not copied, and what has no dimensions in common goes by way of scratch.
#[test]
fn reshapes_that_are_no_layers() {
    let (mut graph, input) = Graph::on("flattened", &[3, 17, 1, 1]);
    let relu = graph.add(RELU, &[input]);
    let flat = graph.add(Operator::Reshape(shape(&[3, 17])), &[relu]);
    let linear = graph.add(Operator::Linear(Linear { out_features: 4, bias: true }), &[flat]);
    assert_eq!(graph.check(&[linear, flat]), ["n2", "n4"]);
    // An activation is not fused through it.
    let (mut graph, input) = Graph::on("between", &[3, 17, 1, 1]);
    let first = graph.add(conv(5, 1, true), &[input]);
    let flat = graph.add(Operator::Reshape(shape(&[3, 5])), &[first]);
    let relu = graph.add(RELU, &[flat]);
    assert_eq!(graph.check(&[relu]), ["n2", "n4"]);
}

#[test]
fn values_that_are_read_again() {
    for sizes in maps() {
        // A diamond.
        let (mut graph, input) = Graph::on(&format!("diamond {sizes:?}"), &sizes);
        let top = graph.add(conv(5, 1, true), &[input]);
        let left = graph.add(conv(6, 3, true), &[top]);
        let left = graph.add(RELU, &[left]);
        let right = graph.add(Operator::MaxPool(Pool::square(3, 1, 1)), &[top]);
        let bottom = graph.add(Operator::Concat(Concat { axis: 1 }), &[left, right]);
        graph.check(&[bottom]);

        // An output that later nodes read, and whose place must not be theirs.
        let (mut graph, input) = Graph::on(&format!("early output {sizes:?}"), &sizes);
        let early = graph.add(conv(5, 3, true), &[input]);
        let mut last = early;
        for _ in 0..4 {
            last = graph.add(conv(5, 3, true), &[last]);
        }
        graph.check(&[last, early]);
        // Also if nobody reads it, and if its own flattening is the output.
        let (mut graph, input) = Graph::on(&format!("flattened early {sizes:?}"), &[3, 17, 1, 1]);
        let early = graph.add(conv(5, 1, true), &[input]);
        let flat = graph.add(Operator::Reshape(shape(&[3, 5])), &[early]);
        let mut last = input;
        for _ in 0..4 {
            last = graph.add(conv(5, 1, true), &[last]);
        }
        graph.check(&[last, flat]);

        // An input that is read at the beginning and at the end.
        let (mut graph, input) = Graph::on(&format!("late input {sizes:?}"), &sizes);
        let mut last = graph.add(conv(sizes[1], 3, true), &[input]);
        last = graph.add(conv(sizes[1], 3, true), &[last]);
        last = graph.add(Operator::Binary(Binary::Mul), &[last, input]);
        graph.check(&[last]);

        // Two inputs, two outputs, one of them twice.
        let mut graph = Graph::new(&format!("two {sizes:?}"));
        let (a, b) = (graph.input(&sizes), graph.input(&sizes));
        let sum = graph.add(Operator::Binary(Binary::Add), &[a, b]);
        let difference = graph.add(Operator::Binary(Binary::Sub), &[a, b]);
        let relu = graph.add(RELU, &[difference]);
        graph.check(&[relu, sum, sum]);
    }
}

/// An output that is an input or a constant is none that a run computes.
#[test]
fn outputs_that_nothing_computes() {
    let (mut graph, input) = Graph::on("net", &[2, 3]);
    let constant = graph.constant(&[2, 3, 4]);
    let relu = graph.add(RELU, &[input]);
    let network = graph.builder.finish(&[input, constant, relu]).unwrap();
    let mut weights = Kept::of(&network, &mut Synthetic::new(&network, 5)).unwrap();
    let mut pass = ForwardPass::new(&network, &mut weights, &oracle_only, &PlanOptions::new(1)).unwrap();
    pass.run(&[&[1.0, -1.0, 2.0, -2.0, 3.0, -3.0]], &mut ()).unwrap();
    assert_eq!(pass.output(0), None);
    assert_eq!(pass.output(2).unwrap(), [1.0, 0.0, 2.0, 0.0, 3.0, 0.0]);
    let stored = reference::Tensor {
        sizes: vec![2, 3, 4],
        values: weights.layers[0].constants[0].iter().map(|&x| f64::from(x)).collect(),
    };
    compare("constant", pass.output(1).unwrap(), &stored.in_memory());
    let shapes: Vec<_> = pass.outputs().map(ToString::to_string).collect();
    assert_eq!(shapes, ["2x3", "2x3x4", "2x3"]);
}

/// A graph of `count` nodes on maps that nobody chose, with values read again long after they were computed.
fn random_network(seed: u64) -> Network {
    let mut random = Random(seed);
    let (batch, count) = (1 + random.below(2), 20 + random.below(41));
    let mut graph = Graph::new(&format!("random {seed}"));
    let mut values = vec![graph.input(&[batch, 3, 5, 7])];
    if random.below(3) == 0 {
        values.push(graph.input(&[batch, 5, 5, 7]));
    }
    let inputs = values.len();
    while values.len() < count + inputs {
        // As often one of the last as any.
        let recent = values.len() - values.len().min(3);
        let first = if random.below(2) == 0 { recent } else { 0 };
        let value = values[first + random.below(values.len() - first)];
        let sizes = graph.sizes(value);
        let fits = |graph: &Graph, other: ValueId, from: usize| {
            let other = graph.sizes(other);
            other[from..] == sizes[from..]
        };
        let mut partner = |graph: &Graph, from: usize| {
            let all: Vec<ValueId> = values.iter().copied().filter(|&other| fits(graph, other, from)).collect();
            all[random.below(all.len())]
        };
        let (same, map) = (partner(&graph, 1), partner(&graph, 2));
        let joined = sizes[1] + graph.sizes(map)[1];
        let new = match random.below(10) {
            0 => graph.add(conv(1 + random.below(12), 1, random.below(2) == 0), &[value]),
            1 | 2 => graph.add(conv(1 + random.below(12), 3, random.below(2) == 0), &[value]),
            3 => graph.add(normalisation(), &[value]),
            4 => graph.add(RELU, &[value]),
            5 => graph.add(Operator::Binary(Binary::Add), &[value, same]),
            6 if joined <= 24 => graph.add(Operator::Concat(Concat { axis: 1 }), &[value, map]),
            6 | 7 if sizes[1] > 1 => {
                let start = random.below(sizes[1] - 1);
                let size = 1 + random.below(sizes[1] - start);
                graph.add(Operator::Slice(Slice::of(&shape(&sizes), 1, start, size)), &[value])
            }
            // The same floats under other names.
            8 => {
                let other = shape(&[sizes[0], sizes[1], 1, sizes[2], sizes[3]]);
                let renamed = graph.add(Operator::Reshape(other), &[value]);
                graph.add(Operator::Reshape(shape(&sizes)), &[renamed])
            }
            _ => {
                let stride = if sizes[2] > 2 && random.below(4) == 0 { 2 } else { 1 };
                let pool = Pool::square(3, stride, 1);
                let mean = Operator::AveragePool(AveragePool { pool, count_padding: random.below(2) == 0 });
                graph.add(if random.below(2) == 0 { Operator::MaxPool(pool) } else { mean }, &[value])
            }
        };
        values.push(new);
    }
    // What nobody reads, and some of what somebody reads.
    let read: Vec<ValueId> = graph.builder.nodes().iter().flat_map(|node| node.inputs.clone()).collect();
    let computed = values[inputs..].iter().copied();
    let outputs: Vec<ValueId> = computed.filter(|value| !read.contains(value) || random.below(12) == 0).collect();
    let network = graph.builder.finish(&outputs).unwrap();
    assert!(network.nodes().len() >= count);
    network
}

/// An arena in which a value's place is another's too early gives wrong results somewhere in these.
#[test]
fn random_graphs() {
    for seed in 1..=40 {
        check(&random_network(seed * 7919));
    }
}

#[test]
fn any_layer_may_be_an_output() {
    let (mut graph, input) = Graph::on("dump", &[2, 3, 5, 7]);
    let sum = graph.add(conv(17, 3, false), &[input]);
    let normal = graph.add(normalisation(), &[sum]);
    let positive = graph.add(Operator::Activation(Activation::Relu), &[normal]);
    let network = graph.builder.finish(&[positive]).unwrap();
    assert_eq!(check(&network), ["n2"], "one layer, all fused");
    assert_eq!(
        check(&network.clone().with_outputs(&["n3"]).unwrap()).len(),
        2,
        "the normalisation is not hidden by its ReLU"
    );
    let error = network.with_outputs(&["n9"]).unwrap_err().to_string();
    assert!(error.contains("'n9'") && error.contains("describe"), "{error}");
}
