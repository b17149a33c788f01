//! The forward pass against a naive one in f64, layer by layer, on every instruction set.

mod common;
mod reference;

use common::{Kept, Outputs, oracle_only, values};
use conv_core::{PlanError, PlanOptions, RunError};
use conv_net::{
    Activation, Affine, AveragePool, BatchNormalization, Binary, Builder, Conv, ConvTranspose, Coordinates,
    ForwardError, ForwardPass, Linear, Lrn, Map, Network, NetworkError, Opaque, Operator, Pad, PadMode, Pool, Reduce,
    Reduction, Resampling, Resize, ResizeMode, Shape, Softmax, Synthetic, Weights, Window, paper, presets,
};
use conv_simd::Isa;

const RELU: Operator = Operator::Activation(Activation::Relu);

const SOFTMAX: Operator = Operator::Softmax(Softmax::channels());

fn conv(out_channels: usize, kernel: usize, stride: usize, pad: usize, groups: usize) -> Operator {
    windowed(out_channels, Window::square(kernel, stride, pad), groups)
}

fn windowed(out_channels: usize, windows: [Window; 2], groups: usize) -> Operator {
    Operator::Conv(Conv { out_channels, windows, groups, bias: true })
}

fn lrn(size: usize, alpha: f32, beta: f32) -> Operator {
    Operator::Lrn(Lrn { size, k: 1.5, alpha, beta })
}

fn pool(kernel: usize, stride: usize, pad: usize) -> Operator {
    Operator::MaxPool(Pool::square(kernel, stride, pad))
}

fn window(kernel: usize, stride: usize, pad: [usize; 2]) -> Window {
    Window { kernel, stride, pad, dilation: 1 }
}

/// Windows that are not square, with other padding on each side, that leave elements over.
fn uneven(dilation: usize) -> [Window; 2] {
    [window(3, 2, [1, 0]), window(2, 3, [0, 1])].map(|window| Window { dilation, ..window })
}

fn mean(windows: [Window; 2], ceil: bool, count_padding: bool) -> Operator {
    Operator::AveragePool(AveragePool { pool: Pool { windows, ceil }, count_padding })
}

fn linear(out_features: usize) -> Operator {
    Operator::Linear(Linear { out_features, bias: true })
}

/// A chain: `layer0`, `layer1`, …, a ReLU called after what it follows.
fn network(name: &str, batch: usize, input: Map, operators: &[Operator]) -> Network {
    let mut builder = Builder::new(name);
    let Map { height, width, channels } = input;
    let mut last = builder.input("input", &[batch, channels, height, width]).unwrap();
    let mut count = 0;
    for operator in operators {
        let name = if *operator == RELU { format!("layer{}.relu", count - 1) } else { format!("layer{count}") };
        count += usize::from(*operator != RELU);
        last = builder.node(name, operator.clone(), &[last]).unwrap();
    }
    builder.finish(&[last]).unwrap()
}

/// Small networks with every kind of layer: channels that fill vectors, leave tails, or are fewer than a window.
fn small_networks(batch: usize) -> Vec<Network> {
    vec![
        network(
            "tails",
            batch,
            Map::new(23, 19, 3),
            &[
                conv(38, 5, 2, 1, 1),
                RELU,
                lrn(5, 0.3, 0.75),
                pool(3, 2, 0),
                conv(21, 3, 1, 1, 1),
                RELU,
                lrn(3, 0.3, 0.5),
                pool(2, 1, 1),
                linear(33),
                RELU,
                linear(10),
                SOFTMAX,
            ],
        ),
        network(
            "vectors",
            batch,
            Map::new(14, 15, 16),
            &[
                pool(3, 3, 1),
                lrn(5, 0.1, 0.75),
                conv(64, 3, 1, 1, 2),
                RELU,
                lrn(7, 0.1, 0.75),
                pool(5, 1, 2),
                linear(16),
                RELU,
            ],
        ),
        network(
            "narrow",
            batch,
            Map::new(6, 5, 2),
            &[lrn(9, 1.0, 0.75), lrn(1, 1.0, 0.75), lrn(5, 1.0, 0.3), pool(3, 1, 1)],
        ),
        network(
            "windows",
            batch,
            Map::new(17, 12, 21),
            &[
                windowed(70, uneven(1), 1),
                RELU,
                Operator::MaxPool(Pool { windows: uneven(1), ceil: true }),
                mean(uneven(1), true, true),
                RELU,
                mean(uneven(1), true, false),
            ],
        ),
        network(
            "dilated",
            batch,
            Map::new(13, 19, 16),
            &[
                windowed(32, uneven(2), 2),
                mean(Window::square(3, 2, 1), false, true),
                mean(Window::square(2, 2, 0), true, false),
                // The whole map.
                mean(Window::square(2, 1, 0), false, false),
                linear(5),
            ],
        ),
        network("pixels", batch, Map::new(9, 3, 130), &[pool(3, 2, 0), SOFTMAX]),
        network("map", batch, Map::new(4, 3, 17), &[SOFTMAX, conv(1, 1, 1, 0, 1), RELU, linear(4)]),
    ]
}

