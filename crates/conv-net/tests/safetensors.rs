//! safetensors files: torchvision's names and the network's own, three element types, and what must be refused.

mod common;

use std::path::PathBuf;

use common::Kept;
use conv_net::{
    Activation, BatchNormalization, Builder, Conv, Linear, Network, Operator, Pool, Safetensors, WeightsError, Window,
    owt,
};
use tempfile::TempDir;

/// Two convolutions and two fully connected layers, with tensors of a few floats.
fn network() -> Network {
    let conv = |out_channels, groups| {
        Operator::Conv(Conv { out_channels, windows: Window::square(3, 1, 1), groups, bias: true })
    };
    let linear = |out_features| Operator::Linear(Linear { out_features, bias: true });
    let relu = Operator::Activation(Activation::Relu);
    chain(&[
        ("c1", conv(4, 1)),
        ("r1", relu.clone()),
        ("p1", Operator::MaxPool(Pool::square(2, 2, 0))),
        ("c2", conv(6, 2)),
        ("r2", relu.clone()),
        ("f1", linear(5)),
        ("r3", relu),
        ("f2", linear(3)),
    ])
}

fn chain(nodes: &[(&str, Operator)]) -> Network {
    let mut builder = Builder::new("small");
    let input = builder.input("input", &[1, 2, 4, 4]).unwrap();
    let last = nodes.iter().fold(input, |last, (name, operator)| {
        builder.node(*name, operator.clone(), &[last]).unwrap() //
    });
    builder.finish(&[last]).unwrap()
}

/// The tensors of [`network`] as torchvision would call them: `features.10` comes after `features.3`.
const TORCHVISION: [(&str, &[usize]); 8] = [
    ("features.3.weight", &[4, 2, 3, 3]),
    ("features.3.bias", &[4]),
    ("features.10.weight", &[6, 2, 3, 3]),
    ("features.10.bias", &[6]),
    ("classifier.1.weight", &[5, 24]),
    ("classifier.1.bias", &[5]),
    ("classifier.6.weight", &[3, 5]),
    ("classifier.6.bias", &[3]),
];

const OWN: [&str; 4] = ["c1", "c2", "f1", "f2"];

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("weights.safetensors")
    }

    fn read(&self, bytes: &[u8]) -> Result<Kept, WeightsError> {
        // A new file: some systems write one to the disk at once that was cut and is written again.
        let _ = std::fs::remove_file(self.path());
        std::fs::write(self.path(), bytes).unwrap();
        Kept::of(&network(), &mut Safetensors::open(&self.path(), &network())?)
    }
}

