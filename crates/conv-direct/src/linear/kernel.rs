//! The unsafe part: one image by streams, many by the register tile.

use std::ops::Range;

use conv_simd::{Init, Run, SharedSlice, Simd, SimdOp, TileArgs};

use super::LinearPlan;
use crate::nhwc::weights::Block;

/// Stretches of one block's weights that are read at once. On a Zen 5 server core, weights of 234 MB at 44–45 GB/s of
/// measured bandwidth: one stretch 93%, two 96%, four 82–90%.
const STREAMS: usize = 2;

/// How many rows of weights ahead to prefetch in each; 64 and 128 measured no better.
const PREFETCH_ROWS: usize = 16;

/// Input channels of one chunk: 128 KiB of weights. At 64 images 231, 239 and 261 GFLOP/s (of 277) with 256, 512 and 1024.
const CHUNK: usize = 1024;

/// One block of output channels of one image.
pub(super) struct Gemv<'a> {
    pub plan: &'a LinearPlan,
    pub input: &'a [f32],
    pub output: &'a SharedSlice<'a, f32>,
    pub block: &'a Block,
}

impl SimdOp for Gemv<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        match self.block.vectors {
            1 => self.product::<S, 1>(simd),
            2 => self.product::<S, 2>(simd),
            3 => self.product::<S, 3>(simd),
            _ => unreachable!("no tile has more vectors"),
        }
    }
}

impl Gemv<'_> {
    #[inline(always)]
    fn product<S: Simd, const NV: usize>(self, simd: S) {
        let Gemv { plan, input, output, block } = self;
        let (weights, bias) = (plan.block_weights(block), plan.block_bias(block));
        let width = NV * S::LANES;
        assert!(weights.len() == input.len() * width && bias.len() == width);
        // SAFETY: each block's outputs belong to one task.
        let output = unsafe { output.slice(block.first, block.channels) };
        let length = input.len() / STREAMS;
        let mut sums = [[simd.zero(); NV]; STREAMS];
        for c in 0..length {
            for (stream, sums) in sums.iter_mut().enumerate() {
                // SAFETY: there are as many rows as inputs, which was checked, and this one is within.
                unsafe { add_row(simd, sums, input, weights, stream * length + c) };
            }
        }
        for c in STREAMS * length..input.len() {
            // SAFETY: as above.
            unsafe { add_row(simd, &mut sums[0], input, weights, c) };
        }
        for v in 0..NV {
            let sum = simd.add(simd.add(sums[0][v], sums[1][v]), simd.load(&bias[v * S::LANES..]));
            // In this order a NaN stays one.
            let value = if plan.epilogue.relu { simd.max(simd.zero(), sum) } else { sum };
            simd.store_partial(&mut output[v * S::LANES..], value);
        }
    }
}

/// `sums += input[c] · weights[c]`.
///
/// # Safety
/// `weights` must have a row of `NV` vectors at `c`, and `input` a float.
#[inline(always)]
unsafe fn add_row<S: Simd, const NV: usize>(
    simd: S,
    sums: &mut [S::Vec; NV],
    input: &[f32],
    weights: &[f32],
    c: usize,
) {
    // SAFETY: the caller's promise.
    let value = simd.splat(unsafe { *input.get_unchecked(c) });
    let row = weights.as_ptr().wrapping_add(c * NV * S::LANES);
    for (v, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *sum = simd.mul_add(value, unsafe { simd.load_ptr(row.add(v * S::LANES)) }, *sum);
        // Once a cache line.
        if v.is_multiple_of(16 / S::LANES) {
            simd.prefetch(row.wrapping_add((PREFETCH_ROWS * NV + v) * S::LANES));
        }
    }
}

/// Computes one block of output channels for a panel of `images`, chunk by chunk.
pub(super) fn multiply(
    plan: &LinearPlan,
    input: &[f32],
    output: &SharedSlice<'_, f32>,
    block: &Block,
    images: Range<usize>,
) {
    let (channels, out_channels) = (plan.problem.in_channels(), plan.problem.out_channels());
    let (weights, bias) = (plan.block_weights(block), plan.block_bias(block));
    let limit = plan.isa.tile_pixels(block.vectors);
    for start in (0..channels).step_by(CHUNK) {
        let len = CHUNK.min(channels - start);
        let last = start + len == channels;
        for first in images.clone().step_by(limit) {
            let pixels = limit.min(images.end - first);
            let args = TileArgs {
                x: input[first * channels + start..].as_ptr(),
                x_pixel: channels,
                w: weights[start * plan.weights.layout.width(block)..].as_ptr(),
                rows: 1,
                x_row: 0,
                next: (pixels * channels) as isize,
                w_row: 0,
                runs: &[Run { x: 0, w: 0, len, skip_first: 0, skip_last: 0 }],
                y: output.as_ptr().wrapping_add(first * out_channels + block.first),
                y_pixel: out_channels,
                channels: block.channels,
                init: if start == 0 { Init::Bias(bias.as_ptr()) } else { Init::Output },
                relu: plan.epilogue.relu && last,
            };
            // SAFETY: `Plan::run` checked both lengths against the problem, so `pixels` rows of `len` inputs and
            // `block.channels` outputs exist; the weights are whole blocks. The outputs belong to this task alone: tasks
            // differ in images or block.
            unsafe { plan.isa.tile(pixels, block.vectors).run(&args) };
        }
    }
}
