//! The unsafe part: copies a vector's rows, and computes a band of outputs from them.

use std::ops::Range;

use conv_core::Axis;
use conv_simd::{SharedSlice, Simd, SimdOp, l1_lines_apart};

use super::{columns, tile_of};
use crate::grouped::GroupedPlan;
use crate::grouped::shares::Share;

/// Computes `share` of the output.
pub(in crate::grouped) struct Planes<'a> {
    pub plan: &'a GroupedPlan,
    pub input: &'a [f32],
    pub output: &'a SharedSlice<'a, f32>,
    /// `[row][column][lanes]`.
    pub copy: &'a mut [f32],
    pub share: Share,
}

impl SimdOp for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let (width, packing) = (self.plan.problem.width(), self.plan.packing);
        let (spread, pixels) = (if packing.spread { packing.groups() } else { 0 }, tile_of(width.output(), packing));
        macro_rules! tiles {
            ($($spread:literal: $wide:literal $($pixels:literal)*;)*) => {
                match (spread, S::LANES >= 16, pixels, width.stride) {
                    $($(
                        ($spread, $wide, $pixels, 1) => self.vectors::<S, $pixels, 1, $spread>(simd),
                        ($spread, $wide, $pixels, 2) => self.vectors::<S, $pixels, 2, $spread>(simd),
                    )*)*
                    _ => unreachable!("`covers` and `spread` let no other tile pass"),
                }
            };
        }
        tiles!(
            0: true 8 7 5;  0: false 6 5 4;
            1: true 10 9 8 7;  2: true 10 9 8 7;  4: true 10 9 8 7;
        );
    }
}

/// One vector's copy.
struct Copied<'a> {
    floats: &'a [f32],
    /// Rows of the image that it has.
    rows: Range<usize>,
    /// Floats of a row.
    row: usize,
}

impl Planes<'_> {
    /// All vectors, by tiles of `PX` outputs; `STEP` is the stride along a row, `SPREAD` how many floats a load repeats, or 0 for
    /// depthwise filters.
    #[inline(always)]
    fn vectors<S: Simd, const PX: usize, const STEP: usize, const SPREAD: usize>(self, simd: S) {
        let Planes { plan, input, output, copy, share } = self;
        let ([height, width], packing) = ([plan.problem.height(), plan.problem.width()], plan.packing);
        let pixel = plan.problem.in_channels();
        let row = columns(&plan.problem, packing) * S::LANES;
        let first = share.rows.start * height.stride;
        let end = (share.rows.end - 1) * height.stride + (height.kernel - 1) * height.dilation + 1;
        let [top, bottom] = [first, end].map(|y| y.saturating_sub(height.pad_before).min(height.input));
        let depth = packing.depth;
        // Of whole lines beside each other the taps are one longer run.
        let taps = if width.dilation == 1 && load::<S, SPREAD>() * depth == S::LANES {
            Taps { runs: 1, len: width.kernel * depth, apart: 0 }
        } else {
            Taps { runs: width.kernel, len: depth, apart: width.dilation * S::LANES }
        };
        let copied = if SPREAD > 1 { simd.load(&plan.prepared.lanes) } else { simd.zero() };
        // What is asked for is read after all tiles of this vector.
        let crowded = 2 * (bottom - top) * width.input > l1_lines_apart(size_of::<f32>() * pixel);
        let copy = &mut copy[..(bottom - top) * row];
        copy.fill(0.0);
        let outputs = width.output();
        for vector in share.vectors {
            let [from, to] = [vector * packing.inputs, vector * packing.outputs];
            let read = from..(from + packing.inputs).min(pixel);
            let written = to..(to + packing.outputs).min(plan.problem.out_channels());
            for (y, copy) in (top..bottom).zip(copy.chunks_exact_mut(row)) {
                let input = &input[(share.image * height.input + y) * width.input * pixel..][..width.input * pixel];
                let copies = copy[width.pad_before * S::LANES..].chunks_exact_mut(S::LANES);
                for (copy, input) in copies.zip(input.chunks_exact(pixel)) {
                    let input = &input[read.clone()];
                    if plan.prefetches {
                        let next = input.as_ptr().wrapping_add(packing.inputs);
                        if crowded { simd.prefetch_l2(next) } else { simd.prefetch(next) }
                    }
                    let channels = simd.load_partial(input);
                    simd.store(copy, if SPREAD > 1 { simd.permute(channels, copied) } else { channels });
                }
            }
            let copy = Copied { floats: copy, rows: top..bottom, row };
            let bias = simd.load(&plan.prepared.bias[vector * S::LANES..]);
            let tile = Tile { plan, output, copy, weights: plan.prepared.weights_of(vector), taps, bias, written };
            for start in (0..outputs).step_by(PX) {
                // The last tile overlaps the one before, or is too wide.
                let first = start.min(outputs.saturating_sub(PX));
                let stored = start - first..PX.min(outputs - first);
                let mut oh = share.rows.start;
                while oh < share.rows.end {
                    let at = [share.image, oh, first];
                    if oh + 1 < share.rows.end {
                        tile.outputs::<PX, STEP, SPREAD, 2>(simd, at, &stored);
                    } else {
                        tile.outputs::<PX, STEP, SPREAD, 1>(simd, at, &stored);
                    }
                    oh += 2;
                }
            }
        }
    }
}

