//! im2col itself: rows of the matrix, copied out of the input.

use std::ops::Range;

use conv_core::{Axis, Problem};
use conv_simd::{Isa, Simd, SimdOp};

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

    /// Rows: output pixels of the whole batch.
    pub fn rows(&self) -> usize {
        self.batch * self.height.output() * self.width.output()
    }

    /// Floats of one row, all groups.
    pub fn row_len(&self) -> usize {
        self.height.kernel * self.width.kernel * self.channels
    }

    /// Whether the matrix is the input as it stands, so that nothing need be copied: a 1×1 filter at every pixel, or one
    /// that covers its whole image (a fully connected layer).
    pub fn is_identity(&self) -> bool {
        let everywhere = |axis: &Axis| *axis == Axis::new(axis.input, 1);
        let covering = |axis: &Axis| *axis == Axis::new(axis.input, axis.input);
        (everywhere(&self.height) && everywhere(&self.width))
            || (self.groups == 1 && covering(&self.height) && covering(&self.width))
    }

    /// Writes the part of matrix row `row` that belongs to `groups` to `to`.
    pub fn write_row(&self, isa: Isa, input: &[f32], row: usize, groups: Range<usize>, to: &mut [f32]) {
        isa.run(WriteRow { lowering: self, input, row, groups, to });
    }
}

struct WriteRow<'a> {
    lowering: &'a Lowering,
    input: &'a [f32],
    row: usize,
    groups: Range<usize>,
    to: &'a mut [f32],
}

impl SimdOp for WriteRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Lowering { height, width, groups, channels, .. } = *self.lowering;
        let (pixel, ox) = (self.row / width.output(), self.row % width.output());
        let (image, oy) = (pixel / height.output(), pixel % height.output());
        let (rows, columns) = (height.valid_taps(oy), width.valid_taps(ox));
        let group_channels = channels / groups;
        // With one group and a dense filter, the taps of a filter row are neighbours in memory.
        let contiguous = groups == 1 && width.dilation == 1;
        let (before, after) = (columns.start * group_channels, columns.end * group_channels);
        let mut filter_rows = self.to.chunks_exact_mut(width.kernel * group_channels);
        for group in self.groups {
            for tap_y in 0..height.kernel {
                let Some(to) = filter_rows.next() else { return };
                if !rows.contains(&tap_y) || columns.is_empty() {
                    zero(simd, to);
                    continue;
                }
                zero(simd, &mut to[..before]);
                zero(simd, &mut to[after..]);
                // Valid taps lie inside the input: neither position is negative.
                let y = image * height.input + height.position(oy, tap_y) as usize;
                let x = width.position(ox, columns.start) as usize;
                let from = &self.input[(y * width.input + x) * channels + group * group_channels..];
                if contiguous {
                    copy(simd, &from[..after - before], &mut to[before..after]);
                    continue;
                }
                for (i, to) in to[before..after].chunks_exact_mut(group_channels).enumerate() {
                    copy(simd, &from[i * width.dilation * channels..][..group_channels], to);
                }
            }
        }
    }
}

/// Copies a short run without the call that `copy_from_slice` makes.
#[inline(always)]
pub(crate) fn copy<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    let (from, from_tail) = from.split_at(from.len() - from.len() % S::LANES);
    let (to, to_tail) = to.split_at_mut(from.len());
    for (from, to) in from.chunks_exact(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
        simd.store(to, simd.load(from));
    }
    if !from_tail.is_empty() {
        simd.store_partial(to_tail, simd.load_partial(from_tail));
    }
}

/// Zeroes a run that is most often empty, without a call.
#[inline(always)]
pub(crate) fn zero<S: Simd>(simd: S, to: &mut [f32]) {
    for to in to.chunks_mut(S::LANES) {
        simd.store_partial(to, simd.zero());
    }
}
