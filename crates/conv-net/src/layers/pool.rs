//! Max and average pooling.

use std::ops::Range;

use conv_core::{Axis, Parts, PlanOptions, for_each_part};
use conv_simd::{Simd, SimdOp, worth_streaming};

use super::write;
use crate::operators::Pool;
use crate::shape::Map;

/// Channels of a task where a row of the output is one pixel, as after a pool over the whole map.
const TASK_CHANNELS: usize = 64;

/// Vectors of channels that are folded at once.
const BLOCK: usize = 4;

/// What is made of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fold {
    Max,
    Mean { count_padding: bool },
}

/// Reduces each window of `[batch]` images of `map`, whose pixels begin so many floats apart, to pixels that begin so many
/// floats apart. A task is one row of the output, or some channels of it.
pub(crate) fn pool(
    options: &PlanOptions,
    pool: &Pool,
    reduce: Fold,
    (map, [pitch, output_pitch]): (Map, [usize; 2]),
    (input, output): (&[f32], &mut [f32]),
) {
    let [height, width] = pool.axes(map);
    let (row_len, input_row) = (width.output() * output_pitch, map.width * pitch);
    // What lies behind the last channel is another's.
    let channels = map.channels;
    let task_len = if width.output() == 1 { TASK_CHANNELS } else { row_len };
    let used = row_len - (output_pitch - channels);
    let cut = Parts { rows: output.len().div_ceil(row_len), pitch: row_len, used, part: task_len };
    let parts = used.div_ceil(task_len);
    for_each_part(options.workers, output, &cut, &mut [], |_, index, output| {
        let (image, row) = (index / parts / height.output(), index / parts % height.output());
        let image = &input[image * map.height * input_row..];
        let (rows, first) = (window(&height, row), index % parts * task_len);
        let counted_rows = match reduce {
            Fold::Mean { count_padding: true } => padded_len(&pool.windows[0].over(map.height), row),
            _ => rows.len(),
        };
        options.isa.run(PoolRow {
            reduce,
            width: &width,
            padded_width: &pool.windows[1].over(map.width),
            counted_rows,
            pitches: [pitch, output_pitch],
            channels: first..channels.min(first + if parts == 1 { channels } else { task_len }),
            ahead: if worth_streaming(input.len()) { height.stride * input_row } else { 0 },
            // The last row may end with its last channel.
            input: &image[rows.start * input_row..(rows.end * input_row).min(image.len())],
            output,
        });
    });
}

/// The part of output `o`'s window that is not padding; never empty. Without the divisions of [`Axis::taps_from`], which
/// an axis with dilation needs and which cost as much as the maximum of a few vectors.
#[inline(always)]
pub(super) fn window(axis: &Axis, o: usize) -> Range<usize> {
    let start = o * axis.stride;
    start.saturating_sub(axis.pad_before)..(start + axis.kernel - axis.pad_before).min(axis.input)
}

/// Elements of output `o`'s window on an axis with its padding; what the window covers beyond that does not count.
#[inline(always)]
fn padded_len(axis: &Axis, o: usize) -> usize {
    axis.kernel.min(axis.input + axis.pad_before + axis.pad_after - o * axis.stride)
}

/// One row of the output, or some channels of it, from the rows of the input under it.
struct PoolRow<'a> {
    reduce: Fold,
    width: &'a Axis,
    /// Without the padding that only `ceil` adds.
    padded_width: &'a Axis,
    /// Rows that a mean is over.
    counted_rows: usize,
    /// Floats from one pixel to the next, of input and output.
    pitches: [usize; 2],
    /// What of each pixel.
    channels: Range<usize>,
    /// Floats from this row's input to the next one's, which is prefetched where it comes from memory: three short streams of pixels
    /// are none to the hardware, and 64 images of 55×55×96 took 7.1 ms instead of 2.9 without. Zero where it is in L2, where
    /// prefetching it takes as long again as reading it (Xeon: 41 µs in place of 29 for 55×55×128).
    ahead: usize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for PoolRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let (width, padded, counted_rows) = (self.width, self.padded_width, self.counted_rows);
        match self.reduce {
            Fold::Max => {
                self.fold(simd, simd.splat(f32::NEG_INFINITY), |a, b| simd.max_or_nan(a, b), |_, largest| largest);
            }
            Fold::Mean { count_padding } => {
                let mean = |o, sum| {
                    let columns = if count_padding { padded_len(padded, o) } else { window(width, o).len() };
                    simd.div(sum, simd.splat((counted_rows * columns) as f32))
                };
                self.fold(simd, simd.zero(), |a, b| simd.add(a, b), mean);
            }
        }
    }
}

