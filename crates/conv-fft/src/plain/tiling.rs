//! Cutting a map into overlapping tiles.

use std::ops::Range;

use conv_core::{Axis, Problem};

/// Where a larger tile saves nothing more on AlexNet's maps, while the prepared weights grow with its square.
const LARGEST_USUAL: usize = 32;

/// Tiles of one problem, the same for every image.
#[derive(Debug, Clone)]
pub(super) struct Tiling {
    height: Side,
    width: Side,
}

/// One axis: `count` tiles of `size` points, each giving `kept` outputs at stride 1.
#[derive(Debug, Clone)]
struct Side {
    axis: Axis,
    size: usize,
    kept: usize,
    count: usize,
}

impl Side {
    /// The power of two that transforms the fewest points, the smaller one where two do.
    fn new(axis: &Axis) -> Self {
        let outputs = (axis.output() - 1) * axis.stride + 1;
        let smallest = (axis.extent() + 1).next_power_of_two().max(4);
        let largest = (2 * axis.extent()).next_power_of_two().max(LARGEST_USUAL);
        let sizes = std::iter::successors(Some(smallest), |size| Some(size * 2)).take_while(|&size| size <= largest);
        let sides = sizes.map(|size| {
            let kept = size - axis.extent() + 1;
            Side { axis: *axis, size, kept, count: outputs.div_ceil(kept) }
        });
        sides.min_by_key(|side| (side.count * side.size, side.size)).expect("the smallest is not above the largest")
    }

    /// The points of tile `index` that lie in the image.
    fn inside(&self, index: usize) -> Range<usize> {
        let start = index * self.kept;
        let first = self.axis.pad_before.saturating_sub(start).min(self.size);
        let end = (self.axis.input + self.axis.pad_before).saturating_sub(start).min(self.size);
        first..end.max(first)
    }

    /// The outputs of tile `index`, and where in the tile the first stands; the others follow at the stride.
    fn outputs(&self, index: usize) -> (Range<usize>, usize) {
        let start = index * self.kept;
        let first = start.div_ceil(self.axis.stride);
        let end = (start + self.kept).div_ceil(self.axis.stride).min(self.axis.output());
        (first..end.max(first), first * self.axis.stride - start)
    }
}

/// The part of one tile that lies in the image: tile rows and columns, and where the tile starts.
pub(super) struct Area {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Input position of the tile's first point, padding counted as positions.
    origin: [usize; 2],
    pad: [usize; 2],
}

impl Area {
    /// The image row of tile row `y`, one of `rows`.
    pub(super) fn top(&self, y: usize) -> usize {
        self.origin[0] + y - self.pad[0]
    }

    /// The image column of tile column `x`, one of `columns`.
    pub(super) fn left(&self, x: usize) -> usize {
        self.origin[1] + x - self.pad[1]
    }
}

/// Where one tile's results go: outputs, and the tile point of the first, for rows and columns.
pub(super) struct Kept {
    pub rows: (Range<usize>, usize),
    pub columns: (Range<usize>, usize),
}

impl Tiling {
    pub(super) fn new(problem: &Problem) -> Self {
        Tiling { height: Side::new(problem.height()), width: Side::new(problem.width()) }
    }

    /// Points of a tile, `[rows, columns]`, powers of two.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.height.size, self.width.size]
    }

    pub(super) fn points(&self) -> usize {
        self.height.size * self.width.size
    }

    /// Complex numbers of one spectrum of real data.
    pub(super) fn spectrum(&self) -> usize {
        self.height.size * (self.width.size / 2 + 1)
    }

    /// Tiles of one image.
    pub(super) fn tiles(&self) -> usize {
        self.height.count * self.width.count
    }

    /// Taps of the filter.
    pub(super) fn taps(&self) -> usize {
        self.height.axis.kernel * self.width.axis.kernel
    }

    /// Rows of a tile that a dilated filter takes, rounded up to whole pairs.
    pub(super) fn filter_rows(&self) -> usize {
        self.height.axis.extent().next_multiple_of(2)
    }

    /// The point of a tile at which tap `tap` of a dilated filter stands.
    pub(super) fn tap_position(&self, tap: usize) -> usize {
        let (r, s) = (tap / self.width.axis.kernel, tap % self.width.axis.kernel);
        r * self.height.axis.dilation * self.width.size + s * self.width.axis.dilation
    }

    pub(super) fn input_area(&self, tile: usize) -> Area {
        let (row, column) = (tile / self.width.count, tile % self.width.count);
        Area {
            rows: self.height.inside(row),
            columns: self.width.inside(column),
            origin: [row * self.height.kept, column * self.width.kept],
            pad: [self.height.axis.pad_before, self.width.axis.pad_before],
        }
    }

    pub(super) fn kept(&self, tile: usize) -> Kept {
        let (row, column) = (tile / self.width.count, tile % self.width.count);
        Kept { rows: self.height.outputs(row), columns: self.width.outputs(column) }
    }
}
