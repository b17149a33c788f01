//! Layers that are computed together, band by band: maps so wide that a band is a few of their rows.

use conv_core::PlanOptions;
use conv_net::{Activation, Binary, Concat, Conv, ForwardPass, Network, Operator, Pool, Synthetic, ValueId, Window};

use crate::common::oracle_only;
use crate::graph::{Graph, RELU, check, conv, normalisation, window};

/// Of which so many columns of four channels fill the buffers of a chain with a few rows.
const MAP: [usize; 2] = [23, 2500];

/// What `network` is executed as, with everything in chains that can be.
fn steps(network: &Network, workers: usize) -> Vec<String> {
    let options = PlanOptions::new(workers);
    let mut weights = Synthetic::new(network, 0);
    let pass = ForwardPass::keeping(network, &mut weights, &oracle_only, &options, 0).unwrap();
    pass.memory().layers.iter().map(|layer| layer.name.clone()).collect()
}

/// Holds it against the reference, and says what it is executed as by one worker.
fn checked(graph: Graph, outputs: &[ValueId]) -> Vec<String> {
    let network = graph.builder.finish(outputs).unwrap();
    check(&network);
    steps(&network, 1)
}

fn add(graph: &mut Graph, a: ValueId, b: ValueId) -> ValueId {
    graph.add(Operator::Binary(Binary::Add), &[a, b])
}

/// A filter for each channel.
fn depthwise(graph: &mut Graph, windows: [Window; 2], input: ValueId) -> ValueId {
    let channels = graph.sizes(input)[1];
    graph.add(Operator::Conv(Conv { out_channels: channels, windows, groups: channels, bias: true }), &[input])
}

/// As in MobileNet v2: more channels, a filter for each of them, fewer channels, the input added; twice.
#[test]
fn inverted_residuals() {
    for batch in [1, 3] {
        let (mut graph, input) = Graph::on(&format!("{batch} images"), &[batch, 3, MAP[0], MAP[1]]);
        let mut last = graph.add(conv(2, 3, true), &[input]);
        last = graph.add(Operator::MaxPool(Pool::square(3, 1, 1)), &[last]);
        for stride in [1, 2, 1] {
            let wide = graph.add(conv(4, 1, false), &[last]);
            let wide = graph.add(normalisation(), &[wide]);
            let wide = graph.add(RELU, &[wide]);
            let deep = depthwise(&mut graph, Window::square(3, stride, 1), wide);
            let deep = graph.add(RELU, &[deep]);
            let narrow = graph.add(conv(2, 1, true), &[deep]);
            last = if stride == 1 { add(&mut graph, narrow, last) } else { narrow };
        }
        assert_eq!(checked(graph, &[last]), ["n2..n3", "n4..n9", "n11..n16", "n17..n22"]);
    }
}

/// What is computed pixel by pixel, or by windows without weights, between convolutions and at both ends.
#[test]
fn layers_without_weights() {
    for batch in [1, 3] {
        let (mut graph, input) = Graph::on(&format!("{batch} images"), &[batch, 2, MAP[0], MAP[1]]);
        let silu = graph.add(Operator::Activation(Activation::Silu), &[input]);
        let wide = graph.add(conv(4, 3, true), &[silu]);
        let silu = graph.add(Operator::Activation(Activation::Silu), &[wide]);
        let shuffled = graph.add(Operator::ChannelShuffle { groups: 2 }, &[silu]);
        let deep = depthwise(&mut graph, Window::square(3, 2, 1), shuffled);
        let scaled = graph.add(Operator::Activation(Activation::HardSwish), &[deep]);
        let normalised = graph.add(normalisation(), &[scaled]);
        let narrow = graph.add(conv(2, 1, true), &[normalised]);
        let mish = graph.add(Operator::Activation(Activation::Mish), &[narrow]);
        assert_eq!(checked(graph, &[mish]), ["n2..n4", "n5..n10"]);
    }
}

#[test]
fn pools() {
    let windows = [window(3, 2, [1, 0], 1), window(2, 3, [0, 1], 1)];
    for (pool, ceil) in [(windows, false), (windows, true), (Window::square(3, 2, 0), true)] {
        let (mut graph, input) = Graph::on(&format!("{pool:?}, ceil {ceil}"), &[2, 2, 24, MAP[1]]);
        let first = graph.add(conv(4, 3, true), &[input]);
        let relu = graph.add(RELU, &[first]);
        let pooled = graph.add(Operator::MaxPool(Pool { windows: pool, ceil }), &[relu]);
        let last = graph.add(conv(3, 3, true), &[pooled]);
        assert_eq!(checked(graph, &[last]), ["n2..n5"]);
    }
}

/// As in a dense block: the first layer of a chain reads slices of a wider tensor. No chain writes to the one that it reads.
#[test]
fn ends_in_wider_tensors() {
    let (mut graph, input) = Graph::on("dense", &[2, 3, MAP[0], MAP[1]]);
    let mut all = graph.add(conv(3, 3, true), &[input]);
    for _ in 0..2 {
        let normalised = graph.add(normalisation(), &[all]);
        let relu = graph.add(RELU, &[normalised]);
        let narrow = graph.add(conv(2, 1, true), &[relu]);
        let new = graph.add(conv(2, 3, true), &[narrow]);
        all = graph.add(Operator::Concat(Concat { axis: 1 }), &[all, new]);
    }
    assert_eq!(checked(graph, &[all]), ["n2", "n3..n5", "n6", "n8..n10", "n11"]);
}

