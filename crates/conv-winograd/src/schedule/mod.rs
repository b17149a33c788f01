//! The order of a plan's work and its cut into tasks.

#[allow(unsafe_code)]
mod kernel;

use conv_core::PlanOptions;

use crate::geometry::Geometry;
pub(crate) use kernel::run;

/// The order in which tiles go through the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// A task takes a block of tiles through all stages, so that V and M stay in its L2.
    Fused,
    /// All tiles are transformed before the first product, so that tasks can share a block of tiles and split its
    /// output channels: for few tiles and many workers.
    Staged,
}

/// How a plan's work is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// The order of the stages.
    pub schedule: Schedule,
    /// Tiles of a block, at least 1.
    pub tiles: usize,
    /// Register tiles of output channels in a chunk, whose products lie in M at once; at least 1.
    pub chunk_blocks: usize,
}

/// The L2 of one core, where it cannot be asked for.
const L2_BYTES: usize = 1 << 20;

impl Blocking {
    /// Blocks whose V takes half of the L2.
    pub(crate) fn default_of(geometry: &Geometry, options: &PlanOptions) -> Self {
        let shape = options.isa.tile_shape();
        let tile_bytes = 4 * geometry.planes.len() * geometry.depth().next_multiple_of(16);
        let strips = (L2_BYTES / 2 / tile_bytes / shape.pixels).max(1);
        let tiles = geometry.tiles();
        // Equal blocks.
        let blocks = tiles.div_ceil(strips * shape.pixels);
        let tasks = blocks * geometry.problem.groups();
        let schedule =
            if tasks >= 2 * options.workers || options.workers == 1 { Schedule::Fused } else { Schedule::Staged };
        Blocking { schedule, tiles: tiles.div_ceil(blocks), chunk_blocks: 1 }
    }
}
