//! Where everything of a plan lies: tiles, the planes of the transformed tensors, the channels in them.

use conv_core::{Axis, Problem};

use crate::cover::{AxisTile, Cover};
use crate::fraction::Fraction;
use crate::line::{Coefficients, Points};

/// One axis: its points, its phases and its tiles.
#[derive(Debug, Clone)]
pub(crate) struct AxisPlan {
    /// The points, and so the transforms.
    pub points: Points,
    /// The transforms' constants without and with the extra point. Points are short binary fractions, so that their powers
    /// and products are exact in f32.
    coefficients: [Coefficients<f32>; 2],
    /// The tiles.
    pub cover: Cover,
    /// Taps that each phase is given: the filter's, divided by the stride and rounded up.
    pub taps: usize,
    /// Input phases: 1, or for a strided filter the stride (never more than the filter has taps).
    pub phases: usize,
    /// Phases that have all the taps. The others miss the last one, so their weights at ∞ are zero.
    pub full_phases: usize,
}

impl AxisPlan {
    pub fn new(axis: &Axis, points: Points, cover: Cover) -> Self {
        let phases = axis.stride.min(axis.kernel);
        let full_phases = if axis.kernel.is_multiple_of(axis.stride) { phases } else { axis.kernel % axis.stride };
        AxisPlan {
            points,
            coefficients: [false, true]
                .map(|extended| Coefficients::new(&points, extended).map(|c: Fraction| c.to_f64() as f32)),
            cover,
            taps: axis.kernel.div_ceil(axis.stride),
            phases,
            full_phases,
        }
    }

    /// The transforms' constants of tiles with, or without, the extra point.
    pub fn coefficients(&self, extended: bool) -> &Coefficients<f32> {
        &self.coefficients[usize::from(extended)]
    }

    /// Points of the tiles with, or without, the extra one.
    pub fn points_of(&self, extended: bool) -> usize {
        self.points.base() + usize::from(extended)
    }

    /// Points of the largest tile on this axis.
    pub fn grid(&self) -> usize {
        self.points_of(self.cover.has_extended())
    }

    /// Phases that take part at point number `index`.
    pub fn phases_at(&self, index: usize) -> usize {
        if index + 1 == self.points.base() { self.full_phases } else { self.phases }
    }

    /// Whether point number `index` is the extra one.
    pub fn is_extra(&self, index: usize) -> bool {
        index == self.points.base()
    }
}

/// A stretch of floats that are contiguous in the input and in a row of V: the channels of one phase, or those of all
/// horizontal phases together where no other group's channels lie between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Rows below the tile element's.
    pub down: usize,
    /// Pixels right of the tile element's.
    pub right: usize,
    /// First float in a row of V.
    pub start: usize,
    /// Floats.
    pub len: usize,
}

/// One of the points of the plane: a matrix product `V[tiles × depth] · U[depth × output channels]` of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plane {
    /// Whether only tiles with the extra point have it, vertically and horizontally.
    pub extra: [bool; 2],
    /// Stretches of a row of V that take part.
    pub rows: usize,
    /// Floats of each stretch.
    pub len: usize,
    /// `depth` summed over the planes before this one.
    pub depth_before: usize,
}

impl Plane {
    /// Multiply-adds behind one product.
    pub fn depth(&self) -> usize {
        self.rows * self.len
    }
}

/// Everything about positions that a plan and its kernels share.
#[derive(Debug, Clone)]
pub(crate) struct Geometry {
    pub problem: Problem,
    /// Vertical and horizontal.
    pub axes: [AxisPlan; 2],
    /// What a tile reads, the same for each of its elements.
    pub segments: Vec<Segment>,
    /// The planes, row by row of the grid.
    pub planes: Vec<Plane>,
    /// Floats of a row of V from one phase row to the next.
    pub phase_row: usize,
}

impl Geometry {
    pub fn new(problem: &Problem, axes: [AxisPlan; 2]) -> Self {
        let channels = problem.group_in_channels();
        let [down, right] = [axes[0].phases, axes[1].phases];
        let phase_row = right * channels;
        let merged = problem.groups() == 1;
        let segments = (0..down)
            .flat_map(|down| (0..if merged { 1 } else { right }).map(move |right| (down, right)))
            .map(|(down, right)| Segment {
                down,
                right,
                start: down * phase_row + right * channels,
                len: if merged { phase_row } else { channels },
            })
            .collect();
        let mut planes = Vec::new();
        let mut depth_before = 0;
        for i in 0..axes[0].grid() {
            for j in 0..axes[1].grid() {
                let (rows, across) = (axes[0].phases_at(i), axes[1].phases_at(j));
                // Whole rows are one stretch.
                let (rows, len) = if across == right { (1, rows * phase_row) } else { (rows, across * channels) };
                let extra = [axes[0].is_extra(i), axes[1].is_extra(j)];
                planes.push(Plane { extra, rows, len, depth_before });
                depth_before += rows * len;
            }
        }
        Geometry { problem: problem.clone(), axes, segments, planes, phase_row }
    }

    /// Planes in a row of the grid.
    pub fn grid_width(&self) -> usize {
        self.axes[1].grid()
    }

    /// Input channels of all phases: floats used of a row of V.
    pub fn depth(&self) -> usize {
        self.axes[0].phases * self.phase_row
    }

    /// Multiply-adds behind one tile's products with one output channel, all planes.
    pub fn total_depth(&self) -> usize {
        self.planes.last().map_or(0, |last| last.depth_before + last.depth())
    }

    /// Tiles of one image.
    pub fn tiles_per_image(&self) -> usize {
        self.axes[0].cover.len() * self.axes[1].cover.len()
    }

