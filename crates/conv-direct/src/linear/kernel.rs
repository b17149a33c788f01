//! The unsafe part: one image by stretches, many by the register tile.

use std::ops::Range;

use conv_simd::{Init, Later, Run, SharedSlice, Simd, SimdOp, TileArgs, within};

use super::LinearPlan;
use crate::weights::Block;

/// How many rows of weights ahead to prefetch in each; 64 and 128 measured no better.
const PREFETCH_ROWS: usize = 16;

/// Input channels of one chunk: 128 KiB of weights. At 64 images 231, 239 and 261 GFLOP/s (of 277) with 256, 512 and 1024.
const CHUNK: usize = 1024;

/// The most images that [`Product`] takes.
pub(super) const FEW: usize = 2;

/// One block of output channels of at most [`FEW`] images, summed over some input channels, which several stretches of the
/// weights share: together they hide the memory's latency and, with the few sums of a small tile, that of the multiply-adds.
pub(super) struct Product<'a> {
    pub plan: &'a LinearPlan,
    pub input: &'a [f32],
    pub output: &'a SharedSlice<'a, f32>,
    pub block: &'a Block,
    pub images: Range<usize>,
    pub channels: Range<usize>,
    /// Of the weights, read at once: a power of two.
    pub stretches: usize,
}

/// Stretches where the weights are in L2: four cost 16 images of fc6 a tenth.
const NEAR_STRETCHES: usize = 2;

impl SimdOp for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        // As many as there are registers for the sums of.
        let stretches = self.stretches.min(if S::LANES == 16 { 8 } else { 4 } / self.images.len());
        match (self.images.len(), stretches) {
            (1, 8) => self.of_vectors::<S, 1, 8>(simd),
            (1, 4) => self.of_vectors::<S, 1, 4>(simd),
            (1, 2) => self.of_vectors::<S, 1, 2>(simd),
            (2, 4) => self.of_vectors::<S, 2, 4>(simd),
            (2, 2) => self.of_vectors::<S, 2, 2>(simd),
            (images, stretches) => unreachable!("{images} images in {stretches} stretches"),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn of_vectors<S: Simd, const PX: usize, const STRETCHES: usize>(self, simd: S) {
        match self.block.vectors {
            1 => self.compute::<S, PX, 1, STRETCHES>(simd),
            2 => self.compute::<S, PX, 2, STRETCHES>(simd),
            3 => self.compute::<S, PX, 3, STRETCHES>(simd),
            vectors => unreachable!("a tile of {vectors} vectors"),
        }
    }

    #[inline(always)]
    fn compute<S: Simd, const PX: usize, const NV: usize, const STRETCHES: usize>(self, simd: S) {
        let Product { plan, input, output, block, images, channels, .. } = self;
        let in_channels = plan.inputs();
        let width = NV * S::LANES;
        let weights = &plan.block_weights(block)[channels.start * width..channels.end * width];
        let bias = plan.block_bias(block);
        let rows: [&[f32]; PX] =
            std::array::from_fn(|p| &input[(images.start + p) * in_channels..][channels.start..channels.end]);
        let length = channels.len() / STRETCHES;
        let mut sums = [[[simd.zero(); NV]; PX]; STRETCHES];
        for c in 0..length {
            for (stretch, sums) in sums.iter_mut().enumerate() {
                // SAFETY: every input row has as many floats as there are rows of weights, and this one is among them.
                unsafe { add_row(simd, sums, &rows, weights, stretch * length + c) };
            }
        }
        for c in STRETCHES * length..channels.len() {
            // SAFETY: as above.
            unsafe { add_row(simd, &mut sums[0], &rows, weights, c) };
        }
        let mut total = sums[0];
        for sums in &sums[1..] {
            for (total, sums) in total.iter_mut().zip(sums) {
                for (total, &sum) in total.iter_mut().zip(sums) {
                    *total = simd.add(*total, sum);
                }
            }
        }
        for (p, total) in total.iter().enumerate() {
            // SAFETY: these outputs belong to this task alone: tasks differ in images or block.
            let output = unsafe { output.slice((images.start + p) * plan.pitch + block.first, block.channels) };
            let epilogue = plan.epilogue.of_part(channels.start == 0, channels.end == in_channels);
            for (v, &total) in total.iter().enumerate() {
                let output = &mut output[v * S::LANES..];
                let mut sum = total;
                if channels.start == 0 {
                    sum = simd.add(sum, simd.load(&bias[v * S::LANES..]));
                }
                if epilogue.accumulate {
                    sum = simd.add(sum, simd.load_partial(output));
                }
                simd.store_partial(output, epilogue.bounds.clamp(simd, sum));
            }
        }
    }
}

