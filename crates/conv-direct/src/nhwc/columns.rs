//! Cutting an output row into tiles whose padding the register tile can skip.

use conv_core::Problem;
use conv_simd::{MAX_CLIP, Run};

use super::Geometry;

/// One tile of an output row.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// First output pixel.
    pub first: usize,
    /// Output pixels.
    pub pixels: usize,
    /// What the tile multiplies in one filter row; `x` counts from the input row's first float, `w` from the filter
    /// row's, both of the group.
    pub runs: Vec<Run>,
}

/// Cuts the output row into tiles of at most `limit` pixels, as equal as can be, narrower where the padding asks for it.
pub(super) fn cut(problem: &Problem, geometry: &Geometry, limit: usize) -> Vec<Column> {
    let width = geometry.output[1];
    let mut columns = Vec::new();
    let mut first = 0;
    while first < width {
        let rest = width - first;
        let mut pixels = rest.div_ceil(rest.div_ceil(limit));
        let runs = loop {
            match runs(problem, geometry, first, pixels) {
                Some(runs) => break runs,
                None => pixels -= 1,
            }
        };
        columns.push(Column { first, pixels, runs });
        first += pixels;
    }
    columns
}

/// The runs of `pixels` outputs from `first`, or `None` if the padding cuts more off than a run can skip. A single
/// pixel always works.
fn runs(problem: &Problem, geometry: &Geometry, first: usize, pixels: usize) -> Option<Vec<Run>> {
    let axis = &geometry.width;
    let channels = problem.group_in_channels();
    // With one group and a dense filter, neighbouring taps are neighbours in memory: one longer run.
    let contiguous = problem.groups() == 1 && axis.dilation == 1;
    let mut runs: Vec<Run> = Vec::new();
    for tap in 0..axis.kernel {
        let valid = axis.valid_outputs(tap);
        let (start, end) = (valid.start.max(first), valid.end.min(first + pixels));
        if start >= end {
            continue;
        }
        let (skip_first, skip_last) = (start - first, first + pixels - end);
        if skip_first.min(skip_last) > 0 || skip_first.max(skip_last) > MAX_CLIP {
            return None;
        }
        let run = Run {
            x: axis.position(first, tap) * geometry.in_channels as isize,
            w: tap * channels,
            len: channels,
            skip_first,
            skip_last,
        };
        match runs.last_mut() {
            Some(last)
                if contiguous
                    && (last.skip_first, last.skip_last) == (skip_first, skip_last)
                    && last.w + last.len == run.w =>
            {
                last.len += channels;
            }
            _ => runs.push(run),
        }
    }
    Some(runs)
}
