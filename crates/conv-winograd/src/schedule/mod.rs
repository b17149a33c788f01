//! The order of a plan's work and its cut into tasks.

#[allow(unsafe_code)]
mod kernel;

use conv_core::PlanOptions;

use crate::geometry::Geometry;
pub(crate) use kernel::run;

/// The order in which tiles go through the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// A task takes a block of tiles through all stages, so that V and M stay near its core.
    Fused,
    /// All tiles go through one stage before the next begins. Each stage has many small tasks: for few tiles and many
    /// workers.
    Staged,
}

/// How a plan's work is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// The order of the stages.
    pub schedule: Schedule,
    /// Tiles of a block, at least 1: each block reads all weights once.
    pub tiles: usize,
    /// Register tiles of output channels in a chunk, at least 1: each chunk reads V once, and its products lie in M at
    /// once.
    pub chunk_blocks: usize,
}

/// The L2 of one core, where it cannot be asked for.
const L2_BYTES: usize = 1 << 20;

impl Blocking {
    /// Large blocks, as far as M takes half of the L2 and the workers come out even.
    ///
    /// Measured with one thread on cores with 1 MiB of L2: the transformed weights of a 3×3 layer are 10 to 50 MB, so a
    /// block should have 30 tiles or more to make their stream cheap, even though its V then lies in the L3. On a Zen 5
    /// server all 144 tiles of conv3 at batch 16 at once are another 3% faster, for four times the scratch. With two
    /// threads one block each beats the staged schedule by a fifth as long as it fills a register tile, and costs twice the
    /// time where one thread gets a block more than the other.
    pub(crate) fn default_of(geometry: &Geometry, options: &PlanOptions) -> Self {
        let shape = options.isa.tile_shape();
        let m_bytes = 4 * geometry.planes.len() * shape.channels();
        let fitting = |bytes: usize| (L2_BYTES / 2 / bytes).max(1);
        let (tiles, groups, workers) = (geometry.tiles(), geometry.problem.groups(), options.workers);
        // Two register tiles wide, so that rows of the output are written in stretches of 256 bytes.
        let most = fitting(2 * m_bytes).max(shape.pixels);
        let fewest = tiles.div_ceil(most);
        // At most a tenth longer than if every worker had the same share; so are ten tasks a worker in any case.
        let even = |blocks: usize| {
            let tasks = blocks * groups;
            tasks.div_ceil(workers) * workers * 10 <= tasks * 11
        };
        let blocks = (fewest..tiles).find(|&blocks| even(blocks)).unwrap_or(tiles);
        let (schedule, blocks) = if tiles.div_ceil(blocks) < shape.pixels.div_ceil(2).min(tiles) {
            (Schedule::Staged, fewest)
        } else {
            (Schedule::Fused, blocks)
        };
        let tiles = tiles.div_ceil(blocks);
        // All of the L2: V need not stay while M is written. Paper's conv1, whose three register tiles so are one chunk and
        // not two, gains 4%.
        Blocking { schedule, tiles, chunk_blocks: (L2_BYTES / (tiles * m_bytes)).clamp(1, 4) }
    }
}
