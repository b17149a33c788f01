//! im2col itself: rows of the matrix, copied out of the input.

use std::ops::Range;

use conv_core::{Axis, Problem};
use conv_simd::{Isa, Simd, SimdOp};

use crate::kernel::copy;

/// How a problem's input becomes matrix rows `[group][kh][kw][ic/groups]`, one for each output pixel.
#[derive(Debug, Clone)]
pub(crate) struct Lowering {
    height: Axis,
    width: Axis,
    batch: usize,
    groups: usize,
    channels: usize,
}

impl Lowering {
    /// The lowering of `problem`.
    pub fn new(problem: &Problem) -> Self {
        Lowering {
            height: *problem.height(),
            width: *problem.width(),
            batch: problem.batch(),
            groups: problem.groups(),
            channels: problem.in_channels(),
        }
    }

    /// The lowering of one dimension: the filter is taken to be as high as the image, so that there is one row for each
    /// output column of an image and it holds all that this column's filters meet.
    pub fn of_width(problem: &Problem) -> Self {
        let height = problem.height().input;
        Lowering { height: Axis::new(height, height), ..Lowering::new(problem) }
    }

    /// Rows: output pixels of the whole batch.
    pub fn rows(&self) -> usize {
        self.batch * self.height.output() * self.width.output()
    }

    /// Floats of one row, all groups.
    pub fn row_len(&self) -> usize {
        self.height.kernel * self.width.kernel * self.channels
    }

    /// The vertical taps inside the image for the output row that matrix row `row` belongs to.
    pub fn valid_taps_y(&self, row: usize) -> Range<usize> {
        self.height.valid_taps(self.pixel(row)[1])
    }

    /// Whether the matrix is the input as it stands, so that nothing need be copied: a 1×1 filter at every pixel, or one
    /// that covers its whole image (a fully connected layer).
    pub fn is_identity(&self) -> bool {
        let everywhere = |axis: &Axis| *axis == Axis::new(axis.input, 1);
        let covering = |axis: &Axis| *axis == Axis::new(axis.input, axis.input);
        (everywhere(&self.height) && everywhere(&self.width))
            || (self.groups == 1 && covering(&self.height) && covering(&self.width))
    }

    /// The output pixel (image, y, x) of matrix row `row`.
    pub fn pixel(&self, row: usize) -> [usize; 3] {
        let (line, x) = (row / self.width.output(), row % self.width.output());
        [line / self.height.output(), line % self.height.output(), x]
    }

    /// All of one group's part of a matrix row.
    pub fn whole(&self) -> Window {
        let channels = self.channels / self.groups;
        Window { taps_y: 0..self.height.kernel, taps_x: 0..self.width.kernel, channels: 0..channels }
    }

    /// Writes what `rows` of the matrix hold of `groups` in `window`: each, group after group, to the start of its piece of
    /// `to`, which is cut into pieces of `stride` floats.
    pub fn write(
        &self,
        isa: Isa,
        input: &[f32],
        (rows, groups): (Range<usize>, Range<usize>),
        window: &Window,
        (to, stride): (&mut [f32], usize),
    ) {
        isa.run(Write { lowering: self, input, rows, groups, window, to, stride });
    }

    /// Writes `region` of the input, zeros where it leaves the image: each of its rows begins a piece of `stride` floats of
    /// `to`.
    pub fn write_region(&self, isa: Isa, input: &[f32], region: &Region, (to, stride): (&mut [f32], usize)) {
        isa.run(WriteRegion { lowering: self, input, region, to, stride });
    }
}

/// A part of one input image.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    /// The image.
    pub image: usize,
    /// Its first row.
    pub top: isize,
    /// Rows, and how far each is from the one before.
    pub rows: [usize; 2],
    /// Pixels of each row.
    pub columns: Range<isize>,
    /// Channels of each pixel.
    pub channels: Range<usize>,
}

