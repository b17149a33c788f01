//! ONNX files that are damaged, hostile, or models of nothing: each is refused with the node or what is wrong.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::Kept;
use common::protobuf::{
    File, attribute_float, attribute_int, attribute_ints, attribute_tensor, attribute_text, bytes, floats, int,
    integers, node, node_of, some, tensor, value, varint,
};
use conv_net::onnx::{Model, OnnxError};
use tempfile::TempDir;

fn open(folder: &TempDir, file: &[u8]) -> Result<Model, OnnxError> {
    let path = folder.path().join("model.onnx");
    // A new file: some systems write one to the disk at once that was cut and is written again.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, file).unwrap();
    Model::open(&path, None, &[])
}

/// The error of a model that is refused.
#[track_caller]
fn refusal(folder: &TempDir, file: &File) -> String {
    match open(folder, &file.bytes()) {
        Ok(model) => panic!("it is accepted: {:?}", model.network()),
        Err(error) => error.to_string(),
    }
}

/// A convolution of 4 filters on 2×6×6, a ReLU, and a product with 3 outputs.
fn small() -> File {
    let mut file = File::new(13, [2, 6, 6]);
    file.constant(floats("w", &[4, 2, 3, 3], &some(72, 1))).constant(floats("b", &[4], &some(4, 2)));
    file.constant(floats("m", &[3, 64], &some(192, 3)));
    file.node("Conv", &["w", "b"], &[attribute_ints("pads", &[0; 4])]).node("Relu", &[], &[]);
    file.node("Flatten", &[], &[]).node("Gemm", &["m"], &[attribute_int("transB", 1)]);
    file
}

/// One node on 2×6×6 with constants.
fn one(operator: &str, constants: &[Vec<u8>], attributes: &[Vec<u8>]) -> File {
    let mut file = File::new(13, [2, 6, 6]);
    let names: Vec<String> = (0..constants.len()).map(|i| format!("c{i}")).collect();
    file.initializers = constants.to_vec();
    file.node(operator, &names.iter().map(String::as_str).collect::<Vec<_>>(), attributes);
    file
}

fn conv(attributes: &[Vec<u8>]) -> File {
    one("Conv", &[floats("c0", &[4, 2, 3, 3], &some(72, 1))], attributes)
}

fn window(values: [i64; 2]) -> Vec<u8> {
    attribute_ints("kernel_shape", &values)
}

fn pool(attributes: &[Vec<u8>]) -> File {
    one("MaxPool", &[], attributes)
}

fn axis(axis: i64) -> Vec<u8> {
    attribute_int("axis", axis)
}

