//! ONNX models that the tests write themselves, against the network they mean and the reference's pass on it.

mod common;
mod reference;

use std::path::{Path, PathBuf};

use common::protobuf::{
    File, attribute_float, attribute_graph, attribute_int, attribute_ints, attribute_tensor, attribute_text, bytes,
    floats, int, integers, node, node_of, some, tensor, value, varint,
};
use common::{Kept, oracle_only};
use conv_core::PlanOptions;
use conv_net::onnx::{InputShape, Model};
use conv_net::{
    Activation, Affine, AveragePool, BatchNormalization, Binary, Concat, Conv, ForwardPass, Linear, Lrn, Map, Network,
    Operator, Pool, Reduce, Reduction, Softmax, ValueId, Window,
};
use tempfile::TempDir;

/// Of the largest magnitude of an output.
const BOUND: f64 = 1e-5;

const RELU: Operator = Operator::Activation(Activation::Relu);

const AFFINE: Operator = Operator::Affine(Affine);

/// ONNX's 0.5 over a window of 5.
const LRN: Operator = Operator::Lrn(Lrn { size: 5, k: 2.0, alpha: 0.1, beta: 0.75 });

fn write(folder: &TempDir, file: &File) -> PathBuf {
    let path = folder.path().join("model.onnx");
    // A new file: some systems write one to the disk at once that was cut and is written again.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, file.bytes()).unwrap();
    path
}

fn open(path: &Path, batch: Option<usize>, shapes: &[&str]) -> Model {
    let shapes: Vec<InputShape> = shapes.iter().map(|shape| shape.parse().unwrap()).collect();
    Model::open(path, batch, &shapes).unwrap_or_else(|error| panic!("{error}"))
}

fn operators(network: &Network) -> Vec<Operator> {
    network.nodes().iter().map(|node| node.operator.clone()).collect()
}

fn sizes(network: &Network, values: &[ValueId]) -> Vec<Vec<usize>> {
    values.iter().map(|&value| network.shape(value).unwrap().sizes().to_vec()).collect()
}

/// What a pass on `input` computes, each output as it is in memory.
fn run(model: &mut Model, input: &[f32]) -> Vec<Vec<f32>> {
    let network = model.network().clone();
    let mut pass = ForwardPass::new(&network, model, &oracle_only, &PlanOptions::new(2)).unwrap();
    pass.run(&[input], &mut ()).unwrap();
    (0..network.outputs().len()).map(|index| pass.output(index).unwrap().to_vec()).collect()
}

fn close(got: &[f32], exact: &[f64]) {
    assert_eq!(got.len(), exact.len());
    let largest = exact.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    assert!(largest > 0.0);
    for (at, (&got, exact)) in got.iter().zip(exact).enumerate() {
        assert!((f64::from(got) - exact).abs() < BOUND * largest, "{got} for {exact} at {at}");
    }
}

/// Holds a pass of a model against the reference; its network and its weights.
fn holds(mut model: Model) -> (Network, Kept) {
    let network = model.network().clone();
    assert_eq!(network.opaque().count(), 0, "{:?}", network.opaque().next());
    let kept = Kept::of(&network, &mut model).unwrap();
    let input = some(network.shape(network.inputs()[0]).unwrap().floats(), 5);
    let exact = reference::forward(&network, &kept, &[&input]);
    for (output, &value) in run(&mut model, &input).iter().zip(network.outputs()) {
        close(output, &exact[value.index()].in_memory());
    }
    (network, kept)
}

/// [`holds`] of a model with two images whose operators must be `expected`.
fn holds_as(file: &File, expected: &[Operator]) -> (Network, Kept) {
    let folder = tempfile::tempdir().unwrap();
    let (network, kept) = holds(open(&write(&folder, file), Some(2), &[]));
    assert_eq!(operators(&network), expected);
    (network, kept)
}

fn windowed(out_channels: usize, windows: [Window; 2], groups: usize, bias: bool) -> Operator {
    Operator::Conv(Conv { out_channels, windows, groups, bias })
}

fn conv(out_channels: usize, kernel: usize, stride: usize, pad: usize, groups: usize) -> Operator {
    windowed(out_channels, Window::square(kernel, stride, pad), groups, true)
}

fn linear(out_features: usize, bias: bool) -> Operator {
    Operator::Linear(Linear { out_features, bias })
}

fn max(kernel: usize, stride: usize, ceil: bool) -> Operator {
    Operator::MaxPool(Pool { ceil, ..Pool::square(kernel, stride, 0) })
}

fn mean_of(map: Map) -> Operator {
    Operator::AveragePool(AveragePool { pool: Pool::whole(map), count_padding: false })
}

/// Softmax of images' features, as before opset 13 or since.
const SOFTMAX: Operator = Operator::Softmax(Softmax { axis: 1, end: 2, log: false });

fn window(kernel: usize, stride: usize, pad: [usize; 2]) -> Window {
    Window { kernel, stride, pad, dilation: 1 }
}

impl File {
    /// A convolution and its ReLU.
    fn conv(&mut self, [oc, ic, kernel]: [i64; 3], attributes: &[Vec<u8>]) -> &mut File {
        let (weights, bias) = (format!("w{}", self.nodes.len()), format!("b{}", self.nodes.len()));
        let count = (oc * ic * kernel * kernel) as usize;
        self.constant(floats(&weights, &[oc, ic, kernel, kernel], &some(count, oc as usize)));
        self.constant(floats(&bias, &[oc], &some(oc as usize, 2)));
        self.node("Conv", &[&weights, &bias], attributes).node("Relu", &[], &[])
    }

