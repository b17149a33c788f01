//! A whole network in f64, by the formulas of ONNX's operators: no plan, no algorithm, nothing of the crate but the
//! network's data.
//!
//! Tensors are in the order in which frameworks write: `[n][c][h][w]`.

// Each test file uses a part of this.
#![allow(dead_code)]

use conv_net::{
    Activation, AveragePool, Binary, Conv, ConvTranspose, Coordinates, Lrn, Network, Node, Operator, PadMode, Pool,
    Reduction, Resampling, ResizeMode, Rounding, Softmax, Window,
};
use rayon::prelude::*;

use crate::common::Kept;

/// A tensor.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub sizes: Vec<usize>,
    pub values: Vec<f64>,
}

/// Every place of a tensor, in order.
fn places(sizes: &[usize]) -> Vec<Vec<usize>> {
    (0..sizes.iter().product()).map(|at| place(sizes, at)).collect()
}

fn place(sizes: &[usize], mut at: usize) -> Vec<usize> {
    let mut place = vec![0; sizes.len()];
    for axis in (0..sizes.len()).rev() {
        place[axis] = at % sizes[axis];
        at /= sizes[axis];
    }
    place
}

impl Tensor {
    fn new(sizes: &[usize], value: impl Fn(&[usize]) -> f64 + Sync) -> Tensor {
        let count: usize = sizes.iter().product();
        let values = (0..count).into_par_iter().with_min_len(256).map(|at| value(&place(sizes, at))).collect();
        Tensor { sizes: sizes.to_vec(), values }
    }

    fn index(&self, place: &[usize]) -> usize {
        assert_eq!(place.len(), self.sizes.len());
        place.iter().zip(&self.sizes).fold(0, |index, (&at, &size)| {
            assert!(at < size);
            index * size + at
        })
    }

    fn at(&self, place: &[usize]) -> f64 {
        self.values[self.index(place)]
    }

    /// The value at a position of a map that may lie outside.
    fn pixel(&self, [n, c]: [usize; 2], [y, x]: [isize; 2]) -> Option<f64> {
        let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        (y < self.sizes[2] && x < self.sizes[3]).then(|| self.at(&[n, c, y, x]))
    }

    /// With a height and a width, even if they are 1.
    fn as_maps(&self) -> Tensor {
        let sizes = match self.sizes[..] {
            [n, c] => vec![n, c, 1, 1],
            [n, c, w] => vec![n, c, 1, w],
            _ => self.sizes.clone(),
        };
        assert_eq!(sizes.len(), 4);
        Tensor { sizes, values: self.values.clone() }
    }

    /// The same elements in another shape.
    fn reshaped(self, sizes: &[usize]) -> Tensor {
        assert_eq!(sizes.iter().product::<usize>(), self.values.len());
        Tensor { sizes: sizes.to_vec(), values: self.values }
    }

    fn map(&self, function: impl Fn(f64) -> f64) -> Tensor {
        Tensor { sizes: self.sizes.clone(), values: self.values.iter().map(|&x| function(x)).collect() }
    }

    /// Places in the order of memory: channels last, from three dimensions on.
    fn in_order_of_memory(sizes: &[usize]) -> Vec<Vec<usize>> {
        if sizes.len() < 3 {
            return places(sizes);
        }
        let mut stored = sizes.to_vec();
        stored[1..].rotate_left(1);
        let mut places = places(&stored);
        places.iter_mut().for_each(|place| place[1..].rotate_right(1));
        places
    }

    /// A tensor from floats as they are in memory.
    pub fn of_memory(sizes: &[usize], floats: &[f32]) -> Tensor {
        let mut tensor = Tensor { sizes: sizes.to_vec(), values: vec![f64::NAN; floats.len()] };
        for (place, &float) in Tensor::in_order_of_memory(sizes).iter().zip(floats) {
            let index = tensor.index(place);
            tensor.values[index] = f64::from(float);
        }
        tensor
    }

    /// The elements in the order of memory.
    pub fn in_memory(&self) -> Vec<f64> {
        Tensor::in_order_of_memory(&self.sizes).iter().map(|place| self.at(place)).collect()
    }
}

