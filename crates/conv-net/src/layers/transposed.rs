//! Transposed convolution.

use std::array;

use conv_simd::{Bounds, Isa, Simd, SimdOp};

use super::{for_each_chunk, read, task_len, write};

/// Packed weights of one input channel come in multiples of this many, of which every vector is a part.
const PACKED: usize = 16;

/// What a transposed convolution is of; pairs are along the height and the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransposedShape {
    /// Maps.
    pub batch: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Input channels of all groups.
    pub in_channels: usize,
    /// Output channels of all groups.
    pub out_channels: usize,
    /// Extents of the input.
    pub input: [usize; 2],
    /// Extents of the filter.
    pub kernel: [usize; 2],
    /// Output elements from one input to the next.
    pub stride: [usize; 2],
    /// Output elements from one element of the filter to the next.
    pub dilation: [usize; 2],
    /// Output elements that are cut off before the first.
    pub pad: [usize; 2],
    /// Extents of the output.
    pub output: [usize; 2],
}

impl TransposedShape {
    /// Remainders of outputs' indices along an axis by its stride.
    fn remainders(&self, axis: usize) -> usize {
        self.stride[axis].min(self.output[axis])
    }

    /// Whether each channel is a group.
    fn depthwise(&self) -> bool {
        self.groups == self.in_channels && self.groups == self.out_channels
    }

    /// Floats of one input channel's packed weights.
    fn packed_row(&self) -> usize {
        (self.out_channels / self.groups).next_multiple_of(PACKED)
    }

    /// Bytes that a [`TransposedConv`] keeps.
    pub(crate) fn prepared_bytes(&self) -> u128 {
        let row = if self.depthwise() { 1 } else { self.packed_row() };
        let weights = self.kernel.iter().chain([&self.in_channels, &row]).map(|&size| size as u128).product::<u128>();
        let others = (self.out_channels + self.in_channels / self.groups) as u128;
        let tables = [0, 1].map(|axis| {
            // Lists grow by doubling, and the shortest have room for four.
            let taps = 2 * self.kernel[axis] + 4 * self.remainders(axis).min(self.kernel[axis]);
            self.remainders(axis) as u128 * size_of::<Vec<Tap>>() as u128 + taps as u128 * size_of::<Tap>() as u128
        });
        4 * (weights + others) + tables.iter().sum::<u128>()
    }
}

/// An element of the filter, and the input that it is multiplied with: that of an output's index by the stride, and
/// this.
type Tap = (usize, isize);

/// `output[n][y·stride + i·dilation - pad] += input[n][y] · weights[i]` along both axes, with a bias.
#[derive(Debug)]
pub(crate) struct TransposedConv {
    shape: TransposedShape,
    /// Those of each remainder of an output's index by the stride.
    taps: [Vec<Vec<Tap>>; 2],
    /// `[group][kernel][kernel][input channel][output channel, padded]`, or `[kernel][kernel][channel]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// What is read beyond the input.
    zeros: Vec<f32>,
    bounds: Bounds,
}

impl TransposedConv {
    /// With weights `[in_channels][out_channels / groups][kernel][kernel]`, and results within `bounds`
    /// says so.
    pub(crate) fn new(shape: TransposedShape, weights: &[f32], bias: Option<&[f32]>, bounds: Bounds) -> Self {
        let taps = [0, 1].map(|axis| {
            let (stride, pad) = (shape.stride[axis] as isize, shape.pad[axis] as isize);
            let mut taps = vec![Vec::new(); shape.remainders(axis)];
            for k in 0..shape.kernel[axis] {
                let position = (k * shape.dilation[axis]) as isize - pad;
                // An output of this remainder, if there is one.
                if let Some(taps) = taps.get_mut(position.rem_euclid(stride) as usize) {
                    taps.push((k, -position.div_euclid(stride)));
                }
            }
            taps
        });
        let bias = bias.map_or_else(|| vec![0.0; shape.out_channels], <[f32]>::to_vec);
        let zeros = vec![0.0; shape.in_channels / shape.groups];
        let mut conv = TransposedConv { shape, taps, weights: vec![], bias, zeros, bounds };
        conv.weights = conv.pack(weights);
        conv
    }

    /// Bytes that it keeps, at most.
    pub(crate) fn prepared_bytes(&self) -> usize {
        self.shape.prepared_bytes() as usize
    }