impl PoolRow<'_> {
    /// Each output `o` is `finish(o, …)` of its window folded by `combine`: row by row, and then the rows, so that sums
    /// over large maps keep their precision.
    #[inline(always)]
    fn fold<S: Simd>(
        mut self,
        simd: S,
        start: S::Vec,
        combine: impl Fn(S::Vec, S::Vec) -> S::Vec,
        finish: impl Fn(usize, S::Vec) -> S::Vec,
    ) {
        let (channels, output) = (self.channels.len(), std::mem::take(&mut self.output));
        for (o, output) in output.chunks_mut(self.pitches[1]).enumerate() {
            let (window, output) = (window(self.width, o), &mut output[..channels]);
            let (blocks, rest) = output.split_at_mut(channels / (BLOCK * S::LANES) * (BLOCK * S::LANES));
            let mut first = self.channels.start;
            for output in blocks.chunks_exact_mut(BLOCK * S::LANES) {
                let folded = self.window::<S, BLOCK>(simd, &window, first, start, &combine);
                for (output, folded) in output.chunks_exact_mut(S::LANES).zip(folded) {
                    simd.store(output, finish(o, folded));
                }
                first += BLOCK * S::LANES;
            }
            for output in rest.chunks_mut(S::LANES) {
                let folded = if output.len() == S::LANES {
                    let [folded] = self.window::<S, 1>(simd, &window, first, start, &combine);
                    folded
                } else {
                    self.last(simd, &window, first..first + output.len(), start, &combine)
                };
                write(simd, output, finish(o, folded));
                first += S::LANES;
            }
        }
    }

    /// `window` of each row, `NV` whole vectors of channels from `first` on.
    #[inline(always)]
    fn window<S: Simd, const NV: usize>(
        &self,
        simd: S,
        window: &Range<usize>,
        first: usize,
        start: S::Vec,
        combine: &impl Fn(S::Vec, S::Vec) -> S::Vec,
    ) -> [S::Vec; NV] {
        if self.ahead > 0 {
            self.window_by::<S, NV>(
                window,
                first,
                start,
                |line, pixel| {
                    simd.prefetch(pixel.as_ptr().wrapping_add(self.ahead));
                    combine(line, simd.load(pixel))
                },
                combine,
            )
        } else {
            self.window_by::<S, NV>(window, first, start, |line, pixel| combine(line, simd.load(pixel)), combine)
        }
    }

    #[inline(always)]
    fn window_by<S: Simd, const NV: usize>(
        &self,
        window: &Range<usize>,
        first: usize,
        start: S::Vec,
        combine: impl Fn(S::Vec, &[f32]) -> S::Vec,
        rows: &impl Fn(S::Vec, S::Vec) -> S::Vec,
    ) -> [S::Vec; NV] {
        let pitch = self.pitches[0];
        let mut folded = [start; NV];
        for row in self.input.chunks(self.width.input * pitch) {
            let mut line = [start; NV];
            let mut at = window.start * pitch + first;
            for _ in window.clone() {
                let pixel = &row[at..at + NV * S::LANES];
                for (v, line) in line.iter_mut().enumerate() {
                    *line = combine(*line, &pixel[v * S::LANES..]);
                }
                at += pitch;
            }
            for (folded, line) in folded.iter_mut().zip(line) {
                *folded = rows(*folded, line);
            }
        }
        folded
    }

    /// The same of fewer `channels` than a vector has.
    #[inline(always)]
    fn last<S: Simd>(
        &self,
        simd: S,
        window: &Range<usize>,
        channels: Range<usize>,
        start: S::Vec,
        combine: &impl Fn(S::Vec, S::Vec) -> S::Vec,
    ) -> S::Vec {
        let pitch = self.pitches[0];
        let row = |row: &[f32]| {
            let pixels = row[window.start * pitch..].chunks(pitch).take(window.len());
            pixels.fold(start, |line, pixel| combine(line, simd.load_partial(&pixel[channels.clone()])))
        };
        self.input.chunks(self.width.input * pitch).fold(start, |folded, line| combine(folded, row(line)))
    }
}
