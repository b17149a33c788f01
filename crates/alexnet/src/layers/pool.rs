//! Max pooling.

use conv_core::Axis;
use conv_simd::{Isa, Simd, SimdOp};

use super::for_each_chunk;
use crate::network::{MaxPool, Shape, pool_axis};

/// The maximum over each window of `[batch]` images of `shape`. A task is one row of the output.
pub(crate) fn max_pool(isa: Isa, workers: usize, pool: &MaxPool, shape: Shape, input: &[f32], output: &mut [f32]) {
    let (height, width) = (pool_axis(pool, shape.height), pool_axis(pool, shape.width));
    let row_len = width.output() * shape.channels;
    for_each_chunk(workers, output, row_len, |index, output| {
        let (image, row) = (index / height.output(), index % height.output());
        let image = &input[image * shape.floats()..][..shape.floats()];
        let (taps, first) = height.taps_from(row);
        let input_row = shape.width * shape.channels;
        let input = &image[first * input_row..][..taps.len() * input_row];
        isa.run(PoolRow { width: &width, channels: shape.channels, input, output });
    });
}

/// One row of the output from the rows of the input under it.
struct PoolRow<'a> {
    width: &'a Axis,
    channels: usize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for PoolRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let channels = self.channels;
        for (o, output) in self.output.chunks_exact_mut(channels).enumerate() {
            let (taps, first) = self.width.taps_from(o);
            for c in (0..channels).step_by(S::LANES) {
                let mut largest = simd.splat(f32::NEG_INFINITY);
                for row in self.input.chunks_exact(self.width.input * channels) {
                    for pixel in row[first * channels..][..taps.len() * channels].chunks_exact(channels) {
                        largest = simd.max(largest, simd.load_partial(&pixel[c..]));
                    }
                }
                simd.store_partial(&mut output[c..], largest);
            }
        }
    }
}