#[test]
fn nodes_that_are_wrong_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let reshape = |shape: &[i64]| one("Reshape", &[integers("c0", shape)], &[]);
    let numbers = |name: &str, count: usize| floats(name, &[count as i64], &some(count, 2));
    let lists = |operator: &str, lists: &[&[i64]]| {
        let lists: Vec<_> = lists.iter().enumerate().map(|(i, list)| integers(&format!("c{i}"), list)).collect();
        one(operator, &lists, &[])
    };
    let statistics = |count: usize| -> Vec<_> {
        (0..4).map(|i| numbers(&format!("c{i}"), if i == 2 { count } else { 2 })).collect()
    };
    let split = |sizes: &[i64]| {
        let mut file = one("Relu", &[], &[]);
        file.nodes[0] = node_of("Split", "split", &["x"], &["a", "b"], &[axis(1), attribute_ints("split", sizes)]);
        file.last = "a".into();
        file
    };
    let joined = |attributes: &[Vec<u8>]| {
        let mut file = one("Relu", &[], &[]);
        file.inputs.push(value("y", &[-1, 3, 6, 5]));
        file.on("Concat", "joined", &["x", "y"], attributes);
        file
    };
    let mut product = one("Flatten", &[], &[]);
    product.constant(floats("m", &[71, 3], &some(213, 1))).node("Gemm", &["m"], &[]);
    let mut matrix = one("Flatten", &[], &[]);
    matrix.constant(floats("m", &[3, 72], &some(216, 1))).node("MatMul", &["m"], &[]);
    let mut three = one("Relu", &[], &[]);
    three.on("Add", "sum", &["x", "x", "x"], &[]);
    let mut silent = one("Relu", &[], &[]);
    silent.nodes.push(node_of("Relu", "silent", &["x"], &[], &[]));
    for (file, operator, part) in [
        (conv(&[attribute_int("group", 2)]), "Conv", "for 2 times 2 channels; its input has 2"),
        (conv(&[attribute_int("group", 0)]), "Conv", "for 0 times 2 channels"),
        (conv(&[attribute_int("group", -1)]), "Conv", "group = -1"),
        (conv(&[attribute_ints("pads", &[i64::MAX; 4])]), "Conv", "does not fit"),
        (conv(&[attribute_ints("strides", &[0; 2])]), "Conv", "stride height is 0"),
        (conv(&[attribute_ints("dilations", &[i64::MAX; 2])]), "Conv", "does not fit"),
        (conv(&[attribute_ints("dilations", &[3, 1])]), "Conv", "does not fit"),
        (conv(&[window([5, 5])]), "Conv", "a kernel_shape that its weights of [4, 2, 3, 3]"),
        (conv(&[attribute_text("auto_pad", "VALID"), attribute_ints("pads", &[1; 4])]), "Conv", "both pads and"),
        (one("Conv", &[], &[]), "Conv", "has no input 1"),
        (one("Conv", &[floats("c0", &[4, 2, 3, 3], &some(72, 1)), numbers("c1", 5)], &[]), "Conv", "[5] for 4"),
        (one("BatchNormalization", &statistics(3), &[]), "BatchNormalization", "a mean of the shape [3] for 2"),
        (one("BatchNormalization", &statistics(2)[..3], &[]), "BatchNormalization", "has no input 4"),
        (product, "Gemm", "has weights for 71 inputs; there are 72"),
        (matrix, "MatMul", "has weights for 3 inputs; there are 72"),
        (reshape(&[0, 71]), "Reshape", "reshapes [1, 2, 6, 6] to [0, 71]"),
        (reshape(&[-1, -1]), "Reshape", "to [-1, -1]"),
        (reshape(&[-1, 7]), "Reshape", "to [-1, 7]"),
        (reshape(&[-2, -36]), "Reshape", "to [-2, -36]"),
        (reshape(&[]), "Reshape", "to []"),
        (reshape(&[0, i64::MAX, i64::MAX]), "Reshape", "has not as many"),
        (reshape(&[0; 65]), "Reshape", "has not as many"),
        (one("Flatten", &[], &[axis(5)]), "Flatten", "axis = 5"),
        (one("Softmax", &[], &[axis(-5)]), "Softmax", "axis = -5"),
        (one("Squeeze", &[], &[attribute_ints("axes", &[1])]), "Squeeze", "removes axis 1"),
        (one("Squeeze", &[], &[attribute_ints("axes", &[4])]), "Squeeze", "axes = [4]"),
        (one("Unsqueeze", &[], &[attribute_ints("axes", &[i64::MIN])]), "Unsqueeze", "axes = [-92"),
        (one("ReduceMean", &[], &[attribute_ints("axes", &[2, 4])]), "ReduceMean", "axes = [2, 4]"),
        (one("Transpose", &[], &[attribute_ints("perm", &[0, 1, 2, 4])]), "Transpose", "axis = 4"),
        (one("Add", &[numbers("c0", 5)], &[]), "Add", "which do not fit each other"),
        (three, "Add", "has 3 inputs, not 2"),
        (one("Clip", &[numbers("c0", 2)], &[]), "Clip", "a bound that is not one number"),
        (joined(&[axis(1)]), "Concat", "joins 1x2x6x6 and 1x3x6x5 along axis 1"),
        (joined(&[axis(4)]), "Concat", "axis = 4"),
        (split(&[1, 2]), "Split", "splits 2 elements into [1, 2] for 2 outputs"),
        (split(&[2]), "Split", "for 2 outputs"),
        (split(&[i64::MAX, i64::MAX]), "Split", "for 2 outputs"),
        (split(&[-1, 3]), "Split", "for 2 outputs"),
        (lists("Slice", &[&[0, 1], &[1]]), "Slice", "of different lengths"),
        (lists("Slice", &[&[0], &[1], &[7]]), "Slice", "axis = 7"),
        (lists("Pad", &[&[1; 7]]), "Pad", "has 7 pads for 4 axes"),
        (lists("Pad", &[&[0, 0, 0, 0, 0, 0, 0, i64::MAX]]), "Pad", "would need"),
        (one("DepthToSpace", &[], &[attribute_int("blocksize", 0)]), "DepthToSpace", "blocksize = 0"),
        (one("DepthToSpace", &[], &[attribute_int("blocksize", 2)]), "DepthToSpace", "does not divide 1x2x6x6"),
        (silent, "Relu", "has no output"),
    ] {
        let message = refusal(&folder, &file);
        assert!(message.contains(&format!(" ({operator}) ")), "{operator}, {part}: {message}");
        assert!(message.contains(part), "{operator}, {part}: {message}");
        assert!(message.len() < 600, "{message}");
    }
}

