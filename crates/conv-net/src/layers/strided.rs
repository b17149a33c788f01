//! Strided views of a tensor, and how they are cut into tasks.

use std::cmp::Reverse;

use conv_core::{Parts, for_each_part};

use super::{TASK_FLOATS, TASKS};

/// One of the nested loops that read one view of a tensor and write another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dimension {
    /// Elements along it.
    pub extent: usize,
    /// Floats of the input from one to the next; zero repeats one of them, less goes backwards.
    pub from: isize,
    /// Floats of the output from one to the next.
    pub to: usize,
}

/// The dimensions of `extents` elements, outermost first, that are `from` and `to` floats apart.
pub(crate) fn dimensions(extents: &[usize], from: &[usize], to: &[usize]) -> Vec<Dimension> {
    let strides = from.iter().zip(to);
    extents.iter().zip(strides).map(|(&extent, (&from, &to))| Dimension { extent, from: from as isize, to }).collect()
}

/// The strides of a dense tensor of `extents`, outermost first.
pub(crate) fn row_major(extents: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; extents.len()];
    for i in (1..extents.len()).rev() {
        strides[i - 1] = strides[i] * extents[i];
    }
    strides
}

/// `dimensions` without those of one element, the farthest apart in the output first, as few as they can be merged
/// into.
pub(super) fn merged(dimensions: &[Dimension]) -> Vec<Dimension> {
    let mut sorted: Vec<_> = dimensions.iter().copied().filter(|dimension| dimension.extent != 1).collect();
    sorted.sort_by_key(|dimension| Reverse(dimension.to));
    let mut merged: Vec<Dimension> = Vec::new();
    for inner in sorted {
        let (from, to) = (inner.from * inner.extent as isize, inner.to * inner.extent);
        match merged.last_mut() {
            Some(outer) if (outer.from, outer.to) == (from, to) => {
                *outer = Dimension { extent: outer.extent * inner.extent, ..inner };
            }
            _ => merged.push(inner),
        }
    }
    merged
}

/// Whether all that `dimensions` write for one index of a dimension lies before what they write for the next one.
fn nested(dimensions: &[Dimension]) -> bool {
    let mut last = 0;
    dimensions.iter().rev().all(|dimension| {
        let nested = dimension.to > last;
        last += dimension.extent.saturating_sub(1) * dimension.to;
        nested
    })
}

/// How an output is cut into tasks: one for each index of `outer` and each `step` indices of `inner`.
#[derive(Debug)]
pub(super) struct Cut {
    outer: Dimension,
    inner: Dimension,
    step: usize,
    /// Tasks along `inner`.
    steps: usize,
    /// Where the output begins.
    to: usize,
}

impl Cut {
    /// Cuts the loops over [`merged`] `dimensions`, which are worth the time of copying so many `floats`, the outermost
    /// one by no less than `least` indices. Also returns the loops of a task, at least one, of which the first is cut.
    pub fn new(dimensions: &[Dimension], to: usize, floats: usize, least: usize) -> (Cut, Vec<Dimension>) {
        let wanted = if nested(dimensions) { (floats / TASK_FLOATS).clamp(1, TASKS) } else { 1 };
        let once = Dimension { extent: 1, from: 0, to: usize::MAX };
        let (outer, loops) = match dimensions {
            [] => (once, vec![Dimension { to: 1, ..once }]),
            [first, rest @ ..] if least == 1 && first.extent < wanted && !rest.is_empty() => (*first, rest.to_vec()),
            all => (once, all.to_vec()),
        };
        let inner = loops[0];
        let step = inner.extent.div_ceil((wanted / outer.extent.max(1)).max(1)).next_multiple_of(least).max(1);
        (Cut { outer, inner, step, steps: inner.extent.div_ceil(step), to }, loops)
    }

    /// Calls `task(from, count, part)` for each task: the first `count` indices of the loop that is cut read their
    /// input `from` floats behind its beginning, and write the output that begins with `part`.
    pub fn for_each<F>(&self, workers: usize, output: &mut [f32], task: F)
    where
        F: Fn(isize, usize, &mut [f32]) + Sync,
    {
        let &Cut { outer, inner, step, steps, to } = self;
        let output = &mut output[to..];
        let pitch = outer.to.max(1);
        let row = pitch.min(output.len());
        let part = if steps == 1 { row } else { step * inner.to }.max(1);
        let parts = Parts { rows: outer.extent, pitch, used: row.min(steps.saturating_mul(part)), part };
        for_each_part(workers, output, &parts, &mut [], |_, index, part| {
            let (row, first) = (index / steps, index % steps * step);
            let from = row as isize * outer.from + first as isize * inner.from;
            task(from, step.min(inner.extent - first), part);
        });
    }
}