/// Every value of `network`, by its index, computed from inputs as they are in memory.
pub fn forward(network: &Network, weights: &Kept, inputs: &[&[f32]]) -> Vec<Tensor> {
    let nothing = Tensor { sizes: vec![], values: vec![] };
    let mut values = vec![nothing; network.values().len()];
    assert_eq!(inputs.len(), network.inputs().len());
    for (&id, floats) in network.inputs().iter().zip(inputs) {
        values[id.index()] = Tensor::of_memory(network.shape(id).unwrap().sizes(), floats);
    }
    for node in network.nodes() {
        let read: Vec<&Tensor> = node.inputs.iter().map(|input| &values[input.index()]).collect();
        let constants: Vec<&[f32]> =
            weights.get(&node.name).map_or_else(Vec::new, |kept| kept.constants.iter().map(|c| &c[..]).collect());
        let result = compute(node, &read, &constants);
        let shape = network.shape(node.outputs[0]).unwrap().sizes();
        let without_ones = |sizes: &[usize]| sizes.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
        assert_eq!(without_ones(&result.sizes), without_ones(shape), "{}", node.name);
        values[node.outputs[0].index()] = result.reshaped(shape);
    }
    values
}

fn compute(node: &Node, inputs: &[&Tensor], constants: &[&[f32]]) -> Tensor {
    let constant = |index: usize, at: usize| f64::from(constants[index][at]);
    match &node.operator {
        Operator::Conv(conv) => convolve(&inputs[0].as_maps(), conv, constants),
        Operator::ConvTranspose(conv) => transposed(&inputs[0].as_maps(), conv, constants),
        Operator::Linear(linear) => {
            let features = inputs[0].values.len() / inputs[0].sizes[0];
            Tensor::new(&[inputs[0].sizes[0], linear.out_features], |place| {
                let [n, out] = place[..] else { unreachable!() };
                let bias = if constants.len() > 1 { constant(1, out) } else { 0.0 };
                let products = (0..features)
                    .map(|feature| inputs[0].values[n * features + feature] * constant(0, out * features + feature));
                bias + products.sum::<f64>()
            })
        }
        Operator::MaxPool(pool) => max_pool(&inputs[0].as_maps(), pool),
        Operator::AveragePool(average) => average_pool(&inputs[0].as_maps(), average),
        Operator::Lrn(lrn) => normalise(&inputs[0].as_maps(), lrn),
        Operator::BatchNormalization(normalisation) => Tensor::new(&inputs[0].sizes, |place| {
            let c = place[1];
            let deviation = (constant(3, c) + f64::from(normalisation.epsilon)).sqrt();
            (inputs[0].at(place) - constant(2, c)) / deviation * constant(0, c) + constant(1, c)
        }),
        Operator::Affine(_) => Tensor::new(&inputs[0].sizes, |place| {
            inputs[0].at(place) * constant(0, place[1]) + constant(1, place[1]) //
        }),
        Operator::Softmax(over) => softmax(inputs[0], over),
        Operator::Activation(activation) => inputs[0].map(|x| activate(activation, x)),
        Operator::Binary(binary) => {
            let (a, b) = (inputs[0], inputs[1]);
            let rank = a.sizes.len().max(b.sizes.len());
            // From the last axis on; of a size of 1 the only element.
            let size = |tensor: &Tensor, axis: usize| {
                (axis + tensor.sizes.len()).checked_sub(rank).map_or(1, |own| tensor.sizes[own])
            };
            let sizes: Vec<usize> = (0..rank).map(|axis| size(a, axis).max(size(b, axis))).collect();
            let of = |tensor: &Tensor, place: &[usize]| {
                let own = &place[rank - tensor.sizes.len()..];
                let own: Vec<usize> =
                    own.iter().zip(&tensor.sizes).map(|(&at, &size)| if size == 1 { 0 } else { at }).collect();
                tensor.at(&own)
            };
            Tensor::new(&sizes, |place| both(*binary, of(a, place), of(b, place)))
        }
        Operator::Reduce(reduce) => {
            let input = inputs[0];
            let of = |axis: &usize| reduce.axes.contains(axis);
            let sizes = (0..input.sizes.len()).map(|axis| if of(&axis) { 1 } else { input.sizes[axis] });
            let sizes: Vec<usize> = sizes.collect();
            Tensor::new(&sizes, |place| {
                let within = (0..input.sizes.len()).map(|axis| if of(&axis) { input.sizes[axis] } else { 1 });
                let elements = places(&within.collect::<Vec<_>>()).into_iter().map(|offset| {
                    input.at(&offset.iter().zip(place).map(|(offset, at)| offset + at).collect::<Vec<_>>()) //
                });
                reduced(reduce.reduction, &elements.collect::<Vec<_>>())
            })
        }
        Operator::Concat(concat) => {
            let mut sizes = inputs[0].sizes.clone();
            sizes[concat.axis] = inputs.iter().map(|input| input.sizes[concat.axis]).sum();
            Tensor::new(&sizes, |place| {
                let mut place = place.to_vec();
                let mut from = inputs.iter();
                loop {
                    let input = from.next().unwrap();
                    if place[concat.axis] < input.sizes[concat.axis] {
                        return input.at(&place);
                    }
                    place[concat.axis] -= input.sizes[concat.axis];
                }
            })
        }
        Operator::Slice(slice) => Tensor::new(&slice.sizes, |place| {
            let from = |axis: usize| (slice.starts[axis] as isize + place[axis] as isize * slice.steps[axis]) as usize;
            inputs[0].at(&(0..place.len()).map(from).collect::<Vec<_>>())
        }),
        Operator::Pad(pad) => {
            let input = inputs[0];
            let sizes = input.sizes.iter().zip(&pad.amounts);
            let sizes = sizes.map(|(&size, &[before, after])| (size as isize + before + after) as usize);
            Tensor::new(&sizes.collect::<Vec<_>>(), |place| {
                let mut from = Vec::new();
                for (axis, &at) in place.iter().enumerate() {
                    let last = input.sizes[axis] as isize - 1;
                    let mut at = at as isize - pad.amounts[axis][0];
                    while !(0..=last).contains(&at) {
                        at = match pad.mode {
                            PadMode::Constant(value) => return f64::from(value),
                            PadMode::Edge => at.clamp(0, last),
                            PadMode::Reflect if at < 0 => -at,
                            PadMode::Reflect => 2 * last - at,
                        };
                    }
                    from.push(at as usize);
                }
                input.at(&from)
            })
        }
        Operator::Resize(resize) => resized(&inputs[0].as_maps(), resize.size, &resize.how),
        Operator::Reshape(shape) => inputs[0].clone().reshaped(shape.sizes()),
        Operator::Transpose(transpose) => {
            let sizes: Vec<usize> = transpose.permutation.iter().map(|&axis| inputs[0].sizes[axis]).collect();
            Tensor::new(&sizes, |place| {
                let mut from = vec![0; place.len()];
                transpose.permutation.iter().zip(place).for_each(|(&axis, &at)| from[axis] = at);
                inputs[0].at(&from)
            })
        }
        // [n][groups][members] to [n][members][groups].
        Operator::ChannelShuffle { groups } => Tensor::new(&inputs[0].sizes, |place| {
            let members = inputs[0].sizes[1] / groups;
            let mut from = place.to_vec();
            from[1] = place[1] % groups * members + place[1] / groups;
            inputs[0].at(&from)
        }),
        Operator::Constant(shape) => {
            let values = constants[0].iter().map(|&x| f64::from(x)).collect();
            Tensor { sizes: shape.sizes().to_vec(), values }
        }
        Operator::Opaque(_) => panic!("{} is not computed", node.name),
    }
}

