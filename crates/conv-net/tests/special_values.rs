//! A NaN that comes into a layer comes out of it, and stays in its image.

use conv_core::{Method, Parameters, PlanOptions};
use conv_net::{
    Activation, AveragePool, BatchNormalization, Binary, Builder, Concat, Conv, ConvTranspose, Coordinates,
    ForwardPass, Linear, Lrn, Network, Operator, Pad, PadMode, Pool, Reduce, Reduction, Resampling, Resize, ResizeMode,
    Shape, Softmax, Synthetic, Window,
};
use conv_simd::Isa;

mod common;

/// Images, channels, rows, pixels: channels with a tail.
const SIZES: [usize; 4] = [2, 19, 6, 7];

/// What is repeated over maps, and what over channels.
const OTHERS: [&[usize]; 3] = [&SIZES, &[1, 19, 1, 1], &[1, 1, 6, 7]];

fn network(name: &str, build: impl Fn(&mut Builder, conv_net::ValueId) -> conv_net::ValueId) -> Network {
    let mut builder = Builder::new(name);
    let input = builder.input("input", &SIZES).unwrap();
    let output = build(&mut builder, input);
    builder.finish(&[output]).unwrap()
}

fn alone(operator: &Operator) -> Network {
    network(operator.name(), |builder, input| builder.node("layer", operator.clone(), &[input]).unwrap())
}

/// One of each operator, and combinations that are computed at once.
fn networks() -> Vec<Network> {
    let square = |kernel, stride, pad| Operator::MaxPool(Pool::square(kernel, stride, pad));
    let mut operators = vec![
        square(3, 2, 0),
        square(2, 2, 0),
        square(3, 1, 1),
        square(6, 1, 0),
        Operator::AveragePool(AveragePool { pool: Pool::square(3, 2, 1), count_padding: true }),
        Operator::AveragePool(AveragePool { pool: Pool::square(6, 1, 0), count_padding: false }),
        Operator::Lrn(Lrn { size: 5, k: 2.0, alpha: 1e-2, beta: 0.75 }),
        Operator::Lrn(Lrn { size: 3, k: 1.0, alpha: 1e-2, beta: 0.5 }),
        Operator::Lrn(Lrn { size: 3, k: 1.0, alpha: 1e-2, beta: 1.3 }),
        Operator::Softmax(Softmax::channels()),
        Operator::Softmax(Softmax { axis: 3, end: 4, log: true }),
        Operator::Softmax(Softmax { axis: 1, end: 4, log: false }),
        Operator::BatchNormalization(BatchNormalization { epsilon: 1e-5 }),
        Operator::Conv(Conv { out_channels: 21, windows: Window::square(3, 1, 1), groups: 1, bias: true }),
        Operator::ConvTranspose(ConvTranspose {
            out_channels: 5,
            windows: Window::square(3, 2, 1),
            output_padding: [1, 1],
            groups: 1,
            bias: true,
        }),
        Operator::Linear(Linear { out_features: 18, bias: true }),
        Operator::Pad(Pad { amounts: vec![[0, 0], [0, 0], [1, 2], [2, 1]], mode: PadMode::Reflect }),
    ];
    for reduction in
        [Reduction::Mean, Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::SumSquare, Reduction::L2]
    {
        for axes in [vec![1], vec![2, 3], vec![3]] {
            operators.push(Operator::Reduce(Reduce { reduction, axes, keep: true }));
        }
    }
    let how = Resampling { mode: ResizeMode::Linear, coordinates: Coordinates::HalfPixel, scales: [2.0, 2.0] };
    operators.push(Operator::Resize(Resize { size: [12, 14], how }));
    let activations = [
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
        Activation::Log,
        Activation::Sqrt,
        Activation::Reciprocal,
    ];
    operators.extend(activations.map(Operator::Activation));
    let mut networks: Vec<Network> = operators.iter().map(alone).collect();
    for binary in
        [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Pow, Binary::PRelu]
    {
        for other in OTHERS {
            for forwards in [true, false] {
                networks.push(network(&format!("{} of {other:?}, {forwards}", binary.name()), |builder, input| {
                    let constant = Operator::Constant(Shape::new(other).unwrap());
                    let constant = builder.node("constant", constant, &[]).unwrap();
                    let inputs = if forwards { [input, constant] } else { [constant, input] };
                    builder.node("layer", Operator::Binary(binary), &inputs).unwrap()
                }));
            }
        }
    }
    networks.push(network("LRN and pool", |builder, input| {
        let lrn = Operator::Lrn(Lrn { size: 5, k: 2.0, alpha: 1e-2, beta: 0.75 });
        let lrn = builder.node("lrn", lrn, &[input]).unwrap();
        builder.node("pool", Operator::MaxPool(Pool::square(3, 2, 0)), &[lrn]).unwrap()
    }));
    networks.push(network("residual", |builder, input| {
        let conv = Conv { out_channels: 19, windows: Window::square(3, 1, 1), groups: 1, bias: false };
        let conv = builder.node("conv", Operator::Conv(conv), &[input]).unwrap();
        let sum = builder.node("sum", Operator::Binary(Binary::Add), &[conv, input]).unwrap();
        let relu = builder.node("relu", Operator::Activation(Activation::Relu), &[sum]).unwrap();
        builder.node("joined", Operator::Concat(Concat { axis: 1 }), &[relu, input]).unwrap()
    }));
    networks
}

/// Whatever a large number in an element would change is not a number if that element is none; what belongs to the other
/// image is what it was.
#[test]
fn what_no_number_is_stays_none_in_every_layer() {
    let mut mistakes = Vec::new();
    for network in networks() {
        for isa in Isa::available() {
            let choose =
                |_: &conv_core::Problem| Method { algorithm: &common::Oracle, parameters: Parameters::default() };
            let options = PlanOptions::new(1).isa(isa);
            let mut pass = ForwardPass::new(&network, &mut Synthetic::new(&network, 1), &choose, &options).unwrap();
            let floats: usize = SIZES.iter().product();
            let mut run = |element: usize, value: f32| {
                // Above zero, for logarithms; no two alike, so that no maximum is.
                let mut input: Vec<f32> = (0..floats).map(|i| 0.5 + i as f32 * 1e-4).collect();
                input[element] = value;
                pass.run(&[&input], &mut ()).unwrap();
                pass.output(0).unwrap().to_vec()
            };
            for element in [floats / 2, floats - 1, floats / 2 + 19 * 8 + 16] {
                let usual = run(element, 0.5 + element as f32 * 1e-4);
                let (large, small, none) = (run(element, 1e3), run(element, -1e3), run(element, f32::NAN));
                let half = usual.len() / 2;
                for i in 0..usual.len() {
                    let same = |other: &[f32]| other[i].to_bits() == usual[i].to_bits();
                    let changes = !same(&large) || !same(&small);
                    let right = if i < half { same(&none) } else { none[i].is_nan() || !changes };
                    if !right {
                        let name = network.name();
                        mistakes.push(format!("{name} on {isa}: NaN at {element}: output {i} is {}", none[i]));
                        break;
                    }
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "{} mistakes:\n{}", mistakes.len(), mistakes.join("\n"));
}
