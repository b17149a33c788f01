//! ONNX models that the tests write themselves, against the network they mean and the reference's pass on it.

mod common;
mod reference;

use std::path::{Path, PathBuf};

use common::protobuf::{
    File, attribute_float, attribute_int, attribute_ints, attribute_tensor, attribute_text, bytes, floats, int,
    integers, node, some, tensor, value, varint,
};
use common::{Kept, Outputs, oracle_only};
use conv_core::PlanOptions;
use conv_net::onnx::Model;
use conv_net::{AveragePool, Conv, ForwardPass, LayerKind, Linear, Lrn, Pool, Shape, Window};
use tempfile::TempDir;

fn write(folder: &TempDir, file: &File) -> PathBuf {
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, file.bytes()).unwrap();
    path
}

/// Opens the model at `path`, whose layers must be `kinds`, holds a pass against the reference, and returns its weights.
fn holds(path: &Path, kinds: &[LayerKind]) -> Kept {
    let mut model = Model::open(path).unwrap_or_else(|error| panic!("{error}"));
    let network = model.network().clone();
    let read: Vec<LayerKind> = network.layers.iter().map(|layer| layer.kind).collect();
    assert_eq!(read, kinds);
    let kept = Kept::of(&network, &mut model).unwrap();
    let images = some(2 * network.input.floats(), 5);
    let mut pass = ForwardPass::new(&network, &mut model, 2, &oracle_only, &PlanOptions::new(2)).unwrap();
    let mut outputs = Outputs::default();
    let result = pass.run(&images, &mut outputs).unwrap();
    let expected: Vec<f64> = images
        .chunks(network.input.floats())
        .flat_map(|image| reference::forward(&network, &kept, image).pop().unwrap().1.values)
        .collect();
    assert_eq!(result.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    assert!(largest > 0.0);
    for (&got, exact) in result.iter().zip(expected) {
        assert!((f64::from(got) - exact).abs() < 1e-5 * largest, "{got} for {exact}");
    }
    kept
}

fn conv(out_channels: usize, kernel: usize, stride: usize, pad: usize, groups: usize) -> LayerKind {
    LayerKind::Conv(Conv { out_channels, windows: Window::square(kernel, stride, pad), groups, relu: true })
}

fn linear(out_features: usize, relu: bool) -> LayerKind {
    LayerKind::Linear(Linear { out_features, relu })
}

fn max(kernel: usize, stride: usize, ceil: bool) -> LayerKind {
    LayerKind::MaxPool(Pool { ceil, ..Pool::square(kernel, stride, 0) })
}

/// ONNX's 0.5 over a window of 5.
const LRN: LayerKind = LayerKind::Lrn(Lrn { size: 5, k: 2.0, alpha: 0.1, beta: 0.75 });

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
    let folder = tempfile::tempdir().unwrap();
    let kinds = [
        conv(16, 11, 4, 0, 1),
        LRN,
        max(3, 2, false),
        conv(24, 5, 1, 2, 2),
        LRN,
        linear(20, true),
        LayerKind::Dropout,
        linear(10, false),
        LayerKind::Softmax,
    ];
    let kept = holds(&write(&folder, &file), &kinds);
    assert_eq!(kept.layers[0].name, "conv0");
    assert_eq!(kept.layers[2].weights, some(20 * 24 * 9, 3), "channels first, as the map is flattened");
}