/// Such models can be looked at; a pass would name the node.
#[test]
fn nodes_that_are_not_computed_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut dropout = one("Dropout", &[], &[]);
    dropout.constant(floats("r", &[], &[0.5])).constant(tensor("yes", &[], 9, &bytes(9, [1])));
    dropout.node("Dropout", &["r", "yes"], &[]);
    let mut transposed = one("Flatten", &[], &[]);
    transposed.constant(floats("m", &[1, 3], &some(3, 1))).node("Gemm", &["m"], &[attribute_int("transA", 1)]);
    let with = |constant: Vec<u8>| one("Conv", &[constant], &[]);
    for (file, part) in [
        (conv(&[attribute_int("groups", 1)]), "the attribute 'groups'"),
        (conv(&[attribute_int("pads", 1)]), "pads of another type"),
        (conv(&[attribute_ints("pads", &[1, 1])]), "needs 4 sizes as pads, not [1, 1]"),
        (conv(&[attribute_ints("pads", &[-1; 4])]), "needs 4 sizes as pads"),
        (conv(&[attribute_text("auto_pad", "SAME")]), "auto_pad 'SAME'"),
        (with(floats("c0", &[4, 2, 3], &some(24, 1))), "weights of the shape [4, 2, 3] for an input of 1x2x6x6"),
        (with(tensor("c0", &[4, 2, 3, 3], 11, &[])), "elements of type 11"),
        (pool(&[]), "kernel = 0"),
        (pool(&[window([7, 7])]), "kernel = 7"),
        (pool(&[window([i64::MAX; 2])]), "kernel = 9223372036854775807"),
        (pool(&[window([2, 2]), attribute_ints("strides", &[0, 1])]), "stride = 0"),
        (pool(&[window([2, 2]), attribute_ints("dilations", &[2, 2])]), "dilation = 2"),
        (pool(&[window([2, 2]), attribute_ints("pads", &[2; 4])]), "pad = 2"),
        (pool(&[window([2, 2]), attribute_ints("strides", &[i64::MAX; 2])]), "stride = 9"),
        (one("LRN", &[], &[]), "size = 0"),
        (one("LRN", &[], &[attribute_int("size", 4)]), "size = 4"),
        (one("LRN", &[], &[attribute_int("size", 3), attribute_float("bias", f32::NAN)]), "k = NaN"),
        (one("Gemm", &[floats("c0", &[72, 1], &some(72, 1))], &[]), "multiplies 1x2x6x6"),
        (transposed, "transA = 1"),
        (dropout, "training mode"),
        (one("Dropout", &[], &[attribute_int("is_test", 0)]), "is_test = 0"),
        (one("Cast", &[], &[attribute_int("to", 7)]), "elements of type 7"),
        (one("Transpose", &[], &[attribute_ints("perm", &[0, 1, 2, 2])]), "perm = [0, 1, 2, 2]"),
    ] {
        let model = open(&folder, &file.bytes()).unwrap_or_else(|error| panic!("{part}: {error}"));
        let (node, opaque) = model.network().opaque().last().unwrap_or_else(|| panic!("{part}: it is computed"));
        assert!(opaque.reason.contains(part), "{} ({}) {}; {part}", node.name, opaque.operator, opaque.reason);
    }
}