    /// A fully connected layer, its weights `[out][in]`.
    fn gemm(&mut self, [outputs, inputs]: [i64; 2], attributes: &[Vec<u8>]) -> &mut File {
        let (weights, bias) = (format!("w{}", self.nodes.len()), format!("b{}", self.nodes.len()));
        self.constant(floats(&weights, &[outputs, inputs], &some((outputs * inputs) as usize, 3)));
        self.constant(floats(&bias, &[outputs], &some(outputs as usize, 4)));
        let transposed = [&[attribute_int("transB", 1)][..], attributes].concat();
        self.node("Gemm", &[&weights, &bias], &transposed)
    }

    fn lrn(&mut self) -> &mut File {
        let floats = [("alpha", 0.5), ("beta", 0.75), ("bias", 2.0)].map(|(name, value)| attribute_float(name, value));
        self.node("LRN", &[], &[&floats[..], &[attribute_int("size", 5)]].concat())
    }

    fn max(&mut self, kernel: i64, stride: i64, more: &[Vec<u8>]) -> &mut File {
        let window = [attribute_ints("kernel_shape", &[kernel; 2]), attribute_ints("strides", &[stride; 2])];
        self.node("MaxPool", &[], &[&window[..], more].concat())
    }
}

/// As Caffe2 exported it: opset 3, initializers among the inputs, Reshape and Gemm with attributes they have no more.
#[test]
fn like_bvlc_alexnet() {
    let mut file = File::new(3, [3, 35, 35]);
    file.conv([16, 3, 11], &[attribute_ints("strides", &[4; 2])]).lrn().max(3, 2, &[]);
    file.conv([24, 8, 5], &[attribute_int("group", 2), attribute_ints("pads", &[2; 4])]).lrn();
    file.node("Reshape", &[], &[attribute_ints("shape", &[-1, 24 * 3 * 3])]);
    file.gemm([20, 24 * 9], &[attribute_int("broadcast", 1)]).node("Relu", &[], &[]);
    file.node("Dropout", &[], &[attribute_int("is_test", 1), attribute_float("ratio", 0.5)]);
    file.gemm([10, 20], &[attribute_int("broadcast", 1)]).node("Softmax", &[], &[]);
    file.inputs.push(value("w0", &[16, 3, 11, 11]));
    file.inputs.insert(0, value("b0", &[16]));
    let expected = [
        conv(16, 11, 4, 0, 1),
        RELU,
        LRN,
        max(3, 2, false),
        conv(24, 5, 1, 2, 2),
        RELU,
        LRN,
        linear(20, true),
        RELU,
        linear(10, true),
        SOFTMAX,
    ];
    let (network, kept) = holds_as(&file, &expected);
    assert_eq!(network.inputs().len(), 1);
    assert_eq!(kept.layers[0].name, "conv0");
    assert_eq!(kept.layers[2].weights(), some(20 * 24 * 9, 3), "channels first, as the map is flattened");
}

#[test]
fn like_caffenet_and_zfnet() {
    // Pooling before normalisation.
    let mut file = File::new(7, [3, 27, 27]);
    file.conv([8, 3, 7], &[attribute_ints("strides", &[2; 2])]).max(3, 2, &[]).lrn();
    file.node("Flatten", &[], &[]).gemm([5, 8 * 25], &[]);
    holds_as(&file, &[conv(8, 7, 2, 0, 1), RELU, max(3, 2, false), LRN, linear(5, true)]);
    // Pools that round up.
    let mut file = File::new(10, [3, 30, 30]);
    let padded = [attribute_ints("strides", &[2; 2]), attribute_ints("pads", &[1; 4])];
    file.conv([8, 3, 7], &padded).max(3, 2, &[attribute_int("ceil_mode", 1)]).lrn();
    file.node("Flatten", &[], &[attribute_int("axis", 1)]).gemm([5, 8 * 36], &[]);
    file.node("Softmax", &[], &[attribute_int("axis", 1)]);
    holds_as(&file, &[conv(8, 7, 2, 1, 1), RELU, max(3, 2, true), LRN, linear(5, true), SOFTMAX]);
}

#[test]
fn like_vgg() {
    let mut file = File::new(13, [3, 16, 16]);
    let same = [attribute_ints("pads", &[1; 4]), attribute_ints("kernel_shape", &[3; 2])];
    file.conv([8, 3, 3], &same).conv([8, 8, 3], &same).max(2, 2, &[]);
    file.conv([16, 8, 3], &same).max(2, 2, &[]);
    file.constant(integers("shape", &[0, -1])).node("Reshape", &["shape"], &[]);
    file.gemm([32, 256], &[]).node("Relu", &[], &[]);
    file.constant(floats("ratio", &[], &[0.5])).constant(tensor("no", &[], 9, &bytes(9, [0])));
    file.node("Dropout", &["ratio", "no"], &[]).gemm([7, 32], &[]).node("Softmax", &[], &[]);
    let expected = [
        conv(8, 3, 1, 1, 1),
        RELU,
        conv(8, 3, 1, 1, 1),
        RELU,
        max(2, 2, false),
        conv(16, 3, 1, 1, 1),
        RELU,
        max(2, 2, false),
        linear(32, true),
        RELU,
        linear(7, true),
        SOFTMAX,
    ];
    holds_as(&file, &expected);
}

