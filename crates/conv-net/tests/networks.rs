//! Networks as data: the presets' well-known figures, seeded weights, and what is refused.

mod common;

use common::Kept;
use conv_net::{
    Activation, BatchNormalization, Binary, Builder, Concat, Conv, ConvTranspose, Linear, Lrn, Network, NetworkError,
    Operator, Pad, PadMode, Pool, Reduce, Reduction, Shape, Slice, Softmax, Synthetic, Transpose, Window, owt, paper,
    presets,
};

/// The shape of what a node computes, and its convolution.
fn output(network: &Network, name: &str) -> (String, Option<conv_core::Problem>) {
    let node = network.nodes().iter().find(|node| node.name == name).unwrap();
    (network.shape(node.outputs[0]).unwrap().to_string(), node.problem.clone())
}

#[test]
fn the_paper() {
    let network = paper(1).unwrap();
    for (layer, expected) in [
        ("conv1", "1x96x55x55"),
        ("pool1", "1x96x27x27"),
        ("conv2", "1x256x27x27"),
        ("lrn2", "1x256x27x27"),
        ("pool2", "1x256x13x13"),
        ("conv3", "1x384x13x13"),
        ("conv5", "1x256x13x13"),
        ("pool5", "1x256x6x6"),
        ("fc6", "1x4096"),
        ("fc6.relu", "1x4096"),
        ("softmax", "1x1000"),
    ] {
        assert_eq!(output(&network, layer).0, expected, "{layer}");
    }
    assert_eq!(network.parameter_count(), 60_965_224);
    assert_eq!(output(&network, "conv4").1.unwrap().groups(), 2);
    assert_eq!(output(&network, "conv3").1.unwrap().groups(), 1);
    let network = paper(16).unwrap();
    assert_eq!(network.batch(), 16);
    let names: Vec<_> = network.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "mb16ic3ih227oc96oh55kh11sh4ph0n\"paper/conv1\"",
            "g2mb16ic96ih27oc256oh27kh5ph2n\"paper/conv2\"",
            "mb16ic256ih13oc384oh13kh3ph1n\"paper/conv3\"",
            "g2mb16ic384ih13oc384oh13kh3ph1n\"paper/conv4\"",
            "g2mb16ic384ih13oc256oh13kh3ph1n\"paper/conv5\"",
        ]
    );
}

#[test]
fn one_weird_trick() {
    let network = owt(1).unwrap();
    assert_eq!(network.parameter_count(), 61_100_840, "as torchvision counts");
    assert_eq!(output(&network, "conv1").0, "1x64x55x55");
    assert_eq!(output(&network, "pool5").0, "1x256x6x6");
    let gflop: u128 = network.problems().iter().map(conv_core::Problem::flops).sum();
    assert_eq!(gflop, 1_311_133_056);
}

#[test]
fn names() {
    assert_eq!(Network::by_name("owt", 2).unwrap(), owt(2).unwrap());
    let error = Network::by_name("alexnet", 1).unwrap_err().to_string();
    assert!(error.starts_with("no network is called 'alexnet'; the names are paper, owt"), "{error}");
}

/// A network of one node, on inputs of `shapes`.
fn of(operator: Operator, shapes: &[&[usize]]) -> Result<Network, NetworkError> {
    let mut builder = Builder::new("net");
    let inputs = shapes.iter().enumerate().map(|(i, shape)| builder.input(format!("input{i}"), shape));
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let layer = builder.node("layer", operator, &inputs)?;
    builder.finish(&[layer])
}

fn pool(kernel: usize, stride: usize, pad: usize) -> Operator {
    Operator::MaxPool(Pool::square(kernel, stride, pad))
}

fn refused(operator: &Operator, shapes: &[&[usize]], parts: [&str; 2]) {
    let message = of(operator.clone(), shapes).expect_err(&format!("{operator:?} on {shapes:?}")).to_string();
    assert!(parts.iter().all(|part| message.contains(part)), "{operator:?}: {message}");
}