/// `sums[p] += rows[p][c] · weights[c]`.
///
/// # Safety
/// `weights` must have a row of `NV` vectors at `c`, and each of `rows` a float.
#[inline(always)]
unsafe fn add_row<S: Simd, const PX: usize, const NV: usize>(
    simd: S,
    sums: &mut [[S::Vec; NV]; PX],
    rows: &[&[f32]; PX],
    weights: &[f32],
    c: usize,
) {
    let row = weights.as_ptr().wrapping_add(c * NV * S::LANES);
    debug_assert!(within(weights, row, NV * S::LANES) && rows.iter().all(|pixel| c < pixel.len()));
    for v in 0..NV {
        // SAFETY: the caller's promise.
        let weight = unsafe { simd.load_ptr(row.add(v * S::LANES)) };
        // Once a cache line.
        if v.is_multiple_of(16 / S::LANES) {
            simd.prefetch(row.wrapping_add((PREFETCH_ROWS * NV + v) * S::LANES));
        }
        for (sums, pixel) in sums.iter_mut().zip(rows) {
            // SAFETY: the caller's promise.
            sums[v] = simd.mul_add(simd.splat(unsafe { *pixel.get_unchecked(c) }), weight, sums[v]);
        }
    }
}

/// Images of a tile, of which the last one may have fewer: as equal as can be (of 64 images by fourteens fc6 runs at 88 to
/// 89% of the peak of a Zen 5, by thirteens at 90 to 91%), unless what full tiles leave over is so few that [`Product`] takes
/// them. Not so where that would be one of two tiles, which brings no weights from memory meanwhile: by eights 16 images of 2048 and
/// 4096 channels take 0.86 and 0.93 of the time on a Xeon of the fifth generation.
fn tile_images(images: usize, limit: usize) -> usize {
    if images > 2 * limit && images % limit <= FEW { limit } else { images.div_ceil(images.div_ceil(limit)) }
}

/// Computes one block of output channels for a panel of `images`, chunk by chunk.
pub(super) fn multiply(
    plan: &LinearPlan,
    input: &[f32],
    output: &SharedSlice<'_, f32>,
    block: &Block,
    images: Range<usize>,
) {
    let channels = plan.inputs();
    let (weights, bias) = (plan.block_weights(block), plan.block_bias(block));
    let step = tile_images(images.len(), plan.isa.tile_pixels_apart(block.vectors, channels));
    for start in (0..channels).step_by(CHUNK) {
        let len = CHUNK.min(channels - start);
        let epilogue = plan.epilogue.of_part(start == 0, start + len == channels);
        let width = plan.weights.layout.width(block);
        let tiles = images.len().div_ceil(step);
        for (tile, first) in images.clone().step_by(step).enumerate() {
            let pixels = step.min(images.end - first);
            if pixels <= FEW {
                let (images, channels) = (first..first + pixels, start..start + len);
                plan.isa.run(Product { plan, input, output, block, images, channels, stretches: NEAR_STRETCHES });
                continue;
            }
            let args = TileArgs {
                x: input[first * channels + start..].as_ptr(),
                x_pixel: channels,
                w: weights[start * plan.weights.layout.width(block)..].as_ptr(),
                rows: 1,
                x_row: 0,
                ahead: 0,
                // Four lines ahead in the same images. Instead of the next images', which push these out of L1: 5% of fc6 at
                // batch 16, 8% of fc7.
                next: 64,
                w_row: 0,
                // Of the weights behind this chunk's each tile brings its share into L2.
                later: (tiles > 1).then(|| Later {
                    weights: weights.as_ptr().wrapping_add((start + len) * width + tile * len * width / tiles),
                    step: width.div_ceil(tiles),
                }),
                outputs_at_once: 0,
                runs: &[Run { x: 0, w: 0, len, skip_first: 0, skip_last: 0 }],
                y: output.as_ptr().wrapping_add(first * plan.pitch + block.first),
                y_pixel: plan.pitch,
                channels: block.channels,
                init: if start == 0 { Init::Bias(bias.as_ptr()) } else { Init::Zero },
                accumulate: epilogue.accumulate,
                bounds: epilogue.bounds,
                stream: false,
            };
            debug_assert!(args.within(
                [pixels, plan.weights.layout.width(block)],
                &input[first * channels..][..pixels * channels],
                weights,
                output.part(first * plan.pitch, (pixels - 1) * plan.pitch + plan.problem.out_channels())
            ));
            // SAFETY: `Plan::run` checked both lengths against the problem, so `pixels` rows of `len` inputs and
            // `block.channels` outputs exist; the weights are whole blocks. The outputs belong to this task alone: tasks
            // differ in images or block.
            unsafe { plan.isa.tile(pixels, block.vectors).run(&args) };
        }
    }
}