impl File {
    /// A batch normalisation of some channels.
    fn normalise(&mut self, channels: i64, epsilon: f32) -> &mut File {
        let count = channels as usize;
        let variance: Vec<f32> = (1..=count).map(|c| c as f32 / 4.0).collect();
        let names = ["scale", "shift", "mean", "variance"].map(|name| format!("{name}{}", self.nodes.len()));
        for (name, values) in names.iter().zip([some(count, 2), some(count, 3), some(count, 4), variance]) {
            self.constant(floats(name, &[channels], &values));
        }
        let names = names.each_ref().map(String::as_str);
        self.node("BatchNormalization", &names, &[attribute_float("epsilon", epsilon)])
    }
}

fn normalised(epsilon: f32) -> Operator {
    Operator::BatchNormalization(BatchNormalization { epsilon })
}

/// A batch normalisation behind a convolution and one in front, a mean over the map, a matrix `[in][out]`, and a bias that
/// is added, itself the first operand.
#[test]
fn normalised_and_averaged() {
    for first in [false, true] {
        let mut file = File::new(15, [4, 9, 8]);
        file.constant(floats("w", &[6, 4, 3, 3], &some(216, 1)));
        if first {
            file.normalise(4, 0.25).node("Relu", &[], &[]).node("Conv", &["w"], &[]);
        } else {
            file.node("Conv", &["w"], &[]).normalise(6, 0.25).node("Relu", &[], &[]);
        }
        file.node("GlobalAveragePool", &[], &[]).node("Flatten", &[], &[]);
        file.constant(floats("m", &[6, 3], &some(18, 7))).node("MatMul", &["m"], &[]);
        file.constant(floats("a", &[1, 3], &some(3, 8)));
        let last = file.last.clone();
        file.on("Add", "sum", &["a", &last], &[]);
        let convolution = windowed(6, Window::square(3, 1, 0), 1, false);
        let mut expected = vec![normalised(0.25), RELU, convolution];
        if !first {
            expected.rotate_right(1);
        }
        expected.extend([mean_of(Map::new(7, 6, 6)), linear(3, false), AFFINE]);
        let (_, kept) = holds_as(&file, &expected);
        let transposed: Vec<f32> = (0..18).map(|i| some(18, 7)[i % 6 * 3 + i / 6]).collect();
        assert_eq!(kept.layers[2].weights(), transposed);
        assert_eq!(kept.layers[3].constants, [vec![1.0; 3], some(3, 8)]);
    }
}

/// A product's matrix that a node transposes, small enough to be looked at and not.
#[test]
fn transposed_matrices() {
    for outputs in [3, 700] {
        let mut file = File::new(13, [96, 1, 1]);
        let values = some(96 * outputs, 6);
        file.constant(floats("w", &[outputs as i64, 96], &values));
        file.nodes.push(node("Transpose", "t", &["w"], &[attribute_ints("perm", &[1, 0])]));
        file.node("Flatten", &[], &[]).node("MatMul", &["t"], &[]);
        let (_, kept) = holds_as(&file, &[linear(outputs, false)]);
        assert_eq!(kept.layers[0].weights(), values);
    }
}

/// A matrix that a node flattens.
#[test]
fn flattened_matrices() {
    for (sizes, axis) in [([3, 24, 4], 1), ([1, 3, 96], -1), ([3, 96, 1], -2)] {
        let mut file = File::new(13, [96, 1, 1]);
        file.constant(floats("w", &sizes, &some(288, 6)));
        file.nodes.push(node("Flatten", "t", &["w"], &[attribute_int("axis", axis)]));
        file.node("Flatten", &[], &[]).node("Gemm", &["t"], &[attribute_int("transB", 1)]);
        let (_, kept) = holds_as(&file, &[linear(3, false)]);
        assert_eq!(kept.layers[0].weights(), some(288, 6));
    }
}

/// Weights that nodes make, windows that are not square, `auto_pad`, a factor for product and bias, ReLU on its own.
#[test]
fn constants_from_nodes() {
    let mut file = File::new(8, [2, 7, 10]);
    let fill = [attribute_float("value", 0.5), attribute_ints("shape", &[4, 2, 3, 2])];
    file.nodes.push(node("ConstantFill", "w", &[], &fill));
    file.nodes.push(node("Constant", "v", &[], &[attribute_tensor("value", &floats("", &[4], &some(4, 1)))]));
    file.nodes.push(node("Identity", "b", &["v"], &[]));
    let attributes = [attribute_text("auto_pad", "SAME_LOWER"), attribute_ints("dilations", &[1, 2])];
    file.node("Conv", &["w", "b"], &attributes);
    let pool = [attribute_ints("kernel_shape", &[3, 2]), attribute_ints("pads", &[0, 1, 2, 0])];
    file.node("AveragePool", &[], &[&pool[..], &[attribute_int("count_include_pad", 1)]].concat());
    file.node("Relu", &[], &[]).node("Identity", &[], &[]).node("Flatten", &[], &[]);
    file.constant(integers("shape", &[280, 3]));
    let value = floats("", &[1], &[0.25]);
    file.nodes.push(node("ConstantOfShape", "m", &["shape"], &[attribute_tensor("value", &value)]));
    file.constant(floats("c", &[1], &[2.0]));
    file.node("Gemm", &["m", "c"], &[attribute_float("alpha", 3.0), attribute_float("beta", 0.5)]);
    let windows = [window(3, 1, [1, 1]), Window { dilation: 2, ..window(2, 1, [1, 1]) }];
    let pool = Pool { windows: [window(3, 1, [0, 2]), window(2, 1, [1, 0])], ceil: false };
    let mean = Operator::AveragePool(AveragePool { pool, count_padding: true });
    let (_, kept) = holds_as(&file, &[windowed(4, windows, 1, true), mean, RELU, linear(3, true)]);
    assert_eq!(kept.layers[0].weights(), [0.5; 48]);
    assert_eq!(kept.layers[0].bias(), some(4, 1));
    assert_eq!((kept.layers[1].weights()[0], kept.layers[1].bias()), (0.75, &[1.0; 3][..]));
}