/// A part of the filter's extent: a box of vertical taps, horizontal taps and channels of a group, in that order in
/// memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// Vertical taps.
    pub taps_y: Range<usize>,
    /// Horizontal taps.
    pub taps_x: Range<usize>,
    /// Input channels of the group.
    pub channels: Range<usize>,
}

impl Window {
    /// Floats of one vertical tap.
    pub fn line(&self) -> usize {
        self.taps_x.len() * self.channels.len()
    }

    /// Floats in all: a row of the matrix has this many.
    pub fn len(&self) -> usize {
        self.taps_y.len() * self.line()
    }
}

struct Write<'a> {
    lowering: &'a Lowering,
    input: &'a [f32],
    rows: Range<usize>,
    groups: Range<usize>,
    window: &'a Window,
    to: &'a mut [f32],
    stride: usize,
}

impl SimdOp for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(mut self, simd: S) {
        let width = self.lowering.width.output();
        let mut row = self.rows.start;
        while row < self.rows.end {
            // What lies in one output row shares its vertical taps.
            let count = (width - row % width).min(self.rows.end - row);
            self.write_line(simd, row..row + count);
            row += count;
        }
    }
}

impl Write<'_> {
    /// Writes matrix rows that lie in one output row, each from its first float to its last: on a Zen 4 conv1's matrix of 16
    /// images took half as long as tap by tap, a dozen rows at a time.
    #[inline(always)]
    fn write_line<S: Simd>(&mut self, simd: S, rows: Range<usize>) {
        let Lowering { height, width, channels: pixel, .. } = self.lowering;
        let Window { taps_y, taps_x, .. } = self.window;
        let [image, oy, first] = self.lowering.pixel(rows.start);
        let group_channels = pixel / self.lowering.groups;
        let channels = self.window.channels.len();
        let (line, len) = (self.window.line(), self.window.len());
        let valid_y = height.valid_taps(oy);
        let last_tap = valid_y.end.min(taps_y.end);
        for row in rows.clone() {
            let ox = first + (row - rows.start);
            let start = width.position(ox, taps_x.start);
            let end = width.position(ox, taps_x.end - 1);
            let inside = if start >= 0 && end < width.input as isize {
                0..taps_x.len()
            } else {
                let valid = width.valid_taps(ox);
                let start = valid.start.clamp(taps_x.start, taps_x.end) - taps_x.start;
                start..(valid.end.clamp(taps_x.start, taps_x.end) - taps_x.start).max(start)
            };
            let (before, after) = (inside.start * channels, inside.end * channels);
            let x = (start + (inside.start * width.dilation) as isize) as usize;
            let to = &mut self.to[(row - self.rows.start) * self.stride..][..self.groups.len() * len];
            for (i, group) in self.groups.clone().enumerate() {
                let first_channel = group * group_channels + self.window.channels.start;
                for (j, tap_y) in taps_y.clone().enumerate() {
                    let to = &mut to[i * len + j * line..][..line];
                    if before == after || !valid_y.contains(&tap_y) {
                        zero(simd, to);
                        continue;
                    }
                    if before > 0 {
                        zero(simd, &mut to[..before]);
                    }
                    if after < line {
                        zero(simd, &mut to[after..]);
                    }
                    // A valid tap lies inside the input: its position is not negative.
                    let y = image * height.input + height.position(oy, tap_y) as usize;
                    let from = &self.input[(y * width.input + x) * pixel + first_channel..];
                    let pitch = width.dilation * pixel;
                    copy(simd, (from, pitch), (&mut to[before..after], channels));
                    if tap_y + 1 == last_tap {
                        // What the next output row adds.
                        let next = (inside.len() - 1) * pitch + height.stride * width.input * pixel;
                        prefetch(simd, from.as_ptr().wrapping_add(next), channels);
                    }
                }
            }
        }
    }
}

struct WriteRegion<'a> {
    lowering: &'a Lowering,
    input: &'a [f32],
    region: &'a Region,
    to: &'a mut [f32],
    stride: usize,
}