/// The taps of a row of the filter, by the input channels of a group, as runs of what lies beside each other in a copy.
#[derive(Clone, Copy)]
struct Taps {
    runs: usize,
    /// Loads of an output in a run.
    len: usize,
    /// Floats from one run's inputs to the next's.
    apart: usize,
}

/// The row of the filter that is so many rows of the image `down` from the first one.
#[inline(always)]
fn tap(height: &Axis, down: usize) -> Option<usize> {
    // To divide takes as long as twenty multiply-adds.
    let row = if height.dilation == 1 { down } else { down / height.dilation };
    (row < height.kernel && row * height.dilation == down).then_some(row)
}

/// One vector's tiles.
struct Tile<'a, S: Simd> {
    plan: &'a GroupedPlan,
    output: &'a SharedSlice<'a, f32>,
    copy: Copied<'a>,
    /// `[kh][kw][input channel of a group][lanes]`.
    weights: &'a [f32],
    taps: Taps,
    bias: S::Vec,
    /// Output channels of the vector.
    written: Range<usize>,
}

impl<S: Simd> Tile<'_, S> {
    /// Of one row or two from `oh` on, `PX` outputs from `first` on, of which some are stored.
    #[inline(always)]
    fn outputs<const PX: usize, const STEP: usize, const SPREAD: usize, const ROWS: usize>(
        &self,
        simd: S,
        [image, oh, first]: [usize; 3],
        stored: &Range<usize>,
    ) {
        let (plan, height, copied) = (self.plan, self.plan.problem.height(), &self.copy.rows);
        let mut sums = [[self.bias; PX]; ROWS];
        // Those of the copy's rows that the last row of outputs reads, or one before it, counted from the padding above the image.
        let end = (oh + ROWS - 1) * height.stride + (height.kernel - 1) * height.dilation + 1;
        let [start, end] = [oh * height.stride, end].map(|y| y.saturating_sub(height.pad_before));
        let rows = start.max(copied.start)..end.min(copied.end);
        // Floats of a filter row's weights, and from the first of a row of the copy to the last one that the tile reads there.
        let Taps { runs, len, apart } = self.taps;
        let (taps, start) = (runs * len * S::LANES, first * STEP * S::LANES);
        let read = start + (PX - 1) * STEP * S::LANES + (runs - 1) * apart + len * load::<S, SPREAD>();
        assert_eq!(self.weights.len(), height.kernel * taps);
        assert!(
            rows.is_empty() || (rows.end - 1 - copied.start) * self.copy.row + read <= self.copy.floats.len(),
            "the copy has what the tile reads"
        );
        let mut x = self.copy.floats.as_ptr().wrapping_add(start);
        x = x.wrapping_add(rows.start.wrapping_sub(copied.start).wrapping_mul(self.copy.row));
        for y in rows {
            let above = y + height.pad_before - oh * height.stride;
            let [above, below] = [Some(above), above.checked_sub(height.stride)].map(|down| tap(height, down?));
            let [w, v] = [above, below].map(|row| self.weights.as_ptr().wrapping_add(row.unwrap_or(0) * taps));
            match (above.is_some(), below.is_some() && ROWS == 2) {
                (true, true) => self.add::<PX, STEP, SPREAD, ROWS, true, true>(simd, x, [w, v], &mut sums),
                (true, false) => self.add::<PX, STEP, SPREAD, ROWS, true, false>(simd, x, [w, w], &mut sums),
                (false, true) => self.add::<PX, STEP, SPREAD, ROWS, false, true>(simd, x, [v, v], &mut sums),
                (false, false) => {}
            }
            x = x.wrapping_add(self.copy.row);
        }
        let pixel = (image * height.output() + oh) * plan.problem.width().output() + first;
        let lanes = if SPREAD > 1 { simd.load(&plan.prepared.lanes[S::LANES..]) } else { self.bias };
        self.store::<PX, SPREAD>(simd, pixel, stored, &sums[0], lanes);
        if ROWS == 2 {
            self.store::<PX, SPREAD>(simd, pixel + plan.problem.width().output(), stored, &sums[ROWS - 1], lanes);
        }
    }

    /// Stores those of the sums that are `stored`, the first one's in output `pixel`.
    #[inline(always)]
    fn store<const PX: usize, const SPREAD: usize>(
        &self,
        simd: S,
        pixel: usize,
        stored: &Range<usize>,
        sums: &[S::Vec; PX],
        lanes: S::Vec,
    ) {
        let (pitch, ending) = (self.plan.pitch, self.plan.ending);
        let start = pixel * pitch + self.written.start;
        for (p, &sum) in sums.iter().enumerate() {
            if stored.contains(&p) {
                // SAFETY: shares have disjoint rows or channels.
                let output = unsafe { self.output.slice(start + p * pitch, self.written.len()) };
                ending.store(simd, output, if SPREAD > 1 { simd.permute(sum, lanes) } else { sum });
            }
        }
    }

    /// Adds the products with the pixels from `x` on to the outputs of the first row (`ABOVE`), by the first of the filter's rows from
    /// `weights` on, to those of the last one (`BELOW`), by the second, or both.
    // Plain indices: the loops must unroll into registers whatever the adaptors would make of them.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn add<
        const PX: usize,
        const STEP: usize,
        const SPREAD: usize,
        const ROWS: usize,
        const ABOVE: bool,
        const BELOW: bool,
    >(
        &self,
        simd: S,
        x: *const f32,
        weights: [*const f32; 2],
        sums: &mut [[S::Vec; PX]; ROWS],
    ) {
        let Taps { runs, len, apart } = self.taps;
        let load = load::<S, SPREAD>();
        for run in 0..runs {
            let x = x.wrapping_add(run * apart);
            let [above, below] = weights.map(|w| w.wrapping_add(run * len * S::LANES));
            for i in 0..len {
                // SAFETY: the weights have so many taps, as `outputs` asserts. What is not added is not loaded either: nothing reads it.
                let [above, below] =
                    unsafe { [simd.load_ptr(above.add(i * S::LANES)), simd.load_ptr(below.add(i * S::LANES))] };
                for p in 0..PX {
                    let x = x.wrapping_add(p * STEP * S::LANES + i * load);
                    // SAFETY: the copy has the last output's last tap, as `outputs` asserts of its last row.
                    let x = unsafe {
                        match SPREAD {
                            0 => simd.load_ptr(x),
                            _ => simd.load_repeated_ptr::<SPREAD>(x),
                        }
                    };
                    if ABOVE {
                        sums[0][p] = simd.mul_add(x, above, sums[0][p]);
                    }
                    if BELOW {
                        sums[ROWS - 1][p] = simd.mul_add(x, below, sums[ROWS - 1][p]);
                    }
                }
            }
        }
    }
}

/// Floats that a load repeats: all, of depthwise filters.
const fn load<S: Simd, const SPREAD: usize>() -> usize {
    if SPREAD == 0 { S::LANES } else { SPREAD }
}