#[test]
fn graphs_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let with = |change: fn(&mut File)| {
        let mut file = small();
        change(&mut file);
        refusal(&folder, &file)
    };
    assert!(open(&folder, &small().bytes()).is_ok());
    let check = |message: &str, parts: &[&str]| {
        assert!(parts.iter().all(|part| message.contains(part)), "{message}, not {parts:?}");
    };
    let later = with(|file| file.nodes.swap(0, 1));
    check(&later, &["the node 'relu1' (Relu) reads 'conv0', which only a later node computes"]);
    let cycle = with(|file| file.nodes[0] = node("Conv", "conv0", &["gemm3", "w", "b"], &[]));
    check(&cycle, &["the node 'conv0' (Conv) reads 'gemm3', which only a later node computes"]);
    let itself = with(|file| file.nodes[1] = node("Relu", "relu1", &["relu1"], &[]));
    check(&itself, &["the node 'relu1' (Relu) reads 'relu1', which only a later node computes, or it itself"]);
    let missing = with(|file| file.initializers.clear());
    check(&missing, &["the node 'conv0' (Conv) reads 'w', which nothing computes"]);
    let nothing = with(|file| file.nodes[1] = node("Relu", "relu1", &["conv"], &[]));
    check(&nothing, &["the node 'relu1' (Relu) reads 'conv', which nothing computes"]);
    // Names that are used twice.
    let twice = with(|file| file.nodes.push(node("Relu", "conv0", &["gemm3"], &[])));
    check(&twice, &["(Relu) ", "'conv0'"]);
    let input = with(|file| file.nodes.push(node("Relu", "x", &["gemm3"], &[])));
    check(&input, &["the node 'x' (Relu) ", "'x'"]);
    let constant = with(|file| file.nodes.push(node("Relu", "w", &["gemm3"], &[])));
    check(&constant, &["the node 'w' (Relu) computes 'w', which was computed before"]);
    let folded = with(|file| file.nodes.push(node("Identity", "conv0", &["w"], &[])));
    check(&folded, &["the node 'conv0' (Identity) computes 'conv0', which was computed before"]);
    let passed = with(|file| file.nodes.push(node("Identity", "relu1", &["conv0"], &[])));
    check(&passed, &["the node 'relu1' (Identity) computes 'relu1', which was computed before"]);
    let outputs = with(|file| file.nodes.push(node_of("Unheard", "n", &["x"], &["a", "a"], &[])));
    check(&outputs, &["the node 'n' (Unheard) ", "'a'"]);
    let initializers = with(|file| file.initializers.push(floats("b", &[1], &[1.0])));
    check(&initializers, &["two initializers are called 'b'"]);
    // Inputs and outputs.
    check(&with(|file| file.inputs.push(value("x", &[1]))), &["'x'"]);
    check(&with(|file| file.inputs.clear()), &["(Conv) reads 'x', which nothing computes"]);
    check(&with(|file| file.inputs = vec![value("x", &[-1, 2, -1, 6])]), &["its input 'x' leaves sizes open"]);
    check(&with(|file| file.inputs = vec![value("x", &[1, 2, 0, 6])]), &["its input 'x' leaves sizes open"]);
    check(&with(|file| file.inputs = vec![bytes(1, "x")]), &["its input 'x' is no tensor"]);
    check(&with(|file| file.last = "gone".into()), &["its output 'gone' is computed by no node"]);
    check(&refusal(&folder, &File::new(13, [2, 6, 6])), &["no layer that computes anything"]);
    let mut constant = File::new(13, [2, 6, 6]);
    constant.constant(floats("c", &[1], &[1.0])).last = "c".into();
    check(&refusal(&folder, &constant), &["no layer that computes anything"]);
    // The operators' version.
    check(&with(|file| file.opset = 27), &["of opset 27; 1..=26 are known"]);
    check(&with(|file| file.opset = -1), &["of opset -1"]);
    check(&with(|file| file.opset = 0), &["it names no version of ONNX's operators"]);
}