/// A file of tensors, whose elements are 0, 1, … each.
fn file(dtype: &str, encode: fn(f32) -> Vec<u8>, tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let (mut header, mut data) = (vec![r#""__metadata__":{"format":"pt"}"#.to_string()], Vec::new());
    for (name, shape) in tensors {
        let start = data.len();
        let count: usize = shape.iter().product();
        (0..count).for_each(|i| data.extend(encode(i as f32)));
        let end = data.len();
        header.push(format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    with_header(&format!("{{{}}}", header.join(",")), &data)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn torchvision() -> Vec<(String, Vec<usize>)> {
    TORCHVISION.iter().map(|(name, shape)| ((*name).to_string(), shape.to_vec())).collect()
}

fn f32_bytes(value: f32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

#[test]
fn both_kinds_of_names_and_three_types() {
    let files = Files::new();
    let own: Vec<_> = TORCHVISION
        .iter()
        .enumerate()
        .map(|(i, (_, shape))| (format!("{}.{}", OWN[i / 2], ["weight", "bias"][i % 2]), shape.to_vec()))
        .collect();
    // Another tensor, of a type that is not read, in front of all.
    let mut among_others = torchvision();
    among_others.insert(0, ("features.0.weight".into(), vec![7]));
    type Encode = fn(f32) -> Vec<u8>;
    let encodings: [(&str, Encode); 3] = [
        ("F32", f32_bytes),
        ("F16", |value| half::f16::from_f32(value).to_le_bytes().to_vec()),
        ("BF16", |value| half::bf16::from_f32(value).to_le_bytes().to_vec()),
    ];
    for tensors in [torchvision(), own, among_others] {
        for (dtype, encode) in encodings {
            let weights = files.read(&file(dtype, encode, &tensors)).unwrap();
            assert_eq!(weights.layers.len(), 4);
            for (layer, pair) in weights.layers.iter().zip(TORCHVISION.chunks(2)) {
                for (values, (_, shape)) in layer.constants.iter().zip(pair) {
                    let count: usize = shape.iter().product();
                    assert_eq!(values[..], (0..count).map(|i| i as f32).collect::<Vec<_>>(), "{dtype} {}", layer.name);
                }
            }
        }
    }
}

/// Names with dots, without biases, and a normalisation's four constants.
#[test]
fn normalisations_under_their_own_names() {
    let files = Files::new();
    let windows = Window::square(3, 1, 1);
    let network = chain(&[
        ("layer1.0.conv1", Operator::Conv(Conv { out_channels: 3, windows, groups: 1, bias: false })),
        ("layer1.0.bn1", Operator::BatchNormalization(BatchNormalization { epsilon: 1e-5 })),
        ("fc", Operator::Linear(Linear { out_features: 2, bias: true })),
    ]);
    let tensors: [(&str, &[usize]); 7] = [
        ("layer1.0.bn1.running_var", &[3]),
        ("layer1.0.bn1.running_mean", &[3]),
        ("layer1.0.bn1.bias", &[3]),
        ("layer1.0.bn1.weight", &[3]),
        ("layer1.0.conv1.weight", &[3, 2, 3, 3]),
        ("fc.weight", &[2, 48]),
        ("fc.bias", &[2]),
    ];
    let tensors: Vec<(String, Vec<usize>)> =
        tensors.iter().map(|(name, shape)| ((*name).to_string(), shape.to_vec())).collect();
    // Each tensor's elements begin with its place.
    let header = 8 + u64::from_le_bytes(*file("F32", f32_bytes, &tensors).first_chunk().unwrap()) as usize;
    let mut bytes = file("F32", f32_bytes, &tensors);
    let mut at = header;
    for (place, (_, shape)) in tensors.iter().enumerate() {
        bytes[at..at + 4].copy_from_slice(&(100.0 + place as f32).to_le_bytes());
        at += 4 * shape.iter().product::<usize>();
    }
    std::fs::write(files.path(), &bytes).unwrap();
    let read = |network| Kept::of(network, &mut Safetensors::open(&files.path(), network)?);
    let weights = read(&network).unwrap();
    let firsts = weights.layers.iter().map(|layer| layer.constants.iter().map(|values| values[0]).collect());
    let firsts: Vec<Vec<f32>> = firsts.collect();
    assert_eq!(firsts, [vec![104.0], vec![103.0, 102.0, 101.0, 100.0], vec![105.0, 106.0]]);
    let without = tensors.iter().filter(|(name, _)| !name.ends_with("running_mean")).cloned().collect::<Vec<_>>();
    std::fs::write(files.path(), file("F32", f32_bytes, &without)).unwrap();
    let error = read(&network).err().unwrap().to_string();
    assert!(error.ends_with("has no tensor layer1.0.bn1.running_mean"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let files = Files::new();
    let with = |change: fn(&mut Vec<(String, Vec<usize>)>)| {
        let mut tensors = torchvision();
        change(&mut tensors);
        files.read(&file("F32", f32_bytes, &tensors)).err().unwrap().to_string()
    };
    let error = with(|tensors| tensors.retain(|(name, _)| name != "features.10.bias"));
    assert!(error.ends_with("has no tensor features.10.bias"), "{error}");
    let error = with(|tensors| tensors.retain(|(name, _)| !name.starts_with("classifier.6")));
    assert!(error.ends_with("no tensor f2.weight, and only 1 classifier.<number>.weight of 2 dimensions"), "{error}");
    let error = with(|tensors| tensors[4].1 = vec![5, 23]);
    assert!(error.ends_with("classifier.1.weight has the shape [5, 23]; the network needs [5, 24]"), "{error}");
    let error = files.read(&file("I32", f32_bytes, &torchvision())).err().unwrap().to_string();
    assert!(error.ends_with("features.3.weight holds I32; only F32, F16 and BF16 are accepted"), "{error}");
    // A whole other network.
    let good = file("F32", f32_bytes, &torchvision());
    std::fs::write(files.path(), good).unwrap();
    assert!(matches!(Safetensors::open(&files.path(), &owt(1).unwrap()), Err(WeightsError::Shape { .. })));
}

#[test]
fn damaged_files_are_refused() {
    let files = Files::new();
    let good = file("F32", f32_bytes, &torchvision());
    for length in (0..good.len()).step_by(3) {
        let error = files.read(&good[..length]).err().unwrap();
        assert!(matches!(error, WeightsError::Format { .. }), "cut to {length}: {error}");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(files.read(&longer), Err(WeightsError::Format { .. })));
    let absurd = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,18446744073709551615]}}"#;
    let overlapping = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    for header in [absurd, overlapping, "", "{", "[]", "{\"a\":1}", &"[".repeat(100_000)] {
        assert!(matches!(files.read(&with_header(header, &[0; 4])), Err(WeightsError::Format { .. })), "{header}");
    }
    for length in [u64::MAX, u64::MAX - 8, 1 << 40] {
        let bytes = [&length.to_le_bytes(), &good[8..]].concat();
        assert!(matches!(files.read(&bytes), Err(WeightsError::Format { .. })));
    }
    let read = |path| Safetensors::open(path, &network());
    assert!(matches!(read(files.0.path()), Err(WeightsError::Read { .. })));
    assert!(matches!(read(&files.0.path().join("missing")), Err(WeightsError::Read { .. })));
}

#[test]
fn no_byte_makes_it_panic() {
    let files = Files::new();
    let good = file("F32", f32_bytes, &torchvision());
    let header = 8 + u64::from_le_bytes(*good.first_chunk().unwrap()) as usize;
    for at in 0..header {
        for byte in [0, b'"', b'[', b']', b'{', b'}', b',', b':', b'9', b'-', b' ', 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            if let Ok(weights) = files.read(&bytes) {
                assert_eq!(weights.layers.len(), 4);
            }
        }
    }
}

/// Whoever opens a pipe waits for the other end.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused() {
    let files = Files::new();
    let pipe = common::pipe(files.0.path());
    for path in [&pipe, std::path::Path::new("/dev/zero")] {
        let path = path.to_owned();
        let error = common::in_time(move || Safetensors::open(&path, &network())).unwrap_err();
        let refused =
            matches!(&error, WeightsError::Read { source, .. } if source.to_string() == "it is no regular file");
        assert!(refused, "{error}");
    }
}

/// Layers that are found in a list are looked for in one that is made once.
#[test]
fn many_layers_are_found_quickly() {
    const LAYERS: usize = 4000;
    let files = Files::new();
    let mut builder = Builder::new("deep");
    let mut last = builder.input("input", &[1, 1]).unwrap();
    for layer in 0..LAYERS {
        let linear = Operator::Linear(Linear { out_features: 1, bias: false });
        last = builder.node(format!("f{layer}"), linear, &[last]).unwrap();
    }
    let network = builder.finish(&[last]).unwrap();
    let tensors: Vec<(String, Vec<usize>)> =
        (0..LAYERS).map(|layer| (format!("classifier.{layer}.weight"), vec![1, 1])).collect();
    std::fs::write(files.path(), file("F32", |x| x.to_le_bytes().to_vec(), &tensors)).unwrap();
    let begin = std::time::Instant::now();
    Safetensors::open(&files.path(), &network).unwrap();
    assert!(begin.elapsed() < std::time::Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// A shape of thousands of sizes does not become a message of as many.
#[test]
fn shapes_in_messages_are_short() {
    let files = Files::new();
    let mut tensors: Vec<(String, Vec<usize>)> =
        TORCHVISION.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect();
    tensors[1].1 = [vec![1; 5000], vec![4]].concat();
    let error = files.read(&file("F32", |x| x.to_le_bytes().to_vec(), &tensors)).err().unwrap().to_string();
    assert!(error.contains("features.3.bias has the shape [1, 1, ") && error.len() < 400, "{error}");
}
