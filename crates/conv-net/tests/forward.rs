//! The forward pass against a naive one in f64, layer by layer, on every instruction set.

mod common;
mod reference;

use common::{Kept, Outputs, oracle_only};
use conv_core::{PlanError, PlanOptions, RunError};
use conv_net::{
    AveragePool, Conv, ForwardError, ForwardPass, Layer, LayerKind, Linear, Lrn, Network, Pool, Shape, Synthetic,
    Weights, Window, networks,
};
use conv_simd::Isa;

fn conv(out_channels: usize, kernel: usize, stride: usize, pad: usize, groups: usize) -> LayerKind {
    LayerKind::Conv(Conv { out_channels, windows: Window::square(kernel, stride, pad), groups, relu: true })
}

fn lrn(size: usize, alpha: f32, beta: f32) -> LayerKind {
    LayerKind::Lrn(Lrn { size, k: 1.5, alpha, beta })
}

fn pool(kernel: usize, stride: usize, pad: usize) -> LayerKind {
    LayerKind::MaxPool(Pool::square(kernel, stride, pad))
}

fn window(kernel: usize, stride: usize, pad: [usize; 2]) -> Window {
    Window { kernel, stride, pad, dilation: 1 }
}

/// Windows that are not square, with other padding on each side, that leave elements over.
fn uneven(dilation: usize) -> [Window; 2] {
    [window(3, 2, [1, 0]), window(2, 3, [0, 1])].map(|window| Window { dilation, ..window })
}

fn mean(windows: [Window; 2], ceil: bool, count_padding: bool) -> LayerKind {
    LayerKind::AveragePool(AveragePool { pool: Pool { windows, ceil }, count_padding })
}

fn linear(out_features: usize, relu: bool) -> LayerKind {
    LayerKind::Linear(Linear { out_features, relu })
}

fn network(name: &str, input: Shape, kinds: &[LayerKind]) -> Network {
    let layer = |(i, kind): (usize, &LayerKind)| Layer::new(format!("layer{i}"), *kind);
    Network { name: name.into(), input, layers: kinds.iter().enumerate().map(layer).collect() }
}

/// Small networks with every kind of layer: channels that fill vectors, leave tails, or are fewer than a window.
fn small_networks() -> Vec<Network> {
    vec![
        network(
            "tails",
            Shape::new(23, 19, 3),
            &[
                conv(38, 5, 2, 1, 1),
                lrn(5, 0.3, 0.75),
                pool(3, 2, 0),
                conv(21, 3, 1, 1, 1),
                lrn(3, 0.3, 0.5),
                pool(2, 1, 1),
                LayerKind::Dropout,
                linear(33, true),
                linear(10, false),
                LayerKind::Softmax,
            ],
        ),
        network(
            "vectors",
            Shape::new(14, 15, 16),
            &[
                pool(3, 3, 1),
                lrn(5, 0.1, 0.75),
                conv(64, 3, 1, 1, 2),
                lrn(7, 0.1, 0.75),
                pool(5, 1, 2),
                linear(16, true),
            ],
        ),
        network(
            "narrow",
            Shape::new(6, 5, 2),
            &[lrn(9, 1.0, 0.75), lrn(1, 1.0, 0.75), lrn(5, 1.0, 0.3), pool(3, 1, 1)],
        ),
        network(
            "windows",
            Shape::new(17, 12, 21),
            &[
                LayerKind::Conv(Conv { out_channels: 70, windows: uneven(1), groups: 1, relu: false }),
                LayerKind::Relu,
                LayerKind::MaxPool(Pool { windows: uneven(1), ceil: true }),
                mean(uneven(1), true, true),
                LayerKind::Relu,
                mean(uneven(1), true, false),
            ],
        ),
        network(
            "dilated",
            Shape::new(13, 19, 16),
            &[
                LayerKind::Conv(Conv { out_channels: 32, windows: uneven(2), groups: 2, relu: false }),
                mean(Window::square(3, 2, 1), false, true),
                mean(Window::square(2, 2, 0), true, false),
                // The whole map.
                mean(Window::square(2, 1, 0), false, false),
                linear(5, false),
            ],
        ),
        network("pixels", Shape::new(9, 3, 130), &[pool(3, 2, 0), LayerKind::Softmax]),
        network("map", Shape::new(4, 3, 17), &[LayerKind::Softmax, conv(1, 1, 1, 0, 1), linear(4, false)]),
    ]
}

