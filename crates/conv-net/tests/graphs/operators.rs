//! Each operator alone, and what is fused with it.

use conv_net::{
    Activation, Affine, AveragePool, Binary, Concat, Conv, ConvTranspose, Linear, Lrn, Operator, Pool, Reduce,
    Reduction, Softmax, Window,
};

use crate::graph::{Graph, RELU, alone, conv, maps, normalisation, tensors, window};

#[test]
fn convolutions() {
    for bias in [true, false] {
        alone("conv", maps(), |_| {
            let windows = [window(3, 2, [1, 2], 1), window(2, 1, [0, 1], 3)];
            Operator::Conv(Conv { out_channels: 5, windows, groups: 1, bias })
        });
        alone("depthwise", maps(), |sizes| {
            let windows = Window::square(3, 1, 1);
            Operator::Conv(Conv { out_channels: 2 * sizes[1], windows, groups: sizes[1], bias })
        });
        let sequences = maps().into_iter().map(|sizes| vec![sizes[0], sizes[1], 7]);
        alone("one-dimensional", sequences.collect(), |_| {
            let windows = [Window::point(), window(3, 2, [2, 1], 1)];
            Operator::Conv(Conv { out_channels: 5, windows, groups: 1, bias })
        });
        alone("pixels", vec![vec![3, 17]], |_| conv(4, 1, bias));
        alone("linear", tensors(), |_| Operator::Linear(Linear { out_features: 9, bias }));
    }
}

#[test]
fn transposed_convolutions() {
    let transposed = |out_channels, windows, output_padding, groups, bias| {
        Operator::ConvTranspose(ConvTranspose { out_channels, windows, output_padding, groups, bias })
    };
    for bias in [true, false] {
        let two = Window::square(3, 2, 1);
        alone("doubling", maps(), |_| transposed(5, two, [1, 1], 1, bias));
        alone("depthwise", maps(), |sizes| transposed(sizes[1], two, [1, 0], sizes[1], bias));
        alone("wide groups", maps(), |sizes| transposed(2 * sizes[1], two, [0, 1], sizes[1], bias));
        let grouped = vec![vec![3, 6, 5, 7], vec![1, 34, 5, 7]];
        alone("groups", grouped, |_| {
            transposed(10, [window(2, 2, [0, 0], 1), window(4, 3, [2, 1], 1)], [0, 1], 2, bias)
        });
        alone("dilated", maps(), |_| {
            transposed(3, [window(3, 1, [1, 0], 2), window(2, 2, [0, 1], 3)], [0, 0], 1, bias)
        });
        let sequences = vec![vec![3, 17, 7], vec![1, 3, 7]];
        alone("one-dimensional", sequences, |_| {
            transposed(5, [Window::point(), window(4, 2, [1, 1], 1)], [0, 1], 1, bias)
        });
    }
    // A normalisation behind it is folded into each group's own weights.
    for (sizes, groups) in [([3, 6, 5, 7], 2), ([1, 6, 5, 7], 6), ([1, 17, 5, 7], 1)] {
        let (mut graph, input) = Graph::on("folded", &sizes);
        let conv = graph.add(transposed(12, Window::square(3, 2, 1), [1, 1], groups, groups == 1), &[input]);
        let normalised = graph.add(normalisation(), &[conv]);
        let relu = graph.add(RELU, &[normalised]);
        assert_eq!(graph.check(&[relu]), ["n2"]);
    }
}

#[test]
fn normalisations() {
    alone("normalisation", tensors(), |_| normalisation());
    alone("affine", tensors(), |_| Operator::Affine(Affine));
    alone("lrn", tensors(), |_| Operator::Lrn(Lrn { size: 5, k: 1.5, alpha: 0.3, beta: 0.75 }));
    for sizes in tensors() {
        let (mut graph, input) = Graph::on(&format!("normalisation and relu of {sizes:?}"), &sizes);
        let first = graph.add(normalisation(), &[input]);
        let relu = graph.add(RELU, &[first]);
        let second = graph.add(Operator::Affine(Affine), &[relu]);
        let relu = graph.add(RELU, &[second]);
        assert_eq!(graph.check(&[relu]), ["n2", "n4"]);
    }
}

#[test]
fn pools() {
    let windows = [window(3, 2, [1, 0], 1), window(2, 3, [0, 1], 1)];
    for ceil in [false, true] {
        let pool = Pool { windows, ceil };
        alone("max", maps(), |_| Operator::MaxPool(pool));
        for count_padding in [false, true] {
            alone("mean", maps(), |_| Operator::AveragePool(AveragePool { pool, count_padding }));
        }
        let sequences = vec![vec![3, 17, 7], vec![1, 3, 7]];
        let pool = Pool { windows: [Window::point(), windows[1]], ceil };
        alone("one-dimensional", sequences, |_| Operator::MaxPool(pool));
        for sizes in maps() {
            let (mut graph, input) = Graph::on(&format!("normalised, {sizes:?}"), &sizes);
            let lrn = graph.add(Operator::Lrn(Lrn { size: 3, k: 1.0, alpha: 0.3, beta: 0.5 }), &[input]);
            let pooled = graph.add(Operator::MaxPool(Pool { windows, ceil }), &[lrn]);
            assert_eq!(graph.check(&[pooled]), ["n2+n3"]);
        }
    }
}

