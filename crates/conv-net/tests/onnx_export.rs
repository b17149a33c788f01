//! Networks as ONNX models, and back.

use conv_net::onnx::{self, Model};
use conv_net::{
    Activation, Affine, AveragePool, BatchNormalization, Binary, Builder, Concat, Conv, ConvTranspose, Coordinates,
    Linear, Lrn, Network, Node, Opaque, Operator, Pad, PadMode, Pool, Reduce, Reduction, Resampling, Resize,
    ResizeMode, Rounding, Shape, Slice, Softmax, Synthetic, Transpose, ValueId, Weights, WeightsError, Window,
};

/// Networks that have weights and whose files are small.
const SMALL: [&str; 2] = ["squeezenet1_1", "mobilenet_v2"];

fn values(weights: &mut dyn Weights, node: &Node, parameter: usize) -> Vec<f32> {
    let mut values = vec![0.0; node.parameters[parameter].len()];
    weights.read(node, parameter, 0, &mut values).unwrap();
    values
}

#[test]
fn a_network_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for name in SMALL {
        let network = Network::by_name(name, 2).unwrap();
        let path = folder.path().join(format!("{name}.onnx"));
        for free_batch in [false, true] {
            onnx::write(&path, &network, free_batch, &mut Synthetic::new(&network, 4)).unwrap();
            let floats: usize =
                network.nodes().iter().flat_map(|node| &node.parameters).map(conv_net::Parameter::len).sum();
            let bytes = std::fs::metadata(&path).unwrap().len() as usize;
            assert!((4 * floats..4 * floats + (1 << 16)).contains(&bytes), "{bytes} for {floats} floats");
            let mut model = Model::open(&path, free_batch.then_some(2), &[]).unwrap();
            let (read, mut expected) = (model.network().clone(), Synthetic::new(&network, 4));
            assert_eq!(read.nodes().len(), network.nodes().len());
            for (read, node) in read.nodes().iter().zip(network.nodes()) {
                assert_eq!((&read.name, &read.parameters), (&node.name, &node.parameters));
                for index in 0..node.parameters.len() {
                    assert!(values(&mut model, read, index) == values(&mut expected, node, index), "{}", node.name);
                }
            }
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside them");
}

/// One node of each operator, and of each way to write it, on `[n][12][6][8]` or what is made of it; each is an output.
fn every_operator(batch: usize) -> Network {
    let mut builder = Builder::new("every");
    let x = builder.input("x", &[batch, 12, 6, 8]).unwrap();
    let windows = Window::square(3, 2, 1);
    let uneven = [
        Window { kernel: 3, stride: 1, pad: [0, 2], dilation: 1 },
        Window { kernel: 2, stride: 2, pad: [1, 0], dilation: 3 },
    ];
    let dense = uneven.map(|window| Window { dilation: 1, ..window });
    let pool = Pool { windows: dense, ceil: false };
    let resize = |size, mode, coordinates, scales| {
        Operator::Resize(Resize { size, how: Resampling { mode, coordinates, scales } })
    };
    let reduce = |reduction, axes: &[usize], keep| Operator::Reduce(Reduce { reduction, axes: axes.into(), keep });
    let shape = |sizes: &[usize]| Shape::new(sizes).unwrap();
    let mut operators = vec![
        Operator::Conv(Conv { out_channels: 8, windows: uneven, groups: 4, bias: true }),
        Operator::Conv(Conv { out_channels: 8, windows, groups: 1, bias: false }),
        Operator::ConvTranspose(ConvTranspose {
            out_channels: 6,
            windows,
            output_padding: [1, 0],
            groups: 2,
            bias: true,
        }),
        Operator::Linear(Linear { out_features: 7, bias: true }),
        Operator::MaxPool(pool),
        Operator::MaxPool(Pool { ceil: true, ..Pool::square(3, 2, 0) }),
        Operator::AveragePool(AveragePool { pool, count_padding: true }),
        Operator::AveragePool(AveragePool { pool, count_padding: false }),
        Operator::Lrn(Lrn { size: 5, k: 2.0, alpha: 0.1, beta: 0.75 }),
        Operator::BatchNormalization(BatchNormalization { epsilon: 0.25 }),
        Operator::Affine(Affine),
        Operator::Softmax(Softmax { axis: 3, end: 4, log: true }),
        Operator::Softmax(Softmax { axis: 1, end: 4, log: false }),
        reduce(Reduction::Mean, &[2, 3], false),
        reduce(Reduction::Sum, &[1], true),
        reduce(Reduction::Max, &[3], false),
        reduce(Reduction::Min, &[1, 3], true),
        reduce(Reduction::SumSquare, &[2], false),
        reduce(Reduction::L2, &[1], true),
        Operator::Slice(Slice { starts: vec![0, 9, 1, 7], steps: vec![1, -3, 2, -1], sizes: vec![batch, 4, 2, 8] }),
        Operator::Pad(Pad { amounts: vec![[0; 2], [1, 0], [0, 2], [-1, 3]], mode: PadMode::Constant(0.5) }),
        Operator::Pad(Pad { amounts: vec![[0; 2], [0; 2], [1, 2], [3, 0]], mode: PadMode::Reflect }),
        Operator::Pad(Pad { amounts: vec![[0; 2], [0; 2], [1, 2], [3, 0]], mode: PadMode::Edge }),
        resize([12, 16], ResizeMode::Nearest(Rounding::Floor), Coordinates::Asymmetric, [2.0; 2]),
        resize([9, 4], ResizeMode::Linear, Coordinates::HalfPixel, [1.5, 0.5]),
        resize([9, 16], ResizeMode::Linear, Coordinates::AlignCorners, [1.5, 2.0]),
        resize([3, 16], ResizeMode::Nearest(Rounding::RoundPreferCeil), Coordinates::PytorchHalfPixel, [0.5, 2.0]),
        Operator::Reshape(shape(&[batch, 6, 2, 48])),
        Operator::Transpose(Transpose { permutation: vec![0, 2, 3, 1] }),
        Operator::ChannelShuffle { groups: 3 },
    ];
    let activations = [
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Clip { low: -0.25, high: 0.5 },
        Activation::Sigmoid,
        Activation::HardSigmoid { alpha: 0.3, beta: 0.4 },
        Activation::HardSwish,
        Activation::Silu,
        Activation::Mish,
        Activation::Tanh,
        Activation::Elu { alpha: 0.5 },
        Activation::Softplus,
        Activation::Exp,
        Activation::Abs,
        Activation::Neg,
        Activation::Reciprocal,
        Activation::Erf,
        Activation::Gelu,
        Activation::Floor,
        Activation::Ceil,
    ];
    operators.extend(activations.map(Operator::Activation));
    let slopes = builder.node("slopes", Operator::Constant(shape(&[12, 1, 1])), &[]).unwrap();
    let mut outputs: Vec<ValueId> = Vec::new();
    for (index, operator) in operators.into_iter().enumerate() {
        outputs.push(builder.node(format!("{}{index}", operator.name()), operator, &[x]).unwrap());
    }
    let mut add = |name: &str, operator, inputs: &[ValueId]| {
        let value = builder.node(name, operator, inputs).unwrap();
        outputs.push(value);
        value
    };
    let exp = add("e", Operator::Activation(Activation::Exp), &[x]);
    add("log", Operator::Activation(Activation::Log), &[exp]);
    add("sqrt", Operator::Activation(Activation::Sqrt), &[exp]);
    for kind in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::PRelu] {
        add(kind.name(), Operator::Binary(kind), &[x, slopes]);
    }
    add("Pow", Operator::Binary(Binary::Pow), &[exp, slopes]);
    add("concat", Operator::Concat(Concat { axis: 1 }), &[x, exp, x]);
    // One-dimensional maps.
    let row = add("row", Operator::Reshape(shape(&[batch, 12, 48])), &[x]);
    let windows = [Window::point(), Window { kernel: 5, stride: 2, pad: [2, 1], dilation: 1 }];
    add("conv", Operator::Conv(Conv { out_channels: 4, windows, groups: 2, bias: true }), &[row]);
    add("pool", Operator::MaxPool(Pool { windows, ceil: false }), &[row]);
    // A name that the weights of another node would have.
    add("conv.weight", Operator::Activation(Activation::Relu), &[row]);
    builder.finish(&outputs).unwrap()
}

