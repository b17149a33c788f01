//! ONNX files that are damaged, hostile, or models of nothing: each is refused with the node or what is wrong.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::protobuf::{
    File, attribute_float, attribute_int, attribute_ints, attribute_tensor, attribute_text, bytes, floats, int,
    integers, node, node_of, some, tensor, value, varint,
};
use common::{Kept, oracle_only};
use conv_core::PlanOptions;
use conv_net::onnx::{Model, OnnxError};
use conv_net::{ForwardError, ForwardPass, Weights};
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
    for (count, part) in [
        (16_385, "it has 16385 nodes; at most 16384 are accepted"),
        (1_000_000, "its nodes and names would take more than 134217728 bytes of memory"),
    ] {
        let mut file = File::new(13, [2, 6, 6]);
        file.last = "a".into();
        file.nodes = vec![[bytes(1, "x"), bytes(2, "a"), bytes(4, "Abs")].concat(); count];
        let file = file.bytes();
        let begin = Instant::now();
        let message = open(&folder, &file).unwrap_err().to_string();
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert!(message.contains(part), "{message}");
    }
    // As many as are accepted are not slow either.
    let mut file = File::new(13, [2, 6, 6]);
    (0..16_384).for_each(|_| _ = file.node("Abs", &[], &[]));
    let begin = Instant::now();
    assert_eq!(open(&folder, &file.bytes()).unwrap().network().nodes().len(), 16_384);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// Of two bytes each a message is made that has hundreds.
#[test]
fn messages_take_no_more_memory_than_models_need() {
    let folder = tempfile::tempdir().unwrap();
    let many = |field: u64| bytes(field, []).repeat(600_000);
    let shape = bytes(1, bytes(2, many(1)));
    for flood in [
        bytes(7, bytes(1, many(5))),
        bytes(7, many(5)),
        bytes(7, many(13)),
        bytes(7, bytes(11, bytes(2, shape))),
        bytes(7, bytes(5, many(13))),
        many(8),
        // A number takes eight times its byte.
        bytes(7, [bytes(5, bytes(1, vec![1; 15 << 20])), many(5)[..100_000].to_vec()].concat()),
        bytes(7, bytes(1, bytes(1, []).repeat(6_000_000))),
    ] {
        let error = open(&folder, &flood).unwrap_err().to_string();
        assert!(error.contains("would take more than 134217728 bytes of memory"), "{error}");
    }
}

/// Opens a model within some seconds, however it ends.
#[track_caller]
fn quickly(folder: &TempDir, file: &File) -> Result<Model, OnnxError> {
    let file = file.bytes();
    let begin = Instant::now();
    let opened = open(folder, &file);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    opened
}

#[test]
fn many_of_anything_are_refused() {
    const MOST: usize = 16_384;
    let folder = tempfile::tempdir().unwrap();
    let with = |change: &dyn Fn(&mut File)| {
        let mut file = one("Relu", &[], &[]);
        change(&mut file);
        quickly(&folder, &file)
    };
    let names: Vec<String> = (0..MOST + 1).map(|i| format!("v{i}")).collect();
    let few = |names: &[String]| -> Vec<String> { names.iter().take(10).cloned().collect() };
    for (changed, part) in [
        (with(&|file| file.outputs = names.clone()), "it has 16386 outputs; at most 16384 are accepted"),
        (with(&|file| file.inputs = names.iter().map(|name| value(name, &[1])).collect()), "it has 16385 inputs"),
        (
            with(&|file| file.initializers = names.iter().map(|name| floats(name, &[1], &[1.0])).collect()),
            "it has 16385 initializers",
        ),
        (
            with(&|file| {
                let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
                file.nodes.push(node_of("Split", "split", &["x"], &outputs, &[]));
            }),
            "the node 'split' (Split) has 16385 outputs; at most 16384 are accepted",
        ),
        (with(&|file| _ = file.on("Max", "max", &["x"; MOST + 1], &[])), "'max' (Max) has 16385 inputs"),
        (
            with(&|file| _ = file.node("Softmax", &[], &vec![axis(1); MOST + 1])),
            "'softmax1' (Softmax) has 16385 attributes",
        ),
        (
            with(&|file| {
                for name in few(&names) {
                    file.nodes.push(node("Sum", &name, &["x"; MOST], &[]));
                }
            }),
            "it has 163852 inputs and outputs of nodes; at most 131072 are accepted",
        ),
        // One node may be many layers.
        (
            with(&|file| {
                for name in few(&names) {
                    file.nodes.push(node("Max", &name, &["x"; 4_000], &[]));
                }
            }),
            "makes more than 16384 layers",
        ),
        // Each of which would have a name as long.
        (
            with(&|file| _ = file.on("Max", &"m".repeat(1 << 20), &["x"; 10_000], &[])),
            "(Max) has 1048576 bytes of an output's name; at most 4096 are accepted",
        ),
    ] {
        let message = changed.unwrap_err().to_string();
        assert!(message.contains(part), "{message}, not {part}");
    }
}

