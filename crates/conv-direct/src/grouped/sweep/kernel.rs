//! The unsafe part: columns of tiles, from the top of a band of rows to its bottom.

use std::ops::Range;

use conv_simd::{SharedSlice, Simd, SimdOp, l1_lines_apart, within};

use super::pixels;
use crate::grouped::GroupedPlan;
use crate::grouped::shares::Share;

/// Pixels of an input row under a tile, at most.
const MAX_COLUMNS: usize = 16;

/// How many input rows ahead L1 is asked for what is read.
const AHEAD: usize = 2;

/// Computes `share` of the output.
pub(in crate::grouped) struct Sweep<'a> {
    pub plan: &'a GroupedPlan,
    pub input: &'a [f32],
    pub output: &'a SharedSlice<'a, f32>,
    pub share: Share,
}

impl SimdOp for Sweep<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let width = self.plan.problem.width();
        macro_rules! columns {
            ($($kernel:literal $stride:literal $live:literal $lanes:literal)*) => {
                match (width.kernel, width.stride, S::LANES) {
                    $(($kernel, $stride, $lanes) => {
                        const PIXELS: usize = pixels($kernel, $stride, $lanes).unwrap();
                        self.columns::<S, $kernel, $stride, $live, PIXELS>(simd);
                    })*
                    _ => unreachable!("`covers` lets no other filter pass"),
                }
            };
        }
        columns!(3 1 3 16  3 2 2 16  5 1 5 16  5 2 3 16  7 2 4 16  3 1 3 8  3 2 2 8  5 2 3 8);
    }
}

/// A column of tiles: one vector of channels of some neighbouring outputs of each row.
struct Column<'a> {
    /// The first output of each row.
    first: usize,
    /// Of the tile's outputs those that are stored: the last tile overlaps the one before, or is too wide.
    stored: Range<usize>,
    /// Channels that there are of the vector.
    channels: usize,
    /// Where the first output's first tap is in the image's first row; before the row, maybe.
    corner: *const f32,
    /// Floats from pixel to pixel and from row to row.
    pixel: usize,
    row: usize,
    /// Channels of each pixel under the tile: none in the padding.
    counts: [usize; MAX_COLUMNS],
    /// Whether L1 is asked for the pixels of a later row.
    ahead: bool,
    /// Floats from what is read to what the next column reads, the next vector's or the first one's of the next tiles.
    next: usize,
    /// `[K][K][lanes]`.
    weights: &'a [f32],
}