#[test]
fn weights_that_are_cut_short_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let with = |constant: Vec<u8>| refusal(&folder, &one("Conv", &[constant], &[]));
    let shaped = |dims: &[i64]| with(floats("c0", dims, &[]));
    let cut = |dims: &[i64], bytes: usize, field: u64| with(tensor("c0", dims, 1, &self::bytes(field, vec![0; bytes])));
    for (message, part) in [
        (cut(&[4, 2, 3, 3], 287, 9), "has 287 bytes of elements; its shape and type need 288"),
        (cut(&[4, 2, 3, 3], 289, 9), "has 289 bytes of elements"),
        (cut(&[4, 2, 3, 3], 284, 4), "has 284 bytes of elements"),
        (cut(&[4, 2, 300, 300], 288, 9), "has 288 bytes of elements; its shape and type need 2880000"),
        (with(tensor("c0", &[4, 2, 3, 3], 1, &[])), "has no elements; its shape and type need 288 bytes"),
        (shaped(&[4, 2, 3, 3]), "has 0 bytes of elements"),
        (shaped(&[-4, 2, 3, 3]), "has the shape [-4, 2, 3, 3]"),
        (shaped(&[1 << 62, 1 << 62, 3, 3]), "has the shape"),
        (shaped(&[1 << 40, 1 << 40, 3, 0]), "has the shape"),
        (shaped(&[0; 65]), "has the shape"),
    ] {
        assert!(message.contains("its constant 'c0' ") && message.contains(part), "{message}, not {part}");
        assert!(message.len() < 1000, "{message}");
    }
}

#[test]
fn shapes_that_overflow_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut huge = one("Relu", &[], &[]);
    for sizes in [[1, 1 << 40, 1 << 40, 1 << 40], [1, i64::MAX, i64::MAX, i64::MAX], [1 << 32, 2, 2, 2]] {
        huge.inputs = vec![value("x", &sizes)];
        let message = refusal(&folder, &huge);
        assert!(message.contains("model/x: a tensor of") && message.contains("would need"), "{message}");
    }
    huge.inputs = vec![value("x", &[1; 9])];
    assert!(refusal(&folder, &huge).contains("at most 8 are accepted"), "{}", refusal(&folder, &huge));
    // What a node makes of a small one.
    let scales = [floats("c0", &[], &[]), floats("c1", &[4], &[1.0, 1.0, 1e9, 1e9])];
    let mut resize = one("Resize", &scales, &[]);
    resize.initializers[0] = floats("c0", &[0], &[]);
    let filters = floats("c0", &[2, 1, 1, 1], &[1.0; 2]);
    let transposed = one("ConvTranspose", &[filters], &[attribute_ints("strides", &[1 << 24; 2])]);
    for (file, operator) in [(resize, "Resize"), (transposed, "ConvTranspose")] {
        let message = refusal(&folder, &file);
        assert!(message.contains(&format!(" ({operator}) ")) && message.contains("would need"), "{message}");
    }
}

#[test]
fn models_of_too_many_nodes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for count in [16_385, 1_000_000] {
        let mut file = File::new(13, [2, 6, 6]);
        file.last = "a".into();
        file.nodes = vec![[bytes(1, "x"), bytes(2, "a"), bytes(4, "Abs")].concat(); count];
        let file = file.bytes();
        let begin = Instant::now();
        let message = open(&folder, &file).unwrap_err().to_string();
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert!(message.contains(&format!("it has {count} nodes; at most 16384 are accepted")), "{message}");
    }
    // As many as are accepted are not slow either.
    let mut file = File::new(13, [2, 6, 6]);
    (0..16_384).for_each(|_| _ = file.node("Abs", &[], &[]));
    let begin = Instant::now();
    assert_eq!(open(&folder, &file.bytes()).unwrap().network().nodes().len(), 16_384);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// Shapes are computed of constants; such as have no elements, or make no sense, are no reason to panic.