/// Windows of all kinds, whose bands begin and end in the padding, skip rows, or need none that are new.
#[test]
fn windows_of_all_kinds() {
    let kinds = [
        window(3, 2, [0, 1], 1),
        window(1, 2, [0, 0], 1),
        window(2, 3, [1, 0], 1),
        window(3, 1, [3, 1], 2),
        window(5, 1, [4, 4], 1),
        window(3, 1, [0, 0], 1),
    ];
    for (index, first) in kinds.into_iter().enumerate() {
        for second in [kinds[(index + 1) % kinds.len()], kinds[(index + 4) % kinds.len()]] {
            let across = window(3, 1, [1, 1], 1);
            let (mut graph, input) = Graph::on(&format!("{first:?}, {second:?}"), &[1, 2, 31, 900]);
            let of = |out_channels, windows| Operator::Conv(Conv { out_channels, windows, groups: 1, bias: true });
            let middle = graph.add(of(9, [first, across]), &[input]);
            let output = graph.add(of(1, [second, window(1, 1, [0, 0], 1)]), &[middle]);
            assert_eq!(checked(graph, &[output]), ["n2..n3"]);
        }
    }
}

/// Outputs that see nothing but padding have no band.
#[test]
fn windows_in_the_padding() {
    let (mut graph, input) = Graph::on("padding", &[1, 2, 5, 7]);
    let first = graph.add(conv(3, 1, true), &[input]);
    let windows = [window(2, 1, [3, 3], 1), window(1, 1, [0, 0], 1)];
    let output = graph.add(Operator::Conv(Conv { out_channels: 2, windows, groups: 1, bias: true }), &[first]);
    assert_eq!(checked(graph, &[output]), ["n2", "n3"]);
}

/// What somebody else needs is written as a whole.
#[test]
fn tensors_between_are_nobody_elses() {
    let sizes = [1, 2, MAP[0], MAP[1]];
    let (mut graph, input) = Graph::on("read twice", &sizes);
    let first = graph.add(conv(4, 3, true), &[input]);
    let second = graph.add(conv(4, 3, true), &[first]);
    let third = graph.add(conv(4, 1, true), &[second]);
    let sum = add(&mut graph, third, first);
    assert_eq!(checked(graph, &[sum]), ["n2", "n3..n4"]);

    let (mut graph, input) = Graph::on("an output", &sizes);
    let first = graph.add(conv(4, 3, true), &[input]);
    let second = graph.add(conv(4, 3, true), &[first]);
    let third = graph.add(conv(4, 1, true), &[second]);
    assert_eq!(checked(graph, &[third, first]), ["n2", "n3..n4"]);
}

/// Sums with what is not the chain's input, slices of a wider tensor, and a second sum where the first one was.
#[test]
fn chains_write_where_layers_would() {
    let sizes = [2, 2, MAP[0], MAP[1]];
    let (mut graph, input) = Graph::on("joined", &sizes);
    let left = graph.add(conv(3, 3, true), &[input]);
    let left = graph.add(conv(3, 1, true), &[left]);
    let right = graph.add(conv(3, 1, true), &[input]);
    let right = graph.add(conv(2, 3, true), &[right]);
    let joined = graph.add(Operator::Concat(Concat { axis: 1 }), &[left, right]);
    assert_eq!(checked(graph, &[joined]), ["n2..n3", "n4..n5"]);

    let (mut graph, input) = Graph::on("summed", &sizes);
    let shortcut = graph.add(conv(3, 1, true), &[input]);
    let first = graph.add(conv(3, 3, true), &[input]);
    let second = graph.add(conv(3, 3, true), &[first]);
    let sum = add(&mut graph, shortcut, second);
    let sum = graph.add(RELU, &[sum]);
    let first = graph.add(conv(3, 1, true), &[sum]);
    let second = graph.add(conv(3, 3, true), &[first]);
    let sum = add(&mut graph, second, sum);
    let pool = graph.add(Operator::MaxPool(Pool::square(3, 1, 1)), &[sum]);
    let again = add(&mut graph, pool, sum);
    assert_eq!(checked(graph, &[again]), ["n2", "n3..n4", "n7..n8", "n10", "n11"]);
}

/// Rows that would be computed again and again, or workers without any, are no gain.
#[test]
fn few_rows_are_not_divided() {
    let (mut graph, input) = Graph::on("few rows", &[1, 2, 8, 8]);
    let first = graph.add(conv(4, 1, true), &[input]);
    let output = graph.add(conv(4, 3, true), &[first]);
    let network = graph.builder.finish(&[output]).unwrap();
    assert_eq!(steps(&network, 1), ["n2..n3"]);
    assert_eq!(steps(&network, 4), ["n2", "n3"]);
}