#[test]
fn nonsense_is_refused_by_name() {
    let lrn = |size, k, alpha, beta| Operator::Lrn(Lrn { size, k, alpha, beta });
    let conv = |out_channels, kernel, groups| {
        Operator::Conv(Conv { out_channels, windows: Window::square(kernel, 1, 0), groups, bias: true })
    };
    let linear = |out_features| Operator::Linear(Linear { out_features, bias: true });
    for (operator, parts) in [
        (pool(0, 1, 0), ["net/layer has kernel = 0", "at least 1"]),
        (pool(2, 0, 0), ["net/layer has stride = 0", "at least 1"]),
        (pool(3, 1, 3), ["net/layer has pad = 3", "smaller than the kernel"]),
        (pool(7, 1, 0), ["net/layer has kernel = 7", "8x6x4"]),
        (pool(usize::MAX, 1, usize::MAX / 2), ["net/layer has kernel = ", "padded input"]),
        (lrn(4, 2.0, 1e-4, 0.75), ["net/layer has size = 4", "odd"]),
        (lrn(5, 0.0, 1e-4, 0.75), ["net/layer has k = 0", "above zero"]),
        (lrn(5, 2.0, -1.0, 0.75), ["net/layer has alpha = -1", "zero or above"]),
        (lrn(5, 2.0, 1.0, f32::NAN), ["net/layer has beta = NaN", "finite"]),
        (conv(4, 7, 1), ["net/layer on an input of 8x6x4", "spans 7 elements in width"]),
        (conv(4, 3, 3), ["net/layer on an input", "3 groups do not divide"]),
        (conv(4, 3, 0), ["net/layer on an input", "groups is 0"]),
        (conv(1 << 40, 1, 1), ["net/layer on an input", "bytes; the limit is 68719476736"]),
        (linear(0), ["net/layer on an input", "oc is 0"]),
    ] {
        refused(&operator, &[&[1, 4, 8, 6]], parts);
    }
    let empty = Builder::new("net").finish(&[]).unwrap_err().to_string();
    assert!(empty.contains("net has no layer") && empty.contains("computes"), "{empty}");
    refused(&pool(1, 1, 0), &[&[0, 4, 8, 6]], ["net/input0: the shape 0x4x8x6 is empty", "at least 1"]);
    refused(&pool(1, 1, 0), &[&[usize::MAX, 4, 8, 6]], ["net/input0", "would need"]);
    refused(&pool(1, 1, 0), &[&[1, usize::MAX, 0, usize::MAX]], ["net/input0: the shape 1x", "is empty"]);
    refused(&pool(1, 1, 0), &[&[1; 9]], ["net/input0", "9 dimensions"]);
}

