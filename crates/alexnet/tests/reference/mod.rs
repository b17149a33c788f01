//! A whole network in f64, by the formulas: no plan, no algorithm, nothing of the crate but the network's data.
//!
//! Activations `[height][width][channels]` of one image.

use alexnet::{Conv, LayerKind, Lrn, MaxPool, Network, Shape, Weights};
use rayon::prelude::*;

/// One image's activations.
#[derive(Debug, Clone)]
pub struct Map {
    pub shape: Shape,
    pub values: Vec<f64>,
}

impl Map {
    fn new(shape: Shape, value: impl Fn(usize, usize, usize) -> f64 + Sync) -> Map {
        let mut values = vec![0.0; shape.floats()];
        values.par_chunks_mut(shape.channels).enumerate().for_each(|(pixel, values)| {
            for (c, slot) in values.iter_mut().enumerate() {
                *slot = value(pixel / shape.width, pixel % shape.width, c);
            }
        });
        Map { shape, values }
    }

    /// The value at a position that may lie outside.
    fn at(&self, y: isize, x: isize, c: usize) -> Option<f64> {
        let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        let inside = y < self.shape.height && x < self.shape.width;
        inside.then(|| self.values[(y * self.shape.width + x) * self.shape.channels + c])
    }
}

/// What each layer of `network` computes from one image, dropout left out, and the layer's name.
pub fn forward(network: &Network, weights: &Weights, image: &[f32]) -> Vec<(String, Map)> {
    let input = Map { shape: network.input, values: image.iter().map(|&x| f64::from(x)).collect() };
    let mut maps: Vec<(String, Map)> = Vec::new();
    for layer in &network.layers {
        let input = maps.last().map_or(&input, |(_, map)| map);
        let filter = weights.get(&layer.name).map(|layer| (&layer.weights[..], &layer.bias[..]));
        let map = match layer.kind {
            LayerKind::Conv(conv) => convolve(input, &conv, [conv.kernel; 2], filter.unwrap()),
            LayerKind::Linear(linear) => {
                // Torch's flattened weights are those of a filter as large as the map.
                let size = [input.shape.height, input.shape.width];
                let conv = Conv {
                    out_channels: linear.out_features,
                    kernel: 0,
                    stride: 1,
                    pad: 0,
                    groups: 1,
                    relu: linear.relu,
                };
                convolve(input, &conv, size, filter.unwrap())
            }
            LayerKind::Lrn(lrn) => normalise(input, &lrn),
            LayerKind::MaxPool(pool) => max_pool(input, &pool),
            LayerKind::Softmax => softmax(input),
            LayerKind::Dropout => continue,
        };
        maps.push((layer.name.clone(), map));
    }
    maps
}

fn convolve(input: &Map, conv: &Conv, [kh, kw]: [usize; 2], (weights, bias): (&[f32], &[f32])) -> Map {
    let output = |size, kernel| (size + 2 * conv.pad - kernel) / conv.stride + 1;
    let shape = Shape::new(output(input.shape.height, kh), output(input.shape.width, kw), conv.out_channels);
    let (group_in, group_out) = (input.shape.channels / conv.groups, conv.out_channels / conv.groups);
    Map::new(shape, |y, x, k| {
        let mut sum = f64::from(bias[k]);
        for r in 0..kh {
            for s in 0..kw {
                let y = (y * conv.stride + r) as isize - conv.pad as isize;
                let x = (x * conv.stride + s) as isize - conv.pad as isize;
                for c in 0..group_in {
                    let weight = weights[((k * group_in + c) * kh + r) * kw + s];
                    sum += input.at(y, x, k / group_out * group_in + c).unwrap_or(0.0) * f64::from(weight);
                }
            }
        }
        if conv.relu { sum.max(0.0) } else { sum }
    })
}

fn normalise(input: &Map, lrn: &Lrn) -> Map {
    Map::new(input.shape, |y, x, c| {
        let value = |c| input.at(y as isize, x as isize, c).unwrap();
        let window = c.saturating_sub(lrn.size / 2)..input.shape.channels.min(c + lrn.size / 2 + 1);
        let sum: f64 = window.map(|c| value(c) * value(c)).sum();
        value(c) / (f64::from(lrn.k) + f64::from(lrn.alpha) * sum).powf(f64::from(lrn.beta))
    })
}

fn max_pool(input: &Map, pool: &MaxPool) -> Map {
    let output = |size| (size + 2 * pool.pad - pool.kernel) / pool.stride + 1;
    let shape = Shape::new(output(input.shape.height), output(input.shape.width), input.shape.channels);
    Map::new(shape, |y, x, c| {
        let start = |o| (o * pool.stride) as isize - pool.pad as isize;
        let window = (0..pool.kernel as isize).flat_map(|r| (0..pool.kernel as isize).map(move |s| (r, s)));
        let values = window.filter_map(|(r, s)| input.at(start(y) + r, start(x) + s, c));
        values.reduce(f64::max).expect("a window holds something")
    })
}

fn softmax(input: &Map) -> Map {
    let channels = input.shape.channels;
    let sums: Vec<f64> = input.values.chunks(channels).map(|pixel| pixel.iter().map(|x| x.exp()).sum()).collect();
    Map::new(input.shape, |y, x, c| {
        let pixel = y * input.shape.width + x;
        input.values[pixel * channels + c].exp() / sums[pixel]
    })
}