/// As many as are accepted are not slow.
#[test]
fn names_that_are_alike_are_told_apart_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = one("Relu", &[], &[]);
    // Of each nothing is left that could be printed.
    let unprintable = |i: usize| (0..4).map(|digit| char::from(1 + (i >> (4 * digit) & 15) as u8)).collect::<String>();
    let indices =
        |name: &str| [bytes(1, name), bytes(2, bytes(1, [int(1, 7), bytes(2, bytes(1, int(1, 1)))].concat()))];
    file.inputs.extend((0..16_000).map(|i| indices(&unprintable(i)).concat()));
    let model = quickly(&folder, &file).unwrap();
    assert_eq!(model.network().nodes().len(), 1);
    let mut split = one("Relu", &[], &[]);
    split.inputs = vec![value("x", &[1, 16_000])];
    let parts: Vec<String> = (0..16_000).map(|i| format!("p{i}")).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    split.nodes.push(node_of("Split", "split", &["relu0"], &parts, &[axis(1)]));
    split.on("Concat", "joined", &parts, &[axis(1)]);
    let model = quickly(&folder, &split).unwrap();
    assert_eq!(model.network().opaque().count(), 0);
}

/// A node that fills `name` with as many 64-bit zeros as `shape`, an initializer, says.
fn zeros(name: &str, shape: &str) -> Vec<u8> {
    node("ConstantOfShape", name, &[shape], &[attribute_tensor("value", &integers("", &[0]))])
}

#[test]
fn gathers_of_nothing_do_not_turn_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = one("Relu", &[], &[]);
    file.constant(integers("s", &[1 << 16, 1])).constant(tensor("d", &[1, 0], 7, &[]));
    file.nodes.push(zeros("i", "s"));
    file.nodes.push(node("Gather", "g1", &["d", "i"], &[axis(0)]));
    file.nodes.push(node("Gather", "g2", &["g1", "i"], &[axis(1)]));
    file.nodes.push(node("Gather", "g3", &["g2", "i"], &[axis(2)]));
    file.nodes.push(node("Transpose", "t", &["g2"], &[]));
    file.on("Reshape", "result", &["relu0", "g3"], &[]);
    let model = quickly(&folder, &file).unwrap();
    assert!(model.network().opaque().count() > 0, "{:?}", model.network());
}