#[test]
fn arithmetic_that_makes_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let none = || tensor("none", &[0], 7, &[]);
    let list = |name: &str, values: &[i64]| integers(name, values);
    let many: Vec<i64> = (0..60_000).collect();
    for (operator, constants, attributes) in [
        ("Mul", vec![none(), list("b", &[2])], vec![]),
        ("Mul", vec![list("b", &[2]), none()], vec![]),
        ("Add", vec![none(), list("b", &[2, 3])], vec![]),
        ("Div", vec![list("a", &[i64::MIN, 1]), list("b", &[-1, 0])], vec![]),
        ("Mod", vec![list("a", &[i64::MIN]), list("b", &[-1])], vec![]),
        ("Neg", vec![list("a", &[i64::MIN])], vec![]),
        ("Slice", vec![none(), list("s", &[-1]), list("e", &[i64::MIN]), list("a", &[0]), list("t", &[-1])], vec![]),
        ("Slice", vec![list("d", &[1, 2]), list("s", &[1]), list("e", &[9]), list("a", &[0]), list("t", &[0])], vec![]),
        ("Range", vec![list("s", &[i64::MIN]), list("e", &[i64::MAX]), list("t", &[1])], vec![]),
        ("Range", vec![list("s", &[0]), list("e", &[9]), list("t", &[0])], vec![]),
        ("Range", vec![none(), none(), none()], vec![]),
        ("Gather", vec![list("d", &[1, 2]), list("i", &[2])], vec![]),
        ("Gather", vec![list("d", &[1, 2]), list("i", &[0])], vec![axis(i64::MIN)]),
        ("Where", vec![none(), list("y", &[1]), list("n", &[2])], vec![]),
        ("Expand", vec![list("d", &[1]), list("s", &[-1, -1])], vec![]),
        ("Expand", vec![list("d", &[1]), list("s", &[1 << 40, 1 << 40])], vec![]),
        ("Reshape", vec![list("d", &[1]), list("s", &[0, 0])], vec![]),
        ("Reshape", vec![none(), list("s", &[0, -1])], vec![]),
        ("Unsqueeze", vec![list("d", &[1]), list("s", &[0, 0])], vec![]),
        ("Transpose", vec![list("d", &[1, 2])], vec![attribute_ints("perm", &[1])]),
        ("Transpose", vec![floats("d", &[1, 2], &[0.0; 2])], vec![attribute_ints("perm", &[0, 0])]),
        ("Flatten", vec![floats("d", &[0, 2], &[])], vec![axis(9)]),
        ("Flatten", vec![floats("d", &[1 << 40, 1 << 40, 0], &[])], vec![axis(2)]),
        ("Flatten", vec![floats("d", &[0, 1 << 40, 1 << 40], &[])], vec![axis(1)]),
        ("Transpose", vec![floats("d", &[0, 1 << 40, 1 << 40], &[])], vec![]),
        ("Reshape", vec![none(), list("s", &[0, 1 << 40, 1 << 40])], vec![]),
        ("Unsqueeze", vec![list("d", &[1]), list("s", &many)], vec![]),
        ("Unsqueeze", vec![floats("d", &[70_000], &[0.0; 70_000]), list("s", &many)], vec![]),
        ("ConstantOfShape", vec![list("s", &[1 << 40, 1 << 40, 0])], vec![]),
        ("ConstantOfShape", vec![list("s", &[0, 1 << 40, 1 << 40])], vec![]),
        ("Expand", vec![list("d", &[1]), list("s", &[0, 1 << 40, 1 << 40])], vec![]),
        ("Size", vec![tensor("d", &[1 << 40, 1 << 40], 8, &[])], vec![]),
        ("ReduceProd", vec![list("d", &[1 << 40, 1 << 40])], vec![]),
        ("Concat", vec![none(), none()], vec![axis(0)]),
        ("Cast", vec![floats("d", &[2], &[f32::NAN, f32::INFINITY])], vec![attribute_int("to", 7)]),
    ] {
        let mut file = one("Relu", &[], &[]);
        let names: Vec<String> = (0..constants.len()).map(|i| format!("c{i}")).collect();
        for (name, constant) in names.iter().zip(&constants) {
            // The last name counts.
            file.constant([&constant[..], &bytes(8, name)].concat());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        file.nodes.insert(0, node(operator, "made", &names, &attributes));
        file.on("Reshape", "result", &["relu0", "made"], &[]);
        // Whatever it is.
        if let Err(error) = open(&folder, &file.bytes()) {
            assert!(matches!(error, OnnxError::Node { .. } | OnnxError::Model { .. }), "{error}");
        }
    }
}