#[test]
fn like_caffenet_and_zfnet() {
    let folder = tempfile::tempdir().unwrap();
    // Pooling before normalisation.
    let mut file = File::new(7, [3, 27, 27]);
    file.conv([8, 3, 7], &[attribute_ints("strides", &[2; 2])]).max(3, 2, &[]).lrn();
    file.node("Flatten", &[], &[]).gemm([5, 8 * 25], &[]);
    holds(&write(&folder, &file), &[conv(8, 7, 2, 0, 1), max(3, 2, false), LRN, linear(5, false)]);
    // Pools that round up.
    let mut file = File::new(10, [3, 30, 30]);
    let padded = [attribute_ints("strides", &[2; 2]), attribute_ints("pads", &[1; 4])];
    file.conv([8, 3, 7], &padded).max(3, 2, &[attribute_int("ceil_mode", 1)]).lrn();
    file.node("Flatten", &[], &[attribute_int("axis", 1)]).gemm([5, 8 * 36], &[]);
    file.node("Softmax", &[], &[attribute_int("axis", 1)]);
    let kinds = [conv(8, 7, 2, 1, 1), max(3, 2, true), LRN, linear(5, false), LayerKind::Softmax];
    holds(&write(&folder, &file), &kinds);
}

#[test]
fn like_vgg() {
    let mut file = File::new(13, [3, 16, 16]);
    let same = [attribute_ints("pads", &[1; 4]), attribute_ints("kernel_shape", &[3; 2])];
    file.conv([8, 3, 3], &same).conv([8, 8, 3], &same).max(2, 2, &[]);
    file.conv([16, 8, 3], &same).conv([16, 16, 3], &same).max(2, 2, &[]);
    file.constant(integers("shape", &[0, -1])).node("Reshape", &["shape"], &[]);
    file.gemm([32, 256], &[]).node("Relu", &[], &[]);
    file.constant(floats("ratio", &[], &[0.5])).constant(tensor("no", &[], 9, &bytes(9, [0])));
    file.node("Dropout", &["ratio", "no"], &[]).gemm([7, 32], &[]).node("Softmax", &[], &[]);
    let folder = tempfile::tempdir().unwrap();
    let kinds = [
        conv(8, 3, 1, 1, 1),
        conv(8, 3, 1, 1, 1),
        max(2, 2, false),
        conv(16, 3, 1, 1, 1),
        conv(16, 3, 1, 1, 1),
        max(2, 2, false),
        linear(32, true),
        LayerKind::Dropout,
        linear(7, false),
        LayerKind::Softmax,
    ];
    holds(&write(&folder, &file), &kinds);
}

/// A batch normalisation folded, a mean over the map, a matrix `[in][out]` and a bias added first operand first.
#[test]
fn normalised_and_averaged() {
    let mut file = File::new(15, [4, 9, 8]);
    file.constant(floats("w", &[6, 4, 3, 3], &some(216, 1))).node("Conv", &["w"], &[]);
    for (name, seed) in [("scale", 2), ("shift", 3), ("mean", 4)] {
        file.constant(floats(name, &[6], &some(6, seed)));
    }
    let variance: Vec<f32> = (1..=6).map(|c| c as f32 / 4.0).collect();
    file.constant(floats("variance", &[6], &variance));
    file.node("BatchNormalization", &["scale", "shift", "mean", "variance"], &[attribute_float("epsilon", 0.25)]);
    file.node("Relu", &[], &[]).node("GlobalAveragePool", &[], &[]).node("Flatten", &[], &[]);
    file.constant(floats("m", &[6, 3], &some(18, 7))).node("MatMul", &["m"], &[]);
    file.constant(floats("a", &[1, 3], &some(3, 8)));
    let last = file.last.clone();
    file.nodes.push(node("Add", "sum", &["a", &last], &[]));
    file.last = "sum".into();
    let folder = tempfile::tempdir().unwrap();
    let window = |kernel| Window { kernel, stride: 1, pad: [0; 2], dilation: 1 };
    let pool = Pool { windows: [window(7), window(6)], ceil: false };
    let mean = LayerKind::AveragePool(AveragePool { pool, count_padding: false });
    let kept = holds(&write(&folder, &file), &[conv(6, 3, 1, 0, 1), mean, linear(3, false)]);
    for (c, variance) in variance.iter().enumerate() {
        let factor = some(6, 2)[c] / (variance + 0.25).sqrt();
        let near = |got: f32, expected: f32| (got - expected).abs() < 1e-6;
        assert!(near(kept.layers[0].weights[36 * c + 5], some(216, 1)[36 * c + 5] * factor), "channel {c}");
        assert!(near(kept.layers[0].bias[c], some(6, 3)[c] - some(6, 4)[c] * factor), "channel {c}");
    }
    let transposed: Vec<f32> = (0..18).map(|i| some(18, 7)[i % 6 * 3 + i / 6]).collect();
    assert_eq!((&kept.layers[1].weights, &kept.layers[1].bias), (&transposed, &some(3, 8)));
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
    let windows = [
        Window { kernel: 3, stride: 1, pad: [1, 1], dilation: 1 },
        Window { kernel: 2, stride: 1, pad: [1, 1], dilation: 2 },
    ];
    let window = |kernel, pad| Window { kernel, stride: 1, pad, dilation: 1 };
    let pool = Pool { windows: [window(3, [0, 2]), window(2, [1, 0])], ceil: false };
    let kinds = [
        LayerKind::Conv(Conv { out_channels: 4, windows, groups: 1, relu: false }),
        LayerKind::AveragePool(AveragePool { pool, count_padding: true }),
        LayerKind::Relu,
        linear(3, false),
    ];
    let folder = tempfile::tempdir().unwrap();
    let kept = holds(&write(&folder, &file), &kinds);
    assert_eq!(kept.layers[0].weights, [0.5; 48]);
    assert_eq!(kept.layers[0].bias, some(4, 1));
    assert_eq!((kept.layers[1].weights[0], &kept.layers[1].bias[..]), (0.75, &[1.0; 3][..]));
}

