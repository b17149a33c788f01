//! The built-in networks, held against what torchvision and their papers say of them.

use conv_net::{Network, Node, presets};

fn network(name: &str, batch: usize) -> Network {
    Network::by_name(name, batch).unwrap_or_else(|error| panic!("{error}"))
}

fn node<'a>(network: &'a Network, name: &str) -> &'a Node {
    network.nodes().iter().find(|node| node.name == name).unwrap_or_else(|| panic!("{} has no {name}", network.name()))
}

/// What frameworks train: means and variances are not.
fn trained(network: &Network) -> usize {
    let parameters = network.nodes().iter().flat_map(|node| &node.parameters);
    parameters.filter(|parameter| matches!(parameter.name, "weight" | "bias")).map(conv_net::Parameter::len).sum()
}

/// Parameters, and milliards of multiply-adds of convolutions and fully connected layers, as torchvision lists them.
#[test]
fn sizes_are_torchvisions() {
    for (name, parameters, multiply_adds) in [
        ("owt", 61_100_840, 0.714),
        ("vgg16", 138_357_544, 15.47),
        ("resnet50", 25_557_032, 4.089),
        ("googlenet", 6_624_904, 1.498),
        ("squeezenet1_1", 1_235_496, 0.349),
        ("mobilenet_v2", 3_504_872, 0.301),
        ("densenet121", 7_978_856, 2.834),
    ] {
        let network = network(name, 1);
        assert_eq!(trained(&network), parameters, "{name}");
        let problems = network.nodes().iter().filter_map(|node| node.problem.as_ref());
        let counted = problems.map(conv_core::Problem::flops).sum::<u128>() as f64 / 2e9;
        let rounding = if multiply_adds > 10.0 { 0.0051 } else { 0.00051 };
        assert!((counted - multiply_adds).abs() < rounding, "{name}: {counted}");
    }
}

/// A value and its shape.
type Shaped = (&'static str, &'static [usize]);

/// Values of some networks for three images.
const SHAPES: &[(&str, &[Shaped])] = &[
    ("vgg16", &[("features.30", &[3, 512, 7, 7]), ("classifier.0", &[3, 4096])]),
    (
        "resnet50",
        &[
            ("maxpool", &[3, 64, 56, 56]),
            ("layer1.2.add", &[3, 256, 56, 56]),
            ("layer2.0.conv1", &[3, 128, 56, 56]),
            ("layer2.0.conv2", &[3, 128, 28, 28]),
            ("layer2.0.downsample.1", &[3, 512, 28, 28]),
            ("layer4.2.relu3", &[3, 2048, 7, 7]),
            ("avgpool", &[3, 2048, 1, 1]),
        ],
    ),
    (
        "googlenet",
        &[
            ("maxpool1", &[3, 64, 56, 56]),
            ("maxpool2", &[3, 192, 28, 28]),
            ("inception3a.concat", &[3, 256, 28, 28]),
            ("inception3a.branch2.0.conv", &[3, 96, 28, 28]),
            ("maxpool3", &[3, 480, 14, 14]),
            ("inception4e.branch4.0", &[3, 528, 14, 14]),
            ("maxpool4", &[3, 832, 7, 7]),
            ("inception5b.concat", &[3, 1024, 7, 7]),
        ],
    ),
    (
        "squeezenet1_1",
        &[
            ("features.0", &[3, 64, 111, 111]),
            ("features.3.squeeze", &[3, 16, 55, 55]),
            ("features.8", &[3, 256, 13, 13]),
            ("features.12.concat", &[3, 512, 13, 13]),
            ("classifier.1", &[3, 1000, 13, 13]),
        ],
    ),
    (
        "mobilenet_v2",
        &[
            ("features.1.conv.0.0", &[3, 32, 112, 112]),
            ("features.1.conv.1", &[3, 16, 112, 112]),
            ("features.2.conv.1.0", &[3, 96, 56, 56]),
            ("features.3.add", &[3, 24, 56, 56]),
            ("features.17.conv.3", &[3, 320, 7, 7]),
            ("features.18.2", &[3, 1280, 7, 7]),
        ],
    ),
    (
        "densenet121",
        &[
            ("features.pool0", &[3, 64, 56, 56]),
            ("features.denseblock1.denselayer1.norm1", &[3, 64, 56, 56]),
            ("features.denseblock1.denselayer6.concat", &[3, 256, 56, 56]),
            ("features.transition3.pool", &[3, 512, 7, 7]),
            ("features.norm5", &[3, 1024, 7, 7]),
        ],
    ),
];

#[test]
fn shapes_and_names() {
    for (name, shapes) in SHAPES {
        let network = network(name, 3);
        for (layer, sizes) in *shapes {
            let output = node(&network, layer).outputs[0];
            assert_eq!(network.shape(output).unwrap().sizes(), *sizes, "{name}/{layer}");
        }
    }
}

#[test]
fn every_network_has_as_many_images_as_asked() {
    for preset in presets() {
        let network = preset.network(3).unwrap();
        assert_eq!((network.name(), network.batch()), (preset.name, 3));
        let [output] = network.outputs() else { panic!("{} has {} outputs", preset.name, network.outputs().len()) };
        assert_eq!(network.shape(*output).unwrap().sizes(), [3, 1000], "{}", preset.name);
        for batch in [0, 1 << 40, usize::MAX] {
            let error = preset.network(batch).unwrap_err().to_string();
            assert!(error.contains(preset.name), "{error}");
        }
    }
}

/// A concatenation, a stride and a group where the architectures are often mistaken.
#[test]
fn details() {
    let resnet = network("resnet50", 1);
    let stride = |name| node(&resnet, name).problem.as_ref().unwrap().height().stride;
    assert_eq!((stride("layer3.0.conv1"), stride("layer3.0.conv2"), stride("layer3.0.downsample.0")), (1, 2, 2));
    let mobilenet = network("mobilenet_v2", 1);
    assert_eq!(node(&mobilenet, "features.4.conv.1.0").problem.as_ref().unwrap().groups(), 144);
    assert_eq!(node(&network("vgg16", 1), "classifier.0").parameters[0].shape, [4096, 512 * 49]);
    let names = |name| network(name, 1).nodes().iter().map(|node| node.name.clone()).collect::<Vec<_>>();
    assert!(!names("mobilenet_v2").contains(&"features.2.add".into()));
    assert!(!names("resnet50").contains(&"layer1.1.downsample.0".into()));
}

#[test]
fn unknown_names_are_answered_with_the_known() {
    let error = Network::by_name("alexnet", 1).unwrap_err().to_string();
    let known = "paper, owt, vgg16, resnet50, googlenet, squeezenet1_1, mobilenet_v2, densenet121";
    assert_eq!(error, format!("no network is called 'alexnet'; the names are {known}"));
}
