//! The unsafe part: output rows by vectors of channels.

use std::ops::Range;

use conv_simd::{SharedSlice, Simd, SimdOp};

use super::DepthwisePlan;

/// Pixels computed together where no tap of theirs is in the padding: they share loads, and their sums hide a
/// multiply-add's latency. Four were slower by a quarter; eight fit the usual widths of 14, 28 and 56 worse.
const PIXELS: usize = 6;

/// Computes `rows` of the output, counted over all images.
pub(super) struct Rows<'a> {
    pub plan: &'a DepthwisePlan,
    pub input: &'a [f32],
    pub output: &'a SharedSlice<'a, f32>,
    pub rows: Range<usize>,
}

impl SimdOp for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let width = self.plan.problem.width();
        match (width.kernel, width.stride, width.dilation) {
            (3, 1, 1) => self.rows::<S, 3, 1>(simd),
            (3, 2, 1) => self.rows::<S, 3, 2>(simd),
            (5, 1, 1) => self.rows::<S, 5, 1>(simd),
            (5, 2, 1) => self.rows::<S, 5, 2>(simd),
            _ => self.rows::<S, 1, 1>(simd),
        }
    }
}

impl Rows<'_> {
    /// All rows, `TAPS` neighbouring taps at a time where no tap is in the padding: with `STEP` the stride they share the
    /// loads of the input, and the weights stay in registers (56×56×128: 116 µs one tap at a time, 91 so).
    #[inline(always)]
    fn rows<S: Simd, const TAPS: usize, const STEP: usize>(self, simd: S) {
        let problem = &self.plan.problem;
        let (height, width, channels) = (problem.height(), problem.width(), problem.groups());
        let (input_row, output_row) = (width.input * channels, width.output() * self.plan.pitch);
        // Outputs that meet no padding: those of both the first tap and the last.
        let (first, last) = (width.valid_outputs(0), width.valid_outputs(width.kernel - 1));
        let inner = first.start.max(last.start)..first.end.min(last.end);
        for row in self.rows {
            let (image, oh) = (row / height.output(), row % height.output());
            let (taps, top) = height.taps_from(oh);
            let band = Band {
                plan: self.plan,
                input: &self.input[(image * height.input + top) * input_row..],
                input_step: height.dilation * input_row,
                taps,
            };
            // SAFETY: tasks have disjoint rows.
            let output = unsafe { self.output.slice(row * output_row, output_row - (self.plan.pitch - channels)) };
            let mut ow = 0;
            while ow < width.output() {
                if inner.contains(&ow) && inner.len() >= PIXELS {
                    // The last tile overlaps the one before: pixels alone take longer than pixels computed twice.
                    let first = ow.min(inner.end - PIXELS);
                    band.pixels::<S, PIXELS, TAPS, STEP>(simd, first, ow - first, output);
                    ow = first + PIXELS;
                } else {
                    band.pixels::<S, 1, 1, 1>(simd, ow, 0, output);
                    ow += 1;
                }
            }
        }
    }
}

/// The input rows under one output row.
struct Band<'a> {
    plan: &'a DepthwisePlan,
    /// From the first valid tap's row on.
    input: &'a [f32],
    /// Floats from one tap's row to the next's.
    input_step: usize,
    /// Filter rows inside the image.
    taps: Range<usize>,
}

