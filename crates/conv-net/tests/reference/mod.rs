//! A whole network in f64, by the formulas: no plan, no algorithm, nothing of the crate but the network's data.
//!
//! Activations `[height][width][channels]` of one image.

use conv_net::{AveragePool, LayerKind, Lrn, Network, Pool, Shape, Window};
use rayon::prelude::*;

use crate::common::Kept;

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
pub fn forward(network: &Network, weights: &Kept, image: &[f32]) -> Vec<(String, Map)> {
    let input = Map { shape: network.input, values: image.iter().map(|&x| f64::from(x)).collect() };
    let mut maps: Vec<(String, Map)> = Vec::new();
    for layer in &network.layers {
        let input = maps.last().map_or(&input, |(_, map)| map);
        let filter = weights.get(&layer.name).map(|layer| (&layer.weights[..], &layer.bias[..]));
        let map = match layer.kind {
            LayerKind::Conv(conv) => {
                convolve(input, conv.windows, [conv.out_channels, conv.groups], filter.unwrap(), conv.relu)
            }
            LayerKind::Linear(linear) => {
                // Torch's flattened weights are those of a filter as large as the map.
                let window = |kernel| Window { kernel, stride: 1, pad: [0; 2], dilation: 1 };
                let windows = [window(input.shape.height), window(input.shape.width)];
                convolve(input, windows, [linear.out_features, 1], filter.unwrap(), linear.relu)
            }
            LayerKind::Lrn(lrn) => normalise(input, &lrn),
            LayerKind::MaxPool(pool) => max_pool(input, &pool),
            LayerKind::AveragePool(average) => average_pool(input, &average),
            LayerKind::Relu => Map::new(input.shape, |y, x, c| input.at(y as isize, x as isize, c).unwrap().max(0.0)),
            LayerKind::Softmax => softmax(input),
            LayerKind::Dropout => continue,
        };
        maps.push((layer.name.clone(), map));
    }
    maps
}

fn convolve(
    input: &Map,
    [vertical, horizontal]: [Window; 2],
    [out_channels, groups]: [usize; 2],
    (weights, bias): (&[f32], &[f32]),
    relu: bool,
) -> Map {
    let output = |size: usize, window: Window| {
        (size + window.pad[0] + window.pad[1] - (window.kernel - 1) * window.dilation - 1) / window.stride + 1
    };
    let size = [output(input.shape.height, vertical), output(input.shape.width, horizontal)];
    let (group_in, group_out) = (input.shape.channels / groups, out_channels / groups);
    let (kh, kw) = (vertical.kernel, horizontal.kernel);
    Map::new(Shape::new(size[0], size[1], out_channels), |y, x, k| {
        let mut sum = f64::from(bias[k]);
        for r in 0..kh {
            for s in 0..kw {
                let y = (y * vertical.stride + r * vertical.dilation) as isize - vertical.pad[0] as isize;
                let x = (x * horizontal.stride + s * horizontal.dilation) as isize - horizontal.pad[0] as isize;
                for c in 0..group_in {
                    let weight = weights[((k * group_in + c) * kh + r) * kw + s];
                    sum += input.at(y, x, k / group_out * group_in + c).unwrap_or(0.0) * f64::from(weight);
                }
            }
        }
        if relu { sum.max(0.0) } else { sum }
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

fn max_pool(input: &Map, pool: &Pool) -> Map {
    pooled(input, pool, |window| {
        window.iter().filter_map(|(_, value)| *value).reduce(f64::max).expect("a window holds something")
    })
}

fn average_pool(input: &Map, average: &AveragePool) -> Map {
    pooled(input, &average.pool, |window| {
        let sum: f64 = window.iter().filter_map(|(_, value)| *value).sum();
        let counted = window.iter().filter(|(padded, value)| value.is_some() || *padded && average.count_padding);
        sum / counted.count() as f64
    })
}

/// `reduce` of each window's elements: whether it is in the map or its padding, and its value in the map.
fn pooled(input: &Map, pool: &Pool, reduce: impl Fn(&[(bool, Option<f64>)]) -> f64 + Sync) -> Map {
    let sizes = [input.shape.height, input.shape.width];
    let output = |axis: usize| {
        let Window { kernel, stride, pad, .. } = pool.windows[axis];
        // Windows one by one, as far as they fit; with ceil also one that begins before the padding at the end.
        let fits = |o: usize| o * stride + kernel <= sizes[axis] + pad[0] + pad[1];
        let whole = (0..).take_while(|&o| fits(o)).count();
        let left_over = (whole - 1) * stride + kernel < sizes[axis] + pad[0] + pad[1];
        whole + usize::from(pool.ceil && left_over && whole * stride < sizes[axis] + pad[0])
    };
    let [vertical, horizontal] = pool.windows;
    Map::new(Shape::new(output(0), output(1), input.shape.channels), |y, x, c| {
        let mut window = Vec::new();
        for r in 0..vertical.kernel {
            for s in 0..horizontal.kernel {
                let (y, x) = (y * vertical.stride + r, x * horizontal.stride + s);
                let padded = y < sizes[0] + vertical.pad[0] + vertical.pad[1]
                    && x < sizes[1] + horizontal.pad[0] + horizontal.pad[1];
                let (y, x) = (y as isize - vertical.pad[0] as isize, x as isize - horizontal.pad[0] as isize);
                window.push((padded, input.at(y, x, c)));
            }
        }
        reduce(&window)
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
