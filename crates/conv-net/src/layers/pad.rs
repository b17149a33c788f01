//! Padding and cropping of maps.

use std::ops::Range;

use super::{for_each_chunk, task_len};

/// What lies beyond a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PadMode {
    /// This value everywhere.
    Constant(f32),
    /// The tensor mirrored at its outermost elements, which are not repeated.
    Reflect,
    /// The outermost elements repeated.
    Edge,
}

impl PadMode {
    /// The element, of `extent` along an axis, that is found at `position`; `None` for the constant.
    fn source(self, position: isize, extent: usize) -> Option<usize> {
        let last = extent as isize - 1;
        match self {
            _ if (0..=last).contains(&position) => Some(position as usize),
            PadMode::Constant(_) => None,
            _ if extent == 0 => None,
            PadMode::Edge => Some(position.clamp(0, last) as usize),
            PadMode::Reflect if last == 0 => Some(0),
            PadMode::Reflect => {
                let position = position.rem_euclid(2 * last);
                Some(position.min(2 * last - position) as usize)
            }
        }
    }
}

/// Where the elements of the output along one axis come from.
#[derive(Debug)]
struct Axis {
    /// Elements of the input.
    extent: usize,
    /// For each of the output, unless it is the constant.
    sources: Vec<Option<usize>>,
    /// The elements of the output that are the input's own, in its order.
    body: Range<usize>,
    /// The first of those.
    from: usize,
}

impl Axis {
    fn new(mode: PadMode, extent: usize, begin: isize, end: isize) -> Self {
        let positions = -begin..extent as isize + end;
        let sources: Vec<_> = positions.map(|position| mode.source(position, extent)).collect();
        let from = (-begin).max(0) as usize;
        let first = (begin.max(0) as usize).min(sources.len());
        let len = extent.saturating_add_signed(end.min(0)).saturating_sub(from).min(sources.len() - first);
        Axis { extent, sources, body: first..first + len, from }
    }

    /// Copies elements of `len` floats: the body at once, the others one by one.
    fn copy(&self, len: usize, value: f32, input: &[f32], output: &mut [f32]) {
        let body = self.body.start * len..self.body.end * len;
        output[body.clone()].copy_from_slice(&input[self.from * len..][..body.len()]);
        for i in (0..self.body.start).chain(self.body.end..self.sources.len()) {
            let to = &mut output[i * len..][..len];
            match self.sources[i] {
                Some(source) => to.copy_from_slice(&input[source * len..][..len]),
                None => to.fill(value),
            }
        }
    }
}

/// Pads `[n][h][w][c]`.
#[derive(Debug)]
pub(crate) struct Padding {
    /// Where nothing is copied.
    value: f32,
    axes: [Axis; 4],
}

impl Padding {
    /// Pads a tensor of `extents` by so many elements before and after those of each axis, less than zero of which crop
    /// it.
    pub(crate) fn new(mode: PadMode, extents: [usize; 4], begin: [isize; 4], end: [isize; 4]) -> Self {
        let value = if let PadMode::Constant(value) = mode { value } else { 0.0 };
        Padding { value, axes: [0, 1, 2, 3].map(|axis| Axis::new(mode, extents[axis], begin[axis], end[axis])) }
    }

    /// Bytes of what it keeps for an output of these extents.
    pub(crate) fn table_bytes(output: &[usize]) -> u128 {
        output.iter().map(|&size| size as u128 * size_of::<Option<usize>>() as u128).sum()
    }

    /// Bytes of what it keeps.
    pub(crate) fn bytes(&self) -> usize {
        self.output().iter().sum::<usize>() * size_of::<Option<usize>>()
    }

    /// The extents of the output.
    pub(crate) fn output(&self) -> [usize; 4] {
        self.axes.each_ref().map(|axis| axis.sources.len())
    }

    /// Pads `input`.
    pub(crate) fn run(&self, workers: usize, input: &[f32], output: &mut [f32]) {
        let [images, rows, columns, channels] = &self.axes;
        let [_, height, width, pixel] = self.output();
        let (row_len, input_row) = ((width * pixel).max(1), columns.extent * channels.extent);
        let len = task_len(output.len(), row_len);
        for_each_chunk(workers, output, len, |index, output| {
            for (i, output) in output.chunks_exact_mut(row_len).enumerate() {
                let row = index * (len / row_len) + i;
                let (Some(image), Some(y)) = (images.sources[row / height], rows.sources[row % height]) else {
                    output.fill(self.value);
                    continue;
                };
                let input = &input[(image * rows.extent + y) * input_row..][..input_row];
                if channels.body.len() == channels.extent && pixel == channels.extent {
                    columns.copy(pixel, self.value, input, output);
                    continue;
                }
                for (output, source) in output.chunks_exact_mut(pixel).zip(&columns.sources) {
                    match source {
                        Some(x) => {
                            let pixel = &input[x * channels.extent..][..channels.extent];
                            channels.copy(1, self.value, pixel, output);
                        }
                        None => output.fill(self.value),
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mode: PadMode, extents: [usize; 4], begin: [isize; 4], end: [isize; 4]) {
        let input: Vec<f32> = (0..extents.iter().product()).map(|i: usize| i as f32).collect();
        let padding = Padding::new(mode, extents, begin, end);
        let output = [0, 1, 2, 3].map(|d| (extents[d] as isize + begin[d] + end[d]) as usize);
        assert_eq!(padding.output(), output);
        let expected: Vec<f32> = (0..output.iter().product())
            .map(|mut i: usize| {
                let mut at = [0; 4];
                for d in (0..4).rev() {
                    at[d] = i % output[d];
                    i /= output[d];
                }
                let mut from = 0;
                for d in 0..4 {
                    let (mut p, last) = (at[d] as isize - begin[d], extents[d] as isize - 1);
                    while !(0..=last).contains(&p) {
                        match mode {
                            PadMode::Constant(value) => return value,
                            PadMode::Edge => p = p.max(0).min(last),
                            PadMode::Reflect => p = if p < 0 { -p } else { 2 * last - p },
                        }
                    }
                    from = from * extents[d] + p as usize;
                }
                input[from]
            })
            .collect();
        for workers in [1, 3] {
            let mut output = vec![f32::NAN; expected.len()];
            padding.run(workers, &input, &mut output);
            assert!(
                output == expected,
                "{mode:?} of {extents:?} by {begin:?} and {end:?}: {output:?} for {expected:?}"
            );
        }
    }

    #[test]
    fn all_modes_on_all_axes() {
        for mode in [PadMode::Constant(-7.0), PadMode::Reflect, PadMode::Edge] {
            for extents in [[1, 4, 5, 3], [2, 3, 3, 17], [1, 100, 60, 9]] {
                check(mode, extents, [0; 4], [0; 4]);
                check(mode, extents, [0, 1, 2, 0], [0, 2, 1, 0]);
                check(mode, extents, [0, -1, 3, 0], [0, 5, -2, 0]);
                check(mode, extents, [0, 1, -1, 1], [0, 0, 1, 2]);
                check(mode, extents, [0, 0, -1, -1], [0, 0, 1, 4]);
            }
            check(mode, [2, 3, 4, 5], [1, 1, 1, 1], [1, 1, 1, 1]);
        }
    }
}