impl Band<'_> {
    /// Computes all channels of `PX` neighbouring outputs, which all have the same valid columns, and stores them but the
    /// first `done`.
    #[inline(always)]
    fn pixels<S: Simd, const PX: usize, const TAPS: usize, const STEP: usize>(
        &self,
        simd: S,
        ow: usize,
        done: usize,
        output: &mut [f32],
    ) {
        let output = &mut output[ow * self.plan.pitch..];
        let (width, pixel) = (self.plan.problem.width(), self.plan.problem.groups());
        // Here and not for each vector: they divide, which costs as much as a vector's multiply-adds.
        let (columns, x) = width.taps_from(ow);
        let x = x * pixel;
        let mut c = 0;
        while c + S::LANES <= pixel {
            self.tile::<S, PX, TAPS, STEP, true>(simd, (&columns, x + c), c..c + S::LANES, done, output);
            c += S::LANES;
        }
        if c < pixel {
            self.tile::<S, PX, TAPS, STEP, false>(simd, (&columns, x + c), c..pixel, done, output);
        }
    }

    /// Prefetches what the same tile of the next output row will read that this one does not, and its outputs: six pixels of
    /// three rows are more streams than the hardware's prefetcher follows. At `x` of each input row the tile's first pixel
    /// begins, at `output` its outputs.
    ///
    /// On a Zen 4, 16 images of 56×56×128 took half the time so (10.4 and 5.2 ms); of one image, which is in the caches, 5 to
    /// 25% more.
    #[inline(always)]
    fn prefetch_next_row<S: Simd, const PX: usize>(&self, simd: S, x: usize, output: &[f32]) {
        let problem = &self.plan.problem;
        let (height, width, pixel) = (problem.height(), problem.width(), problem.groups());
        for row in 0..height.stride {
            let x = self.input.as_ptr().wrapping_add((self.taps.len() + row) * self.input_step + x);
            for p in 0..PX * width.stride {
                simd.prefetch(x.wrapping_add(p * pixel));
            }
        }
        let output = output.as_ptr().wrapping_add(width.output() * self.plan.pitch);
        for p in 0..PX {
            simd.prefetch(output.wrapping_add(p * self.plan.pitch));
        }
    }

    /// `PX` outputs × a vector of `channels`, stored but the first `done`; the valid `columns` of the filter begin at `x` of
    /// each input row.
    #[inline(always)]
    fn tile<S: Simd, const PX: usize, const TAPS: usize, const STEP: usize, const FULL: bool>(
        &self,
        simd: S,
        (columns, x): (&Range<usize>, usize),
        channels: Range<usize>,
        done: usize,
        output: &mut [f32],
    ) {
        let (plan, width, pixel) = (self.plan, self.plan.problem.width(), self.plan.problem.groups());
        // From one of the pixels loaded to the next: a single tap meets only every stride-th.
        let distance = if TAPS == 1 { width.stride * pixel } else { pixel };
        if PX > 1 && plan.far {
            self.prefetch_next_row::<S, PX>(simd, x, &output[channels.start..]);
        }
        let mut sums = [simd.load(&plan.bias[channels.start..]); PX];
        for (row, r) in self.taps.clone().enumerate() {
            for (s, first) in columns.clone().step_by(TAPS).zip((x..).step_by(width.dilation * pixel)) {
                let x = &self.input[row * self.input_step + first..];
                let x = &x[..(PX - 1) * STEP * distance + (TAPS - 1) * pixel + channels.len()];
                let w = &plan.weights[(r * width.kernel + s) * plan.stride + channels.start..];
                let mut weights = [simd.zero(); TAPS];
                for (tap, weight) in weights.iter_mut().enumerate() {
                    *weight = simd.load(&w[tap * plan.stride..]);
                }
                for (p, sum) in sums.iter_mut().enumerate() {
                    for (tap, &weight) in weights.iter().enumerate() {
                        // SAFETY: the slice just taken reaches to the last column's last channel.
                        let value = unsafe {
                            let x = x.as_ptr().add((p * STEP + tap) * distance);
                            if FULL { simd.load_ptr(x) } else { simd.load_partial_ptr(x, channels.len()) }
                        };
                        *sum = simd.mul_add(value, weight, *sum);
                    }
                }
            }
        }
        for (p, &sum) in sums.iter().enumerate() {
            if p >= done {
                let output = &mut output[p * plan.pitch + channels.start..][..channels.len()];
                let sum = if plan.epilogue.accumulate { simd.add(sum, simd.load_partial(output)) } else { sum };
                simd.store_partial(output, plan.epilogue.bounds.clamp(simd, sum));
            }
        }
    }
}
