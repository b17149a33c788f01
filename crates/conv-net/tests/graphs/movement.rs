//! Operators that move elements, and all on large maps.

use conv_net::{
    Activation, AveragePool, Binary, Concat, ConvTranspose, Coordinates, Lrn, Operator, Pad, PadMode, Pool, Reduce,
    Reduction, Resampling, Resize, ResizeMode, Rounding, Slice, Softmax, Transpose, ValueId, Window,
};

use crate::graph::{Graph, alone, conv, maps, normalisation, shape, tensors};

#[test]
fn sliced() {
    for sizes in tensors() {
        let (mut graph, input) = Graph::on(&format!("slices of {sizes:?}"), &sizes);
        let mut outputs = Vec::new();
        for axis in 0..sizes.len() {
            let size = sizes[axis];
            outputs
                .push(graph.add(Operator::Slice(Slice::of(&shape(&sizes), axis, size / 3, size - size / 3)), &[input]));
            // Of one element the step may be any.
            for (start, step, count) in [
                (size / 2, isize::MAX, 1),
                (size - 1, -1, size),
                (size - 1, -2, size.div_ceil(2)),
                (0, 2, size.div_ceil(2)),
            ] {
                let mut slice = Slice::of(&shape(&sizes), axis, start, count);
                slice.steps[axis] = step;
                outputs.push(graph.add(Operator::Slice(slice), &[input]));
            }
        }
        let all = Slice {
            starts: sizes.iter().map(|size| size - 1).collect(),
            steps: sizes.iter().map(|_| -2).collect(),
            sizes: sizes.iter().map(|size| size.div_ceil(2)).collect(),
        };
        outputs.push(graph.add(Operator::Slice(all), &[input]));
        graph.check(&outputs);
    }
}

#[test]
fn padded() {
    for sizes in tensors() {
        for mode in [PadMode::Constant(0.0), PadMode::Constant(-1.5), PadMode::Reflect, PadMode::Edge] {
            let (mut graph, input) = Graph::on(&format!("{mode:?} around {sizes:?}"), &sizes);
            let mut outputs = Vec::new();
            for axis in 0..sizes.len() {
                // Not more than can be reflected.
                let most = (sizes[axis] as isize - 1).min(4);
                for amount in [[most, 0], [0, most], [most, most / 2], [-(most / 2), most / 2], [0, -(most / 2)]] {
                    let mut amounts = vec![[0, 0]; sizes.len()];
                    amounts[axis] = amount;
                    outputs.push(graph.add(Operator::Pad(Pad { amounts, mode }), &[input]));
                }
            }
            let amounts = sizes.iter().map(|&size| [(size as isize - 1).min(1), (size as isize - 1).min(2)]).collect();
            outputs.push(graph.add(Operator::Pad(Pad { amounts, mode }), &[input]));
            graph.check(&outputs);
        }
    }
}

#[test]
fn resized() {
    let roundings = [Rounding::RoundPreferFloor, Rounding::RoundPreferCeil, Rounding::Floor, Rounding::Ceil];
    let modes = roundings.map(ResizeMode::Nearest).into_iter().chain([ResizeMode::Linear]);
    let all =
        [Coordinates::HalfPixel, Coordinates::PytorchHalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric];
    for (mode, coordinates) in modes.flat_map(|mode| all.map(|coordinates| (mode, coordinates))) {
        for sizes in maps() {
            let (mut graph, input) = Graph::on(&format!("{mode:?} {coordinates:?} of {sizes:?}"), &sizes);
            let outputs = [[10, 14], [5, 28], [20, 7], [1, 1]].map(|size: [usize; 2]| {
                let scales = [size[0] as f32 / sizes[2] as f32, size[1] as f32 / sizes[3] as f32];
                let how = Resampling { mode, coordinates, scales };
                graph.add(Operator::Resize(Resize { size, how }), &[input])
            });
            graph.check(&outputs);
        }
        alone("sequence", vec![vec![3, 17, 7]], |_| {
            Operator::Resize(Resize { size: [1, 14], how: Resampling { mode, coordinates, scales: [1.0, 2.0] } })
        });
    }
}

