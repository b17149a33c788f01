//! Cutting a map into overlapping tiles, and a strided filter into phases.
//!
//! With stride s, sample j of phase r is the padded input at `j·s + r`: output o is the sum over phases of a filter of
//! stride 1 at sample o. Phases are more input channels. Dilated filters are filled up with zeros.

use std::ops::Range;

use conv_core::{Axis, Problem};

/// One axis: tiles of N samples of each phase, of which `kept` results do not wrap around, or one tile that wraps around
/// onto zeros.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    axis: Axis,
    /// Input phases: the stride, but no more than the filter spans.
    pub phases: usize,
    /// Samples that the filter of one phase spans.
    pub taps: usize,
    /// Outputs of a tile.
    kept: usize,
    /// Tiles.
    pub count: usize,
}

impl Side {
    /// Whether tiles of `size` keep at least two outputs.
    pub fn fits(axis: &Axis, size: usize) -> bool {
        axis.extent().div_ceil(axis.stride) < size
    }

    fn new(axis: &Axis, size: usize) -> Self {
        let taps = axis.extent().div_ceil(axis.stride);
        let phases = axis.stride.min(axis.extent());
        let whole = Side { axis: *axis, phases, taps, kept: axis.output(), count: 1 };
        if whole.wraps_onto_zeros(size) {
            return whole;
        }
        let kept = size + 1 - taps;
        Side { kept, count: axis.output().div_ceil(kept), ..whole }
    }

    /// Whether a tile of `size` samples is enough for the whole map, because the zeros of the padding behind it are those
    /// before it: what lies beyond the tile is zero, and so are the samples onto which it wraps around. A map of 27 with a
    /// filter of 5 and padding of 2 has 31 samples and needs 29. A tile has no more results than samples.
    fn wraps_onto_zeros(&self, size: usize) -> bool {
        let (beyond, samples) = ((self.kept + self.taps - 1).saturating_sub(size), self.samples(0));
        self.kept <= size && beyond <= samples.start && samples.end <= size
    }

    /// The most outputs of a tile.
    pub fn most_outputs(&self) -> usize {
        self.kept.min(self.axis.output())
    }

    /// The outputs of tile `index`.
    pub fn outputs(&self, index: usize) -> Range<usize> {
        index * self.kept..((index + 1) * self.kept).min(self.axis.output())
    }

    /// The samples of tile `index` that its outputs need and of which some phase lies in the image.
    pub fn samples(&self, index: usize) -> Range<usize> {
        let (start, stride) = (index * self.kept * self.axis.stride, self.axis.stride);
        let needed = self.outputs(index).len() + self.taps - 1;
        let first = (self.axis.pad_before + 1).saturating_sub(start + self.phases).div_ceil(stride).min(needed);
        let end = (self.axis.input + self.axis.pad_before).saturating_sub(start).div_ceil(stride).min(needed);
        first..end.max(first)
    }

    /// The input position of a sample, if it lies in the image.
    pub fn position(&self, index: usize, sample: usize, phase: usize) -> Option<usize> {
        let padded = (index * self.kept + sample) * self.axis.stride + phase;
        padded.checked_sub(self.axis.pad_before).filter(|&position| position < self.axis.input)
    }

    /// The sample and the phase of the filter's tap number `tap`.
    pub fn tap(&self, tap: usize) -> (usize, usize) {
        let position = tap * self.axis.dilation;
        (position / self.axis.stride, position % self.axis.stride)
    }
}

/// Tiles of one problem, the same for every image.
#[derive(Debug, Clone)]
pub(super) struct Geometry {
    pub problem: Problem,
    pub height: Side,
    pub width: Side,
}

/// One tile: its image, and its number on each axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    pub image: usize,
    pub row: usize,
    pub column: usize,
}

impl Geometry {
    pub fn new(problem: &Problem, size: usize) -> Self {
        let [height, width] = [problem.height(), problem.width()].map(|axis| Side::new(axis, size));
        Geometry { problem: problem.clone(), height, width }
    }

    /// Input channels of all phases of a group: multiply-adds behind a product.
    pub fn depth(&self) -> usize {
        self.height.phases * self.width.phases * self.problem.group_in_channels()
    }

    /// Tiles of the batch, numbered image by image, row by row.
    pub fn tiles(&self) -> usize {
        self.problem.batch() * self.height.count * self.width.count
    }

    /// Tile number `index`.
    pub fn tile(&self, index: usize) -> Tile {
        let (line, column) = (index / self.width.count, index % self.width.count);
        Tile { image: line / self.height.count, row: line % self.height.count, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_may_wrap_onto_the_zeros_of_the_padding() {
        let tiles = |axis: Axis, size: usize| Side::new(&axis, size).count;
        let same = Axis::new(27, 5).pad(2, 2);
        assert_eq!([tiles(same, 28), tiles(same, 29), tiles(same, 31)], [2, 1, 1]);
        // Zeros behind the map alone are no zeros before it.
        assert_eq!([tiles(Axis::new(29, 5).pad(0, 2), 30), tiles(Axis::new(29, 5).pad(2, 0), 30)], [2, 2]);
        // Nor do outputs of nothing but padding fit, for which there are no results.
        let padded = Axis::new(5, 3).pad(10, 10);
        assert_eq!([tiles(padded, 16), tiles(padded, 23)], [2, 1]);
        // Of ten samples the first is zero in both phases, and the last two are: one can be shared.
        let strided = Axis::new(14, 5).stride(2).pad(2, 3);
        assert_eq!(Side::new(&strided, 10).samples(0), 1..8);
        assert_eq!([tiles(strided, 8), tiles(strided, 9)], [2, 1]);
    }

    #[test]
    fn samples_are_those_that_outputs_need_and_the_image_has() {
        for axis in [
            Axis::new(27, 5).pad(2, 2),
            Axis::new(227, 11).stride(4),
            Axis::new(14, 3).stride(3).pad(1, 2),
            Axis::new(2, 5).pad(9, 12),
            Axis::new(30, 3).dilation(3).stride(2).pad(4, 0),
        ] {
            let side = Side::new(&axis, 8);
            let mut outputs = 0;
            for index in 0..side.count {
                assert_eq!(side.outputs(index).start, outputs);
                outputs = side.outputs(index).end;
                let needed = side.outputs(index).len() + side.taps - 1;
                assert!(needed <= 8);
                let inside = |j: &usize| (0..side.phases).any(|r| side.position(index, *j, r).is_some());
                let expected: Vec<_> = (0..needed).filter(inside).collect();
                assert_eq!(side.samples(index).collect::<Vec<_>>(), expected, "{axis:?} tile {index}");
                for output in side.outputs(index) {
                    for tap in 0..axis.kernel {
                        let (sample, phase) = side.tap(tap);
                        assert!(sample < side.taps && phase < side.phases);
                        let position = side.position(index, output - side.outputs(index).start + sample, phase);
                        let direct = usize::try_from(axis.position(output, tap)).ok().filter(|&x| x < axis.input);
                        assert_eq!(position, direct);
                    }
                }
            }
            assert_eq!(outputs, axis.output());
        }
    }
}