#[test]
fn constants_of_few_bytes_take_no_more_memory_than_is_granted() {
    let folder = tempfile::tempdir().unwrap();
    let filled = |count: usize| {
        let mut file = one("Relu", &[], &[]);
        file.constant(integers("s", &[1 << 16]));
        file.nodes.extend((0..count).map(|i| zeros(&format!("c{i}"), "s")));
        file
    };
    let message = quickly(&folder, &filled(200)).unwrap_err().to_string();
    for part in ["the node 'c127' (ConstantOfShape) needs 67108872 bytes", "at most 67108864 of a model", "fold"] {
        assert!(message.contains(part), "{message}, not {part}");
    }
    // What is passed on is not counted again, and reading it many times does not copy it.
    let mut file = filled(100);
    for i in 0..1000 {
        file.nodes.push(node("Identity", &format!("i{i}"), &["c7"], &[]));
        file.nodes.push(node("Concat", &format!("j{i}"), &["c7"; 60], &[axis(0)]));
    }
    assert!(quickly(&folder, &file).is_ok());
    // As floats of a node's own.
    let mut file = filled(2);
    file.inputs = vec![value("x", &[1, 1 << 16, 1, 1])];
    (0..400).for_each(|_| _ = file.node("Add", &["f"], &[]));
    file.nodes.insert(2, node("Reshape", "r", &["c0", "column"], &[]));
    file.constant(integers("column", &[1 << 16, 1, 1]));
    file.nodes.insert(3, node("Cast", "f", &["r"], &[attribute_int("to", 1)]));
    let message = quickly(&folder, &file).unwrap_err().to_string();
    assert!(message.contains("(Add) needs ") && message.contains("at most 67108864 of a model"), "{message}");
    // Initializers are not: they stay in the file.
    let mut file = one("Relu", &[], &[]);
    let data = folder.path().join("data");
    std::fs::File::create(&data).unwrap().set_len(4 << 16).unwrap();
    let entry = bytes(13, [bytes(1, "location"), bytes(2, "data")].concat());
    let shared = |i: usize| tensor(&format!("w{i}"), &[1 << 16], 1, &[&entry[..], &int(14, 1)].concat());
    file.initializers = (0..300).map(shared).collect();
    assert!(quickly(&folder, &file).is_ok());
}

/// What is one number for each channel is not written out where all are the same.
#[test]
fn channels_are_not_counted_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::new(13, [1, 1, 1]);
    file.inputs = vec![value("x", &[1, 1 << 32, 1, 1])];
    file.constant(floats("c", &[], &[0.5])).constant(integers("s", &[1 << 32, 1, 1]));
    file.node("Add", &["c"], &[]).node("Sub", &["c"], &[]).node("Div", &["c"], &[]);
    file.on("Sub", "turned", &["c", "div2"], &[]).on("Mean", "mean", &["turned", "x"], &[]);
    file.nodes.push(node("ConstantOfShape", "fill", &["s"], &[]));
    file.node("Mul", &["fill"], &[]);
    let mut model = quickly(&folder, &file).unwrap();
    let network = model.network().clone();
    assert_eq!(network.opaque().count(), 0, "{:?}", network.opaque().next());
    for (name, expected) in [("add0", [1.0, 0.5]), ("div2", [2.0, 0.0]), ("turned", [-1.0, 0.5]), ("mean", [0.5, 0.0])]
    {
        let node = network.nodes().iter().find(|node| node.name == name).unwrap();
        let constants = [0, 1].map(|parameter| {
            let mut values = [f32::NAN; 3];
            model.read(node, parameter, (1 << 32) - 3, &mut values).unwrap();
            values
        });
        assert_eq!(constants, expected.map(|value| [value; 3]), "{name}");
    }
    let options = PlanOptions::new(1).memory_limit(1 << 30);
    let error = ForwardPass::new(&network, &mut model, &oracle_only, &options).err().unwrap();
    assert!(matches!(error, ForwardError::Memory { needed, .. } if needed >= 1 << 34), "{error}");
}

#[test]
fn tensors_of_many_dimensions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = one("Relu", &[], &[]);
    file.constant(tensor("t", &[1; 100_000], 8, &[]));
    file.on("Where", "where", &["t"; 1000], &[]);
    let message = quickly(&folder, &file).unwrap_err().to_string();
    assert!(message.contains("its constant 't' has the shape [1, 1, ") && message.len() < 600, "{message}");
}

/// Nor does a part without elements make two values of the others.
#[test]
fn parts_without_elements_are_not_computed() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = one("Relu", &[], &[]);
    let split = [axis(1), attribute_ints("split", &[2, 0])];
    file.nodes.push(node_of("Split", "split", &["relu0"], &["a", "b"], &split));
    file.on("Relu", "result", &["a"], &[]);
    let model = open(&folder, &file.bytes()).unwrap_or_else(|error| panic!("{error}"));
    let (node, opaque) = model.network().opaque().next().unwrap();
    assert_eq!(node.name, "split");
    assert_eq!(opaque.reason, "splits 2 elements into [2, 0]; empty parts are not computed");
}

