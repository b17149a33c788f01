//! Sizes and strides of what lies between the stages.
//!
//! For a block of tiles: X, the transformed input rows, `[tile][row][column][re, im][input channel]`, and Y, the inverse
//! of the products' columns, `[tile][row][column][re, im][output channel]`. For one column of some of these tiles: V, its
//! planes, `[plane][tile][part][input channel]`, and M, the products of a chunk of output channels,
//! `[plane][tile][part][output channel]`. All weights:
//! `U[group][column][chunk][plane][register block][part][input channel][output channel]`. What the parts are, says
//! [`Products`].

use conv_core::{Parameter, PlanOptions};

use super::arithmetic::Wide;
use super::geometry::Geometry;
use super::products::Products;
use super::transform::{Work, planes};

/// Floats in a cache line. Strides are odd numbers of lines, so that rows and planes fall into different sets of a cache.
pub(super) const LINE: usize = 16;

/// X and Y of a block as a share of a group's weights, which stream through the caches once for each block, and its limits:
/// above an L2 of 1 MiB, below an L3 of 32 MiB. Milliseconds with 5, 8, 14 and 20 MiB on a Zen 5 server:
///
/// | AlexNet's | weights | | | | |
/// |---|---|---|---|---|---|
/// | conv2, `fft/t32`, batch 16 | 48 MiB | 6.3 | 6.2 | 6.8 | 6.8 |
/// | conv2, `fft/t32`, batch 64 | 48 MiB | 24.7 | 24.9 | 29.2 | |
/// | conv4, `fft/t16`, batch 64 | 72 MiB | 24.9 | 25.1 | 25.9 | |
/// | conv3, `fft/t16`, batch 64 | 96 MiB | | 32.7 | 31.5 | 31.0 |
///
/// On a Zen 4 with neighbours in its L3, where less is better still, with 3, 4, 8 and 11 MiB:
///
/// | AlexNet's | weights | | | | |
/// |---|---|---|---|---|---|
/// | conv1, `fft/t16-gauss`, batch 16 | 7 MiB | 14.9 | 15.4 | 16.2 | |
/// | conv1, `fft/t30-gauss`, batch 16 | 24 MiB | 14.8 | 14.5 | 15.5 | 16.3 |
/// | `paper`'s conv2, `fft/t30-gauss`, batch 64 | 2 × 32 MiB | | 37.8 | 40.9 | 40.7 |
///
/// (For 16 images of the last one 4 MiB are three blocks, 7% slower than two.)
const WEIGHTS_TO_BLOCK: u128 = 6;
/// See [`WEIGHTS_TO_BLOCK`].
const MIN_BLOCK_BYTES: usize = 5 << 20;
/// See [`WEIGHTS_TO_BLOCK`].
const MAX_BLOCK_BYTES: usize = 20 << 20;
/// A plane of V may take so much of an L2 of 1 MiB, and M of a chunk twice as much. All of V in half of the L2 measured
/// worse: it needs tasks of fewer tiles, each of which reads its weights again (conv3 at batch 64: 36 ms instead of 31).
const TASK_BYTES: usize = 256 << 10;
/// The most register tiles of output channels in a chunk; eight measured no better.
const CHUNK_BLOCKS: usize = 4;

pub(super) const BLOCK_TILES: &str = "block_tiles";
pub(super) const TASK_TILES: &str = "task_tiles";
pub(super) const TASK_CHUNK: &str = "chunk_blocks";

/// See [`conv_core::Algorithm::parameters`].
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: BLOCK_TILES, meaning: "tiles whose rows are transformed at a time", range: 1..=1 << 16 },
    Parameter { name: TASK_TILES, meaning: "tiles of a block that are multiplied at a time", range: 1..=1 << 16 },
    Parameter { name: TASK_CHUNK, meaning: "register tiles of output channels multiplied at a time", range: 1..=64 },
];

/// Sizes and strides, in floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// How complex products are made.
    pub products: Products,
    /// Input channels of all phases.
    pub depth: usize,
    /// The same, rounded up to whole vectors.
    pub depth_padded: usize,
    /// Output channels of a group, rounded up to whole vectors.
    pub channels: usize,
    /// Output channels of the register tile.
    pub block: usize,
    /// Output channels of a chunk.
    pub chunk: usize,
    /// Tiles of a block.
    pub tiles: usize,
    /// Tiles of a task of the second stage.
    pub task_tiles: usize,
    /// X, from row to row and from tile to tile.
    pub x: [usize; 2],
    /// Y, from row to row and from tile to tile.
    pub y: [usize; 2],
    /// V, from tile to tile and from plane to plane.
    pub v: [usize; 2],
    /// M, from tile to tile and from plane to plane.
    pub m: [usize; 2],
    /// Planes of column 0, which has the most.
    pub planes: usize,
    /// Room for one transform of vectors and their alignment, and for outputs of two rows that wait for their lines' rest.
    pub work: usize,
}