#[test]
fn other_files_are_read_in_the_model_s_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let data = |path: &Path| std::fs::write(path, [0; 288]).unwrap();
    data(&outside.path().join("w"));
    data(&folder.path().join("w"));
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    let absolute = outside.path().join("w").display().to_string();
    let entry = |key: &str, value: &str| bytes(13, [bytes(1, key), bytes(2, value)].concat());
    for (location, more, part) in [
        ("../w", vec![], "is not in the model's folder"),
        ("sub/../../w", vec![], "is not in the model's folder"),
        (&*absolute, vec![], "is not in the model's folder"),
        ("link/w", vec![], "is a link out of the model's folder"),
        ("missing", vec![], "cannot be read"),
        ("sub", vec![], "is no regular file"),
        ("w", vec![entry("offset", "1")], "which has 288 bytes; 288 from 1 on are needed"),
        ("w", vec![entry("offset", "18446744073709551615")], "are needed"),
        ("w", vec![entry("offset", "-1")], "the offset '-1', which is no size"),
        ("w", vec![entry("length", "287")], "has 287 bytes in another file"),
    ] {
        let content = [entry("location", location), more.concat(), int(14, 1)].concat();
        let message = refusal(&folder, &one("Conv", &[tensor("c0", &[4, 2, 3, 3], 1, &content)], &[]));
        assert!(message.contains(part), "{location}: {message}");
    }
    let nowhere = refusal(&folder, &one("Conv", &[tensor("c0", &[4, 2, 3, 3], 1, &int(14, 1))], &[]));
    assert!(nowhere.contains("without a location"), "{nowhere}");
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = small().bytes();
    assert!(open(&folder, &good).is_ok());
    for length in 0..good.len() {
        let error = open(&folder, &good[..length]).unwrap_err();
        assert!(matches!(error, OnnxError::Model { .. }), "cut to {length}: {error}");
    }
    // Lengths beyond the file, numbers and groups without end, fields of another type, a name that is no text.
    for damaged in [
        [varint(7 << 3 | 2), varint(u64::MAX)].concat(),
        [varint(7 << 3 | 2), varint(1 << 40)].concat(),
        vec![0xff; 20],
        vec![7 << 3 | 3; 1000],
        int(7, 5),
        bytes(7, bytes(1, int(5, 1))),
        bytes(7, bytes(2, [0xff, 0xfe])),
        bytes(7, bytes(5, [4 << 3 | 5, 0, 0, 0, 0])),
        bytes(7, []),
        vec![0; 64],
        b"a picture of a cat".to_vec(),
    ] {
        let error = open(&folder, &damaged).unwrap_err();
        assert!(matches!(error, OnnxError::Model { .. }), "{error}");
    }
    // Messages without end in number or in size.
    for flood in
        [bytes(1, []).repeat(9 << 20), bytes(1, bytes(3, vec![b'a'; 17 << 20])), bytes(5, int(1, 1).repeat(9 << 20))]
    {
        let error = open(&folder, &bytes(7, flood)).unwrap_err().to_string();
        assert!(error.contains("more than 16777216 bytes"), "{error}");
    }
    assert!(matches!(Model::open(folder.path(), None, &[]), Err(OnnxError::Read { .. })));
    assert!(matches!(Model::open(&folder.path().join("none"), None, &[]), Err(OnnxError::Read { .. })));
}