/// Where a window's element lies.
fn position(window: Window, output: usize, element: usize) -> isize {
    (output * window.stride + element * window.dilation) as isize - window.pad[0] as isize
}

fn convolve(input: &Tensor, conv: &Conv, constants: &[&[f32]]) -> Tensor {
    let [vertical, horizontal] = conv.windows;
    let output = |size: usize, window: Window| {
        (size + window.pad[0] + window.pad[1] - (window.kernel - 1) * window.dilation - 1) / window.stride + 1
    };
    let sizes =
        [input.sizes[0], conv.out_channels, output(input.sizes[2], vertical), output(input.sizes[3], horizontal)];
    let (group_in, group_out) = (input.sizes[1] / conv.groups, conv.out_channels / conv.groups);
    let (kh, kw) = (vertical.kernel, horizontal.kernel);
    Tensor::new(&sizes, |place| {
        let [n, k, y, x] = place[..] else { unreachable!() };
        let mut sum = constants.get(1).map_or(0.0, |bias| f64::from(bias[k]));
        for (r, s, c) in (0..kh * kw * group_in).map(|i| (i / kw % kh, i % kw, i / (kh * kw))) {
            let weight = constants[0][((k * group_in + c) * kh + r) * kw + s];
            let at = [position(vertical, y, r), position(horizontal, x, s)];
            let value = input.pixel([n, k / group_out * group_in + c], at);
            sum += value.unwrap_or(0.0) * f64::from(weight);
        }
        sum
    })
}