#[test]
fn what_does_not_fit_its_inputs_is_refused() {
    let map: &[usize] = &[1, 4, 8, 6];
    let add = Operator::Binary(Binary::Add);
    let transposed = |groups, pad, kernel| {
        let windows = Window::square(kernel, 2, pad);
        Operator::ConvTranspose(ConvTranspose { out_channels: 6, windows, output_padding: [0; 2], groups, bias: true })
    };
    let slice = |start, step, size| {
        Operator::Slice(Slice { starts: vec![0, start, 0, 0], steps: vec![1, step, 1, 1], sizes: vec![1, size, 8, 6] })
    };
    let pad = |before, after, mode| {
        let mut amounts = vec![[0, 0]; 4];
        amounts[3] = [before, after];
        Operator::Pad(Pad { amounts, mode })
    };
    let softmax = |axis, end| Operator::Softmax(Softmax { axis, end, log: false });
    let reduce = |axes: &[usize]| {
        Operator::Reduce(Reduce { reduction: Reduction::Mean, axes: axes.to_vec(), keep: true }) //
    };
    let transpose = |permutation: &[usize]| Operator::Transpose(Transpose { permutation: permutation.to_vec() });
    let reshape = |sizes: &[usize]| Operator::Reshape(Shape::new(sizes).unwrap());
    for (operator, parts) in [
        (add.clone(), ["net/layer has 1 inputs", "not 2"]),
        (transposed(4, 0, 3), ["net/layer has group = 4", "dividing 4 and 6 channels"]),
        (transposed(0, 0, 3), ["net/layer has group = 0", "at least 1"]),
        (transposed(1, 20, 3), ["net/layer has pads = [20, 20]", "less than the 17"]),
        (transposed(1, 0, 0), ["net/layer has kernel = 0", "1 to 16777216"]),
        (slice(4, 1, 1), ["net/layer has sizes", "within 1x4x8x6"]),
        (slice(0, -1, 2), ["net/layer has sizes", "within 1x4x8x6"]),
        (slice(0, 0, 2), ["net/layer has sizes", "within 1x4x8x6"]),
        (slice(0, 1, 0), ["net/layer the shape 1x0x8x6 is empty", ""]),
        (pad(6, 0, PadMode::Reflect), ["net/layer has pads", "less than 1x4x8x6 to reflect it"]),
        (pad(-6, 3, PadMode::Edge), ["net/layer has pads", "some of 1x4x8x6 is left"]),
        (softmax(4, 5), ["net/layer has axis = 4", "an axis of 1x4x8x6"]),
        (softmax(1, 3), ["net/layer has axis = 1", "an axis of 1x4x8x6, alone or with all after it"]),
        (softmax(3, 2), ["net/layer has axis = 3", "an axis of 1x4x8x6"]),
        (softmax(2, 2), ["net/layer has axis = 2", "an axis of 1x4x8x6"]),
        (reduce(&[4]), ["net/layer has axes = [4]", "different axes of 1x4x8x6"]),
        (reduce(&[2, 2]), ["net/layer has axes = [2, 2]", "different axes of 1x4x8x6"]),
        (transpose(&[0, 1, 2]), ["net/layer has perm = [0, 1, 2]", "each axis of 1x4x8x6 once"]),
        (transpose(&[0, 1, 2, 2]), ["net/layer has perm", "each axis of 1x4x8x6 once"]),
        (reshape(&[1, 191]), ["net/layer makes 1x191 of 1x4x8x6", "192 elements and not 191"]),
        (Operator::ChannelShuffle { groups: 3 }, ["net/layer has group = 3", "dividing 4 channels"]),
        (Operator::ChannelShuffle { groups: 0 }, ["net/layer has group = 0", "dividing 4 channels"]),
    ] {
        refused(&operator, &[map], parts);
    }
    refused(&add, &[map, &[3, 1, 1]], ["net/layer has inputs of 1x4x8x6 and 3x1x1", "do not fit each other"]);
    let concat = |axis| Operator::Concat(Concat { axis });
    refused(&concat(1), &[map, &[1, 4, 8, 5]], ["net/layer joins 1x4x8x6 and 1x4x8x5", "along axis 1"]);
    refused(&concat(4), &[map, map], ["net/layer has axis = 4", "an axis of 1x4x8x6"]);
    refused(&pool(1, 1, 0), &[&[4]], ["net/layer reads a tensor of 4", "no map"]);
    let normalisation = Operator::BatchNormalization(BatchNormalization { epsilon: 0.0 });
    refused(&normalisation, &[&[4]], ["net/layer reads 4", "no channels"]);
}

#[test]
fn nodes_that_nothing_needs_are_left_out() {
    let relu = Operator::Activation(Activation::Relu);
    let mut builder = Builder::new("net");
    let input = builder.input("input", &[2, 3]).unwrap();
    let used = builder.node("used", relu.clone(), &[input]).unwrap();
    let unused = builder.node("unused", relu.clone(), &[used]).unwrap();
    builder.node("unused too", relu, &[unused]).unwrap();
    assert!(builder.has_node("unused") && !builder.has_node("input"));
    let network = builder.finish(&[used]).unwrap();
    let names: Vec<_> = network.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!((names, network.outputs()), (vec!["used"], &[used][..]));
}

#[test]
fn names_differ() {
    let mut builder = Builder::new("net");
    let input = builder.input("input", &[1, 4, 8, 6]).unwrap();
    builder.node("layer", pool(1, 1, 0), &[input]).unwrap();
    let again = builder.node("layer", pool(1, 1, 0), &[input]).unwrap_err();
    assert!(matches!(again, NetworkError::DuplicateName { what: "layers", .. }));
    assert!(again.to_string().starts_with("net has two layers called 'layer'; "), "{again}");
    let again = builder.named("another", "layer", pool(1, 1, 0), &[input]).unwrap_err();
    assert!(matches!(again, NetworkError::DuplicateName { what: "values", .. }));
    let again = builder.input("input", &[1]).unwrap_err();
    assert!(matches!(again, NetworkError::DuplicateName { what: "values", .. }));
}