    fn pack(&self, weights: &[f32]) -> Vec<f32> {
        let TransposedShape { groups, in_channels, out_channels, kernel: [height, width], .. } = self.shape;
        let (inputs, outputs, taps, row) =
            (in_channels / groups, out_channels / groups, height * width, self.shape.packed_row());
        let (len, to): (_, &dyn Fn(usize, usize, usize) -> usize) = if self.shape.depthwise() {
            (taps * in_channels, &|channel, _, tap| tap * in_channels + channel)
        } else {
            (groups * taps * inputs * row, &|input, output, tap| {
                ((input / inputs * taps + tap) * inputs + input % inputs) * row + output
            })
        };
        let mut packed = vec![0.0; len];
        for (i, &weight) in weights.iter().enumerate() {
            packed[to(i / taps / outputs, i / taps % outputs, i % taps)] = weight;
        }
        packed
    }

    /// Computes all maps.
    pub(crate) fn run(&self, isa: Isa, workers: usize, input: &[f32], output: &mut [f32]) {
        let row = (self.shape.output[1] * self.shape.out_channels).max(1);
        let TransposedShape { in_channels, groups, kernel: [height, width], stride, .. } = self.shape;
        // As many rows as make up the time of copying a task's floats.
        let products = (in_channels / groups * (height * width).div_ceil(stride[0] * stride[1])).max(1);
        let len = (task_len(output.len() * products, row * products) / products).next_multiple_of(row);
        for_each_chunk(workers, output, len, |index, output| {
            isa.run(Rows { conv: self, first: index * (len / row), input, output });
        });
    }
}

/// Rows of the output from the `first` one of all maps.
struct Rows<'a> {
    conv: &'a TransposedConv,
    first: usize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Rows { conv, first, input, output } = self;
        let shape = &conv.shape;
        let ([height, width], [out_height, out_width]) = (shape.input, shape.output);
        let map_len = height * width * shape.in_channels;
        for (row, output) in (first..).zip(output.chunks_exact_mut(out_width * shape.out_channels)) {
            let (map, y) = (&input[row / out_height * map_len..][..map_len], row % out_height);
            let row = Row { conv, map, y };
            if conv.shape.depthwise() {
                row.depthwise(simd, output);
            } else if S::LANES == PACKED {
                row.dense::<S, 8>(simd, output);
            } else {
                row.dense::<S, 4>(simd, output);
            }
        }
    }
}

/// One row of the output.
#[derive(Clone, Copy)]
struct Row<'a> {
    conv: &'a TransposedConv,
    map: &'a [f32],
    y: usize,
}

/// The element of an axis that a tap reads for the output `index`, among those of its remainder.
#[inline(always)]
fn element(index: usize, (_, shift): Tap, extent: usize) -> Option<usize> {
    index.checked_add_signed(shift).filter(|&element| element < extent)
}

/// Those of one remainder's taps that read something inside for one of the `count` outputs from `index` on, whose shifts fall from tap to
/// tap. A filter may be far longer than the input, and then nearly none do.
fn reading(taps: &[Tap], index: usize, count: usize, extent: usize) -> &[Tap] {
    let [last, extent, index] = [index + count - 1, extent, index].map(|size| size as isize);
    let start = taps.partition_point(|&(_, shift)| shift >= extent - index);
    let end = taps.partition_point(|&(_, shift)| shift >= -last);
    &taps[start.min(end)..end]
}

