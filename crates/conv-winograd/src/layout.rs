//! Sizes and strides of the transformed tensors: U (weights), V (input) and M (products).
//!
//! V and M hold one *block* of tiles, M one *chunk* of output channels; U holds everything.
//! `V[plane][tile][channel of a phase]`, `U[group][chunk][plane][register block][depth][channel]`,
//! `M[plane][tile][channel]`.

use conv_simd::TileShape;

use crate::blocking::Blocking;
use crate::geometry::Geometry;
use crate::line::{MAX_POINTS, with_extra};

/// Floats in a cache line. Strides are odd numbers of lines, so that rows and planes fall into different sets of a cache.
const LINE: usize = 16;

/// Sizes and strides, in floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Tiles of a block.
    pub tiles: usize,
    /// Output channels of the register tile.
    pub block: usize,
    /// Output channels of a chunk.
    pub chunk: usize,
    /// Output channels of a group, rounded up to whole vectors.
    pub channels: usize,
    /// V, from tile to tile.
    pub v_row: usize,
    /// V, from plane to plane.
    pub v_plane: usize,
    /// M, from plane to plane; from tile to tile it is `chunk`.
    pub m_plane: usize,
    /// Input channels of all phases.
    pub depth: usize,
    /// Planes.
    pub planes: usize,
    /// Multiply-adds behind one tile's products with one output channel.
    pub total_depth: usize,
}

impl Layout {
    pub fn new(geometry: &Geometry, shape: TileShape, blocking: Blocking) -> Self {
        let channels = geometry.problem.group_out_channels().next_multiple_of(shape.lanes);
        let tiles = blocking.tiles.clamp(1, geometry.tiles());
        let chunk = blocking.chunk_blocks.max(1).saturating_mul(shape.channels()).min(channels);
        // Rows are written in whole vectors.
        let v_row = odd_lines(geometry.depth().next_multiple_of(shape.lanes));
        Layout {
            tiles,
            block: shape.channels(),
            chunk,
            channels,
            v_row,
            v_plane: odd_lines(tiles * v_row),
            m_plane: odd_lines(tiles * chunk),
            depth: geometry.depth(),
            planes: geometry.planes.len(),
            total_depth: geometry.total_depth(),
        }
    }

    /// Floats of a block's V.
    pub fn v_len(&self) -> usize {
        self.planes * self.v_plane
    }

    /// Floats of a chunk's M.
    pub fn m_len(&self) -> usize {
        self.planes * self.m_plane
    }

    /// Strips of a row of V.
    pub fn strips(&self) -> usize {
        self.depth.div_ceil(STRIP)
    }

    /// Chunks of a group's output channels.
    pub fn chunks(&self) -> usize {
        self.channels.div_ceil(self.chunk)
    }

    /// Output channels of chunk number `chunk`, padding included.
    pub fn chunk_width(&self, chunk: usize) -> usize {
        self.chunk.min(self.channels - chunk * self.chunk)
    }

    /// Register blocks of a group's output channels.
    pub fn blocks(&self) -> usize {
        self.channels.div_ceil(self.block)
    }

    /// Register block number `index` of a group.
    pub fn register_block(&self, index: usize) -> RegisterBlock {
        let first = index * self.block;
        let chunk = first / self.chunk;
        let (before, chunk_width) = (first - chunk * self.chunk, self.chunk_width(chunk));
        RegisterBlock { chunk, chunk_width, first, before, width: self.block.min(chunk_width - before) }
    }

    /// Where the weights of a chunk start: `total_depth` × its width floats.
    pub fn chunk_weights(&self, group: usize, chunk: usize) -> usize {
        (group * self.channels + chunk * self.chunk) * self.total_depth
    }
}

/// Output channels that the register tile computes at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RegisterBlock {
    /// Its chunk.
    pub chunk: usize,
    /// Channels of its chunk, padding included.
    pub chunk_width: usize,
    /// Its first channel in the group.
    pub first: usize,
    /// Channels of its chunk before it.
    pub before: usize,
    /// Its own channels, padding included.
    pub width: usize,
}

fn odd_lines(floats: usize) -> usize {
    (floats.div_ceil(LINE) | 1) * LINE
}

/// Channels that a transform takes through both passes at once.
pub(crate) const STRIP: usize = 64;
/// Floats from one element of a tile to the next between the passes: the last vector may reach past the strip.
pub(crate) const STRIP_ROW: usize = STRIP + LINE;

/// A strip of a tile between the two passes of a transform, `[row][column][channel]`: 20 KiB, so that it stays in L1.
pub(crate) type Between = [f32; BETWEEN_LEN];
/// Floats of a [`Between`].
pub(crate) const BETWEEN_LEN: usize = MAX_POINTS * MAX_POINTS * STRIP_ROW;

/// Where one tile lies in the planes of a transformed tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlaneSteps {
    /// Floats from one plane to the next.
    pub plane: usize,
    /// Planes in a row of the grid.
    pub grid_width: usize,
    /// The tile's first float in a plane: `[vertical point is the extra one][horizontal point is]`.
    pub rows: [[usize; 2]; 2],
}

impl PlaneSteps {
    /// The tile's first floats in the planes `(i, 0..N)`, of which the last one may be at the extra point.
    #[inline(always)]
    pub fn row<const N: usize, const ZERO: bool>(&self, i: usize, extra: bool) -> [usize; N] {
        let rows = self.rows[usize::from(extra)];
        std::array::from_fn(|j| (i * self.grid_width + j) * self.plane + rows[usize::from(is_extra::<N, ZERO>(j))])
    }

    /// The same for the planes `(0..N, j)`.
    #[inline(always)]
    pub fn column<const N: usize, const ZERO: bool>(&self, j: usize, extra: bool) -> [usize; N] {
        let rows = self.rows.map(|row| row[usize::from(extra)]);
        std::array::from_fn(|i| (i * self.grid_width + j) * self.plane + rows[usize::from(is_extra::<N, ZERO>(i))])
    }
}

const fn is_extra<const N: usize, const ZERO: bool>(index: usize) -> bool {
    index + 1 == N && with_extra(N, ZERO)
}
