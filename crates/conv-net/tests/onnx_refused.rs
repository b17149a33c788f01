//! ONNX files that are damaged, hostile, or models of something else: each is refused with the node or what is wrong.

mod common;

use std::path::Path;

use common::Kept;
use common::protobuf::{
    File, attribute_float, attribute_int, attribute_ints, attribute_tensor, attribute_text, bytes, floats, int,
    integers, node, some, tensor, value, varint,
};
use conv_net::onnx::{Model, OnnxError};
use tempfile::TempDir;

fn open(folder: &TempDir, file: &[u8]) -> Result<Model, OnnxError> {
    let path = folder.path().join("model.onnx");
    // A new file: some systems write one to the disk at once that was cut and is written again.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, file).unwrap();
    Model::open(&path)
}

fn refusal(folder: &TempDir, file: &File) -> String {
    open(folder, &file.bytes()).err().unwrap_or_else(|| panic!("{} nodes are accepted", file.nodes.len())).to_string()
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

#[test]
fn nodes_that_are_not_computed_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let window = |values: [i64; 2]| attribute_ints("kernel_shape", &values);
    let weights = || floats("c0", &[4, 2, 3, 3], &some(72, 1));
    let conv = |attributes: &[Vec<u8>]| one("Conv", &[weights()], attributes);
    let pool = |attributes: &[Vec<u8>]| one("MaxPool", &[], attributes);
    let shaped = |dims: &[i64]| one("Conv", &[floats("c0", dims, &[])], &[]);
    let reshape = |shape: &[i64]| one("Reshape", &[integers("c0", shape)], &[]);
    let mut foreign = one("Relu", &[], &[]);
    foreign.nodes[0].extend(bytes(7, "com.microsoft"));
    let mut dropout = one("Dropout", &[], &[]);
    dropout.constant(floats("r", &[], &[0.5])).constant(tensor("yes", &[], 9, &bytes(9, [1])));
    dropout.node("Dropout", &["r", "yes"], &[]);
    let mut normalised = one("Relu", &[], &[]);
    for name in ["s", "t", "u", "v"] {
        normalised.constant(floats(name, &[2], &[1.0; 2]));
    }
    normalised.node("BatchNormalization", &["s", "t", "u", "v"], &[]);
    let mut softmax = File::new(12, [2, 6, 6]);
    softmax.node("Softmax", &[], &[]);
    for (file, operator, part) in [
        (one("Sigmoid", &[], &[]), "Sigmoid", "none of the operators"),
        (foreign, "Relu", "of the domain 'com.microsoft'"),
        (conv(&[attribute_int("groups", 1)]), "Conv", "the attribute 'groups'"),
        (conv(&[attribute_int("group", 2)]), "Conv", "for 2 times 2 channels; its input has 2"),
        (conv(&[attribute_int("group", 0)]), "Conv", "for 0 times 2 channels"),
        (conv(&[attribute_int("group", -1)]), "Conv", "group = -1"),
        (conv(&[attribute_int("pads", 1)]), "Conv", "pads of another type"),
        (conv(&[attribute_ints("pads", &[1, 1])]), "Conv", "needs 4 sizes as pads, not [1, 1]"),
        (conv(&[attribute_ints("pads", &[-1; 4])]), "Conv", "needs 4 sizes as pads"),
        (conv(&[attribute_ints("pads", &[i64::MAX; 4])]), "Conv", "does not fit"),
        (conv(&[attribute_ints("strides", &[0; 2])]), "Conv", "stride height is 0"),
        (conv(&[attribute_ints("dilations", &[i64::MAX; 2])]), "Conv", "does not fit"),
        (conv(&[window([5, 5])]), "Conv", "a kernel_shape that its weights of 3x3"),
        (conv(&[attribute_text("auto_pad", "SAME")]), "Conv", "auto_pad 'SAME'"),
        (conv(&[attribute_text("auto_pad", "VALID"), attribute_ints("pads", &[1; 4])]), "Conv", "both pads and"),
        (one("Conv", &[floats("c0", &[4, 2, 3], &some(24, 1))], &[]), "Conv", "not of four dimensions"),
        (shaped(&[-4, 2, 3, 3]), "Conv", "has the shape [-4, 2, 3, 3]"),
        (shaped(&[1 << 62, 1 << 62, 3, 3]), "Conv", "has the shape"),
        (shaped(&[4, 2, 3, 3]), "Conv", "has 0 bytes of elements; its shape and type need 288"),
        (one("Conv", &[tensor("c0", &[4, 2, 3, 3], 1, &[])], &[]), "Conv", "has no elements"),
        (one("Conv", &[tensor("c0", &[4, 2, 3, 3], 11, &[])], &[]), "Conv", "elements of type 11"),
        (one("Conv", &[], &[]), "Conv", "has no input 1"),
        (one("Conv", &[weights(), floats("c1", &[5], &some(5, 1))], &[]), "Conv", "a bias of the shape [5] for 4"),
        (pool(&[]), "MaxPool", "kernel is 0"),
        (pool(&[window([7, 7])]), "MaxPool", "kernel is 7"),
        (pool(&[window([i64::MAX; 2])]), "MaxPool", "kernel is 9223372036854775807"),
        (pool(&[window([2, 2]), attribute_ints("strides", &[0, 1])]), "MaxPool", "stride is 0"),
        (pool(&[window([2, 2]), attribute_ints("dilations", &[2, 2])]), "MaxPool", "dilation is 2"),
        (pool(&[window([2, 2]), attribute_ints("pads", &[2; 4])]), "MaxPool", "pad is 2"),
        (pool(&[window([2, 2]), attribute_ints("strides", &[i64::MAX; 2])]), "MaxPool", "stride is"),
        (one("LRN", &[], &[]), "LRN", "size = 0"),
        (one("LRN", &[], &[attribute_int("size", 4)]), "LRN", "size is 4; it must be odd"),
        (one("LRN", &[], &[attribute_int("size", 3), attribute_float("bias", f32::NAN)]), "LRN", "k is NaN"),
        (one("Gemm", &[floats("c0", &[72, 1], &some(72, 1))], &[]), "Gemm", "not flattened"),
        (reshape(&[0, 71]), "Reshape", "reshapes an image of [2, 6, 6] to [0, 71]"),
        (reshape(&[-1, -1]), "Reshape", "to [-1, -1]"),
        (reshape(&[72]), "Reshape", "to [72]"),
        (reshape(&[]), "Reshape", "to []"),
        (reshape(&[0, 72, 1, 1]), "Reshape", "to [0, 72, 1, 1]"),
        (reshape(&[0, i64::MAX, i64::MAX]), "Reshape", "does not flatten it"),
        (one("Reshape", &[integers("c0", &[0; 65])], &[]), "Reshape", "is no list of up to 64"),
        (one("Flatten", &[], &[attribute_int("axis", 2)]), "Flatten", "axis = 2"),
        (one("Softmax", &[], &[]), "Softmax", "axis = -1"),
        (softmax, "Softmax", "axis = 1"),
        (dropout, "Dropout", "training mode"),
        (one("Dropout", &[], &[attribute_int("is_test", 0)]), "Dropout", "is_test = 0"),
        (normalised, "BatchNormalization", "does not follow a convolution"),
        (one("Add", &[floats("c0", &[2], &[1.0; 2])], &[]), "Add", "something else than a MatMul"),
    ] {
        let message = refusal(&folder, &file);
        assert!(message.contains(&format!(" ({operator}) ")), "{operator}, {part}: {message}");
        assert!(message.contains(part), "{operator}, {part}: {message}");
        assert!(message.len() < 600, "{message}");
    }
}

