//! The unsafe part: output rows by vectors of channels.

use std::ops::Range;

use conv_simd::{SharedSlice, Simd, SimdOp};

use super::DepthwisePlan;

/// Pixels computed together: they share loads, and their sums hide a multiply-add's latency. Four were slower by a quarter.
/// Rows of 3 taps are computed with the pixels at their ends, which lack one of them, and seven divide the usual widths of 7,
/// 14, 28 and 56; without those ends, six fit better than eight.
const PIXELS: usize = 6;
const PIXELS_OF_THREE: usize = 7;

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
            (3, 1, 1) => self.rows::<S, PIXELS_OF_THREE, 3, 1>(simd),
            (3, 2, 1) => self.rows::<S, PIXELS_OF_THREE, 3, 2>(simd),
            (5, 1, 1) => self.rows::<S, PIXELS, 5, 1>(simd),
            (5, 2, 1) => self.rows::<S, PIXELS, 5, 2>(simd),
            _ => self.rows::<S, PIXELS, 1, 1>(simd),
        }
    }
}

impl Rows<'_> {
    /// All rows, `PX` pixels and `TAPS` neighbouring taps at a time where no tap is in the padding: with `STEP` the stride they
    /// share the loads of the input, and the weights stay in registers (56×56×128: 116 µs one tap at a time, 91 so).
    #[inline(always)]
    fn rows<S: Simd, const PX: usize, const TAPS: usize, const STEP: usize>(self, simd: S) {
        let problem = &self.plan.problem;
        let (height, width, channels) = (problem.height(), problem.width(), problem.groups());
        let (input_row, output_row) = (width.input * channels, width.output() * self.plan.pitch);
        // Outputs that meet no padding: those of both the first tap and the last.
        let (first, last) = (width.valid_outputs(0), width.valid_outputs(width.kernel - 1));
        let (start, end) = (first.start.max(last.start), first.end.min(last.end));
        // The outputs at the ends of a row that lack one tap alone.
        let left = TAPS == 3 && start == 1 && width.taps_from(0).0 == (1..3);
        let right = TAPS == 3 && end + 1 == width.output() && width.taps_from(end).0 == (0..2);
        let inner = start - usize::from(left)..end + usize::from(right);
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
                if inner.contains(&ow) && inner.len() >= PX {
                    // The last tile overlaps the one before: pixels alone take longer than pixels computed twice.
                    let first = ow.min(inner.end - PX);
                    let (place, done) = (first, ow - first);
                    match (left && first == 0, right && first + PX == inner.end) {
                        (false, false) => band.pixels::<S, PX, TAPS, STEP, 0, 0>(simd, place, done, output),
                        (true, false) => band.pixels::<S, PX, TAPS, STEP, 1, 0>(simd, place, done, output),
                        (false, true) => band.pixels::<S, PX, TAPS, STEP, 0, 1>(simd, place, done, output),
                        (true, true) => band.pixels::<S, PX, TAPS, STEP, 1, 1>(simd, place, done, output),
                    }
                    ow = first + PX;
                } else {
                    band.pixels::<S, 1, 1, 1, 0, 0>(simd, ow, 0, output);
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
    /// Computes all channels of `PX` neighbouring outputs, and stores them but the first `done`. They all have the same valid
    /// columns, but that the first one lacks its first `LEFT` and the last one its last `RIGHT`.
    #[inline(always)]
    fn pixels<S: Simd, const PX: usize, const TAPS: usize, const STEP: usize, const LEFT: usize, const RIGHT: usize>(
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
        let (columns, x) = (columns.start - LEFT..columns.end, x * pixel);
        let mut c = 0;
        while c + S::LANES <= pixel {
            self.tile::<S, PX, TAPS, STEP, LEFT, RIGHT, true>(simd, (&columns, x + c), c..c + S::LANES, done, output);
            c += S::LANES;
        }
        if c < pixel {
            self.tile::<S, PX, TAPS, STEP, LEFT, RIGHT, false>(simd, (&columns, x + c), c..pixel, done, output);
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

    /// `PX` outputs × a vector of `channels`, stored but the first `done`; the valid `columns` of the filter, without those
    /// that the first output lacks, begin at `x` of each input row.
    #[inline(always)]
    fn tile<
        S: Simd,
        const PX: usize,
        const TAPS: usize,
        const STEP: usize,
        const LEFT: usize,
        const RIGHT: usize,
        const FULL: bool,
    >(
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
                let x = &x[..(PX - 1) * STEP * distance + (TAPS - 1 - LEFT - RIGHT) * pixel + channels.len()];
                let w = &plan.weights[(r * width.kernel + s) * plan.stride + channels.start..];
                let mut weights = [simd.zero(); TAPS];
                for (tap, weight) in weights.iter_mut().enumerate() {
                    *weight = simd.load(&w[tap * plan.stride..]);
                }
                for (p, sum) in sums.iter_mut().enumerate() {
                    for (tap, &weight) in weights.iter().enumerate() {
                        if p * STEP + tap < LEFT || p * STEP + tap + RIGHT > (PX - 1) * STEP + TAPS - 1 {
                            continue;
                        }
                        // SAFETY: the slice just taken reaches from the first column to the last one's last channel.
                        let value = unsafe {
                            let x = x.as_ptr().add((p * STEP + tap - LEFT) * distance);
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
