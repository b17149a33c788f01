//! Normalisation and the maximum that follows it, in one sweep: what is normalised stays in L1 until it is pooled.

use std::ops::Range;

use conv_core::{Axis, Parts, PlanOptions, for_each_part};
use conv_simd::{Simd, SimdOp};

use super::lrn::Normalise;
use super::pool::window;
use super::{read, write};
use crate::operators::{Lrn, Pool};
use crate::shape::Map;

/// Tasks wanted for each worker. Not more: the last rows under one task's windows are normalised again for the next one.
const TASKS_PER_WORKER: usize = 4;

/// Floats of scratch that [`normalise_and_pool`] needs: one row of `map` a worker.
pub(crate) fn scratch_floats(workers: usize, map: Map) -> usize {
    workers * map.width * map.channels
}

/// The maximum over each window of what `lrn` makes of `[batch]` images of `map`. A task is some output rows of one
/// image.
pub(crate) fn normalise_and_pool(
    options: &PlanOptions,
    layers: (&Lrn, &Pool),
    map: Map,
    (input, output): (&[f32], &mut [f32]),
    scratch: &mut [f32],
) {
    let (&PlanOptions { isa, workers, .. }, (lrn, pool)) = (options, layers);
    let [height, width] = pool.axes(map);
    let row_len = width.output() * map.channels;
    let images = input.len() / map.floats();
    let bands = (TASKS_PER_WORKER * workers).div_ceil(images).min(height.output());
    let rows = height.output().div_ceil(bands);
    let bands = height.output().div_ceil(rows);
    let image_len = height.output() * row_len;
    let parts = Parts { rows: images, pitch: image_len, used: image_len, part: rows * row_len };
    for_each_part(workers, output, &parts, scratch, |line, index, output| {
        let (image, first) = (index / bands, index % bands * rows);
        let input = &input[image * map.floats()..][..map.floats()];
        let rows = first..first + output.len() / row_len;
        let line = &mut line[..map.width * map.channels];
        isa.run(Band { lrn, axes: [&height, &width], channels: map.channels, input, rows, output, line });
    });
}

/// The output `rows` of one image.
struct Band<'a> {
    lrn: &'a Lrn,
    axes: [&'a Axis; 2],
    channels: usize,
    input: &'a [f32],
    rows: Range<usize>,
    output: &'a mut [f32],
    /// One normalised row.
    line: &'a mut [f32],
}

impl SimdOp for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Band { lrn, axes: [height, width], channels, input, rows, output, line } = self;
        let row_len = width.output() * channels;
        for y in window(height, rows.start).start..window(height, rows.end - 1).end {
            // The output rows whose windows hold this input row; none between windows that leave gaps.
            let padded = y + height.pad_before;
            let first = (padded + 1).saturating_sub(height.kernel).div_ceil(height.stride).max(rows.start);
            let end = (padded / height.stride + 1).min(rows.end);
            if first >= end {
                continue;
            }
            let x = &input[y * line.len()..][..line.len()];
            Normalise { lrn, channels, input: x, output: &mut *line }.eval(simd);
            for row in first..end {
                let output = &mut output[(row - rows.start) * row_len..][..row_len];
                enlarge(simd, width, channels, (&*line, y == window(height, row).start), output);
            }
        }
    }
}

/// `output = max(output, the windows of line)`, without what `output` was if this is its `first` line.
#[inline(always)]
fn enlarge<S: Simd>(simd: S, width: &Axis, channels: usize, (line, first): (&[f32], bool), output: &mut [f32]) {
    for (o, output) in output.chunks_exact_mut(channels).enumerate() {
        let pixels = window(width, o);
        let count = pixels.len();
        let pixel = |i: usize| &line[(pixels.start + i) * channels..][..channels];
        if count == 3 {
            // Three at once, AlexNet's: 8% of the whole sweep.
            enlarge_pixel(simd, [pixel(0), pixel(1), pixel(2)], first, output);
        } else {
            for i in 0..count {
                enlarge_pixel(simd, [pixel(i)], first && i == 0, output);
            }
        }
    }
}

/// `output = max(output, pixels)`, all of as many channels.
#[inline(always)]
fn enlarge_pixel<S: Simd, const N: usize>(simd: S, pixels: [&[f32]; N], first: bool, output: &mut [f32]) {
    for c in (0..output.len()).step_by(S::LANES) {
        let mut largest = read(simd, &pixels[0][c..]);
        for pixel in &pixels[1..] {
            largest = simd.max_or_nan(largest, read(simd, &pixel[c..]));
        }
        if !first {
            largest = simd.max_or_nan(largest, read(simd, &output[c..]));
        }
        write(simd, &mut output[c..], largest);
    }
}