/// Three element types in every field that holds them, and in another file; of constants that are looked at and of others.
#[test]
fn elements_of_every_kind() {
    for inputs in [2, 33_000] {
        let some = [1.5, -2.0, 0.25, 3.0, 0.0, -0.5];
        let values: Vec<f32> = (0..3 * inputs).map(|i| some[(i + i / 7) % 6]).collect();
        let raw = |bits: fn(f32) -> Vec<u8>| -> Vec<u8> { values.iter().flat_map(|&value| bits(value)).collect() };
        let f32s = raw(|value| value.to_le_bytes().to_vec());
        let f16s = raw(|value| half::f16::from_f32(value).to_le_bytes().to_vec());
        let bf16s = raw(|value| half::bf16::from_f32(value).to_le_bytes().to_vec());
        let f16_varints = raw(|value| varint(u64::from(half::f16::from_f32(value).to_bits())));
        let bf16_varints = raw(|value| varint(u64::from(half::bf16::from_f32(value).to_bits())));
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/w"), [&[7; 3][..], &f16s].concat()).unwrap();
        let entry = |key: &str, value: &str| bytes(13, [bytes(1, key), bytes(2, value)].concat());
        let length = f16s.len().to_string();
        let place = [entry("location", "data/w"), entry("offset", "3"), entry("length", &length)].concat();
        for (kind, content) in [
            (1, bytes(9, &f32s)),
            (1, bytes(4, &f32s)),
            (10, bytes(9, &f16s)),
            (16, bytes(9, &bf16s)),
            (10, bytes(5, &f16_varints)),
            (16, bytes(5, &bf16_varints)),
            (10, [place, int(14, 1)].concat()),
        ] {
            for (shape, attributes) in [([3, inputs], vec![attribute_int("transB", 1)]), ([inputs, 3], vec![])] {
                let mut file = File::new(11, [inputs as i64, 1, 1]);
                file.constant(tensor("w", &shape.map(|size| size as i64), kind, &content));
                file.node("Flatten", &[], &[]).node("Gemm", &["w"], &attributes);
                let (network, kept) = holds(open(&write(&folder, &file), None, &[]));
                assert_eq!(operators(&network), [linear(3, false)]);
                let transposed: Vec<f32> = (0..3 * inputs).map(|i| values[i % inputs * 3 + i / inputs]).collect();
                let expected = if shape[0] == 3 { &values } else { &transposed };
                assert!(kept.layers[0].weights() == expected, "type {kind}");
            }
        }
    }
}

#[test]
fn a_model_is_called_after_its_file_and_layers_after_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::new(9, [1, 4, 4]);
    file.nodes.push(node("Relu", "same", &["x"], &[]));
    file.on("MaxPool", "a\u{1b}b", &["same"], &[attribute_ints("kernel_shape", &[2; 2])]);
    let model = open(&write(&folder, &file), None, &[]);
    let network = model.network();
    let names: Vec<&str> = network.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!((network.name(), &names[..]), ("model", &["same", "ab"][..]));
    assert_eq!((network.batch(), sizes(network, network.inputs())), (1, vec![vec![1, 1, 4, 4]]));
    // Without a name, after its output; of one name, by its place.
    file.nodes[1] = [bytes(1, "same"), bytes(2, "out"), bytes(4, "Softplus")].concat();
    file.nodes.push([bytes(1, "out"), bytes(2, "more"), bytes(3, "same"), bytes(4, "Relu")].concat());
    file.last = "more".into();
    let model = open(&write(&folder, &file), None, &[]);
    let names: Vec<&str> = model.network().nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["same", "out", "same#2"]);
}

#[test]
fn paddings_of_same_and_valid() {
    for (auto, height, width) in [
        ("SAME_UPPER", [1, 2], [0, 1]),
        ("SAME_LOWER", [2, 1], [1, 0]),
        ("VALID", [0, 0], [0, 0]),
        ("NOTSET", [0, 0], [0, 0]),
    ] {
        let mut file = File::new(13, [2, 6, 9]);
        let strides = attribute_ints("strides", &[1, 2]);
        file.constant(floats("w", &[3, 2, 4, 2], &some(48, 1)));
        file.node("Conv", &["w"], &[attribute_text("auto_pad", auto), strides]);
        holds_as(&file, &[windowed(3, [window(4, 1, height), window(2, 2, width)], 1, false)]);
    }
    // Windows that do not reach from one to the next: what is missing is less than nothing.
    let mut file = File::new(13, [1, 500, 224]);
    let strides = attribute_ints("strides", &[10, 2]);
    file.constant(floats("w", &[1, 1, 5, 6], &some(30, 1)));
    file.node("Conv", &["w"], &[attribute_text("auto_pad", "SAME_UPPER"), strides]);
    let (network, _) = holds_as(&file, &[windowed(1, [window(5, 10, [0, 0]), window(6, 2, [2, 2])], 1, false)]);
    assert_eq!(sizes(&network, network.outputs()), [[2, 1, 50, 112]]);
}