/// Every byte but those of elements, changed in several ways: an error or a network, and then weights or an error.
#[test]
fn no_byte_makes_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = small();
    file.nodes.insert(0, node("ConstantOfShape", "f", &["s"], &[attribute_tensor("value", &floats("", &[1], &[1.0]))]));
    file.constant(integers("s", &[3])).node("Add", &["f"], &[]);
    file.initializers[0] = tensor("w", &[1, 2, 3, 3], 10, &bytes(5, vec![1; 18]));
    file.initializers[1] = floats("b", &[1], &[0.5]);
    file.initializers[2] = floats("m", &[3, 16], &[0.0; 48]);
    file.nodes[4] = node("MatMul", "gemm3", &["flatten2", "t"], &[]);
    file.constant(floats("t", &[16, 3], &[0.0; 48]));
    survives(&folder, &file.bytes());
}

/// The same of operators that move elements, and of shapes that are computed.
#[test]
fn no_byte_of_a_graph_makes_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::new(13, [4, 6, 6]);
    file.inputs = vec![value("x", &[1, 4, 6, 6])];
    file.constant(integers("two", &[2]))
        .constant(integers("ends", &[-1]))
        .constant(integers("apart", &[1, 2, 2, 6, 6]));
    file.constant(integers("pads", &[0, 0, 1, 0, 0, 0, 0, -1])).constant(floats("scales", &[4], &[1.0, 1.0, 2.0, 0.5]));
    file.nodes.push(node_of("Split", "split", &["x"], &["a", "b"], &[axis(1)]));
    file.nodes.push(node("Concat", "c", &["b", "a"], &[axis(1)]));
    file.nodes.push(node("Reshape", "d", &["c", "apart"], &[]));
    file.nodes.push(node("Transpose", "e", &["d"], &[attribute_ints("perm", &[0, 2, 1, 3, 4])]));
    file.nodes.push(node("Shape", "s", &["x"], &[]));
    file.nodes.push(node("Slice", "t", &["s", "two", "ends", "zero"], &[]));
    file.nodes.push(node("Mul", "u", &["t", "two"], &[]));
    file.nodes.push(node("Concat", "v", &["one", "ends", "u", "ends_of"], &[axis(0)]));
    file.constant(integers("zero", &[0])).constant(integers("one", &[1])).constant(integers("ends_of", &[3]));
    file.nodes.push(node("Reshape", "f", &["e", "v"], &[]));
    file.nodes.push(node("Pad", "g", &["f", "pads"], &[attribute_text("mode", "edge")]));
    file.on("Resize", "h", &["g", "", "scales"], &[attribute_text("mode", "linear")]);
    file.node("ReduceMean", &[], &[attribute_ints("axes", &[2, 3])]).node("Squeeze", &["two"], &[]);
    file.node("Softmax", &[], &[axis(-1)]);
    file.stated.push(value("f", &[1, 4, 12, 3]));
    let good = file.bytes();
    let model = open(&folder, &good).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.network().opaque().count(), 0, "{:?}", model.network().opaque().next());
    survives(&folder, &good);
}

fn survives(folder: &TempDir, good: &[u8]) {
    open(folder, good).unwrap_or_else(|error| panic!("{error}"));
    for at in 0..good.len() {
        assert!(open(folder, &good[..at]).is_err(), "cut to {at}");
        for byte in [0, 1, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at] ^ 8, good[at].wrapping_add(1)] {
            let mut changed = good.to_vec();
            changed[at] = byte;
            if let Ok(mut model) = open(folder, &changed) {
                let network = model.network().clone();
                if network.parameter_count() < 1 << 14 {
                    let _ = Kept::of(&network, &mut model);
                }
            }
        }
    }
}
