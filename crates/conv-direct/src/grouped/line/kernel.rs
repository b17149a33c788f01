//! The unsafe part: tiles of neighbouring outputs along the filter's axis.

use std::ops::Range;

use conv_simd::{SharedSlice, Simd, SimdOp, within};

use super::outputs;
use crate::grouped::GroupedPlan;
use crate::grouped::shares::Share;

/// Inputs of these taps, at most.
const MAX_INPUTS: usize = 16;

/// Computes `share` of the output, whose rows are lines along the filter's `axis`.
pub(in crate::grouped) struct Lines<'a> {
    pub plan: &'a GroupedPlan,
    pub input: &'a [f32],
    pub output: &'a SharedSlice<'a, f32>,
    pub axis: usize,
    pub share: Share,
}

impl SimdOp for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        match S::LANES {
            16 => self.lines::<S, { outputs(16) }>(simd),
            _ => self.lines::<S, { outputs(8) }>(simd),
        }
    }
}

/// Some neighbouring outputs of a line, one vector of channels.
struct Tile<'a> {
    /// Where the first output's first tap is, outside the image maybe, and which position along the axis that is.
    x: *const f32,
    left: isize,
    /// Positions of the input along the axis, and floats from one to the next.
    positions: isize,
    step: usize,
    /// Channels that there are of the vector.
    channels: usize,
    /// `[tap][lanes]`.
    weights: &'a [f32],
}

impl Lines<'_> {
    #[inline(always)]
    fn lines<S: Simd, const N: usize>(self, simd: S) {
        let (plan, problem) = (self.plan, &self.plan.problem);
        let [along, across] = super::axes(problem, self.axis);
        let pixel = problem.in_channels();
        let row = problem.width().input * pixel;
        let (input_steps, output_steps) = ([row, pixel], [problem.width().output() * plan.pitch, plan.pitch]);
        let steps = [input_steps[self.axis], input_steps[1 - self.axis] * across.stride];
        let image = &self.input[self.share.image * problem.height().input * row..][..problem.height().input * row];
        let outputs = along.output();
        let image_outputs = self.share.image * problem.height().output() * output_steps[0];
        for start in (0..outputs).step_by(N) {
            // The last tile overlaps the one before, or is too wide.
            let first = start.min(outputs.saturating_sub(N));
            let stored = start - first..N.min(outputs - first);
            let left = first as isize - along.pad_before as isize;
            let inside = left >= 0 && left as usize + N - 1 + along.kernel <= along.input;
            // Line by line within these: a line's next tile reads positions that this one stores, and where input and output lie alike
            // in their pages, loads wait for stores (0.85 to 0.97 of the time).
            for line in self.share.rows.clone() {
                let x = image.as_ptr().wrapping_add(line * steps[1]).wrapping_offset(left * steps[0] as isize);
                let y = image_outputs + line * output_steps[1 - self.axis] + first * output_steps[self.axis];
                for vector in self.share.vectors.clone() {
                    let channel = vector * S::LANES;
                    let tile = Tile {
                        x: x.wrapping_add(channel),
                        left,
                        positions: along.input as isize,
                        step: steps[0],
                        channels: S::LANES.min(pixel - channel),
                        weights: plan.prepared.weights_of(vector),
                    };
                    debug_assert!({
                        let line = &image[line * steps[1]..][..(along.input - 1) * steps[0] + pixel];
                        let read = left.max(0)..(left + (N - 1 + along.kernel) as isize).min(along.input as isize);
                        let before = (read.start - left) as usize;
                        let floats = read.len().checked_sub(1).map_or(0, |last| last * steps[0] + tile.channels);
                        within(line, tile.x.wrapping_add(before * steps[0]), floats)
                    });
                    let bias = simd.load(&plan.prepared.bias[channel..]);
                    let sums = if inside && tile.channels == S::LANES {
                        tile.sums::<S, N, true>(simd, bias)
                    } else {
                        tile.sums::<S, N, false>(simd, bias)
                    };
                    self.store(simd, &stored, y + channel, output_steps[self.axis], tile.channels, sums);
                }
            }
        }
    }

    #[inline(always)]
    fn store<S: Simd, const N: usize>(
        &self,
        simd: S,
        stored: &Range<usize>,
        y: usize,
        step: usize,
        channels: usize,
        sums: [S::Vec; N],
    ) {
        let ending = self.plan.ending;
        for (p, &sum) in sums.iter().enumerate() {
            if stored.contains(&p) {
                // SAFETY: shares have disjoint lines or channels.
                let output = unsafe { self.output.slice(y + p * step, channels) };
                ending.store(simd, output, sum);
            }
        }
    }
}

impl Tile<'_> {
    /// The sums of `N` outputs. `WHOLE` if all that they read is inside the image, and whole vectors there.
    #[inline(always)]
    fn sums<S: Simd, const N: usize, const WHOLE: bool>(&self, simd: S, bias: S::Vec) -> [S::Vec; N] {
        let taps = self.weights.len() / S::LANES;
        let mut sums = [bias; N];
        let mut tap = 0;
        // The inputs of so many taps are in registers together: the outputs read all but their ends several times.
        macro_rules! add_while_there_are {
            ($($count:literal)*) => {$(
                while taps - tap >= $count {
                    self.add::<S, N, $count, WHOLE>(simd, tap, &mut sums);
                    tap += $count;
                }
            )*};
        }
        add_while_there_are!(5 3 1);
        sums
    }

    /// Adds the products with `T` taps from `tap` on.
    #[inline(always)]
    fn add<S: Simd, const N: usize, const T: usize, const WHOLE: bool>(
        &self,
        simd: S,
        tap: usize,
        sums: &mut [S::Vec; N],
    ) {
        let weights = &self.weights[tap * S::LANES..][..T * S::LANES];
        let mut values = [simd.zero(); MAX_INPUTS];
        for (j, value) in values[..N + T - 1].iter_mut().enumerate() {
            let x = self.x.wrapping_add((tap + j) * self.step);
            let is_inside = (0..self.positions).contains(&(self.left + (tap + j) as isize));
            debug_assert!(is_inside || !WHOLE);
            *value = if WHOLE {
                // SAFETY: the position is inside the image.
                unsafe { simd.load_ptr(x) }
            } else {
                // Of another position nothing is read, and not from there, where there may be no page: see `sweep`.
                let (x, count) = if is_inside { (x, self.channels) } else { (weights.as_ptr(), 0) };
                // SAFETY: a position inside the image has so many channels.
                unsafe { simd.load_partial_ptr(x, count) }
            };
        }
        for (t, weight) in weights.chunks_exact(S::LANES).enumerate() {
            let weight = simd.load(weight);
            for (p, sum) in sums.iter_mut().enumerate() {
                *sum = simd.mul_add(values[p + t], weight, *sum);
            }
        }
    }
}