/// Values as of a normalised photograph, or of an earlier layer.
fn images(network: &Network, batch: usize) -> Vec<f32> {
    (0..batch * network.input.floats()).map(|i| ((i * 7919) % 1009) as f32 / 252.0 - 2.0).collect()
}

#[test]
fn every_layer_agrees_with_the_reference() {
    for network in small_networks() {
        let mut weights = Kept::of(&network, &mut Synthetic::new(&network, 11).unwrap()).unwrap();
        for (batch, workers) in [(1, 1), (3, 4)] {
            let images = images(&network, batch);
            let expected: Vec<_> = images
                .chunks(network.input.floats())
                .map(|image| reference::forward(&network, &weights, image))
                .collect();
            for isa in Isa::available() {
                let options = PlanOptions::new(workers).isa(isa);
                let mut pass = ForwardPass::new(&network, &mut weights, batch, &oracle_only, &options).unwrap();
                // The second run finds the buffers of the first one full.
                for _ in 0..2 {
                    let mut outputs = Outputs::default();
                    let result = pass.run(&images, &mut outputs).unwrap();
                    assert_eq!(result, outputs.0.last().unwrap());
                    compare(&format!("{} on {isa}", network.name), &pass, &outputs, &expected);
                }
            }
        }
    }
}

/// Each operation between f64 sums rounds to half a unit; LRN's estimates, products and powf make six or so. A few
/// layers, each at most doubling what came in relative to its largest value, stay within 64 ε.
fn compare(what: &str, pass: &ForwardPass, outputs: &Outputs, expected: &[Vec<(String, reference::Map)>]) {
    assert_eq!(outputs.0.len(), pass.memory().layers.len());
    for (layer, output) in pass.memory().layers.iter().zip(&outputs.0) {
        // Of layers computed at once, as in `lrn1+pool1`, the output is the last one's.
        let name = layer.name.rsplit('+').next().unwrap();
        let exact = expected.iter().map(|image| &image.iter().find(|(layer, _)| layer == name).unwrap().1);
        let exact: Vec<f64> = exact.flat_map(|map| map.values.iter().copied()).collect();
        assert_eq!(output.len(), exact.len(), "{what}, {name}");
        let largest = exact.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
        for (at, (&got, &exact)) in output.iter().zip(&exact).enumerate() {
            let error = (f64::from(got) - exact).abs() / largest;
            assert!(
                error < 64.0 * f64::from(f32::EPSILON),
                "{what}, {name}[{at}]: {got} for {exact}, largest {largest}"
            );
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let network = &small_networks()[0];
    let mut weights = Synthetic::new(network, 1).unwrap();
    let images = images(network, 2);
    let results = [1, 3, 16].map(|workers| {
        let options = PlanOptions::new(workers);
        let mut pass = ForwardPass::new(network, &mut weights, 2, &oracle_only, &options).unwrap();
        pass.run(&images, &mut ()).unwrap().to_vec()
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[1], results[2]);
}

#[test]
fn memory_is_what_the_plan_says() {
    let network = &small_networks()[0];
    let mut weights = Synthetic::new(network, 1).unwrap();
    let mut new = |limit| {
        let options = PlanOptions::new(2).memory_limit(limit);
        ForwardPass::new(network, &mut weights, 2, &oracle_only, &options)
    };
    let pass = new(usize::MAX).unwrap();
    let memory = pass.memory();
    let names: Vec<_> = memory.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["layer0", "layer1+layer2", "layer3", "layer4+layer5", "layer7", "layer8", "layer9"]);
    assert_eq!(memory.layers[0].algorithm, Some("test/oracle"));
    assert_eq!(memory.layers[1].algorithm, None);
    assert_eq!(memory.layers[0].activation_bytes, 4 * 2 * 11 * 9 * 38);
    assert_eq!(memory.prepared_bytes, memory.layers.iter().map(|layer| layer.prepared_bytes).sum::<usize>());
    assert_eq!(memory.scratch_bytes, memory.layers.iter().map(|layer| layer.scratch_bytes).max().unwrap());
    assert_eq!(memory.layers[1].scratch_bytes, 2 * 4 * 9 * 38, "a row for each of two workers");
    assert_eq!(memory.activation_bytes, 4 * 2 * (11 * 9 * 38 + 5 * 4 * 38), "the normalised map is never whole");
    let total = memory.total_bytes();
    assert!(new(total).is_ok());
    for (limit, layer) in [(total - 1, "tails/layer8"), (memory.activation_bytes, "tails/layer0"), (0, "tails/layer0")]
    {
        let error = new(limit).err().unwrap();
        assert!(
            matches!(&error, ForwardError::Memory { layer: at, needed, limit: l }
            if at == layer && *needed > *l as u128 && *l == limit),
            "{error}"
        );
    }
    assert!(matches!(new(total - 1).err(), Some(ForwardError::Memory { needed, .. }) if needed == total as u128));
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = &small_networks()[0];
    let options = PlanOptions::new(1);
    let new = |network: &Network, weights: &mut dyn Weights| {
        ForwardPass::new(network, weights, 1, &oracle_only, &options) //
    };
    let mut weights = Synthetic::new(network, 1).unwrap();
    let error = new(network, &mut weights).unwrap().run(&[0.0; 7], &mut ()).map(<[f32]>::len);
    assert_eq!(error, Err(RunError::Length { buffer: "input", got: 7, expected: 23 * 19 * 3 }));

    let mut weights = Kept::of(network, &mut weights).unwrap();
    weights.layers.remove(2);
    let error = new(network, &mut weights).err().unwrap();
    assert_eq!(error.to_string(), "tails/layer7 by test/oracle: there are no weights for layer7");

    let strided = Network { layers: vec![Layer::new("c", conv(1, 7, 7, 0, 1))], ..network.clone() };
    let error = new(&strided, &mut Synthetic::new(&strided, 1).unwrap()).err().unwrap();
    assert!(matches!(&error, ForwardError::Plan { algorithm: "test/oracle", source: PlanError::Unsupported(_), .. }));
    let none = ForwardPass::new(network, &mut weights, 0, &oracle_only, &options).err().unwrap();
    assert!(matches!(none, ForwardError::Network(_)), "{none}");
}

/// Half of the activations after a ReLU should live, and their mean square stay near that of a normalised photograph
/// from the first layer to the last: synthetic passes are then as hard on an algorithm's rounding as trained ones.
#[test]
fn synthetic_activations_neither_vanish_nor_explode() {
    let photograph = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("images/chelsea.jpg");
    for (network, seed) in networks().iter().zip([0, 1]) {
        let image = conv_net::read_image(&photograph, network.input).unwrap();
        let mut weights = Synthetic::new(network, seed).unwrap();
        let mut pass = ForwardPass::new(network, &mut weights, 1, &oracle_only, &PlanOptions::new(2)).unwrap();
        let mut outputs = Outputs::default();
        pass.run(&image, &mut outputs).unwrap();
        for (layer, output) in pass.memory().layers.iter().zip(&outputs.0) {
            let len = output.len() as f64;
            let root_mean_square = (output.iter().map(|&x| f64::from(x * x)).sum::<f64>() / len).sqrt();
            let alive = output.iter().filter(|&&x| x != 0.0).count() as f64 / len;
            let name = format!("{}/{}, seed {seed}: root mean square {root_mean_square}", network.name, layer.name);
            if layer.name == "softmax" {
                let sum: f64 = output.iter().map(|&p| f64::from(p)).sum();
                assert!((sum - 1.0).abs() < 1e-6, "{name}: {sum}");
                let largest = output.iter().copied().fold(0.0, f32::max);
                assert!((0.002..0.5).contains(&largest), "{name}: neither uniform nor certain: {largest}");
            } else {
                assert!((0.1..10.0).contains(&root_mean_square), "{name}");
                assert!(alive > 0.2, "{name}: {alive} alive");
            }
        }
    }
}

/// An algorithm must be asked for by the layer's name, fully connected layers included.
#[test]
fn the_chooser_sees_every_layer_with_weights() {
    let network = &networks()[0];
    let seen = std::sync::Mutex::new(Vec::new());
    let choose = |problem: &conv_core::Problem| {
        seen.lock().unwrap().push(problem.to_string());
        oracle_only(problem)
    };
    let mut weights = Synthetic::new(network, 0).unwrap();
    ForwardPass::new(network, &mut weights, 3, &choose, &PlanOptions::new(1)).unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 8);
    assert_eq!(seen[1], "g2mb3ic96ih27oc256oh27kh5ph2n\"paper/conv2\"");
    assert_eq!(seen[5], "mb3ic256ih6oc4096oh1kh6ph0n\"paper/fc6\"");
}
