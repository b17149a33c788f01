//! The unsafe part: a register tile whose pixels are found through pointers.

use conv_core::Epilogue;
use conv_simd::{SharedSlice, Simd, SimdOp, prefetch_weights, weights_to_l2, within};

use super::table::{Step, Table, Tile, ZEROS};
use crate::plan::Im2colPlan;
use crate::tiles;

/// Computes `tile` of copy `copy` of the table for one block of output channels.
pub(super) fn run_tile(
    plan: &Im2colPlan<Table>,
    input: &[f32],
    output: &SharedSlice<'_, f32>,
    (copy, part): (usize, usize),
    tile: &Tile,
) {
    let (problem, table) = (&plan.problem, &plan.own);
    let weights = tiles::block(&plan.weights, plan.isa, part);
    let columns = plan.weights.columns();
    let range = columns.range(part);
    let [oh, ow] = problem.output_size();
    let input_image = problem.height().input * problem.width().input * problem.in_channels();
    let group = columns.group(part) * problem.group_in_channels();
    let args = Args {
        steps: &table.steps[tile.steps.clone()],
        inputs: &table.inputs[tile.inputs..],
        input: input.as_ptr().wrapping_add(copy * table.images * input_image + group),
        zeros: table.zeros.as_ptr(),
        weights: weights.weights.as_ptr(),
        bias: weights.bias.as_ptr(),
        pixels: &table.pixels[tile.pixels.clone()],
        output: output.as_ptr().wrapping_add(copy * table.images * oh * ow * plan.pitch + range.start),
        stride: plan.pitch,
        channels: range.len(),
        epilogue: plan.epilogue,
    };
    debug_assert!(within(weights.bias, args.bias, weights.vectors * plan.isa.lanes()));
    debug_assert!(args.pixels.iter().all(|pixel| {
        let channels = output.part((copy * table.images * oh * ow + pixel) * plan.pitch, problem.out_channels());
        within(channels, args.output.wrapping_add(pixel * plan.pitch), args.channels)
    }));
    debug_assert!(args.steps.iter().zip(args.inputs.chunks_exact(args.pixels.len())).all(|(step, inputs)| {
        let (width, row) = (weights.bias.len(), problem.width().input * problem.in_channels());
        let images = &input[copy * table.images * input_image..][..table.images * input_image];
        let reads = |&offset: &usize| match offset {
            ZEROS => within(&table.zeros[..], args.zeros, step.len),
            _ => within(&images[offset / row * row..][..row], args.input.wrapping_add(offset), step.len),
        };
        within(weights.weights, args.weights.wrapping_add(step.w * width), step.len * width) && inputs.iter().all(reads)
    }));
    macro_rules! dispatch {
        ($($vectors:literal: $($pixels:literal)*;)*) => {
            match (weights.vectors, args.pixels.len()) {
                $($(($vectors, $pixels) => plan.isa.run(PointerTile::<$pixels, $vectors>(&args)),)*)*
                _ => unreachable!("a tile of {} pixels x {} vectors", args.pixels.len(), weights.vectors),
            }
        };
    }
    dispatch! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
        2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
        3: 1 2 3 4;
    }
}

/// A tile's operands. `inputs` holds an offset for each pixel at each step; all else is as the plan has it.
///
/// Invariant, which [`run_tile`] has from the table and from `Plan::run`'s check of the buffers: at each step, `len`
/// floats are readable at `input + offset` (or at `zeros`, where the offset is [`ZEROS`]) and `len` rows of weights from
/// its `w` on; the bias is a whole row; `channels` floats of each of `pixels` are this task's alone to write.
struct Args<'a> {
    steps: &'a [Step],
    inputs: &'a [usize],
    input: *const f32,
    zeros: *const f32,
    weights: *const f32,
    bias: *const f32,
    pixels: &'a [usize],
    output: *mut f32,
    /// Floats from one output pixel to the next.
    stride: usize,
    channels: usize,
    epilogue: Epilogue,
}

struct PointerTile<'a, const PX: usize, const NV: usize>(&'a Args<'a>);

impl<const PX: usize, const NV: usize> SimdOp for PointerTile<'_, PX, NV> {
    type Output = ();

    // Plain indices: the loops must unroll into registers whatever the adaptors would make of them.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        // No instruction set has registers for more: nothing is compiled for such tiles.
        if PX * NV > if S::LANES == 16 { 28 } else { 12 } {
            unreachable!("{PX} pixels x {NV} vectors")
        }
        let args = self.0;
        let partial = args.channels - (NV - 1) * S::LANES;
        let mut acc = [[simd.zero(); NV]; PX];
        for v in 0..NV {
            // SAFETY: the bias is a whole row.
            let bias = unsafe { simd.load_ptr(args.bias.add(v * S::LANES)) };
            for p in 0..PX {
                acc[p][v] = bias;
            }
        }
        let y: [*mut f32; PX] = std::array::from_fn(|p| args.output.wrapping_add(args.pixels[p] * args.stride));
        for (i, (step, inputs)) in args.steps.iter().zip(args.inputs.chunks_exact(PX)).enumerate() {
            if i == args.steps.len().saturating_sub(2) {
                for p in 0..PX {
                    for v in 0..NV {
                        simd.prefetch(y[p].wrapping_add(v * S::LANES));
                    }
                }
            }
            let x: [*const f32; PX] = std::array::from_fn(|p| match inputs[p] {
                ZEROS => args.zeros,
                offset => args.input.wrapping_add(offset),
            });
            let mut w = args.weights.wrapping_add(step.w * NV * S::LANES);
            for c in 0..step.len {
                let mut weights = [simd.zero(); NV];
                for v in 0..NV {
                    // SAFETY: a row of weights is NV whole vectors.
                    weights[v] = unsafe { simd.load_ptr(w.add(v * S::LANES)) };
                    prefetch_weights(simd, w, weights_to_l2::<S>(w, NV), NV, v);
                }
                for p in 0..PX {
                    // SAFETY: each pixel is readable for `len` floats.
                    let pixel = simd.splat(unsafe { *x[p].add(c) });
                    for v in 0..NV {
                        acc[p][v] = simd.mul_add(pixel, weights[v], acc[p][v]);
                    }
                }
                w = w.wrapping_add(NV * S::LANES);
            }
        }
        for p in 0..PX {
            for v in 0..NV {
                let count = if v + 1 == NV { partial } else { S::LANES };
                // SAFETY: these floats of the pixel are this task's alone.
                unsafe {
                    let y = y[p].add(v * S::LANES);
                    let sum = if args.epilogue.accumulate {
                        simd.add(simd.load_partial_ptr(y, count), acc[p][v])
                    } else {
                        acc[p][v]
                    };
                    simd.store_partial_ptr(y, args.epilogue.bounds.clamp(simd, sum), count);
                }
            }
        }
    }
}