#[test]
fn like_tiny_yolo() {
    let mut file = File::new(8, [3, 12, 16]);
    file.constant(floats("scale", &[1], &[1.0 / 255.0])).node("Mul", &["scale"], &[]);
    file.constant(floats("w", &[8, 3, 3, 3], &some(216, 1)));
    file.node("Conv", &["w"], &[attribute_text("auto_pad", "SAME_UPPER")]).normalise(8, 1e-3);
    file.node("LeakyRelu", &[], &[attribute_float("alpha", 0.125)]);
    file.max(2, 1, &[attribute_text("auto_pad", "SAME_UPPER")]);
    let pool = Pool { windows: [window(2, 1, [0, 1]); 2], ceil: false };
    let leaky = Operator::Activation(Activation::LeakyRelu { slope: 0.125 });
    let convolution = windowed(8, Window::square(3, 1, 1), 1, false);
    let expected = [AFFINE, convolution, normalised(1e-3), leaky, Operator::MaxPool(pool)];
    let (network, kept) = holds_as(&file, &expected);
    assert_eq!(kept.layers[0].constants, [vec![1.0 / 255.0; 3], vec![0.0; 3]]);
    assert_eq!(sizes(&network, network.outputs()), [[2, 8, 12, 16]]);
}

/// Its Reshapes state a batch of 1, which the model has and the network has not.
#[test]
fn like_mnist() {
    for shape in [[1, 128], [1, -1]] {
        let mut file = File::new(8, [1, 8, 8]);
        file.inputs = vec![value("x", &[1, 1, 8, 8])];
        file.constant(floats("w", &[8, 1, 5, 5], &some(200, 1)));
        file.node("Conv", &["w"], &[attribute_text("auto_pad", "SAME_UPPER"), attribute_ints("dilations", &[1, 1])]);
        file.constant(floats("a", &[8, 1, 1], &some(8, 2))).node("Add", &["a"], &[]).node("Relu", &[], &[]);
        file.max(2, 2, &[]);
        file.constant(integers("flat", &shape)).node("Reshape", &["flat"], &[]);
        file.constant(floats("m", &[8, 4, 4, 10], &some(1280, 3))).constant(integers("matrix", &[128, 10]));
        file.nodes.push(node("Reshape", "m2", &["m", "matrix"], &[]));
        file.node("MatMul", &["m2"], &[]).constant(floats("b", &[1, 10], &some(10, 4))).node("Add", &["b"], &[]);
        let convolution = windowed(8, Window::square(5, 1, 2), 1, false);
        let expected = [convolution, AFFINE, RELU, max(2, 2, false), linear(10, false), AFFINE];
        let folder = tempfile::tempdir().unwrap();
        for batch in [1, 4] {
            let (network, kept) = holds(open(&write(&folder, &file), Some(batch), &[]));
            assert_eq!(operators(&network), expected);
            assert_eq!(sizes(&network, network.outputs()), [[batch, 10]]);
            assert_eq!(kept.layers[1].constants, [vec![1.0; 8], some(8, 2)]);
            assert_eq!(kept.layers[2].weights()[1], some(1280, 3)[10]);
        }
    }
}

/// Images beside each other, as windows of attention have them, and apart again: that the first size is not the batch
/// does not matter.
#[test]
fn batches_that_reshapes_state() {
    let mut file = File::new(13, [6, 4, 5]);
    file.inputs = vec![value("x", &[1, 6, 4, 5])];
    // As most exporters write them.
    let raw: Vec<u8> = [1_i64, 6, 4, 5].iter().flat_map(|size| size.to_le_bytes()).collect();
    file.constant(integers("together", &[-1, 5])).constant(tensor("apart", &[4], 7, &bytes(9, raw)));
    file.node("Reshape", &["together"], &[]).node("Softmax", &[], &[]).node("Reshape", &["apart"], &[]);
    let folder = tempfile::tempdir().unwrap();
    for batch in [1, 3] {
        let (network, _) = holds(open(&write(&folder, &file), Some(batch), &[]));
        assert_eq!(sizes(&network, &[network.nodes()[0].outputs[0]]), [[24 * batch, 5]]);
        assert_eq!(sizes(&network, network.outputs()), [[batch, 6, 4, 5]]);
    }
}

#[test]
fn values_that_are_read_twice() {
    // Both inputs of a sum the same; an output that is also read later.
    let mut file = File::new(13, [3, 6, 5]);
    file.conv([4, 3, 3], &[]).on("Add", "sum", &["relu1", "relu1"], &[]).conv([2, 4, 1], &[]);
    file.outputs = vec!["relu1".into()];
    let add = Operator::Binary(Binary::Add);
    let (network, _) = holds_as(&file, &[conv(4, 3, 1, 0, 1), RELU, add, conv(2, 1, 1, 0, 1), RELU]);
    assert_eq!(sizes(&network, network.outputs()), [[2, 4, 4, 3], [2, 2, 4, 3]]);
    // A residual.
    let mut file = File::new(13, [4, 6, 5]);
    file.conv([4, 4, 3], &[attribute_ints("pads", &[1; 4])]).on("Add", "sum", &["relu1", "x"], &[]);
    holds_as(&file, &[conv(4, 3, 1, 1, 1), RELU, Operator::Binary(Binary::Add)]);
}