impl Layout {
    pub fn new<const N: usize>(geometry: &Geometry, products: Products, options: &PlanOptions) -> Self {
        let (shape, workers) = (options.isa.tile_shape(), options.workers);
        let depth = geometry.depth();
        let depth_padded = depth.next_multiple_of(shape.lanes);
        let channels = geometry.problem.group_out_channels().next_multiple_of(shape.lanes);
        let x_row = odd_lines(N * depth_padded);
        let y_row = odd_lines(N * channels);
        // Rows are transformed in pairs.
        let y_rows = geometry.height.most_outputs().next_multiple_of(2);
        let (x, y) = ([x_row, odd_lines(N * x_row)], [y_row, odd_lines(y_rows * y_row)]);
        let all = geometry.tiles();
        let given = |name| options.parameters.get(name);
        // Half a register tile of rows at least, which still hides the latency of a multiply-add.
        let weights = 4 * weight_floats::<N>(products, [1, channels, depth]);
        let block_bytes = (weights / WEIGHTS_TO_BLOCK).clamp(MIN_BLOCK_BYTES as u128, MAX_BLOCK_BYTES as u128) as usize;
        let fitting_tiles = fitting(block_bytes, x[1] + y[1]).max(shape.pixels.div_ceil(2));
        let tiles = given(BLOCK_TILES).unwrap_or(fitting_tiles).min(all);
        let tiles = all.div_ceil(all.div_ceil(tiles));

        let v_row = odd_lines(3 * depth_padded);
        let blocks = channels.div_ceil(shape.channels());
        let fair = (tiles * N / 2).div_ceil(3 * workers).max(1);
        let parts = products.parts();
        let m_block = parts * planes::<N>(0) * shape.channels();
        let most = fitting(TASK_BYTES, v_row).min(fitting(2 * TASK_BYTES, m_block)).max(shape.pixels);
        let most = if workers > 1 { most.min(fair.next_multiple_of(shape.pixels)) } else { most };
        let task_tiles = tiles.div_ceil(tiles.div_ceil(given(TASK_TILES).unwrap_or(most).min(tiles)));
        let chunk = fitting(2 * TASK_BYTES, task_tiles * m_block).min(CHUNK_BLOCKS);
        let chunk = given(TASK_CHUNK).unwrap_or(chunk).min(blocks) * shape.channels();
        let chunk = chunk.min(channels);
        Layout {
            products,
            depth,
            depth_padded,
            channels,
            block: shape.channels(),
            chunk,
            tiles,
            task_tiles,
            x,
            y,
            v: [v_row, odd_lines(task_tiles * v_row)],
            m: [parts * chunk, odd_lines(task_tiles * parts * chunk)],
            planes: planes::<N>(0),
            work: (Work::<Wide, N>::VALUES + 1) * shape.lanes + 2 * N * LINE.saturating_sub(shape.lanes),
        }
    }

    /// Floats of X and of Y of a block.
    pub fn block_lens(&self) -> [usize; 2] {
        [self.tiles * self.x[1], self.tiles * self.y[1]]
    }

    /// Floats of V and of M of a task.
    pub fn task_lens(&self) -> [usize; 2] {
        [self.planes * self.v[1], self.planes * self.m[1]]
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
        RegisterBlock { chunk_width, first, before, width: self.block.min(chunk_width - before) }
    }
}

/// Output channels that the register tile computes at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct RegisterBlock {
    /// Channels of its chunk, padding included.
    pub chunk_width: usize,
    /// Its first channel in the group.
    pub first: usize,
    /// Channels of its chunk before it.
    pub before: usize,
    /// Its own channels, padding included.
    pub width: usize,
}

/// Floats of all transformed weights: two parts of a spectrum have by symmetry as many as the tile has points.
pub(super) fn weight_floats<const N: usize>(products: Products, [groups, channels, depth]: [usize; 3]) -> u128 {
    (groups * channels) as u128 * (depth * products.parts() * N * N / 2) as u128
}

/// How many pieces of so many floats fit into `bytes`, at least one.
fn fitting(bytes: usize, floats: usize) -> usize {
    (bytes / 4 / floats).max(1)
}

fn odd_lines(floats: usize) -> usize {
    (floats.div_ceil(LINE) | 1) * LINE
}
