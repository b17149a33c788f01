//! The unsafe part: output rows by vectors of channels.

use std::ops::Range;

use conv_simd::{SharedSlice, Simd, SimdOp, within};

use super::GroupedPlan;

/// Pixels computed together: they share loads, and their sums hide a multiply-add's latency. Four were slower by a quarter.
/// Seven divide the usual widths of 7, 14, 28 and 56; where pixels at the ends of a row are not computed with the others, six
/// fit better than eight.
pub(super) const PIXELS: usize = 7;
const PIXELS_INSIDE: usize = 6;

/// Vectors of a pixel alone that are computed together, to hide the latency.
const VECTORS: usize = 4;

/// Pixels scaled together: they share the loads of the weights.
const SCALED: usize = 4;

/// Pixels computed together of groups of several channels: of nine, eight and seven the number with the fewest computed twice.
fn fitting(outputs: usize) -> usize {
    [9, 8, PIXELS].into_iter().min_by_key(|&pixels| outputs.next_multiple_of(pixels)).expect("three numbers")
}

/// Computes `rows` of the output, counted over all images.
pub(super) struct Rows<'a> {
    pub plan: &'a GroupedPlan,
    pub input: &'a [f32],
    pub output: &'a SharedSlice<'a, f32>,
    pub rows: Range<usize>,
}

impl SimdOp for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        if self.plan.packing.is_depthwise() { self.all::<S, false>(simd) } else { self.all::<S, true>(simd) }
    }
}

