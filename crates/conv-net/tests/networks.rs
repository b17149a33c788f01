//! Networks as data: the presets' well-known figures, seeded weights, and what is refused.

mod common;

use common::Kept;
use conv_net::{
    Conv, Layer, LayerKind, Linear, Lrn, Network, NetworkError, Pool, Shape, Synthetic, Window, networks, owt, paper,
};

fn output(network: &Network, layer: &str) -> (String, Option<conv_core::Problem>) {
    let shaped = network.infer(1).unwrap();
    let found = shaped.iter().find(|shaped| shaped.layer.name == layer).unwrap();
    (found.output.to_string(), found.problem.clone())
}

#[test]
fn the_paper() {
    let network = paper();
    for (layer, expected) in [
        ("conv1", "55x55x96"),
        ("pool1", "27x27x96"),
        ("conv2", "27x27x256"),
        ("lrn2", "27x27x256"),
        ("pool2", "13x13x256"),
        ("conv3", "13x13x384"),
        ("conv5", "13x13x256"),
        ("pool5", "6x6x256"),
        ("drop6", "1x1x4096"),
        ("softmax", "1x1x1000"),
    ] {
        assert_eq!(output(&network, layer).0, expected, "{layer}");
    }
    let parameters: usize = network.infer(1).unwrap().iter().map(conv_net::ShapedLayer::parameters).sum();
    assert_eq!(parameters, 60_965_224);
    assert_eq!(output(&network, "conv4").1.unwrap().groups(), 2);
    assert_eq!(output(&network, "conv3").1.unwrap().groups(), 1);
    let names: Vec<_> = network.problems(16).unwrap().iter().map(ToString::to_string).collect();
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
    let network = owt();
    let shaped = network.infer(1).unwrap();
    assert_eq!(
        shaped.iter().map(conv_net::ShapedLayer::parameters).sum::<usize>(),
        61_100_840,
        "as torchvision counts"
    );
    assert_eq!(output(&network, "conv1").0, "55x55x64");
    assert_eq!(output(&network, "pool5").0, "6x6x256");
    let gflop: u128 = network.problems(1).unwrap().iter().map(conv_core::Problem::flops).sum();
    assert_eq!(gflop, 1_311_133_056);
}

#[test]
fn names() {
    assert_eq!(Network::by_name("owt").unwrap(), owt());
    let error = Network::by_name("alexnet").unwrap_err().to_string();
    assert_eq!(error, "no network is called 'alexnet'; the names are paper, owt");
}

fn one(kind: LayerKind) -> Network {
    Network { name: "net".into(), input: Shape::new(8, 6, 4), layers: vec![Layer::new("layer", kind)] }
}

fn pool(kernel: usize, stride: usize, pad: usize) -> LayerKind {
    LayerKind::MaxPool(Pool::square(kernel, stride, pad))
}

fn refusal(network: &Network, batch: usize) -> String {
    network.infer(batch).expect_err(&format!("{network:?} of {batch}")).to_string()
}

#[test]
fn nonsense_is_refused_by_name() {
    let lrn = |size, k, alpha, beta| LayerKind::Lrn(Lrn { size, k, alpha, beta });
    let conv = |out_channels, kernel, groups| {
        LayerKind::Conv(Conv { out_channels, windows: Window::square(kernel, 1, 0), groups, relu: false })
    };
    for (kind, parts) in [
        (pool(0, 1, 0), ["net/layer: kernel is 0", "at least 1"]),
        (pool(2, 0, 0), ["net/layer: stride is 0", "at least 1"]),
        (pool(3, 1, 3), ["net/layer: pad is 3", "smaller than the kernel"]),
        (pool(7, 1, 0), ["net/layer: kernel is 7", "8x6x4"]),
        (pool(usize::MAX, 1, usize::MAX / 2), ["net/layer: kernel is", "padded input"]),
        (lrn(4, 2.0, 1e-4, 0.75), ["net/layer: size is 4", "odd"]),
        (lrn(5, 0.0, 1e-4, 0.75), ["net/layer: k is 0", "above zero"]),
        (lrn(5, 2.0, -1.0, 0.75), ["net/layer: alpha is -1", "zero or above"]),
        (lrn(5, 2.0, 1.0, f32::NAN), ["net/layer: beta is NaN", "finite"]),
        (conv(4, 7, 1), ["net/layer on an input of 8x6x4", "spans 7 elements in width"]),
        (conv(4, 3, 3), ["net/layer on an input", "3 groups do not divide"]),
        (conv(4, 3, 0), ["net/layer on an input", "groups is 0"]),
        (conv(1 << 40, 1, 1), ["net/layer on an input", "bytes; the limit is 68719476736"]),
        (LayerKind::Linear(Linear { out_features: 0, relu: false }), ["net/layer on an input", "oc is 0"]),
        (LayerKind::Dropout, ["net has no layer", "computes"]),
    ] {
        let message = refusal(&one(kind), 1);
        assert!(parts.iter().all(|part| message.contains(part)), "{kind:?}: {message}");
    }
    assert!(refusal(&one(pool(1, 1, 0)), 0).contains("batch is 0"));
    assert!(refusal(&one(pool(1, 1, 0)), usize::MAX).contains("would need"));
    let flat = Network { input: Shape::new(0, usize::MAX, usize::MAX), ..one(pool(1, 1, 0)) };
    assert!(refusal(&flat, 1).contains("net/input: shape is 0x"));
    let layer = || Layer::new("layer", pool(1, 1, 0));
    let twice = Network { layers: vec![layer(), layer()], ..one(pool(1, 1, 0)) };
    assert!(matches!(twice.infer(1), Err(NetworkError::DuplicateName { .. })));
}

#[test]
fn synthetic_weights_depend_on_the_seed_alone() {
    let layers = vec![
        Layer::new("a", LayerKind::Linear(Linear { out_features: 3000, relu: true })),
        Layer::new("b", LayerKind::Linear(Linear { out_features: 20, relu: false })),
    ];
    let network = Network { layers, ..one(pool(1, 1, 0)) };
    let make = |seed| Kept::of(&network, &mut Synthetic::new(&network, seed).unwrap()).unwrap();
    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| make(5));
    let weights = make(5);
    for (layer, alone) in weights.layers.iter().zip(&single.layers) {
        assert_eq!((&layer.weights[..], &layer.bias[..]), (&alone.weights[..], &alone.bias[..]));
    }
    assert_ne!(weights.layers[0].weights[..9], make(6).layers[0].weights[..9]);
    assert_ne!(weights.layers[0].weights[..20], weights.layers[1].weights[..20]);
    assert_ne!(
        weights.layers[0].weights[1 << 16..][..9],
        weights.layers[0].weights[..9],
        "tasks do not repeat each other"
    );
    // Variance 2 / 192 before the ReLU, 1 / 3000 elsewhere, to three standard errors of 576 000 and 60 000 samples.
    for (layer, expected) in weights.layers.iter().zip([2.0 / 192.0, 1.0 / 3000.0]) {
        let values = layer.weights.iter().map(|&w| f64::from(w));
        let variance = values.clone().map(|w| w * w).sum::<f64>() / values.len() as f64;
        assert!((variance / expected - 1.0).abs() < 0.012, "{}: {variance} for {expected}", layer.name);
        assert!((values.sum::<f64>() / layer.weights.len() as f64).abs() < 0.015 * expected.sqrt(), "{}", layer.name);
        assert!(layer.bias.iter().all(|bias| (-0.05..0.05).contains(bias)));
    }
    assert_eq!(networks().iter().map(|network| network.layers.len()).collect::<Vec<_>>(), [16, 14]);
}