#[test]
fn every_operator_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("every.onnx");
    let network = every_operator(2);
    for free_batch in [false, true] {
        onnx::write(&path, &network, free_batch, &mut Synthetic::new(&network, 4)).unwrap();
        let model = Model::open(&path, free_batch.then_some(2), &[]).unwrap();
        let described = |network: &Network, ids: &[ValueId]| {
            let values = ids.iter().map(|&id| network.value(id));
            values.map(|value| format!("{} {:?}", value.name, value.shape)).collect::<Vec<_>>()
        };
        let read = model.network();
        assert_eq!(read.opaque().map(|(node, opaque)| (&node.name, opaque)).collect::<Vec<_>>(), []);
        assert_eq!(described(read, read.inputs()), described(&network, network.inputs()));
        assert_eq!(described(read, read.outputs()), described(&network, network.outputs()));
    }
}

fn refusal(operator: Operator, inputs: &[&[usize]], free_batch: bool) -> String {
    let mut builder = Builder::new("net");
    let values = inputs.iter().enumerate().map(|(index, sizes)| builder.input(format!("x{index}"), sizes).unwrap());
    let values: Vec<ValueId> = values.collect();
    let output = builder.node("the node", operator, &values).unwrap();
    let network = builder.finish(&[output]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = onnx::write(&folder.path().join("x.onnx"), &network, free_batch, &mut Synthetic::new(&network, 1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    error.unwrap_err().to_string()
}

#[test]
fn what_onnx_does_not_have_is_refused_by_name() {
    let scaled = |scales| {
        let how = Resampling { mode: ResizeMode::Linear, coordinates: Coordinates::HalfPixel, scales };
        Operator::Resize(Resize { size: [7, 7], how })
    };
    for (operator, sizes, free_batch, part) in [
        (Operator::MaxPool(Pool::square(1, 1, 0)), &[2, 3][..], false, "no map to ONNX"),
        (scaled([3.0; 2]), &[2, 3, 4, 4], false, "do not make [7, 7] of [4, 4]"),
        (
            Operator::Reduce(Reduce { reduction: Reduction::Sum, axes: Vec::new(), keep: true }),
            &[2, 3],
            false,
            "reduces no axes",
        ),
        (Operator::Reshape(Shape::new(&[6, 4]).unwrap()), &[2, 3, 4], true, "any number of them"),
        (Operator::Transpose(Transpose { permutation: vec![1, 0] }), &[2, 3], true, "any number of them"),
        (Operator::Softmax(Softmax { axis: 0, end: 2, log: false }), &[2, 3], true, "any number of them"),
        (Operator::Concat(Concat { axis: 0 }), &[2, 3], true, "any number of them"),
    ] {
        let message = refusal(operator, &[sizes], free_batch);
        assert!(message.contains("the node") && message.contains(part), "{part}: {message}");
    }
    let message = refusal(Operator::Binary(Binary::PRelu), &[&[1, 3], &[2, 3]], false);
    assert!(message.contains("the node (PRelu) repeats its input"), "{message}");
    let message = refusal(Operator::Binary(Binary::Add), &[&[2, 3], &[4, 2, 3]], true);
    assert!(message.contains("the node (Add) mixes images"), "{message}");
}

#[test]
fn nodes_that_are_not_computed_are_refused_by_name() {
    let mut builder = Builder::new("net");
    let x = builder.input("x", &[1, 3]).unwrap();
    let opaque = Opaque { operator: "NonZero".into(), reason: "is not computed here".into() };
    let outputs = builder.opaque("the node", opaque, &[x], vec![("y".into(), None)]).unwrap();
    let network = builder.finish(&outputs).unwrap();
    let path = std::env::temp_dir().join("never.onnx");
    let message = onnx::write(&path, &network, false, &mut Synthetic::new(&network, 1)).unwrap_err().to_string();
    assert!(message.contains("the node (NonZero) is not computed here"), "{message}");
}

/// No weights.
struct Nothing;

impl Weights for Nothing {
    fn read(&mut self, node: &Node, _: usize, _: usize, _: &mut [f32]) -> Result<(), WeightsError> {
        Err(WeightsError::Absent { layer: node.name.clone() })
    }
}

#[test]
fn weights_that_are_missing_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::by_name("paper", 1).unwrap();
    let message = onnx::write(&folder.path().join("x.onnx"), &network, true, &mut Nothing).unwrap_err().to_string();
    assert!(message.contains("no weights for conv1"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