impl Rows<'_> {
    /// All rows; `DEEP` if groups have several channels of one kind.
    #[inline(always)]
    fn all<S: Simd, const DEEP: bool>(self, simd: S) {
        let [height, width] = [self.plan.problem.height(), self.plan.problem.width()];
        let pads = [height.pad_before, height.pad_after, width.pad_before, width.pad_after];
        match (width.kernel, width.stride, width.dilation) {
            (1, ..) if !DEEP && height.kernel == 1 && pads == [0; 4] => self.scales(simd),
            // Rows of three are one tile.
            (3, 1, 1) if !DEEP && width.output() == 3 => self.rows::<S, 3, 3, 1, 1, 1, false>(simd),
            (5, 1, 1) if !DEEP && width.output() == 3 => self.rows::<S, 3, 5, 1, 2, 2, false>(simd),
            (3, 1, 1) if !DEEP => self.rows::<S, PIXELS, 3, 1, 1, 1, false>(simd),
            (3, 1, 1) => match fitting(width.output()) {
                9 => self.rows::<S, 9, 3, 1, 1, 1, true>(simd),
                8 => self.rows::<S, 8, 3, 1, 1, 1, true>(simd),
                _ => self.rows::<S, PIXELS, 3, 1, 1, 1, true>(simd),
            },
            (3, 2, 1) => self.rows::<S, PIXELS, 3, 2, 1, 1, DEEP>(simd),
            (5, 1, 1) if DEEP => match fitting(width.output()) {
                9 => self.rows::<S, 9, 5, 1, 2, 2, true>(simd),
                8 => self.rows::<S, 8, 5, 1, 2, 2, true>(simd),
                _ => self.rows::<S, PIXELS, 5, 1, 2, 2, true>(simd),
            },
            (5, 1, 1) => self.rows::<S, PIXELS, 5, 1, 2, 2, false>(simd),
            (5, 2, 1) if !DEEP => self.rows::<S, PIXELS, 5, 2, 2, 1, false>(simd),
            (7, 1, 1) if !DEEP => self.rows::<S, PIXELS, 7, 1, 3, 3, false>(simd),
            (7, 2, 1) if !DEEP => self.rows::<S, PIXELS, 7, 2, 3, 2, false>(simd),
            _ => self.rows::<S, PIXELS_INSIDE, 1, 1, 0, 0, DEEP>(simd),
        }
    }

    /// All rows of 1×1 filters, some pixels at a time: neighbours share nothing but the weights.
    #[inline(always)]
    fn scales<S: Simd>(self, simd: S) {
        let problem = &self.plan.problem;
        let [height, width] = [problem.height(), problem.width()];
        let (outputs, channels) = ([height.output(), width.output()], problem.in_channels());
        for row in self.rows.clone() {
            let (image, y) = (row / outputs[0], row % outputs[0] * height.stride);
            let input = &self.input[(image * height.input + y) * width.input * channels..][..width.input * channels];
            let mut ow = 0;
            while ow + SCALED <= outputs[1] {
                self.scale::<S, SCALED>(simd, input, [row, ow]);
                ow += SCALED;
            }
            while ow < outputs[1] {
                self.scale::<S, 1>(simd, input, [row, ow]);
                ow += 1;
            }
        }
    }

    /// `PX` outputs of a `row` from `ow` on, whose inputs are in the row `input`.
    #[inline(always)]
    fn scale<S: Simd, const PX: usize>(&self, simd: S, input: &[f32], [row, ow]: [usize; 2]) {
        let (plan, width) = (self.plan, self.plan.problem.width());
        let channels = plan.problem.in_channels();
        let whole = channels / S::LANES * S::LANES;
        let pixel = width.stride * channels;
        let input = &input[ow * pixel..][..(PX - 1) * pixel + channels];
        // SAFETY: tasks have disjoint rows.
        let output = unsafe {
            self.output.slice((row * width.output() + ow) * plan.pitch, (PX - 1) * plan.pitch + channels) //
        };
        let (weights, bias) = (&plan.prepared.weights[..channels], &plan.prepared.bias[..channels]);
        let ending = plan.ending;
        for channel in (0..whole).step_by(S::LANES) {
            // SAFETY: the vector is among the whole ones of `channels`, which all four slices have, for each pixel.
            unsafe {
                let weights = simd.load_ptr(weights.as_ptr().add(channel));
                let bias = simd.load_ptr(bias.as_ptr().add(channel));
                for p in 0..PX {
                    let to = output.as_mut_ptr().add(p * plan.pitch + channel);
                    let sum = simd.mul_add(simd.load_ptr(input.as_ptr().add(p * pixel + channel)), weights, bias);
                    let sum = if ending.accumulate { simd.add(sum, simd.load_ptr(to)) } else { sum };
                    simd.store_ptr(to, ending.bounds.clamp(simd, sum));
                }
            }
        }
        if whole < channels {
            let (weights, bias) = (simd.load_partial(&weights[whole..]), simd.load_partial(&bias[whole..]));
            for p in 0..PX {
                let sum = simd.mul_add(simd.load_partial(&input[p * pixel..][whole..channels]), weights, bias);
                ending.store(simd, &mut output[p * plan.pitch..][whole..channels], sum);
            }
        }
    }

    /// All rows, `PX` pixels and `TAPS` neighbouring taps at a time: with `STEP` the stride they share the loads of the input, and
    /// the weights stay in registers (56×56×128: 116 µs one tap at a time, 91 so). Of a tile the first pixel may lack `BEFORE` taps in
    /// the padding, and the last one `BEHIND`, as they do where a filter's padding is half of it and a map's width even: each such
    /// case is a loop of its own to compile.
    #[inline(always)]
    fn rows<
        S: Simd,
        const PX: usize,
        const TAPS: usize,
        const STEP: usize,
        const BEFORE: usize,
        const BEHIND: usize,
        const DEEP: bool,
    >(
        self,
        simd: S,
    ) {
        let problem = &self.plan.problem;
        let (height, width) = (problem.height(), problem.width());
        let (input_row, output_row) = (width.input * problem.in_channels(), width.output() * self.plan.pitch);
        // Outputs that meet no padding: those of both the first tap and the last.
        let (first, last) = (width.valid_outputs(0), width.valid_outputs(width.kernel - 1));
        let inside = first.start.max(last.start)..first.end.min(last.end);
        // The taps that an output lacks before the row and behind it; one at a time, they are all there or not.
        let lacking = |ow: usize| match TAPS {
            1 => [usize::from(ow < inside.start), usize::from(ow >= inside.end)],
            _ => [
                width.pad_before.saturating_sub(ow * STEP),
                (ow * STEP + TAPS).saturating_sub(width.pad_before + width.input),
            ],
        };
        let end = if lacking(width.output() - 1)[1] == BEHIND { width.output() } else { inside.end };
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
            let output = unsafe {
                self.output.slice(row * output_row, output_row - (self.plan.pitch - problem.out_channels())) //
            };
            let mut ow = 0;
            while ow < width.output() {
                // The last tile overlaps the one before: pixels alone take longer than pixels computed twice.
                let first = ow.min(end.saturating_sub(PX));
                let (done, [left, right]) = (ow - first, [lacking(first)[0], lacking(first + PX - 1)[1]]);
                let covered = (left == 0 || left == BEFORE) && (right == 0 || right == BEHIND);
                if first + PX <= end && ow < end && covered {
                    debug_assert_eq!([lacking(first)[1], lacking(first + PX - 1)[0]], [0; 2], "the ends meet");
                    match (left == BEFORE, right == BEHIND) {
                        (true, true) => {
                            band.pixels::<S, PX, TAPS, STEP, BEFORE, BEHIND, DEEP>(simd, first, done, output);
                        }
                        (true, false) => band.pixels::<S, PX, TAPS, STEP, BEFORE, 0, DEEP>(simd, first, done, output),
                        (false, true) => band.pixels::<S, PX, TAPS, STEP, 0, BEHIND, DEEP>(simd, first, done, output),
                        (false, false) => band.pixels::<S, PX, TAPS, STEP, 0, 0, DEEP>(simd, first, done, output),
                    }
                    ow = first + PX;
                } else {
                    band.pixel::<S, DEEP>(simd, ow, output);
                    ow += 1;
                }
            }
        }
    }
}