#[test]
fn synthetic_weights_depend_on_the_seed_alone() {
    let linear = |out_features| Operator::Linear(Linear { out_features, bias: true });
    let mut builder = Builder::new("net");
    let input = builder.input("input", &[1, 4, 8, 6]).unwrap();
    let a = builder.node("a", linear(3000), &[input]).unwrap();
    let relu = builder.node("relu", Operator::Activation(Activation::Relu), &[a]).unwrap();
    let b = builder.node("b", linear(20), &[relu]).unwrap();
    let network = builder.finish(&[b]).unwrap();
    let make = |seed| Kept::of(&network, &mut Synthetic::new(&network, seed)).unwrap();
    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| make(5));
    let weights = make(5);
    for (layer, alone) in weights.layers.iter().zip(&single.layers) {
        assert_eq!(layer.constants, alone.constants);
    }
    assert_ne!(weights.layers[0].weights()[..9], make(6).layers[0].weights()[..9]);
    assert_ne!(weights.layers[0].weights()[..20], weights.layers[1].weights()[..20]);
    assert_ne!(
        weights.layers[0].weights()[1 << 16..][..9],
        weights.layers[0].weights()[..9],
        "tasks do not repeat each other"
    );
    // Variance 2 / 192 before the ReLU, 1 / 3000 elsewhere, to three standard errors of 576 000 and 60 000 samples.
    for (layer, expected) in weights.layers.iter().zip([2.0 / 192.0, 1.0 / 3000.0]) {
        let values = layer.weights().iter().map(|&w| f64::from(w));
        let variance = values.clone().map(|w| w * w).sum::<f64>() / values.len() as f64;
        assert!((variance / expected - 1.0).abs() < 0.012, "{}: {variance} for {expected}", layer.name);
        assert!((values.sum::<f64>() / layer.weights().len() as f64).abs() < 0.015 * expected.sqrt(), "{}", layer.name);
        assert!(layer.bias().iter().all(|bias| (-0.05..0.05).contains(bias)));
    }
    let nodes = presets().iter().map(|preset| preset.network(1).unwrap().nodes().len());
    assert_eq!(nodes.take(2).collect::<Vec<_>>(), [21, 19]);
}

/// A normalisation hands a ReLU's gain on to the layer before it, and its own constants are around 1 and 0.
#[test]
fn synthetic_normalisations() {
    let mut builder = Builder::new("net");
    let mut last = builder.input("input", &[1, 64, 3, 3]).unwrap();
    let windows = Window::square(3, 1, 1);
    for (name, operator) in [
        ("conv", Operator::Conv(Conv { out_channels: 512, windows, groups: 1, bias: false })),
        ("bn", Operator::BatchNormalization(BatchNormalization { epsilon: 1e-5 })),
        ("relu", Operator::Activation(Activation::Relu)),
    ] {
        last = builder.node(name, operator, &[last]).unwrap();
    }
    let network = builder.finish(&[last]).unwrap();
    let weights = Kept::of(&network, &mut Synthetic::new(&network, 3)).unwrap();
    let [conv, bn] = &weights.layers[..] else { panic!() };
    let variance = conv.weights().iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / conv.weights().len() as f64;
    assert!((variance / (2.0 / 576.0) - 1.0).abs() < 0.012, "{variance}");
    let names: Vec<_> = network.nodes()[1].parameters.iter().map(|parameter| parameter.name).collect();
    assert_eq!(names, ["weight", "bias", "running_mean", "running_var"]);
    for (constant, range) in bn.constants.iter().zip([0.75..1.25, -0.05..0.05, -0.05..0.05, 0.75..1.25]) {
        assert!(constant.iter().all(|value| range.contains(value)));
        let mean = constant.iter().sum::<f32>() / 512.0;
        assert!((mean - (range.start + range.end) / 2.0).abs() < (range.end - range.start) / 25.0, "{mean}");
    }
    assert_ne!(bn.constants[0], bn.constants[3]);
}