/// Three element types in every field that holds them, and in another file.
#[test]
fn elements_of_every_kind() {
    let values = [1.5, -2.0, 0.25, 3.0, 0.0, -0.5];
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
    let external = [entry("location", "data/w"), entry("offset", "3"), entry("length", "12"), int(14, 1)].concat();
    for (kind, content) in [
        (1, bytes(9, &f32s)),
        (1, bytes(4, &f32s)),
        (10, bytes(9, &f16s)),
        (16, bytes(9, &bf16s)),
        (10, bytes(5, &f16_varints)),
        (16, bytes(5, &bf16_varints)),
        (10, external),
    ] {
        for (shape, attributes) in [([3, 2], vec![attribute_int("transB", 1)]), ([2, 3], vec![])] {
            let mut file = File::new(11, [2, 1, 1]);
            file.constant(tensor("w", &shape, kind, &content));
            file.node("Flatten", &[], &[]).node("Gemm", &["w"], &attributes);
            let kept = holds(&write(&folder, &file), &[linear(3, false)]);
            let [a, b, c, d, e, f] = values;
            let expected = if shape == [3, 2] { values } else { [a, d, b, e, c, f] };
            assert_eq!(kept.layers[0].weights, expected, "type {kind}");
        }
    }
}

#[test]
fn a_model_is_called_after_its_file_and_layers_after_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::new(9, [1, 4, 4]);
    file.nodes.push(node("Relu", "same", &["x"], &[]));
    let unnamed = [bytes(1, "same"), bytes(2, "out"), bytes(4, "Softplus")].concat();
    file.nodes.push(node("MaxPool", "a\u{1b}b", &["same"], &[attribute_ints("kernel_shape", &[2; 2])]));
    file.last = "a\u{1b}b".into();
    let path = write(&folder, &file);
    let model = Model::open(&path).unwrap();
    let names: Vec<&str> = model.network().layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!((model.network().name.as_str(), &names[..]), ("model", &["same", "ab"][..]));
    assert_eq!(model.network().input, Shape::new(4, 4, 1));
    file.nodes[1] = unnamed;
    let error = Model::open(&write(&folder, &file)).unwrap_err().to_string();
    assert!(error.contains("the node 'out' (Softplus) is none of the operators"), "{error}");
}
