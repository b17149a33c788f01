//! Graphs of every operator, and random ones, against the reference: each stage and each output, on every instruction set.

mod common;
mod reference;

use common::{Kept, Outputs, oracle_only};
use conv_core::PlanOptions;
use conv_net::{
    Activation, Affine, AveragePool, BatchNormalization, Binary, Builder, Concat, Conv, ConvTranspose, Coordinates,
    ForwardPass, Linear, Lrn, Network, Operator, Pad, PadMode, Pool, Reduce, Reduction, Resampling, Resize, ResizeMode,
    Rounding, Shape, Slice, Softmax, Synthetic, Transpose, ValueId, Window,
};
use conv_simd::Isa;

/// Of the largest magnitude of a tensor.
const BOUND: f64 = 1e-5;

const RELU: Operator = Operator::Activation(Activation::Relu);

/// A builder that finds names.
struct Graph {
    builder: Builder,
    count: usize,
}

impl Graph {
    fn new(name: &str) -> Graph {
        Graph { builder: Builder::new(name), count: 0 }
    }

    /// A network of one input.
    fn on(name: &str, sizes: &[usize]) -> (Graph, ValueId) {
        let mut graph = Graph::new(name);
        let input = graph.input(sizes);
        (graph, input)
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("n{}", self.count)
    }

    fn input(&mut self, sizes: &[usize]) -> ValueId {
        let name = self.name();
        self.builder.input(name, sizes).unwrap()
    }

    fn add(&mut self, operator: Operator, inputs: &[ValueId]) -> ValueId {
        let name = self.name();
        self.builder.node(name, operator, inputs).unwrap_or_else(|error| panic!("{error}"))
    }

    fn constant(&mut self, sizes: &[usize]) -> ValueId {
        self.add(Operator::Constant(shape(sizes)), &[])
    }

    fn sizes(&self, value: ValueId) -> Vec<usize> {
        self.builder.shape(value).unwrap().sizes().to_vec()
    }

    fn check(self, outputs: &[ValueId]) -> Vec<String> {
        check(&self.builder.finish(outputs).unwrap())
    }
}

fn shape(sizes: &[usize]) -> Shape {
    Shape::new(sizes).unwrap()
}

/// Pseudo-random numbers by Lehmer's generator.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        (self.0 >> 4) as usize % end
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(4001) as f32 / 1000.0 - 2.0).collect()
    }
}

/// Holds every stage and every output of a pass against the reference; the names of its layers.
fn check(network: &Network) -> Vec<String> {
    let mut random = Random(7);
    let sizes = |value: &ValueId| network.shape(*value).unwrap().floats();
    let inputs: Vec<Vec<f32>> = network.inputs().iter().map(|input| random.floats(sizes(input))).collect();
    let slices: Vec<&[f32]> = inputs.iter().map(|input| &input[..]).collect();
    let nans: Vec<Vec<f32>> = inputs.iter().map(|input| vec![f32::NAN; input.len()]).collect();
    let nans: Vec<&[f32]> = nans.iter().map(|input| &input[..]).collect();
    let mut weights = Kept::of(network, &mut Synthetic::new(network, 5)).unwrap();
    let exact = reference::forward(network, &weights, &slices);
    let exact: Vec<Vec<f64>> = exact.iter().map(reference::Tensor::in_memory).collect();
    let mut names = Vec::new();
    for isa in Isa::available() {
        let mut kept: Option<Vec<Vec<f32>>> = None;
        for workers in [1, 4] {
            let options = PlanOptions::new(workers).isa(isa);
            let mut pass = ForwardPass::new(network, &mut weights, &oracle_only, &options).unwrap();
            let what = format!("{} on {isa}, {workers} workers", network.name());
            let values: Vec<ValueId> = pass.memory().layers.iter().map(|layer| layer.output).collect();
            for run in 0..3 {
                // The buffers of the last run are full of what must not be read.
                if run == 2 {
                    pass.run(&nans, &mut ()).unwrap();
                }
                let mut outputs = Outputs::default();
                pass.run(&slices, &mut outputs).unwrap();
                assert_eq!(outputs.0.len(), values.len());
                for (value, output) in values.iter().zip(&outputs.0) {
                    compare(&format!("{what}, {}", network.value(*value).name), output, &exact[value.index()]);
                }
                for (index, value) in network.outputs().iter().enumerate() {
                    let output = pass.output(index).unwrap_or_else(|| panic!("{what}: output {index} is kept"));
                    compare(&format!("{what}, output {index}"), output, &exact[value.index()]);
                }
                assert_eq!(pass.output(network.outputs().len()), None);
                let first = kept.get_or_insert_with(|| outputs.0.clone());
                assert!(*first == outputs.0, "{what}: another run gave the same bits");
            }
            let memory = pass.memory();
            let most = memory.layers.iter().map(|layer| layer.alive_bytes).max().unwrap();
            assert_eq!(memory.least_activation_bytes, most, "{what}");
            assert!(memory.activation_bytes >= most, "{what}");
            names = memory.layers.iter().map(|layer| layer.name.clone()).collect();
        }
    }
    names
}

fn compare(what: &str, output: &[f32], exact: &[f64]) {
    assert_eq!(output.len(), exact.len(), "{what}");
    // Logarithms of 1 are zeros, but for the reference's own rounding.
    let largest = exact.iter().fold(1e-9_f64, |max, x| max.max(x.abs()));
    for (at, (&got, &exact)) in output.iter().zip(exact).enumerate() {
        assert!(exact.is_finite(), "{what}: the reference has {exact}");
        let error = (f64::from(got) - exact).abs();
        assert!(error <= BOUND * largest, "{what}[{at}]: {got} for {exact}, largest {largest}");
    }
}

/// Maps and sequences of images and channels, odd ones.
fn maps() -> Vec<Vec<usize>> {
    [1, 3].into_iter().flat_map(|batch| [3, 17].map(|channels| vec![batch, channels, 5, 7])).collect()
}

/// Tensors of all ranks that have channels.
fn tensors() -> Vec<Vec<usize>> {
    let of_map = |map: Vec<usize>| [map[..2].to_vec(), vec![map[0], map[1], 7], map];
    maps().into_iter().flat_map(of_map).collect()
}

fn window(kernel: usize, stride: usize, pad: [usize; 2], dilation: usize) -> Window {
    Window { kernel, stride, pad, dilation }
}

fn conv(out_channels: usize, kernel: usize, bias: bool) -> Operator {
    Operator::Conv(Conv { out_channels, windows: Window::square(kernel, 1, kernel / 2), groups: 1, bias })
}

fn normalisation() -> Operator {
    Operator::BatchNormalization(BatchNormalization { epsilon: 1e-3 })
}

/// One operator alone on each of `tensors`.
fn alone(name: &str, tensors: Vec<Vec<usize>>, operator: impl Fn(&[usize]) -> Operator) {
    for sizes in tensors {
        let (mut graph, input) = Graph::on(&format!("{name} of {sizes:?}"), &sizes);
        let output = graph.add(operator(&sizes), &[input]);
        assert_eq!(graph.check(&[output]).len(), 1);
    }
}

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