    /// Tiles of the batch, numbered image by image, row by row.
    pub fn tiles(&self) -> usize {
        self.tiles_per_image() * self.problem.batch()
    }

    /// How many of the tiles before `tile` take part in planes of each kind, so that differences are rows of a block's
    /// planes: `[vertical point is the extra one][horizontal point is]`.
    pub fn ranks(&self, tile: usize) -> [[usize; 2]; 2] {
        let [vertical, horizontal] = [&self.axes[0].cover, &self.axes[1].cover];
        let (image, index) = (tile / self.tiles_per_image(), tile % self.tiles_per_image());
        let (y, x) = (index / horizontal.len(), index % horizontal.len());
        [false, true].map(|down| {
            let rows = image * vertical.before(vertical.len(), down) + vertical.before(y, down);
            let takes_part = vertical.before(y + 1, down) > vertical.before(y, down);
            [false, true].map(|across| {
                let before = if takes_part { horizontal.before(x, across) } else { 0 };
                rows * horizontal.before(horizontal.len(), across) + before
            })
        })
    }

    /// The tiles from number `start` on, image by image, row by row. Endless: to be taken as many of as there are.
    pub fn tiles_from(&self, start: usize) -> Tiles<'_> {
        let (image, index) = (start / self.tiles_per_image(), start % self.tiles_per_image());
        let width = self.axes[1].cover.len();
        let place = [index / width, index % width];
        let axes = [self.axes[0].cover.tile(place[0]), self.axes[1].cover.tile(place[1])];
        Tiles { geometry: self, place, next: Tile { image, axes, ranks: self.ranks(start) } }
    }
}

/// A tile's place in the batch and in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    pub image: usize,
    /// Vertical and horizontal.
    pub axes: [AxisTile; 2],
    /// See [`Geometry::ranks`].
    pub ranks: [[usize; 2]; 2],
}

impl Tile {
    /// Whether it has the extra points.
    pub fn extended(&self) -> [bool; 2] {
        self.axes.map(|axis| axis.extended)
    }
}

/// See [`Geometry::tiles_from`].
#[derive(Clone)]
pub(crate) struct Tiles<'a> {
    geometry: &'a Geometry,
    /// Vertical and horizontal number of the next tile.
    place: [usize; 2],
    next: Tile,
}

impl Tiles<'_> {
    /// The next tile, and one step on.
    pub fn take_next(&mut self) -> Tile {
        let tile = self.next;
        let [vertical, horizontal] = [&self.geometry.axes[0].cover, &self.geometry.axes[1].cover];
        for (ranks, down) in self.next.ranks.iter_mut().zip([true, tile.axes[0].extended]) {
            ranks[0] += usize::from(down);
            ranks[1] += usize::from(down && tile.axes[1].extended);
        }
        self.place[1] += 1;
        if self.place[1] == horizontal.len() {
            self.place = [self.place[0] + 1, 0];
            if self.place[0] == vertical.len() {
                self.place[0] = 0;
                self.next.image += 1;
            }
            self.next.axes[0] = vertical.tile(self.place[0]);
        }
        self.next.axes[1] = horizontal.tile(self.place[1]);
        tile
    }
}

impl Iterator for Tiles<'_> {
    type Item = Tile;

    fn next(&mut self) -> Option<Tile> {
        Some(self.take_next())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cover::Sizes;

    /// Points with two tile sizes, that of three pairs and the next smaller.
    pub(crate) const SEVEN: Points =
        Points { pairs: &[Fraction::new(1, 2), Fraction::new(3, 2), Fraction::new(1, 1)], zero: false };

    /// These points and tiles on both axes.
    pub(crate) fn geometry(problem: &str, points: Points, sizes: Sizes) -> Geometry {
        let problem: Problem = problem.parse().unwrap();
        let axis = |axis: &Axis| {
            let taps = axis.kernel.div_ceil(axis.stride);
            AxisPlan::new(axis, points, Cover::new(axis, sizes, points.base() + 1 - taps, points.base()))
        };
        let axes = [axis(problem.height()), axis(problem.width())];
        Geometry::new(&problem, axes)
    }

    #[test]
    fn ranks_count_the_tiles_that_take_part() {
        let geometry = geometry("mb3ic4ih13iw17oc4kh3kw3ph1pw1dh1dw0", SEVEN, Sizes::Mixed);
        let mut counts = [[0; 2]; 2];
        for (number, tile) in geometry.tiles_from(0).take(geometry.tiles()).enumerate() {
            assert_eq!(geometry.tiles_from(number).next(), Some(tile));
            assert_eq!(tile.ranks, counts, "tile {number}");
            let has = tile.extended();
            for vertical in [false, true] {
                for horizontal in [false, true] {
                    counts[usize::from(vertical)][usize::from(horizontal)] +=
                        usize::from((has[0] || !vertical) && (has[1] || !horizontal));
                }
            }
        }
        assert_eq!(geometry.ranks(geometry.tiles()), counts);
    }

    #[test]
    fn conv1_skips_the_taps_that_are_not_there() {
        let geometry = geometry("mb1ic3ih227oc96oh55kh11sh4ph0", SEVEN, Sizes::Mixed);
        assert_eq!(geometry.depth(), 48);
        assert_eq!(geometry.segments.len(), 4);
        let depths: Vec<usize> = geometry.planes.iter().map(Plane::depth).collect();
        let count = |depth| depths.iter().filter(|&&d| d == depth).count();
        assert_eq!((count(48), count(36), count(27)), (36, 12, 1));
        assert_eq!(geometry.total_depth(), 2187);
        assert_eq!(geometry.tiles(), 121);
    }
}