#[test]
fn activations() {
    for activation in [
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Clip { low: -0.5, high: 1.5 },
        Activation::Sigmoid,
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::HardSwish,
        Activation::Silu,
        Activation::Mish,
        Activation::Tanh,
        Activation::Elu { alpha: 0.7 },
        Activation::Softplus,
        Activation::Exp,
        Activation::Abs,
        Activation::Neg,
        Activation::Erf,
        Activation::Gelu,
        Activation::Floor,
        Activation::Ceil,
    ] {
        alone(activation.name(), vec![vec![3, 17, 5, 7], vec![1, 3]], |_| Operator::Activation(activation));
    }
    for activation in [Activation::Log, Activation::Sqrt, Activation::Reciprocal] {
        let (mut graph, input) = Graph::on(activation.name(), &[3, 17, 5, 7]);
        let positive = graph.add(Operator::Activation(Activation::Softplus), &[input]);
        let output = graph.add(Operator::Activation(activation), &[positive]);
        graph.check(&[output]);
    }
}

const BINARIES: [Binary; 8] =
    [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Pow, Binary::PRelu];

#[test]
fn functions_of_two_tensors() {
    for binary in BINARIES {
        for map in maps() {
            let &[n, c, h, w] = &map[..] else { unreachable!() };
            let others: [&[usize]; 13] = [
                &[1, c, 1, 1],
                &[c, 1, 1],
                &[],
                &[1],
                &[1, 1, h, w],
                &[h, w],
                &[w],
                &[h, 1],
                &[c, h, w],
                &[n, 1, 1, 1],
                &[n, c, 1, 1],
                &[n, 1, h, 1],
                &[n, c, h, w],
            ];
            for other in others {
                for constant in [true, false] {
                    let (mut graph, input) = Graph::on(&format!("{} of {map:?} and {other:?}", binary.name()), &map);
                    let other = if constant { graph.constant(other) } else { graph.input(other) };
                    // Powers of what is negative, and quotients of almost nothing, are nothing to compare.
                    let positive = |graph: &mut Graph, value| {
                        graph.add(Operator::Activation(Activation::Softplus), &[value]) //
                    };
                    let (a, b) = match binary {
                        Binary::Pow | Binary::Div => (positive(&mut graph, input), positive(&mut graph, other)),
                        _ => (input, other),
                    };
                    let forwards = graph.add(Operator::Binary(binary), &[a, b]);
                    let backwards = graph.add(Operator::Binary(binary), &[b, a]);
                    graph.check(&[forwards, backwards]);
                }
            }
        }
    }
}

/// Both are repeated, and the same value twice.
#[test]
fn functions_of_two_tensors_that_are_both_repeated() {
    for (a, b) in [
        (&[3, 1, 5, 1][..], &[17, 1, 7][..]),
        (&[1, 17, 1, 1], &[3, 1, 5, 7]),
        (&[3, 1, 7], &[17, 1]),
        (&[3, 1], &[1, 17]),
        (&[17], &[3, 1]),
        (&[], &[]),
    ] {
        let mut graph = Graph::new(&format!("{a:?} and {b:?}"));
        let (a, b) = (graph.input(a), graph.input(b));
        let product = graph.add(Operator::Binary(Binary::Mul), &[a, b]);
        let difference = graph.add(Operator::Binary(Binary::Sub), &[b, a]);
        graph.check(&[product, difference]);
    }
    for sizes in tensors() {
        let (mut graph, input) = Graph::on(&format!("twice {sizes:?}"), &sizes);
        let doubled = graph.add(Operator::Binary(Binary::Add), &[input, input]);
        let squared = graph.add(Operator::Binary(Binary::Mul), &[doubled, doubled]);
        let joined = graph.add(Operator::Concat(Concat { axis: 1 }), &[doubled, squared, doubled]);
        graph.check(&[joined]);
    }
}

#[test]
fn reduced() {
    let reductions =
        [Reduction::Mean, Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::SumSquare, Reduction::L2];
    for sizes in tensors() {
        // Each set of axes.
        for set in 0..1_usize << sizes.len() {
            let axes: Vec<usize> = (0..sizes.len()).filter(|axis| set >> axis & 1 == 1).collect();
            let (mut graph, input) = Graph::on(&format!("reduction of {axes:?} of {sizes:?}"), &sizes);
            let mut outputs = Vec::new();
            for reduction in reductions {
                for keep in [false, true] {
                    let reduce = Reduce { reduction, axes: axes.clone(), keep };
                    outputs.push(graph.add(Operator::Reduce(reduce), &[input]));
                }
            }
            graph.check(&outputs);
        }
    }
}

#[test]
fn softmaxes() {
    for log in [false, true] {
        for sizes in tensors() {
            let (mut graph, input) = Graph::on(&format!("softmaxes of {sizes:?}, log {log}"), &sizes);
            let rank = sizes.len();
            let ends = (0..rank).flat_map(|axis| [(axis, axis + 1), (axis, rank)]);
            let outputs: Vec<_> =
                ends.map(|(axis, end)| graph.add(Operator::Softmax(Softmax { axis, end, log }), &[input])).collect();
            graph.check(&outputs);
        }
    }
}