#[test]
fn outputs_of_different_ranks() {
    let mut file = File::new(13, [3, 6, 5]);
    file.conv([1, 3, 3], &[]).node("GlobalMaxPool", &[], &[]);
    let one = file.last.clone();
    file.last = "relu1".into();
    file.node("Flatten", &[], &[]).gemm([5, 12], &[]);
    file.outputs = vec![one];
    let folder = tempfile::tempdir().unwrap();
    let (network, _) = holds(open(&write(&folder, &file), None, &[]));
    assert_eq!(sizes(&network, network.outputs()), [&[1, 1, 1, 1][..], &[1, 5]]);
    let whole = Operator::MaxPool(Pool::whole(Map::new(4, 3, 1)));
    assert_eq!(operators(&network), [conv(1, 3, 1, 0, 1), RELU, whole, linear(5, true)]);
}

#[test]
fn parts_and_what_joins_them() {
    // By attributes and by constants, as opsets have it.
    for opset in [9, 13] {
        let mut file = File::new(opset, [6, 5, 7]);
        let list = |name: &str, values: &[i64]| attribute_ints(name, values);
        let (axis, halves) = (attribute_int("axis", 1), ["some", "others"]);
        if opset < 10 {
            file.nodes.push(node_of("Split", "split", &["x"], &halves, &[axis.clone(), list("split", &[2, 4])]));
            let part = [list("axes", &[1, 3]), list("starts", &[1, -5]), list("ends", &[1 << 60, -1])];
            file.nodes.push(node("Slice", "slice", &["others"], &part));
            file.nodes.push(node(
                "Slice",
                "left",
                &["some"],
                &[list("axes", &[3]), list("starts", &[0]), list("ends", &[4])],
            ));
        } else {
            file.constant(integers("sizes", &[2, 4])).constant(integers("axes", &[1, 3]));
            file.constant(integers("starts", &[1, -5])).constant(integers("ends", &[1 << 60, -1]));
            file.constant(integers("3", &[3])).constant(integers("0", &[0])).constant(integers("4", &[4]));
            file.nodes.push(node_of("Split", "split", &["x", "sizes"], &halves, std::slice::from_ref(&axis)));
            file.nodes.push(node("Slice", "slice", &["others", "starts", "ends", "axes"], &[]));
            file.nodes.push(node("Slice", "left", &["some", "0", "4", "3"], &[]));
        }
        file.on("Concat", "joined", &["slice", "left", "slice"], &[axis]);
        let folder = tempfile::tempdir().unwrap();
        let (network, _) = holds(open(&write(&folder, &file), Some(2), &[]));
        let names: Vec<&str> = network.nodes().iter().map(|node| node.operator.name()).collect();
        assert_eq!(names, ["Slice", "Slice", "Slice", "Slice", "Concat"]);
        assert_eq!(sizes(&network, network.outputs()), [[2, 8, 5, 4]]);
        assert_eq!(network.nodes()[4].operator, Operator::Concat(Concat { axis: 1 }));
        // Channel 0 of the result is channel 3 of the input, from pixel 2 on.
        let input = some(2 * 6 * 5 * 7, 9);
        let output = &run(&mut open(&write(&folder, &file), Some(2), &[]), &input)[0];
        assert_eq!((output[0], output[3]), (input[2 * 6 + 3], input[0]));
    }
}

#[test]
fn channel_shuffles() {
    for groups in [2, 3] {
        let members = 6 / groups;
        let mut file = File::new(9, [6, 4, 5]);
        file.constant(integers("apart", &[-1, groups, members, 4, 5])).constant(integers("joined", &[-1, 6, 4, 5]));
        file.node("Reshape", &["apart"], &[]).node("Transpose", &[], &[attribute_ints("perm", &[0, 2, 1, 3, 4])]);
        file.node("Reshape", &["joined"], &[]);
        holds_as(&file, &[Operator::ChannelShuffle { groups: groups as usize }]);
        let folder = tempfile::tempdir().unwrap();
        let input = some(2 * 4 * 5 * 6, 5);
        let output = run(&mut open(&write(&folder, &file), Some(2), &[]), &input).remove(0);
        let (groups, members) = (groups as usize, members as usize);
        for (got, pixel) in output.chunks(6).zip(input.chunks(6)) {
            for (channel, &got) in got.iter().enumerate() {
                assert_eq!(got, pixel[channel % groups * members + channel / groups]);
            }
        }
    }
    // Another order is no shuffle.
    let mut file = File::new(9, [6, 4, 5]);
    file.constant(integers("apart", &[-1, 2, 3, 4, 5])).constant(integers("joined", &[-1, 6, 4, 5]));
    file.node("Reshape", &["apart"], &[]).node("Transpose", &[], &[attribute_ints("perm", &[0, 2, 1, 4, 3])]);
    file.node("Reshape", &["joined"], &[]);
    let folder = tempfile::tempdir().unwrap();
    let (network, _) = holds(open(&write(&folder, &file), None, &[]));
    assert_eq!(network.nodes().len(), 3);
}

/// Nodes on `x` that are `expected` computed at once, if it is that, and `exact` of each element.
fn function(file: &File, expected: Option<Activation>, exact: impl Fn(f64) -> f64) {
    let folder = tempfile::tempdir().unwrap();
    let (network, _) = holds(open(&write(&folder, file), Some(2), &[]));
    match expected {
        Some(expected) => assert_eq!(operators(&network), [Operator::Activation(expected)]),
        None => assert!(network.nodes().len() > 1),
    }
    let input: Vec<f32> = some(2 * 3 * 4 * 5, 3).iter().map(|x| 20.0 * x).collect();
    let exact: Vec<f64> = input.iter().map(|&x| exact(f64::from(x))).collect();
    close(&run(&mut open(&write(&folder, file), Some(2), &[]), &input)[0], &exact);
}