fn transposed(input: &Tensor, conv: &ConvTranspose, constants: &[&[f32]]) -> Tensor {
    let output = |axis: usize| {
        let Window { kernel, stride, pad, dilation } = conv.windows[axis];
        let all = stride * (input.sizes[2 + axis] - 1) + conv.output_padding[axis] + (kernel - 1) * dilation + 1;
        all - pad[0] - pad[1]
    };
    let sizes = [input.sizes[0], conv.out_channels, output(0), output(1)];
    let mut result = Tensor::new(&sizes, |place| constants.get(1).map_or(0.0, |bias| f64::from(bias[place[1]])));
    let (group_in, group_out) = (input.sizes[1] / conv.groups, conv.out_channels / conv.groups);
    let [kh, kw] = conv.windows.map(|window| window.kernel);
    for (from, value) in places(&input.sizes).iter().zip(&input.values) {
        let [n, c, y, x] = from[..] else { unreachable!() };
        for (k, r, s) in (0..group_out * kh * kw).map(|i| (i / (kh * kw), i / kw % kh, i % kw)) {
            let at = [position(conv.windows[0], y, r), position(conv.windows[1], x, s)];
            let inside = (0..sizes[2] as isize).contains(&at[0]) && (0..sizes[3] as isize).contains(&at[1]);
            if inside {
                let index = result.index(&[n, c / group_in * group_out + k, at[0] as usize, at[1] as usize]);
                result.values[index] += value * f64::from(constants[0][((c * group_out + k) * kh + r) * kw + s]);
            }
        }
    }
    result
}

fn normalise(input: &Tensor, lrn: &Lrn) -> Tensor {
    Tensor::new(&input.sizes, |place| {
        let [n, c, y, x] = place[..] else { unreachable!() };
        let window = c.saturating_sub(lrn.size / 2)..input.sizes[1].min(c + lrn.size / 2 + 1);
        let sum: f64 = window.map(|c| input.at(&[n, c, y, x]).powi(2)).sum();
        input.at(place) / (f64::from(lrn.k) + f64::from(lrn.alpha) * sum).powf(f64::from(lrn.beta))
    })
}

fn max_pool(input: &Tensor, pool: &Pool) -> Tensor {
    pooled(input, pool, |window| {
        window.iter().filter_map(|(_, value)| *value).reduce(f64::max).expect("a window holds something")
    })
}

fn average_pool(input: &Tensor, average: &AveragePool) -> Tensor {
    pooled(input, &average.pool, |window| {
        let sum: f64 = window.iter().filter_map(|(_, value)| *value).sum();
        let counted = window.iter().filter(|(padded, value)| value.is_some() || *padded && average.count_padding);
        sum / counted.count() as f64
    })
}

/// `reduce` of each window's elements: whether it is in the map or its padding, and its value in the map.
fn pooled(input: &Tensor, pool: &Pool, reduce: impl Fn(&[(bool, Option<f64>)]) -> f64 + Sync) -> Tensor {
    let sizes = [input.sizes[2], input.sizes[3]];
    let output = |axis: usize| {
        let Window { kernel, stride, pad, .. } = pool.windows[axis];
        // Windows one by one, as far as they fit; with ceil also one that begins before the padding at the end.
        let fits = |o: usize| o * stride + kernel <= sizes[axis] + pad[0] + pad[1];
        let whole = (0..).take_while(|&o| fits(o)).count();
        let left_over = (whole - 1) * stride + kernel < sizes[axis] + pad[0] + pad[1];
        whole + usize::from(pool.ceil && left_over && whole * stride < sizes[axis] + pad[0])
    };
    let [vertical, horizontal] = pool.windows;
    Tensor::new(&[input.sizes[0], input.sizes[1], output(0), output(1)], |place| {
        let [n, c, y, x] = place[..] else { unreachable!() };
        let mut window = Vec::new();
        for r in 0..vertical.kernel {
            for s in 0..horizontal.kernel {
                let at = [position(vertical, y, r), position(horizontal, x, s)];
                let end = [0, 1].map(|axis| (sizes[axis] + pool.windows[axis].pad[1]) as isize);
                window.push((at[0] < end[0] && at[1] < end[1], input.pixel([n, c], at)));
            }
        }
        reduce(&window)
    })
}