#[test]
fn graphs_that_are_no_chain_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let with = |change: fn(&mut File)| {
        let mut file = small();
        change(&mut file);
        refusal(&folder, &file)
    };
    let residual = with(|file| {
        let last = file.last.clone();
        file.nodes.push(node("Add", "sum", &[&last, "relu1"], &[]));
        file.last = "sum".into();
    });
    assert!(residual.contains("the node 'sum' (Add) reads 'relu1', which is no constant"), "{residual}");
    let branch = with(|file| file.nodes.push(node("Relu", "other", &["conv0"], &[])));
    assert!(branch.contains("(Relu) reads 'conv0', not 'gemm3'"), "{branch}");
    let cycle = with(|file| file.nodes[0] = node("Conv", "conv0", &["gemm3", "w", "b"], &[]));
    assert!(cycle.contains("(Conv) reads 'gemm3', not 'x'"), "{cycle}");
    let missing = with(|file| file.initializers.clear());
    assert!(missing.contains("the node 'conv0' (Conv) reads 'w', which is no constant"), "{missing}");
    let middle = with(|file| file.last = "relu1".into());
    assert!(middle.contains("its output is not, alone, 'gemm3'"), "{middle}");
    assert!(with(|file| file.inputs.clear()).contains("does not have one input"));
    assert!(with(|file| file.inputs.push(value("y", &[1]))).contains("does not have one input"));
    assert!(
        with(|file| file.inputs = vec![value("x", &[-1, 2, -1, 6])]).contains("no fixed channels, height and width")
    );
    assert!(with(|file| file.inputs = vec![value("x", &[1, 2, 0, 6])]).contains("no fixed channels, height and width"));
    assert!(with(|file| file.inputs = vec![value("x", &[1, 72])]).contains("not of four dimensions"));
    assert!(with(|file| file.inputs = vec![bytes(1, "x")]).contains("is no tensor"));
    let mut huge = one("Relu", &[], &[]);
    huge.inputs = vec![value("x", &[1, 1 << 40, 1 << 40, 1 << 40])];
    assert!(refusal(&folder, &huge).contains("(Relu) does not fit"), "{}", refusal(&folder, &huge));
    assert!(with(|file| file.opset = 2).contains("of opset 2; 3..=22 are known"));
    assert!(with(|file| file.opset = 23).contains("of opset 23"));
    let nothing = refusal(&folder, &File::new(13, [2, 6, 6]));
    assert!(nothing.contains("no layer that computes anything"), "{nothing}");
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
        [bytes(1, []).repeat(1 << 20), bytes(1, bytes(3, vec![b'a'; 2 << 20])), bytes(5, int(1, 1).repeat(1 << 20))]
    {
        let error = open(&folder, &bytes(7, flood)).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
    }
    assert!(matches!(Model::open(folder.path()), Err(OnnxError::Read { .. })));
    assert!(matches!(Model::open(&folder.path().join("none")), Err(OnnxError::Read { .. })));
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
    let good = file.bytes();
    assert!(open(&folder, &good).is_ok(), "{:?}", open(&folder, &good));
    for at in 0..good.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at] ^ 8, good[at].wrapping_add(1)] {
            let mut changed = good.clone();
            changed[at] = byte;
            if let Ok(mut model) = open(&folder, &changed) {
                let network = model.network().clone();
                let parameters: usize = network.infer(1).unwrap().iter().map(conv_net::ShapedLayer::parameters).sum();
                if parameters < 1 << 14 {
                    let _ = Kept::of(&network, &mut model);
                }
            }
        }
    }
}