impl Sweep<'_> {
    /// All columns of tiles of `PX` pixels; filters of `K`×`K` and stride `STEP`, of which `LIVE` output rows share an input row.
    #[inline(always)]
    fn columns<S: Simd, const K: usize, const STEP: usize, const LIVE: usize, const PX: usize>(self, simd: S) {
        let (plan, width) = (self.plan, self.plan.problem.width());
        let outputs = width.output();
        let (pixel, height) = (plan.problem.in_channels(), plan.problem.height().input);
        let row = width.input * pixel;
        // Of pixels a power of two apart L1 may not hold so many rows.
        let ahead = (1 + AHEAD) * ((PX - 1) * STEP + K) <= l1_lines_apart(size_of::<f32>() * pixel);
        let image = &self.input[self.share.image * height * row..][..height * row];
        for start in (0..outputs).step_by(PX) {
            let first = start.min(outputs.saturating_sub(PX));
            let left = (first * STEP) as isize - width.pad_before as isize;
            let inside = left >= 0 && left as usize + (PX - 1) * STEP + K <= width.input;
            for vector in self.share.vectors.clone() {
                let channel = vector * S::LANES;
                let channels = S::LANES.min(pixel - channel);
                let mut counts = [channels; MAX_COLUMNS];
                for (j, count) in counts.iter_mut().enumerate() {
                    if !(0..width.input as isize).contains(&(left + j as isize)) {
                        *count = 0;
                    }
                }
                let column = Column {
                    first,
                    stored: start - first..PX.min(outputs - first),
                    channels,
                    corner: image.as_ptr().wrapping_offset(left * pixel as isize).wrapping_add(channel),
                    pixel,
                    row,
                    counts,
                    ahead,
                    next: match self.share.vectors.end - vector {
                        1 => PX * STEP * pixel - (vector - self.share.vectors.start) * S::LANES,
                        _ => S::LANES,
                    },
                    weights: plan.prepared.weights_of(vector),
                };
                let bias = simd.load(&plan.prepared.bias[channel..]);
                if inside && channels == S::LANES {
                    self.column::<S, K, STEP, LIVE, PX, true>(simd, &column, bias, channel);
                } else {
                    self.column::<S, K, STEP, LIVE, PX, false>(simd, &column, bias, channel);
                }
            }
        }
    }

    /// The outputs of one column. `WHOLE` if all its pixels are inside the image, and all channels there.
    #[inline(always)]
    fn column<S: Simd, const K: usize, const STEP: usize, const LIVE: usize, const PX: usize, const WHOLE: bool>(
        &self,
        simd: S,
        column: &Column<'_>,
        bias: S::Vec,
        channel: usize,
    ) {
        let (plan, rows) = (self.plan, &self.share.rows);
        let [height, width] = [plan.problem.height().output(), plan.problem.width().output()];
        let mut sums = [[bias; PX]; LIVE];
        // In step `t` the rows that output row `t` reads first are read; they are later taps of the `LIVE - 1` rows before.
        for t in rows.start..rows.end + LIVE - 1 {
            if (rows.start + LIVE - 1..rows.end).contains(&t) {
                self.step::<S, K, STEP, LIVE, PX, WHOLE, true>(simd, column, t, &mut sums);
            } else {
                self.step::<S, K, STEP, LIVE, PX, WHOLE, false>(simd, column, t, &mut sums);
            }
            if t + 1 >= rows.start + LIVE {
                let row = self.share.image * height + t + 1 - LIVE;
                let start = (row * width + column.first) * plan.pitch + channel;
                for (p, &sum) in sums[LIVE - 1].iter().enumerate() {
                    if column.stored.contains(&p) {
                        // SAFETY: shares have disjoint rows or channels.
                        let output = unsafe { self.output.slice(start + p * plan.pitch, column.channels) };
                        // Read again for each: all registers have sums (1.01 to 1.08 of the time with a copy).
                        plan.ending.store(simd, output, sum);
                    }
                }
            }
            for live in (1..LIVE).rev() {
                sums[live] = sums[live - 1];
            }
            sums[0] = [bias; PX];
        }
    }

    /// Adds the `STEP` input rows of step `t` to the sums of all rows of the share that they are taps of; `ALL` if none of the
    /// `LIVE` rows is outside.
    #[inline(always)]
    fn step<
        S: Simd,
        const K: usize,
        const STEP: usize,
        const LIVE: usize,
        const PX: usize,
        const WHOLE: bool,
        const ALL: bool,
    >(
        &self,
        simd: S,
        column: &Column<'_>,
        t: usize,
        sums: &mut [[S::Vec; PX]; LIVE],
    ) {
        let (height, rows) = (self.plan.problem.height(), &self.share.rows);
        assert_eq!(column.weights.len(), K * K * S::LANES);
        for d in 0..STEP {
            let Some(y) = (t * STEP + d).checked_sub(height.pad_before).filter(|&y| y < height.input) else {
                continue;
            };
            let x = column.corner.wrapping_add(y * column.row);
            let mut values = [simd.zero(); MAX_COLUMNS];
            for (j, value) in values[..(PX - 1) * STEP + K].iter_mut().enumerate() {
                let x = x.wrapping_add(j * column.pixel);
                debug_assert!(within(
                    &self.input[(self.share.image * height.input + y) * column.row..][..column.row],
                    x,
                    column.counts[j]
                ));
                if column.ahead {
                    simd.prefetch(x.wrapping_add(AHEAD * column.row));
                }
                if self.plan.prefetches {
                    simd.prefetch_l2(x.wrapping_add(column.next));
                }
                *value = if WHOLE {
                    // SAFETY: row `y` is one of the image, and the pixel one of the row.
                    unsafe { simd.load_ptr(x) }
                } else {
                    // Nothing is read in the padding, but not even that from outside the image: a masked load of a page that is
                    // not there takes hundreds of cycles.
                    let count = column.counts[j];
                    let x = if count == 0 { column.weights.as_ptr() } else { x };
                    // SAFETY: as above, and so many channels the pixel has.
                    unsafe { simd.load_partial_ptr(x, count) }
                };
            }
            // Written out: a loop of seven is not unrolled, and then its sums are in memory.
            macro_rules! add_to_rows {
                ($($live:literal)*) => {$(
                    let tap_row = $live * STEP + d;
                    if $live < LIVE && tap_row < K && (ALL || (rows.start + $live..rows.end + $live).contains(&t)) {
                        for k in 0..K {
                            let weight = column.weights.as_ptr().wrapping_add((tap_row * K + k) * S::LANES);
                            debug_assert!(within(column.weights, weight, S::LANES));
                            // SAFETY: so many weights there are, by the assertion.
                            let weight = unsafe { simd.load_ptr(weight) };
                            for (p, sum) in sums[$live].iter_mut().enumerate() {
                                *sum = simd.mul_add(values[p * STEP + k], weight, *sum);
                            }
                        }
                    }
                )*};
            }
            add_to_rows!(0 1 2 3 4 5 6);
        }
    }
}