#[test]
fn reshaped() {
    for (from, to) in [
        (&[3, 17, 5, 7][..], &[3, 595][..]),
        (&[3, 17, 5, 7], &[3, 17, 35]),
        (&[3, 17, 5, 7], &[51, 35]),
        (&[3, 17, 5, 7], &[1785]),
        (&[3, 17, 5, 7], &[3, 35, 17]),
        (&[3, 6, 5, 7], &[3, 2, 3, 5, 7]),
        (&[3, 2, 3, 5, 7], &[3, 6, 5, 7]),
        (&[3, 17, 1, 1], &[3, 17]),
        (&[3, 17], &[3, 17, 1, 1]),
        (&[3, 17, 1, 7], &[3, 17, 7]),
        (&[3, 1, 5, 7], &[3, 35]),
        (&[3, 1, 5, 7], &[3, 5, 7]),
        (&[1, 4, 6], &[1, 6, 4]),
        (&[3, 4, 6], &[3, 6, 4]),
        (&[2, 3, 5, 7], &[7, 5, 3, 2]),
        (&[1, 1], &[]),
        (&[], &[1, 1, 1]),
        (&[6], &[2, 3]),
    ] {
        // Of an input, of what is computed, and as what is computed further.
        let (mut graph, input) = Graph::on(&format!("{from:?} as {to:?}"), from);
        let reshape = Operator::Reshape(shape(to));
        let of_input = graph.add(reshape.clone(), &[input]);
        let negated = graph.add(Operator::Activation(Activation::Neg), &[input]);
        let of_computed = graph.add(reshape, &[negated]);
        let further = graph.add(Operator::Activation(Activation::Abs), &[of_computed]);
        let back = graph.add(Operator::Reshape(shape(from)), &[of_computed]);
        let again = graph.add(Operator::Activation(Activation::Abs), &[back]);
        graph.check(&[of_input, further, again, back, of_computed]);

        let (mut graph, input) = Graph::on(&format!("only {from:?} as {to:?}"), from);
        let only = graph.add(Operator::Reshape(shape(to)), &[input]);
        graph.check(&[only]);

        let (mut graph, input) = Graph::on(&format!("{from:?} as {to:?} and back"), from);
        let there = graph.add(Operator::Reshape(shape(to)), &[input]);
        let back = graph.add(Operator::Reshape(shape(from)), &[there]);
        graph.check(&[back]);

        // Of a constant.
        let (mut graph, input) = Graph::on(&format!("constant {from:?} as {to:?}"), to);
        let constant = graph.constant(from);
        let reshaped = graph.add(Operator::Reshape(shape(to)), &[constant]);
        let sum = graph.add(Operator::Binary(Binary::Add), &[input, reshaped]);
        graph.check(&[sum, reshaped]);
    }
}

fn permutations(rank: usize) -> Vec<Vec<usize>> {
    if rank == 0 {
        return vec![vec![]];
    }
    let insert = |shorter: Vec<usize>| {
        (0..rank).map(move |at| {
            let mut longer = shorter.clone();
            longer.insert(at, rank - 1);
            longer
        })
    };
    permutations(rank - 1).into_iter().flat_map(insert).collect()
}

#[test]
fn transposed() {
    for sizes in tensors().into_iter().chain([vec![2, 3, 17, 5, 7]]) {
        let (mut graph, input) = Graph::on(&format!("transposes of {sizes:?}"), &sizes);
        let transposes = permutations(sizes.len()).into_iter().map(|permutation| {
            graph.add(Operator::Transpose(Transpose { permutation }), &[input]) //
        });
        let outputs: Vec<_> = transposes.collect();
        graph.check(&outputs);
    }
}