fn softmax(input: &Tensor, over: &Softmax) -> Tensor {
    let sizes = &input.sizes;
    let summed = |axis: usize| (over.axis..over.end).contains(&axis);
    let whole: Vec<usize> = (0..sizes.len()).map(|axis| if summed(axis) { sizes[axis] } else { 1 }).collect();
    Tensor::new(sizes, |place| {
        let elements = places(&whole).into_iter().map(|within| {
            let at = (0..sizes.len()).map(|axis| if summed(axis) { within[axis] } else { place[axis] });
            input.at(&at.collect::<Vec<_>>())
        });
        let sum: f64 = elements.map(f64::exp).sum();
        if over.log { input.at(place) - sum.ln() } else { input.at(place).exp() / sum }
    })
}

/// The error function by its series without cancellation.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, 0.0);
    for n in 1..400 {
        sum += term;
        term *= 2.0 * x * x / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

fn activate(activation: &Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match *activation {
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu { slope } => {
            if x < 0.0 {
                f64::from(slope) * x
            } else {
                x
            }
        }
        Activation::Clip { low, high } => x.max(f64::from(low)).min(f64::from(high)),
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::Silu => x * sigmoid(x),
        Activation::Mish => x * x.exp().ln_1p().tanh(),
        Activation::Tanh => x.tanh(),
        Activation::Elu { alpha } => {
            if x < 0.0 {
                f64::from(alpha) * x.exp_m1()
            } else {
                x
            }
        }
        Activation::Softplus => x.exp().ln_1p(),
        Activation::Exp => x.exp(),
        Activation::Log => x.ln(),
        Activation::Sqrt => x.sqrt(),
        Activation::Abs => x.abs(),
        Activation::Neg => -x,
        Activation::Reciprocal => 1.0 / x,
        Activation::Erf => erf(x),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2.0_f64.sqrt())),
        Activation::Floor => x.floor(),
        Activation::Ceil => x.ceil(),
    }
}

fn both(binary: Binary, a: f64, b: f64) -> f64 {
    match binary {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
        Binary::Pow => a.powf(b),
        Binary::PRelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
    }
}

fn reduced(reduction: Reduction, elements: &[f64]) -> f64 {
    let sum = elements.iter().sum::<f64>();
    let squares = elements.iter().map(|x| x * x).sum::<f64>();
    match reduction {
        Reduction::Mean => sum / elements.len() as f64,
        Reduction::Sum => sum,
        Reduction::Max => elements.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Reduction::Min => elements.iter().copied().fold(f64::INFINITY, f64::min),
        Reduction::SumSquare => squares,
        Reduction::L2 => squares.sqrt(),
    }
}

fn resized(input: &Tensor, size: [usize; 2], how: &Resampling) -> Tensor {
    // Of each axis the elements that make up one of the output, and their weights.
    let sources = |axis: usize, at: usize| -> Vec<(usize, f64)> {
        let (last, output) = (input.sizes[2 + axis] - 1, size[axis]);
        // In f32, as implementations compute it, lest what is half-way be another's.
        let (x, scale) = (at as f32, how.scales[axis]);
        let original = f64::from(match how.coordinates {
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if output == 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::AlignCorners => x * last as f32 / (output - 1) as f32,
            Coordinates::Asymmetric => x / scale,
        });
        let inside = |position: f64| position.clamp(0.0, last as f64) as usize;
        match how.mode {
            ResizeMode::Nearest(rounding) => {
                let half = original - original.floor() == 0.5;
                let nearest = match rounding {
                    Rounding::Floor => original.floor(),
                    Rounding::RoundPreferFloor if half => original.floor(),
                    Rounding::Ceil => original.ceil(),
                    Rounding::RoundPreferCeil if half => original.ceil(),
                    _ => original.round(),
                };
                vec![(inside(nearest), 1.0)]
            }
            ResizeMode::Linear => {
                let ratio = original - original.floor();
                vec![(inside(original.floor()), 1.0 - ratio), (inside(original.floor() + 1.0), ratio)]
            }
        }
    };
    Tensor::new(&[input.sizes[0], input.sizes[1], size[0], size[1]], |place| {
        let [n, c, y, x] = place[..] else { unreachable!() };
        let mut sum = 0.0;
        for (y, vertical) in sources(0, y) {
            for (x, horizontal) in sources(1, x) {
                sum += vertical * horizontal * input.at(&[n, c, y, x]);
            }
        }
        sum
    })
}