/// The input rows under one output row.
struct Band<'a> {
    plan: &'a GroupedPlan,
    /// From the first valid tap's row on.
    input: &'a [f32],
    /// Floats from one tap's row to the next's.
    input_step: usize,
    /// Filter rows inside the image.
    taps: Range<usize>,
}

impl Band<'_> {
    /// Computes all channels of the `PX` outputs from `first` on, and stores them but the first `done`. They all have the same valid
    /// columns, but that the first one lacks its first `LEFT` and the last one its last `RIGHT`, and those between them accordingly
    /// fewer.
    #[inline(always)]
    fn pixels<
        S: Simd,
        const PX: usize,
        const TAPS: usize,
        const STEP: usize,
        const LEFT: usize,
        const RIGHT: usize,
        const DEEP: bool,
    >(
        &self,
        simd: S,
        first: usize,
        done: usize,
        output: &mut [f32],
    ) {
        let output = &mut output[first * self.plan.pitch..];
        // Here and not for each vector: they divide, which costs as much as a vector's multiply-adds.
        let (columns, x) = self.plan.problem.width().taps_from(first);
        let at = (&(columns.start - LEFT..columns.end), x * self.plan.problem.in_channels());
        for vector in 0..self.plan.whole {
            self.tile::<S, PX, TAPS, STEP, LEFT, RIGHT, DEEP, true>(simd, at, vector, done, output);
        }
        for vector in self.plan.whole..self.plan.packing.vectors {
            self.tile::<S, PX, TAPS, STEP, LEFT, RIGHT, DEEP, false>(simd, at, vector, done, output);
        }
    }

    /// Computes all channels of one output.
    #[inline(always)]
    fn pixel<S: Simd, const DEEP: bool>(&self, simd: S, ow: usize, output: &mut [f32]) {
        let output = &mut output[ow * self.plan.pitch..];
        let (columns, x) = self.plan.problem.width().taps_from(ow);
        let at = (&columns, x * self.plan.problem.in_channels());
        let mut vector = 0;
        while vector + VECTORS <= self.plan.whole {
            self.column::<S, VECTORS, DEEP, true>(simd, at, vector, output);
            vector += VECTORS;
        }
        while vector < self.plan.packing.vectors {
            self.column::<S, 1, DEEP, false>(simd, at, vector, output);
            vector += 1;
        }
    }

    /// The channels that `vector` reads, and those that it writes.
    #[inline(always)]
    fn channels<S: Simd, const WHOLE: bool>(&self, vector: usize) -> [Range<usize>; 2] {
        let (problem, packing) = (&self.plan.problem, &self.plan.packing);
        let [from, to] = [vector * packing.inputs, vector * packing.outputs];
        if WHOLE {
            return [from..from + S::LANES, to..to + S::LANES];
        }
        let [read, written] = [S::LANES, packing.outputs];
        [from..(from + read).min(problem.in_channels()), to..(to + written).min(problem.out_channels())]
    }

    /// `VECTORS` vectors of one output from `vector` on; the valid `columns` of the filter begin at `x` of each input row.
    #[inline(always)]
    fn column<S: Simd, const VECTORS: usize, const DEEP: bool, const WHOLE: bool>(
        &self,
        simd: S,
        (columns, x): (&Range<usize>, usize),
        vector: usize,
        output: &mut [f32],
    ) {
        let (plan, width, pixel) = (self.plan, self.plan.problem.width(), self.plan.problem.in_channels());
        let depth = if DEEP { plan.packing.depth } else { 1 };
        let mut sums = [simd.zero(); VECTORS];
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = simd.load(&plan.prepared.bias[(vector + v) * S::LANES..]);
        }
        for (row, r) in self.taps.clone().enumerate() {
            for (s, x) in columns.clone().zip((x..).step_by(width.dilation * pixel)) {
                let x = &self.input[row * self.input_step + x..][..pixel];
                for input in 0..depth {
                    let w = ((r * width.kernel + s) * depth + input) * S::LANES;
                    for (v, sum) in sums.iter_mut().enumerate() {
                        let [read, _] = self.channels::<S, WHOLE>(vector + v);
                        let value = if WHOLE { simd.load(&x[read]) } else { simd.load_partial(&x[read]) };
                        let value = self.of_groups::<S, DEEP>(simd, value, input);
                        *sum = simd.mul_add(value, simd.load(&plan.prepared.weights_of(vector + v)[w..]), *sum);
                    }
                }
            }
        }
        let ending = self.plan.ending;
        for (v, &sum) in sums.iter().enumerate() {
            let [_, written] = self.channels::<S, WHOLE>(vector + v);
            ending.store(simd, &mut output[written], sum);
        }
    }

    /// In each lane channel `input` of its own group, out of the vector of all groups' channels.
    #[inline(always)]
    fn of_groups<S: Simd, const DEEP: bool>(&self, simd: S, channels: S::Vec, input: usize) -> S::Vec {
        if DEEP { simd.permute(channels, simd.load(&self.plan.prepared.lanes[input * S::LANES..])) } else { channels }
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
        let (height, width, pixel) = (problem.height(), problem.width(), problem.in_channels());
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

    /// `PX` outputs × `vector`, stored but the first `done`; the valid `columns` of the filter, without those that the first
    /// output lacks, begin at `x` of each input row.
    #[inline(always)]
    fn tile<
        S: Simd,
        const PX: usize,
        const TAPS: usize,
        const STEP: usize,
        const LEFT: usize,
        const RIGHT: usize,
        const DEEP: bool,
        const WHOLE: bool,
    >(
        &self,
        simd: S,
        (columns, x): (&Range<usize>, usize),
        vector: usize,
        done: usize,
        output: &mut [f32],
    ) {
        let (plan, width, pixel) = (self.plan, self.plan.problem.width(), self.plan.problem.in_channels());
        let depth = if DEEP { plan.packing.depth } else { 1 };
        let weights = plan.prepared.weights_of(vector);
        let [read, written] = self.channels::<S, WHOLE>(vector);
        let x = x + read.start;
        // From one of the pixels loaded to the next: a single tap meets only every stride-th.
        let distance = if TAPS == 1 { width.stride * pixel } else { pixel };
        if plan.prefetches {
            self.prefetch_next_row::<S, PX>(simd, x, &output[written.start..]);
        }
        // Of the input and of the weights, from `TAPS` taps to the next ones, and from one row of taps to the next.
        let columns_apart = [TAPS * width.dilation * pixel, TAPS * depth * S::LANES];
        let rows_apart = [self.input_step, width.kernel * depth * S::LANES];
        let (rows, chunks) = (self.taps.len(), columns.len() / TAPS);
        let w = (self.taps.start * width.kernel + columns.start) * depth * S::LANES;
        let pixels = (PX - 1) * STEP * distance + (TAPS - 1 - LEFT - RIGHT) * pixel;
        if rows * chunks > 0 {
            // Once for the tile and not for each of its steps: of three taps these are 21 multiply-adds.
            let last = |i: usize| (rows - 1) * rows_apart[i] + (chunks - 1) * columns_apart[i];
            assert!(x + last(0) + pixels + read.len() <= self.input.len());
            assert!(w + last(1) + TAPS * depth * S::LANES <= weights.len());
        }
        // From what the tile reads to what the next one does, the next vector's or the first one's of the next pixels. Several taps have
        // more to do with each line, and gained nothing.
        let next = match plan.packing.vectors - vector {
            1 => (PX * STEP * distance).wrapping_sub(vector * plan.packing.inputs),
            _ => plan.packing.inputs,
        };
        let (x, w) = (self.input.as_ptr().wrapping_add(x), weights.as_ptr().wrapping_add(w));
        let mut sums = [simd.load(&plan.prepared.bias[vector * S::LANES..]); PX];
        for row in 0..rows {
            for chunk in 0..chunks {
                let x = x.wrapping_add(row * rows_apart[0] + chunk * columns_apart[0]);
                let w = w.wrapping_add(row * rows_apart[1] + chunk * columns_apart[1]);
                debug_assert!(within(
                    &self.input[row * rows_apart[0]..][..width.input * pixel],
                    x,
                    pixels + read.len()
                ));
                debug_assert!(within(
                    &weights[(self.taps.start + row) * rows_apart[1]..][..rows_apart[1]],
                    w,
                    columns_apart[1]
                ));
                if DEEP && TAPS == 1 {
                    for p in 0..PX {
                        simd.prefetch(x.wrapping_add(p * distance + next));
                    }
                }
                for input in 0..depth {
                    let mut weights = [simd.zero(); TAPS];
                    for (tap, weight) in weights.iter_mut().enumerate() {
                        // SAFETY: the second assertion is of the last of all rows, chunks, taps and channels.
                        *weight = unsafe { simd.load_ptr(w.wrapping_add((tap * depth + input) * S::LANES)) };
                    }
                    for (p, sum) in sums.iter_mut().enumerate() {
                        for (tap, &weight) in weights.iter().enumerate() {
                            if p * STEP + tap < LEFT || p * STEP + tap + RIGHT > (PX - 1) * STEP + TAPS - 1 {
                                continue;
                            }
                            // SAFETY: the first assertion is of the last row and chunk, from the first column to the last
                            // one's last channel.
                            let value = unsafe {
                                let x = x.wrapping_add((p * STEP + tap - LEFT) * distance);
                                if WHOLE { simd.load_ptr(x) } else { simd.load_partial_ptr(x, read.len()) }
                            };
                            *sum = simd.mul_add(self.of_groups::<S, DEEP>(simd, value, input), weight, *sum);
                        }
                    }
                }
            }
        }
        let ending = plan.ending;
        for (p, &sum) in sums.iter().enumerate() {
            if p >= done {
                ending.store(simd, &mut output[p * plan.pitch..][written.clone()], sum);
            }
        }
    }
}