impl Row<'_> {
    /// The rows of the input under this one, each with the filter's that it is multiplied with.
    #[inline(always)]
    fn rows(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let TransposedShape { stride: [stride, _], input: [height, width], in_channels, .. } = self.conv.shape;
        let len = width * in_channels;
        let taps = reading(&self.conv.taps[0][self.y % stride], self.y / stride, 1, height);
        taps.iter()
            .filter_map(move |&tap| Some((tap.0, &self.map[element(self.y / stride, tap, height)? * len..][..len])))
    }

    /// Each channel by its own filter.
    #[inline(always)]
    fn depthwise<S: Simd>(self, simd: S, output: &mut [f32]) {
        let conv = self.conv;
        let (channels, stride, [_, width]) = (conv.shape.out_channels, conv.shape.stride[1], conv.shape.input);
        for (x, output) in output.chunks_exact_mut(channels).enumerate() {
            let taps = reading(&conv.taps[1][x % stride], x / stride, 1, width);
            for c in (0..channels).step_by(S::LANES) {
                let mut sum = read(simd, &conv.bias[c..]);
                for (ky, row) in self.rows() {
                    for &tap in taps {
                        if let Some(x) = element(x / stride, tap, width) {
                            let weights = &conv.weights[(ky * conv.shape.kernel[1] + tap.0) * channels..][..channels];
                            let pixel = &row[x * channels..][..channels];
                            sum = simd.mul_add(read(simd, &pixel[c..]), read(simd, &weights[c..]), sum);
                        }
                    }
                }
                write(simd, &mut output[c..], self.finish(simd, sum));
            }
        }
    }

    /// Tiles of `P` pixels, a stride apart, and two vectors of output channels.
    #[inline(always)]
    fn dense<S: Simd, const P: usize>(self, simd: S, output: &mut [f32]) {
        let TransposedShape { groups, out_channels, stride: [_, stride], output: [_, width], .. } = self.conv.shape;
        let channels = out_channels / groups;
        for group in 0..groups {
            for c in (0..channels).step_by(2 * S::LANES) {
                for remainder in 0..stride.min(width) {
                    let pixels = (width - remainder).div_ceil(stride);
                    for pixel in (0..pixels).step_by(P) {
                        let tile = Tile { group, c, remainder, pixel };
                        if channels - c > S::LANES {
                            self.tile::<S, P, 2>(simd, tile, output);
                        } else {
                            self.tile::<S, P, 1>(simd, tile, output);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const P: usize, const V: usize>(self, simd: S, tile: Tile, output: &mut [f32]) {
        let conv = self.conv;
        let TransposedShape { groups, in_channels, out_channels, kernel: [height, columns], .. } = conv.shape;
        let (inputs, packed, stride) = (in_channels / groups, conv.shape.packed_row(), conv.shape.stride[1]);
        let taps = reading(&conv.taps[1][tile.remainder], tile.pixel, P, conv.shape.input[1]);
        let mut sums = [[simd.zero(); V]; P];
        for (ky, row) in self.rows() {
            for &tap in taps {
                let pixels: [&[f32]; P] = array::from_fn(|p| match element(tile.pixel + p, tap, conv.shape.input[1]) {
                    Some(x) => &row[x * in_channels + tile.group * inputs..][..inputs],
                    None => &conv.zeros[..inputs],
                });
                let first = ((tile.group * height + ky) * columns + tap.0) * inputs * packed;
                let weights = conv.weights[first..][..inputs * packed].chunks_exact(packed);
                for (i, weights) in (0..inputs).zip(weights) {
                    let weights = &weights[tile.c..][..V * S::LANES];
                    let weights: [S::Vec; V] = array::from_fn(|v| simd.load(&weights[v * S::LANES..]));
                    for p in 0..P {
                        let x = simd.splat(pixels[p][i]);
                        for v in 0..V {
                            sums[p][v] = simd.mul_add(x, weights[v], sums[p][v]);
                        }
                    }
                }
            }
        }
        let channels = out_channels / groups;
        for (p, sums) in sums.into_iter().enumerate() {
            let x = (tile.pixel + p) * stride + tile.remainder;
            let Some(output) = output.get_mut(x * out_channels..(x + 1) * out_channels) else { break };
            let group = tile.group * channels..(tile.group + 1) * channels;
            let (output, bias) = (&mut output[group.clone()], &conv.bias[group]);
            for (v, sum) in sums.into_iter().enumerate() {
                let c = tile.c + v * S::LANES;
                let sum = simd.add(sum, read(simd, &bias[c..]));
                write(simd, &mut output[c..], self.finish(simd, sum));
            }
        }
    }

    /// `sum`, or no less than zero.
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::Vec) -> S::Vec {
        // In this order a NaN stays one.
        self.conv.bounds.clamp(simd, sum)
    }
}

/// Where a tile begins: output channels from `c` of a group, every stride-th pixel from the one at `remainder`.
#[derive(Clone, Copy)]
struct Tile {
    group: usize,
    c: usize,
    remainder: usize,
    pixel: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scatters each input, as the operator is defined.
    fn naive(shape: &TransposedShape, weights: &[f32], bias: &[f32], input: &[f32]) -> Vec<f64> {
        let &TransposedShape { batch, groups, in_channels, out_channels, input: [ih, iw], kernel: [kh, kw], .. } =
            shape;
        let [oh, ow] = shape.output;
        let mut output: Vec<f64> = (0..batch * oh * ow * out_channels).map(|i| bias[i % out_channels].into()).collect();
        let (inputs, outputs) = (in_channels / groups, out_channels / groups);
        for (i, &x) in input.iter().enumerate() {
            let (n, iy, ix, ic) =
                (i / (ih * iw * in_channels), i / (iw * in_channels) % ih, i / in_channels % iw, i % in_channels);
            for (ky, kx, o) in (0..kh * kw * outputs).map(|j| (j / (kw * outputs), j / outputs % kw, j % outputs)) {
                let y = (iy * shape.stride[0] + ky * shape.dilation[0]).checked_sub(shape.pad[0]);
                let x_out = (ix * shape.stride[1] + kx * shape.dilation[1]).checked_sub(shape.pad[1]);
                if let (Some(y), Some(x_out)) = (y.filter(|&y| y < oh), x_out.filter(|&x| x < ow)) {
                    let weight = weights[((ic * outputs + o) * kh + ky) * kw + kx];
                    output[((n * oh + y) * ow + x_out) * out_channels + ic / inputs * outputs + o] +=
                        f64::from(x) * f64::from(weight);
                }
            }
        }
        output
    }

    fn check(shape: TransposedShape) {
        let TransposedShape { batch, groups, in_channels, out_channels, input: [ih, iw], kernel: [kh, kw], .. } = shape;
        // Small integers, so that sums are exact.
        let numbers =
            |len: usize, seed: usize| -> Vec<f32> { (0..len).map(|i| ((i * 37 + seed) % 13) as f32 - 6.0).collect() };
        let input = numbers(batch * ih * iw * in_channels, 1);
        let weights = numbers(in_channels * out_channels / groups * kh * kw, 2);
        let bias = numbers(out_channels, 3);
        let clip = Bounds { least: -1.0, most: 2.0 };
        for (bias, bounds) in [(None, Bounds::NONE), (Some(&bias[..]), Bounds::RELU), (Some(&bias[..]), clip)] {
            let expected = naive(&shape, &weights, bias.unwrap_or(&vec![0.0; out_channels]), &input);
            let conv = TransposedConv::new(shape, &weights, bias, bounds);
            for (isa, workers) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
                let mut output = vec![f32::NAN; expected.len()];
                conv.run(isa, workers, &input, &mut output);
                for (i, (&y, &exact)) in output.iter().zip(&expected).enumerate() {
                    let exact = exact.max(bounds.least.into()).min(bounds.most.into());
                    assert!(f64::from(y) == exact, "{shape:?} on {isa}: {i} is {y} for {exact}");
                }
            }
        }
    }

    #[test]
    fn as_defined() {
        let basic = TransposedShape {
            batch: 2,
            groups: 1,
            in_channels: 5,
            out_channels: 7,
            input: [4, 6],
            kernel: [2, 2],
            stride: [2, 2],
            dilation: [1, 1],
            pad: [0, 0],
            output: [8, 12],
        };
        check(basic);
        for (groups, in_channels, out_channels) in
            [(1, 1, 1), (1, 3, 16), (1, 8, 33), (2, 6, 40), (19, 19, 19), (4, 4, 8)]
        {
            let channels = TransposedShape { groups, in_channels, out_channels, ..basic };
            check(TransposedShape { kernel: [4, 4], pad: [1, 1], ..channels });
            // With output padding, and a part that no input reaches.
            check(TransposedShape { kernel: [3, 3], pad: [1, 0], output: [8, 15], ..channels });
            check(TransposedShape {
                kernel: [3, 2],
                stride: [1, 3],
                dilation: [2, 2],
                pad: [2, 1],
                output: [4, 17],
                ..channels
            });
            check(TransposedShape { kernel: [1, 1], stride: [3, 2], output: [10, 11], ..channels });
            // Strides beyond the output, and a cut in front that is longer than a stride.
            check(TransposedShape {
                input: [1, 2],
                kernel: [3, 5],
                stride: [50, 3],
                dilation: [1, 2],
                pad: [1, 4],
                output: [2, 6],
                ..channels
            });
        }
        // Filters so much longer than the input that all taps for all outputs would take minutes.
        for (groups, in_channels, out_channels) in [(2, 2, 2), (1, 1, 2)] {
            let channels = TransposedShape { groups, in_channels, out_channels, ..basic };
            let (batch, stride, input) = (1, [1, 1], [1, 2]);
            check(TransposedShape { batch, kernel: [1, 100_000], stride, input, output: [1, 100_001], ..channels });
            check(TransposedShape { batch, kernel: [100_000, 1], stride, input, output: [100_000, 2], ..channels });
        }
        check(TransposedShape { input: [20, 23], output: [40, 46], in_channels: 64, out_channels: 48, ..basic });
    }
}
