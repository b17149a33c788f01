//! The unsafe part: copies a vector's rows, and computes a band of outputs from them.

use std::ops::Range;

use conv_simd::{SharedSlice, Simd, SimdOp};

use super::{columns, tile};
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
        let width = self.plan.problem.width();
        macro_rules! tiles {
            ($($pixels:literal $stride:literal $wide:literal)*) => {
                match (tile(width.output(), S::LANES), width.stride, S::LANES >= 16) {
                    $(($pixels, $stride, $wide) => self.vectors::<S, $pixels, $stride>(simd),)*
                    _ => unreachable!("`covers` lets no other stride pass"),
                }
            };
        }
        tiles!(8 1 true  7 1 true  5 1 true  8 2 true  7 2 true  5 2 true  6 1 false  5 1 false  4 1 false  6 2 false  5 2 false  4 2 false);
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
    /// All vectors, by tiles of `PX` outputs; `STEP` is the stride along a row.
    #[inline(always)]
    fn vectors<S: Simd, const PX: usize, const STEP: usize>(self, simd: S) {
        let Planes { plan, input, output, copy, share } = self;
        let [height, width] = [plan.problem.height(), plan.problem.width()];
        let pixel = plan.problem.in_channels();
        let row = columns(&plan.problem, S::LANES) * S::LANES;
        let [top, bottom] = [share.rows.start * height.stride, (share.rows.end - 1) * height.stride + height.kernel]
            .map(|y| y.saturating_sub(height.pad_before).min(height.input));
        let copy = &mut copy[..(bottom - top) * row];
        copy.fill(0.0);
        let outputs = width.output();
        for vector in share.vectors {
            let channel = vector * S::LANES;
            let channels = S::LANES.min(pixel - channel);
            for (y, copy) in (top..bottom).zip(copy.chunks_exact_mut(row)) {
                let input = &input[(share.image * height.input + y) * width.input * pixel..][..width.input * pixel];
                let copies = copy[width.pad_before * S::LANES..].chunks_exact_mut(S::LANES);
                for (copy, input) in copies.zip(input.chunks_exact(pixel)) {
                    simd.store(copy, simd.load_partial(&input[channel..channel + channels]));
                }
            }
            let copy = Copied { floats: copy, rows: top..bottom, row };
            let tile = Tile { plan, output, copy, weights: plan.prepared.weights_of(vector), channel, channels };
            for start in (0..outputs).step_by(PX) {
                // The last tile overlaps the one before, or is too wide.
                let first = start.min(outputs.saturating_sub(PX));
                let stored = start - first..PX.min(outputs - first);
                let mut oh = share.rows.start;
                while oh < share.rows.end {
                    let at = [share.image, oh, first];
                    if oh + 1 < share.rows.end {
                        tile.outputs::<S, PX, STEP, 2>(simd, at, stored.clone());
                    } else {
                        tile.outputs::<S, PX, STEP, 1>(simd, at, stored.clone());
                    }
                    oh += 2;
                }
            }
        }
    }
}

/// One vector's tiles.
struct Tile<'a> {
    plan: &'a GroupedPlan,
    output: &'a SharedSlice<'a, f32>,
    copy: Copied<'a>,
    /// `[kh][kw][lanes]`.
    weights: &'a [f32],
    /// The first channel, and how many there are of the vector.
    channel: usize,
    channels: usize,
}

impl Tile<'_> {
    /// Of one row or two from `oh` on, `PX` outputs from `first` on, of which some are stored.
    #[inline(always)]
    fn outputs<S: Simd, const PX: usize, const STEP: usize, const ROWS: usize>(
        &self,
        simd: S,
        [image, oh, first]: [usize; 3],
        stored: Range<usize>,
    ) {
        let (plan, height) = (self.plan, self.plan.problem.height());
        let mut sums = [[simd.load(&plan.prepared.bias[self.channel..]); ROWS]; PX];
        // Those of the copy's rows that the last row of outputs reads, or one before it, counted from the padding above the image.
        let end = (oh + ROWS - 1) * height.stride + height.kernel;
        let [start, end] = [oh * height.stride, end].map(|y| y.saturating_sub(height.pad_before));
        for y in start.max(self.copy.rows.start)..end.min(self.copy.rows.end) {
            let above = y + height.pad_before - oh * height.stride;
            let below = above.wrapping_sub(height.stride);
            match (above < height.kernel, ROWS == 2 && below < height.kernel) {
                (true, true) => self.add::<S, PX, STEP, ROWS, true, true>(simd, y, first, [above, below], &mut sums),
                (true, false) => self.add::<S, PX, STEP, ROWS, true, false>(simd, y, first, [above, 0], &mut sums),
                (false, true) => self.add::<S, PX, STEP, ROWS, false, true>(simd, y, first, [0, below], &mut sums),
                (false, false) => {}
            }
        }
        let ending = plan.ending;
        let [rows, columns] = [height.output(), plan.problem.width().output()];
        for (p, sums) in sums.iter().enumerate().filter(|(p, _)| stored.contains(p)) {
            for (row, &sum) in sums.iter().enumerate() {
                let pixel = (image * rows + oh + row) * columns + first + p;
                // SAFETY: shares have disjoint rows or channels.
                let output = unsafe { self.output.slice(pixel * plan.pitch + self.channel, self.channels) };
                ending.store(simd, output, sum);
            }
        }
    }

    /// Adds the products with row `y` of the image to the outputs of the first row (`ABOVE`), the last one (`BELOW`) or both, whose
    /// taps in it are those of two `rows` of the filter.
    #[inline(always)]
    fn add<S: Simd, const PX: usize, const STEP: usize, const ROWS: usize, const ABOVE: bool, const BELOW: bool>(
        &self,
        simd: S,
        y: usize,
        first: usize,
        rows: [usize; 2],
        sums: &mut [[S::Vec; ROWS]; PX],
    ) {
        let taps = self.plan.problem.width().kernel;
        let x = (y - self.copy.rows.start) * self.copy.row + first * STEP * S::LANES;
        let x = &self.copy.floats[x..][..((PX - 1) * STEP + taps) * S::LANES];
        let above = &self.weights[rows[0] * taps * S::LANES..][..taps * S::LANES];
        let below = &self.weights[rows[1] * taps * S::LANES..][..taps * S::LANES];
        for tap in 0..taps {
            // SAFETY: both slices have so many taps. What is not added is not loaded either: nothing reads it.
            let [above, below] = unsafe {
                [simd.load_ptr(above.as_ptr().add(tap * S::LANES)), simd.load_ptr(below.as_ptr().add(tap * S::LANES))]
            };
            for (p, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the slice ends with the last output's last tap.
                let x = unsafe { simd.load_ptr(x.as_ptr().add((p * STEP + tap) * S::LANES)) };
                if ABOVE {
                    sums[0] = simd.mul_add(x, above, sums[0]);
                }
                if BELOW {
                    sums[ROWS - 1] = simd.mul_add(x, below, sums[ROWS - 1]);
                }
            }
        }
    }
}