#[test]
fn functions_in_several_nodes() {
    let hard_swish = |offset: f64| move |x: f64| x * (x + offset).clamp(0.0, 6.0) / 6.0;
    for (offset, expected) in [(3.0, Some(Activation::HardSwish)), (2.5, None)] {
        for (swapped, attributes, reciprocal) in
            [(false, false, false), (true, false, true), (false, true, true), (true, true, false)]
        {
            let mut file = File::new(if attributes { 10 } else { 13 }, [3, 4, 5]);
            file.constant(floats("offset", &[], &[offset])).constant(floats("six", &[], &[6.0]));
            file.constant(floats("zero", &[], &[0.0])).constant(floats("sixth", &[], &[1.0 / 6.0]));
            let of = |name: &'static str, by: &'static str| if swapped { [by, name] } else { [name, by] };
            file.on("Add", "shifted", &of("x", "offset"), &[]);
            if attributes {
                let bounds = [attribute_float("min", 0.0), attribute_float("max", 6.0)];
                file.on("Clip", "clipped", &["shifted"], &bounds);
            } else {
                file.on("Clip", "clipped", &["shifted", "zero", "six"], &[]);
            }
            file.on("Mul", "product", &of("x", "clipped"), &[]);
            if reciprocal {
                file.on("Mul", "result", &of("product", "sixth"), &[]);
            } else {
                file.on("Div", "result", &["product", "six"], &[]);
            }
            function(&file, expected, hard_swish(f64::from(offset)));
        }
    }
    for (alpha, expected) in [(1.0 / 6.0, Some(Activation::HardSwish)), (0.2, None)] {
        for operands in [["x", "gate"], ["gate", "x"]] {
            let mut file = File::new(13, [3, 4, 5]);
            let attributes = [attribute_float("alpha", alpha), attribute_float("beta", 0.5)];
            file.on("HardSigmoid", "gate", &["x"], &attributes).on("Mul", "result", &operands, &[]);
            function(&file, expected, |x| x * (f64::from(alpha) * x + 0.5).clamp(0.0, 1.0));
        }
    }
    let silu = |x: f64| x / (1.0 + (-x).exp());
    for operands in [["x", "gate"], ["gate", "x"]] {
        let mut file = File::new(13, [3, 4, 5]);
        file.on("Sigmoid", "gate", &["x"], &[]).on("Mul", "result", &operands, &[]);
        function(&file, Some(Activation::Silu), silu);
    }
    // Of something else than it multiplies.
    let mut file = File::new(13, [3, 4, 5]);
    file.on("Abs", "magnitude", &["x"], &[]).on("Sigmoid", "gate", &["x"], &[]);
    file.on("Mul", "result", &["magnitude", "gate"], &[]);
    function(&file, None, |x| x.abs() / (1.0 + (-x).exp()));
    // What is an output itself is computed as well.
    let mut file = File::new(13, [3, 4, 5]);
    file.on("Sigmoid", "gate", &["x"], &[]).on("Mul", "result", &["x", "gate"], &[]).outputs = vec!["gate".into()];
    let kinds = [Activation::Sigmoid, Activation::Silu].map(Operator::Activation);
    holds_as(&file, &kinds);
}

/// As PyTorch exported `x.view(x.size(0), -1)`: with the batch that is asked for.
#[test]
fn shapes_that_are_computed() {
    let mut file = File::new(11, [3, 6, 5]);
    file.conv([4, 3, 3], &[]);
    let index = attribute_tensor("value", &tensor("", &[], 7, &bytes(7, varint(0))));
    file.nodes.push(node("Constant", "index", &[], &[index]));
    file.nodes.push(node("Shape", "shape", &["relu1"], &[]));
    file.nodes.push(node("Gather", "batch", &["shape", "index"], &[attribute_int("axis", 0)]));
    file.nodes.push(node("Unsqueeze", "list", &["batch"], &[attribute_ints("axes", &[0])]));
    file.constant(integers("rest", &[-1]));
    file.nodes.push(node("Concat", "sizes", &["list", "rest"], &[attribute_int("axis", 0)]));
    file.node("Reshape", &["sizes"], &[]).gemm([5, 48], &[]);
    let (network, _) = holds_as(&file, &[conv(4, 3, 1, 0, 1), RELU, linear(5, true)]);
    assert_eq!(sizes(&network, network.outputs()), [[2, 5]]);
    // A mean over the map, its axes a constant, and its result as large as it was.
    let mut file = File::new(18, [3, 6, 5]);
    file.constant(integers("axes", &[-1, -2])).node("ReduceMean", &["axes"], &[attribute_int("keepdims", 0)]);
    holds_as(&file, &[Operator::Reduce(Reduce { reduction: Reduction::Mean, axes: vec![2, 3], keep: false })]);
}