#[test]
fn messages_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut unprintable = one("Relu", &[], &[]);
    unprintable.on("Relu", "\x1b[2J", &["relu0"], &[]).on("Abs", "\x1b[2J", &["relu0"], &[]);
    let mut huge = one("Relu", &[], &[]);
    huge.inputs = vec![value(&format!("x\x1b[2J{}", "y".repeat(1000)), &[1 << 40, 1 << 40])];
    let mut open_sizes = one("Relu", &[], &[]);
    open_sizes.inputs = vec![value(&format!("\x1b{}", "y".repeat(1000)), &[-1, -1])];
    let long: Vec<i64> = vec![7; 5000];
    let mut shape = one("Reshape", &[], &[attribute_ints("shape", &long)]);
    shape.opset = 4;
    for file in [
        &unprintable,
        &huge,
        &open_sizes,
        &shape,
        &one("Reshape", &[integers("c0", &long[..4000])], &[]),
        &one("Squeeze", &[], &[attribute_ints("axes", &long)]),
        &one("Split", &[], &[attribute_ints("split", &long)]),
        &one("Conv", &[tensor("c0", &[0; 64], 1, &[])], &[]),
    ] {
        let message = match open(&folder, &file.bytes()) {
            Ok(model) => model.network().opaque().next().expect("it is not computed").1.reason.clone(),
            Err(error) => error.to_string(),
        };
        assert!(!message.contains(char::is_control) && message.len() < 700, "{message}");
    }
    // Such a model can be looked at; why it is not computed is no book either.
    for file in [
        one("Transpose", &[], &[attribute_ints("perm", &[0; 5000])]),
        one("Pad", &[integers("c0", &long[..4000])], &[]),
        one("Reshape", &[integers("c0", &vec![1; 60_000])], &[]),
        conv(&[attribute_ints("pads", &long)]),
    ] {
        if let Ok(model) = open(&folder, &file.bytes()) {
            let reason = &model.network().opaque().next().expect("it is not computed").1.reason;
            assert!(reason.len() < 300, "{reason}");
        }
    }
}

/// Products of sizes that do not fit together with a zero, and fewer sizes than axes.
#[test]
fn sizes_that_overflow_do_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut nothing = one("Relu", &[], &[]);
    // Of more dimensions than shapes are computed of.
    nothing.constant(floats("d", &[0, 1, 1, 1, 1, 1, 1, 1, 1], &[])).constant(integers("s", &[0, 1 << 40, 1 << 40]));
    nothing.nodes.push(node("Reshape", "r", &["d", "s"], &[attribute_int("allowzero", 1)]));
    nothing.nodes.push(node("Flatten", "f", &["r"], &[axis(1)]));
    nothing.on("Reshape", "result", &["relu0", "f"], &[]);
    assert!(quickly(&folder, &nothing).is_ok_and(|model| model.network().opaque().count() > 0));
    let filter = || floats("c0", &[2, 1, 3, 3], &some(18, 1));
    for shape in [&[5][..], &[-1, 5], &[], &[i64::MAX, i64::MAX]] {
        let file = one("ConvTranspose", &[filter()], &[attribute_ints("output_shape", shape)]);
        let message = refusal(&folder, &file);
        assert!(
            message.contains("(ConvTranspose) has output_shape = [") || message.contains("would need"),
            "{message}"
        );
    }
}

/// Whoever opens a pipe waits for the other end.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = common::pipe(folder.path());
    for path in [&pipe, Path::new("/dev/zero")] {
        let path = path.to_owned();
        let error = common::in_time(move || Model::open(&path, None, &[])).unwrap_err();
        assert!(
            matches!(&error, OnnxError::Read { source, .. } if source.to_string() == "it is no regular file"),
            "{error}"
        );
    }
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
    for (flood, limit) in [
        (bytes(1, []).repeat(9 << 20), "134217728 bytes of memory"),
        (bytes(1, bytes(3, vec![b'a'; 17 << 20])), "16777216 bytes"),
        (bytes(5, int(1, 1).repeat(9 << 20)), "16777216 bytes"),
    ] {
        let error = open(&folder, &bytes(7, flood)).unwrap_err().to_string();
        assert!(error.contains(&format!("more than {limit}")), "{error}");
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