/// Values as of a normalised photograph, or of an earlier layer.
fn images(network: &Network) -> Vec<f32> {
    values(network.shape(network.inputs()[0]).unwrap().floats())
}

#[test]
fn every_layer_agrees_with_the_reference() {
    for (batch, workers) in [(1, 1), (3, 4)] {
        for network in small_networks(batch) {
            let mut weights = Kept::of(&network, &mut Synthetic::new(&network, 11)).unwrap();
            let images = images(&network);
            let expected = reference::forward(&network, &weights, &[&images]);
            for isa in Isa::available() {
                let options = PlanOptions::new(workers).isa(isa);
                let mut pass = ForwardPass::new(&network, &mut weights, &oracle_only, &options).unwrap();
                assert_eq!(pass.batch(), batch);
                // The second run finds the buffers of the first one full.
                for _ in 0..2 {
                    let mut outputs = Outputs::default();
                    pass.run(&[&images], &mut outputs).unwrap();
                    assert_eq!(pass.output(0).unwrap(), outputs.0.last().unwrap());
                    assert_eq!(pass.output(1), None);
                    compare(&format!("{} on {isa}", network.name()), &network, &pass, &outputs, &expected);
                }
            }
        }
    }
}

/// Each operation between f64 sums rounds to half a unit; LRN's estimates, products and powf make six or so. A few
/// layers, each at most doubling what came in relative to its largest value, stay within 64 ε.
fn compare(what: &str, network: &Network, pass: &ForwardPass, outputs: &Outputs, expected: &[reference::Tensor]) {
    assert_eq!(outputs.0.len(), pass.memory().layers.len());
    for (value, output) in pass.memory().layers.iter().map(|layer| layer.output).zip(&outputs.0) {
        let (name, exact) = (&network.value(value).name, expected[value.index()].in_memory());
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
    let network = &small_networks(2)[0];
    let mut weights = Synthetic::new(network, 1);
    let images = images(network);
    let results = [1, 3, 16].map(|workers| {
        let options = PlanOptions::new(workers);
        let mut pass = ForwardPass::new(network, &mut weights, &oracle_only, &options).unwrap();
        pass.run(&[&images], &mut ()).unwrap();
        pass.output(0).unwrap().to_vec()
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[1], results[2]);
}

#[test]
fn memory_is_what_the_plan_says() {
    let network = &small_networks(2)[0];
    let mut weights = Synthetic::new(network, 1);
    let mut new = |limit| {
        let options = PlanOptions::new(2).memory_limit(limit);
        ForwardPass::new(network, &mut weights, &oracle_only, &options)
    };
    let pass = new(usize::MAX).unwrap();
    let memory = pass.memory();
    let names: Vec<_> = memory.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["layer0", "layer1+layer2", "layer3", "layer4+layer5", "layer6", "layer7", "layer8"]);
    assert_eq!(memory.layers[0].algorithm, Some("test/oracle"));
    assert_eq!(memory.layers[1].algorithm, None);
    assert_eq!(memory.layers[0].activation_bytes, 4 * 2 * 11 * 9 * 38);
    assert_eq!(memory.layers[0].prepared_bytes, 4 * 38 * (3 * 5 * 5 + 1));
    assert_eq!(memory.prepared_bytes, memory.layers.iter().map(|layer| layer.prepared_bytes).sum::<usize>());
    assert_eq!(memory.scratch_bytes, memory.layers.iter().map(|layer| layer.scratch_bytes).max().unwrap());
    assert_eq!(memory.layers[1].scratch_bytes, 2 * 4 * 9 * 38, "a row for each of two workers");
    let least = 4 * 2 * (11 * 9 * 38 + 5 * 4 * 38);
    assert_eq!(memory.least_activation_bytes, least, "the normalised map is never whole");
    // In an arena each of the two takes whole lines of sixteen floats.
    assert!((least..least + 2 * 4 * 16).contains(&memory.activation_bytes), "{}", memory.activation_bytes);
    assert_eq!(memory.layers[1].alive_bytes, least);
    assert_eq!(memory.layers[0].alive_bytes, memory.layers[0].activation_bytes, "the input is its caller's");
    assert_eq!(pass.input_bytes(), 4 * 2 * 23 * 19 * 3);
    let total = memory.total_bytes();
    assert!(new(total).is_ok());
    for (limit, layer) in [(total - 1, "tails/layer7"), (memory.activation_bytes, "tails/layer0"), (0, "tails/layer0")]
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

/// Of what no algorithm is chosen for, too: constants, a transposed convolution, and a reshape by way of scratch.
#[test]
fn memory_of_other_operators() {
    let mut builder = Builder::new("net");
    let input = builder.input("input", &[1, 3, 7, 7]).unwrap();
    let windows = Window::square(2, 2, 0);
    let transposed = ConvTranspose { out_channels: 3, windows, output_padding: [0; 2], groups: 1, bias: true };
    let larger = builder.node("larger", Operator::ConvTranspose(transposed), &[input]).unwrap();
    let value = builder.node("value", Operator::Constant(Shape::new(&[3, 1, 1]).unwrap()), &[]).unwrap();
    let sum = builder.node("sum", Operator::Binary(Binary::Add), &[larger, value]).unwrap();
    let turned = builder.node("turned", Operator::Reshape(Shape::new(&[1, 4, 147]).unwrap()), &[sum]).unwrap();
    let network = builder.finish(&[turned]).unwrap();
    let new = |limit| {
        let options = PlanOptions::new(1).memory_limit(limit);
        ForwardPass::new(&network, &mut Synthetic::new(&network, 1), &oracle_only, &options)
    };
    let pass = new(usize::MAX).unwrap();
    let memory = pass.memory();
    let names: Vec<_> = memory.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["larger", "sum", "turned"], "a constant is none");
    let prepared: usize = memory.layers.iter().map(|layer| layer.prepared_bytes).sum();
    assert_eq!(memory.prepared_bytes, prepared + 4 * 3);
    assert!(memory.layers[0].prepared_bytes >= 4 * (3 * 3 * 2 * 2 + 3));
    assert_eq!(memory.scratch_bytes, memory.layers.iter().map(|layer| layer.scratch_bytes).max().unwrap());
    let map = 4 * 3 * 14 * 14;
    assert_eq!(memory.layers[2].scratch_bytes, map);
    assert_eq!(memory.least_activation_bytes, 2 * map);
    assert!((2 * map..2 * map + 2 * 4 * 16).contains(&memory.activation_bytes));
    let total = memory.total_bytes();
    assert!(new(total).is_ok());
    for (limit, layer) in [(0, "net/larger"), (memory.activation_bytes, "net/larger"), (total - 1, "net/turned")] {
        let error = new(limit).err().unwrap();
        assert!(
            matches!(&error, ForwardError::Memory { layer: at, needed, limit: l }
            if at == layer && *needed > *l as u128 && *l == limit && *needed <= total as u128),
            "{error}"
        );
    }
}

/// Of tables that are larger than what they are for, before they are made.
#[test]
fn memory_of_tables_is_asked_for() {
    let pass = |operator: &Operator, sizes: &[usize], limit: usize| {
        let mut builder = Builder::new("net");
        let input = builder.input("input", sizes).unwrap();
        let large = builder.node("large", operator.clone(), &[input]).unwrap();
        let least = Reduce { reduction: Reduction::Max, axes: vec![1, 2, 3], keep: true };
        let least = builder.node("least", Operator::Reduce(least), &[large]).unwrap();
        let network = builder.finish(&[least]).unwrap();
        let options = PlanOptions::new(1).memory_limit(limit);
        ForwardPass::new(&network, &mut Synthetic::new(&network, 1), &oracle_only, &options)
    };
    let resize = |width| {
        let scales = [1.0, width as f32];
        let how = Resampling { mode: ResizeMode::Linear, coordinates: Coordinates::HalfPixel, scales };
        Operator::Resize(Resize { size: [1, width], how })
    };
    let pad = |width: isize| {
        let amounts = vec![[0, 0], [0, 0], [0, 0], [0, width]];
        Operator::Pad(Pad { amounts, mode: PadMode::Edge })
    };
    let transposed = |kernel, stride| {
        let long = Window { kernel, stride, ..Window::point() };
        let windows = [Window::point(), long];
        Operator::ConvTranspose(ConvTranspose {
            out_channels: 1,
            windows,
            output_padding: [0; 2],
            groups: 1,
            bias: true,
        })
    };
    let normalisation = Operator::BatchNormalization(BatchNormalization { epsilon: 1e-5 });
    let point = [1, 1, 1, 1];
    for (operator, sizes, bytes) in [
        // More than any machine has.
        (resize(1 << 33), point, 1_u128 << 35),
        (pad(1 << 33), point, 1 << 35),
        (normalisation.clone(), [1, 1 << 33, 1, 1], 1 << 36),
        (transposed(1 << 24, 1 << 24), point, 1 << 26),
        // Of less, what there is beside activations.
        (resize(1 << 22), point, 28 << 22),
        (pad(1 << 22), point, 20 << 22),
        (transposed(1 << 20, 1 << 24), point, 12 << 20),
        (normalisation, [1, 1 << 20, 1, 1], 32 << 20),
    ] {
        // With the activations there would be room.
        let error = pass(&operator, &sizes, bytes.min(1 << 30) as usize - 1).err();
        let error = error.unwrap_or_else(|| panic!("{operator:?} is planned within {bytes} bytes"));
        assert!(matches!(error, ForwardError::Memory { needed, limit, .. } if needed > limit as u128), "{error}");
    }
    // And it is planned within what the plan says.
    for operator in [resize(100), pad(100), transposed(100, 7), transposed(9, 1 << 24)] {
        let planned = pass(&operator, &point, usize::MAX).unwrap().memory().clone();
        assert!(planned.layers[0].prepared_bytes > 100, "{planned:?}");
        assert!(pass(&operator, &point, planned.total_bytes() + 1024).is_ok(), "{operator:?}");
    }
}

/// A stride that reaches from one element of a long filter to far behind the last.
#[test]
fn transposed_convolutions_of_any_stride_are_planned_at_once() {
    const KERNEL: usize = 1 << 16;
    let mut builder = Builder::new("net");
    let input = builder.input("input", &[1, 1, 1, 1]).unwrap();
    let windows = [Window::point(), Window { kernel: KERNEL, stride: 1 << 24, ..Window::point() }];
    let conv = ConvTranspose { out_channels: 1, windows, output_padding: [0; 2], groups: 1, bias: false };
    let output = builder.node("conv", Operator::ConvTranspose(conv), &[input]).unwrap();
    let network = builder.finish(&[output]).unwrap();
    let weights = Kept::of(&network, &mut Synthetic::new(&network, 1)).unwrap();
    let begin = std::time::Instant::now();
    let mut pass =
        ForwardPass::new(&network, &mut Synthetic::new(&network, 1), &oracle_only, &PlanOptions::new(1)).unwrap();
    pass.run(&[&[2.0]], &mut ()).unwrap();
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
    let expected: Vec<f32> = weights.layers[0].weights().iter().map(|weight| 2.0 * weight).collect();
    assert_eq!(pass.output(0).unwrap(), expected);
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = &small_networks(1)[0];
    let options = PlanOptions::new(1);
    let new = |network: &Network, weights: &mut dyn Weights| {
        ForwardPass::new(network, weights, &oracle_only, &options) //
    };
    let mut weights = Synthetic::new(network, 1);
    let mut pass = new(network, &mut weights).unwrap();
    let error = pass.run(&[&[0.0; 7]], &mut ());
    assert_eq!(error, Err(RunError::Length { buffer: "input", got: 7, expected: 23 * 19 * 3 }));
    for inputs in [&[][..], &[&[0.0; 23 * 19 * 3][..]; 2]] {
        let error = pass.run(inputs, &mut ());
        assert_eq!(error, Err(RunError::Length { buffer: "inputs", got: inputs.len(), expected: 1 }));
    }

    let mut weights = Kept::of(network, &mut weights).unwrap();
    weights.layers.remove(2);
    let error = new(network, &mut weights).err().unwrap();
    assert_eq!(error.to_string(), "tails/layer6 by test/oracle: there are no weights for layer6");

    let strided = self::network("tails", 1, Map::new(23, 19, 3), &[conv(1, 7, 7, 0, 1)]);
    let error = new(&strided, &mut Synthetic::new(&strided, 1)).err().unwrap();
    assert!(matches!(&error, ForwardError::Plan { algorithm, source: PlanError::Unsupported(_), .. }
        if algorithm == "test/oracle"));

    let mut builder = Builder::new("net");
    let input = builder.input("input", &[1, 3, 4, 4]).unwrap();
    let opaque = Opaque { operator: "NonMaxSuppression".into(), reason: "is not computed".into() };
    let boxes = builder.opaque("nms", opaque, &[input], vec![("boxes".into(), None)]).unwrap()[0];
    let unknown = builder.clone().node("relu", RELU, &[boxes]).unwrap_err();
    assert_eq!(unknown, NetworkError::UnknownShape { value: "net/boxes".into() });
    assert_eq!(unknown.to_string(), "the shape of net/boxes is not known");
    let network = builder.finish(&[boxes]).unwrap();
    let error = new(&network, &mut Kept::default()).err().unwrap().to_string();
    assert!(error.starts_with("net/nms (NonMaxSuppression) is not computed;"), "{error}");
}

/// A constant or a normalisation whose weights are missing is named, too.
#[test]
fn constants_that_are_missing_are_named() {
    let mut builder = Builder::new("net");
    let input = builder.input("input", &[1, 3, 4, 4]).unwrap();
    let value = builder.node("value", Operator::Constant(Shape::new(&[3, 1, 1]).unwrap()), &[]).unwrap();
    let sum = builder.node("sum", Operator::Binary(Binary::Add), &[input, value]).unwrap();
    let factor = builder.node("factor", Operator::Affine(Affine), &[sum]).unwrap();
    let network = builder.finish(&[factor]).unwrap();
    for (removed, expected) in [
        ("value", "net/value by Constant: there are no weights for value"),
        ("factor", "net/factor by Affine: there are no weights for factor"),
    ] {
        let mut weights = Kept::of(&network, &mut Synthetic::new(&network, 1)).unwrap();
        weights.layers.retain(|layer| layer.name != removed);
        let error = ForwardPass::new(&network, &mut weights, &oracle_only, &PlanOptions::new(1)).err().unwrap();
        assert_eq!(error.to_string(), expected);
    }
    let mut weights = Synthetic::new(&network, 1);
    let error = ForwardPass::new(&network, &mut weights, &oracle_only, &PlanOptions::new(1).memory_limit(0));
    let error = error.err().unwrap();
    assert!(matches!(&error, ForwardError::Memory { layer, limit: 0, .. } if layer == "net/value"), "{error}");
}

/// Half of the activations after a ReLU should live, and their mean square stay near that of a normalised photograph
/// from the first layer to the last: synthetic passes are then as hard on an algorithm's rounding as trained ones.
#[test]
fn synthetic_activations_neither_vanish_nor_explode() {
    let photograph = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("images/chelsea.jpg");
    for (preset, seed) in presets().iter().zip([0, 1]) {
        let network = &preset.network(1).unwrap();
        let input = network.shape(network.inputs()[0]).unwrap().map().unwrap();
        let image = conv_net::read_image(&photograph, input).unwrap();
        let mut weights = Synthetic::new(network, seed);
        let mut pass = ForwardPass::new(network, &mut weights, &oracle_only, &PlanOptions::new(2)).unwrap();
        let mut outputs = Outputs::default();
        pass.run(&[&image], &mut outputs).unwrap();
        for (layer, output) in pass.memory().layers.iter().zip(&outputs.0) {
            let len = output.len() as f64;
            let root_mean_square = (output.iter().map(|&x| f64::from(x * x)).sum::<f64>() / len).sqrt();
            let alive = output.iter().filter(|&&x| x != 0.0).count() as f64 / len;
            let name = format!("{}/{}, seed {seed}: root mean square {root_mean_square}", preset.name, layer.name);
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
    let network = &paper(3).unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let choose = |problem: &conv_core::Problem| {
        seen.lock().unwrap().push(problem.to_string());
        oracle_only(problem)
    };
    let mut weights = Synthetic::new(network, 0);
    ForwardPass::new(network, &mut weights, &choose, &PlanOptions::new(1)).unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 8);
    assert_eq!(seen[1], "g2mb3ic96ih27oc256oh27kh5ph2n\"paper/conv2\"");
    assert_eq!(seen[5], "mb3ic256ih6oc4096oh1kh6ph0n\"paper/fc6\"");
}