#[test]
fn shuffled() {
    for sizes in [vec![1, 6, 5, 7], vec![3, 34, 5, 7], vec![3, 6, 7], vec![3, 34], vec![1, 3, 5, 7], vec![3, 17, 5, 7]]
    {
        for groups in (1..=sizes[1]).filter(|groups| sizes[1] % groups == 0) {
            alone("shuffle", vec![sizes.clone()], |_| Operator::ChannelShuffle { groups });
        }
    }
    // As frameworks write it.
    let (mut graph, input) = Graph::on("in five dimensions", &[3, 6, 5, 7]);
    let apart = graph.add(Operator::Reshape(shape(&[3, 2, 3, 5, 7])), &[input]);
    let turned = graph.add(Operator::Transpose(Transpose { permutation: vec![0, 2, 1, 3, 4] }), &[apart]);
    let together = graph.add(Operator::Reshape(shape(&[3, 6, 5, 7])), &[turned]);
    let shuffled = graph.add(Operator::ChannelShuffle { groups: 2 }, &[input]);
    let difference = graph.add(Operator::Binary(Binary::Sub), &[together, shuffled]);
    graph.check(&[difference, together]);
}

/// Maps that are worth more than one task.
#[test]
fn large_maps() {
    let sizes = [3, 17, 31, 43];
    let (mut graph, input) = Graph::on("large", &sizes);
    let second = graph.input(&sizes);
    let channels = graph.constant(&[17, 1, 1]);
    let resize = |size: [usize; 2], mode| {
        let scales = [size[0] as f32 / 31.0, size[1] as f32 / 43.0];
        Operator::Resize(Resize { size, how: Resampling { mode, coordinates: Coordinates::HalfPixel, scales } })
    };
    let backwards = Slice { starts: vec![0, 16, 30, 41], steps: vec![1, -1, -2, -1], sizes: vec![3, 16, 15, 40] };
    let reduce = |axes: &[usize]| {
        Operator::Reduce(Reduce { reduction: Reduction::Mean, axes: axes.to_vec(), keep: false }) //
    };
    let pool = Pool::square(3, 1, 1);
    let softmax = |axis, end| Operator::Softmax(Softmax { axis, end, log: false });
    let transposed = ConvTranspose {
        out_channels: 5,
        windows: Window::square(3, 2, 1),
        output_padding: [1, 1],
        groups: 1,
        bias: true,
    };
    let mut outputs: Vec<ValueId> = [
        conv(5, 3, true),
        Operator::ConvTranspose(transposed),
        normalisation(),
        Operator::Activation(Activation::Gelu),
        Operator::MaxPool(pool),
        Operator::AveragePool(AveragePool { pool, count_padding: false }),
        Operator::Lrn(Lrn { size: 5, k: 1.5, alpha: 0.3, beta: 0.75 }),
        Operator::Slice(backwards),
        Operator::Pad(Pad { amounts: vec![[0, 0], [0, 2], [3, 1], [2, 5]], mode: PadMode::Reflect }),
        resize([62, 86], ResizeMode::Linear),
        resize([40, 50], ResizeMode::Nearest(Rounding::Floor)),
        Operator::Reshape(shape(&[3, 17 * 31 * 43])),
        Operator::Reshape(shape(&[3, 31, 17, 43])),
        Operator::Transpose(Transpose { permutation: vec![3, 1, 0, 2] }),
        Operator::Transpose(Transpose { permutation: vec![0, 2, 3, 1] }),
        Operator::ChannelShuffle { groups: 17 },
        reduce(&[1]),
        reduce(&[2, 3]),
        reduce(&[0, 2]),
        softmax(1, 2),
        softmax(2, 3),
        softmax(3, 4),
    ]
    .into_iter()
    .map(|operator| graph.add(operator, &[input]))
    .collect();
    for other in [second, channels] {
        outputs.push(graph.add(Operator::Binary(Binary::Mul), &[other, input]));
    }
    for axis in 0..4 {
        outputs.push(graph.add(Operator::Concat(Concat { axis }), &[input, second, input]));
    }
    graph.check(&outputs);
}