impl SimdOp for WriteRegion<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Lowering { height, width, channels: pixel, .. } = self.lowering;
        let Region { image, top, rows: [rows, step], columns, channels } = self.region;
        let span = columns.len() * channels.len();
        // The part of a row inside the image; nothing, if all of it is padding on one side.
        let before = (-columns.start).clamp(0, columns.len() as isize) as usize;
        let after = (width.input as isize - columns.start).clamp(before as isize, columns.len() as isize) as usize;
        for i in 0..*rows {
            let to = &mut self.to[i * self.stride..][..span];
            let y = top + (i * step) as isize;
            if before == after || !(0..height.input as isize).contains(&y) {
                zero(simd, to);
                continue;
            }
            zero(simd, &mut to[..before * channels.len()]);
            zero(simd, &mut to[after * channels.len()..]);
            // Neither is negative inside the image.
            let (y, x) = (image * height.input + y as usize, (columns.start + before as isize) as usize);
            let from = &self.input[(y * width.input + x) * pixel + channels.start..];
            let to = &mut to[before * channels.len()..after * channels.len()];
            copy(simd, (from, *pixel), (to, channels.len()));
            if i + 1 == *rows {
                // What the next output row adds.
                let next = from.as_ptr().wrapping_add(height.stride * width.input * pixel);
                for x in 0..after - before {
                    prefetch(simd, next.wrapping_add(x * pixel), channels.len());
                }
            }
        }
    }
}

/// Zeroes a run that is most often empty, without a call.
#[inline(always)]
pub(crate) fn zero<S: Simd>(simd: S, to: &mut [f32]) {
    for to in to.chunks_mut(S::LANES) {
        simd.store_partial(to, simd.zero());
    }
}

/// Prefetches `len` floats into L2.
#[inline(always)]
fn prefetch<S: Simd>(simd: S, from: *const f32, len: usize) {
    for line in (0..len).step_by(16) {
        simd.prefetch_l2(from.wrapping_add(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_holds_the_columns_even_where_all_is_padding() {
        for descriptor in ["g2mb2ic6ih5iw5oc2kh3kw3ph1pw20", "mb1ic3ih5iw9oc1kh3kw5sw2ph1pw11"] {
            let problem: Problem = descriptor.parse().unwrap();
            let input: Vec<f32> = (0..problem.input_len()).map(|i| i as f32 + 1.0).collect();
            let (lowering, isa) = (Lowering::new(&problem), Isa::best());
            let (height, width, channels) = (problem.height(), problem.width(), problem.group_in_channels());
            let group = problem.groups() - 1;
            for first in (0..lowering.rows()).step_by(width.output()) {
                for start in (first..first + width.output()).step_by(4) {
                    let rows = start..(start + 4).min(first + width.output());
                    let [image, y, x] = lowering.pixel(start);
                    let pitch = ((rows.len() - 1) * width.stride + width.kernel) * channels;
                    let left = width.position(x, 0);
                    let region = Region {
                        image,
                        top: height.position(y, 0),
                        rows: [height.kernel, height.dilation],
                        columns: left..left + (pitch / channels) as isize,
                        channels: group * channels..(group + 1) * channels,
                    };
                    let mut span = vec![f32::NAN; height.kernel * pitch];
                    lowering.write_region(isa, &input, &region, (&mut span, pitch));
                    let window = lowering.whole();
                    let mut columns = vec![f32::NAN; rows.len() * window.len()];
                    let of = (rows.clone(), group..group + 1);
                    lowering.write(isa, &input, of, &window, (&mut columns, window.len()));
                    for (pixel, column) in columns.chunks_exact(window.len()).enumerate() {
                        for (tap, line) in column.chunks_exact(window.line()).enumerate() {
                            let at = tap * pitch + pixel * width.stride * channels;
                            assert_eq!(span[at..][..line.len()], *line, "{descriptor}, rows {rows:?}, pixel {pixel}");
                        }
                    }
                }
            }
        }
    }
}