#[test]
fn sizes_that_are_left_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::new(13, [3, 0, 0]);
    file.inputs = vec![value("x", &[-1, 3, -1, -1])];
    file.conv([4, 3, 3], &[attribute_ints("pads", &[1; 4])]);
    let path = write(&folder, &file);
    let error = Model::open(&path, Some(2), &[]).unwrap_err().to_string();
    assert!(error.contains("its input 'x' leaves sizes open"), "{error}");
    let example = error.rsplit("--shape ").next().unwrap();
    assert_eq!(example, "x:2x3x224x224");
    open(&path, None, &[example]);
    for (batch, shape, expected) in
        [(None, "x:1x3x8x9", [1, 3, 8, 9]), (Some(2), "1x3x8x9", [2, 3, 8, 9]), (None, "3x3x8x9", [3, 3, 8, 9])]
    {
        let (network, _) = holds(open(&path, batch, &[shape]));
        assert_eq!(sizes(&network, network.inputs()), [expected]);
        assert_eq!(sizes(&network, network.outputs()), [[expected[0], 4, expected[2], expected[3]]]);
    }
    for (shape, part) in [
        ("y:1x3x8x9", "it has no input called 'y'"),
        ("1x4x8x9", "its input 'x' is of ?x3x?x?, not of 1x4x8x9"),
        ("1x3x8", "its input 'x' is of ?x3x?x?, not of 1x3x8"),
    ] {
        let error = Model::open(&path, None, &[shape.parse().unwrap()]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // Of two inputs it must be said which.
    file.inputs.push(value("y", &[1, 3, 8, 9]));
    file.on("Add", "sum", &["x", "y"], &[]);
    let path = write(&folder, &file);
    let error = Model::open(&path, None, &["1x3x8x9".parse().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("which input it means") && error.contains("'x', 'y'"), "{error}");
    let model = open(&path, Some(2), &["x:1x3x8x9"]);
    assert_eq!(sizes(model.network(), model.network().inputs()), [[2, 3, 8, 9]; 2]);
}

/// The convolutions before nodes that are not computed are taken, and those behind if the model states what they read.
#[test]
fn nodes_that_are_not_computed() {
    let folder = tempfile::tempdir().unwrap();
    let body = |name: &str| attribute_graph(name, &bytes(2, "body"));
    let mut foreign = node("Relu", "middle", &["relu1"], &[]);
    foreign.extend(bytes(7, "com.example"));
    for (middle, part) in [
        (node("NonMaxSuppression", "middle", &["relu1", "relu1"], &[]), "is none of the operators"),
        (node("Loop", "middle", &["", "", "relu1"], &[body("body")]), "is none of the operators"),
        (node("If", "middle", &["relu1"], &[body("then_branch"), body("else_branch")]), "is none of the operators"),
        (foreign, "is of the domain 'com.example'"),
    ] {
        let mut file = File::new(13, [3, 6, 5]);
        file.conv([4, 3, 3], &[]);
        file.nodes.push(middle);
        file.last = "middle".into();
        file.conv([2, 7, 1], &[]);
        let names = |file: &File| -> Vec<String> {
            let model = open(&write(&folder, file), Some(2), &[]);
            model.network().problems().iter().map(|problem| problem.name().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&file), ["model/conv0"]);
        let model = open(&write(&folder, &file), None, &[]);
        let unknown = model.network().opaque().find(|(node, _)| node.name == "conv3").unwrap().1;
        assert!(unknown.reason.contains("reads 'middle', whose shape is not known"), "{}", unknown.reason);
        file.stated.push(value("middle", &[-1, 7, 9, 10]));
        assert_eq!(names(&file), ["model/conv0", "model/conv3"]);
        let mut model = open(&write(&folder, &file), Some(2), &[]);
        let network = model.network().clone();
        assert_eq!(network.opaque().count(), 1);
        let behind = &network.problems()[1];
        assert_eq!((behind.batch(), behind.in_channels(), behind.height().input), (2, 7, 9));
        let pass = ForwardPass::new(&network, &mut model, &oracle_only, &PlanOptions::new(1));
        let error = pass.err().expect("it is not computed").to_string();
        assert!(error.contains("model/middle (") && error.contains(part), "{error}");
    }
}

#[test]
fn outputs_are_called_as_the_model_calls_them() {
    // The same value under another name, a constant, and integers, which are no numbers of ours.
    let mut file = File::new(13, [3, 6, 5]);
    file.conv([4, 3, 3], &[]).on("Identity", "same", &["relu1"], &[]);
    file.constant(floats("three", &[3], &[1.0, 2.0, 3.0]));
    file.outputs = vec!["relu1".into(), "three".into()];
    let mut model = open(&write(&tempfile::tempdir().unwrap(), &file), None, &[]);
    let network = model.network().clone();
    let names: Vec<&str> = network.outputs().iter().map(|&output| network.value(output).name.as_str()).collect();
    let outputs = run(&mut model, &some(90, 3));
    assert!(names.contains(&"relu1") && names.contains(&"three") && names.len() == 3, "{names:?}");
    let place = |name: &str| names.iter().position(|other| *other == name).unwrap();
    assert_eq!(outputs[place("three")], [1.0, 2.0, 3.0]);
    let same = (0..3).find(|&index| ![place("relu1"), place("three")].contains(&index)).unwrap();
    assert_eq!((names[same], &outputs[same]), ("same", &outputs[place("relu1")]));
}

/// Nor does arithmetic on constants make a number of what is none.
#[test]
fn constants_that_are_no_numbers_stay_none() {
    let folder = tempfile::tempdir().unwrap();
    for operator in ["Max", "Min", "Add", "Mul"] {
        let mut file = File::new(13, [3, 1, 1]);
        file.constant(floats("a", &[3], &[f32::NAN, 1.0, 2.0])).constant(floats("b", &[3], &[1.0, f32::NAN, 5.0]));
        file.constant(integers("s", &[3, 1, 1]));
        file.nodes.push(node(operator, "c", &["a", "b"], &[]));
        file.nodes.push(node("Reshape", "d", &["c", "s"], &[]));
        file.node("Add", &["d"], &[]);
        let output = &run(&mut open(&write(&folder, &file), None, &[]), &[1.0; 3])[0];
        assert!(output[0].is_nan() && output[1].is_nan() && output[2].is_finite(), "{operator}: {output:?}");
    }
}
