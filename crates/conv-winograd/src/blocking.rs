//! How a plan's work is cut: into blocks of tiles and chunks of output channels, and in which order they are computed.

use conv_core::{Algorithm, Parameter, Parameters, PlanOptions};

use crate::geometry::Geometry;

/// The order in which tiles go through the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// A task takes a block of tiles through all stages, so that V and M stay near its core.
    Fused,
    /// All tiles go through one stage before the next begins. Each stage has many small tasks: for few tiles and many
    /// workers.
    Staged,
}

/// How a plan's work is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocking {
    /// The order of the stages.
    pub schedule: Schedule,
    /// Tiles of a block, at least 1: each block reads all weights once.
    pub tiles: usize,
    /// Register tiles of output channels in a chunk, at least 1: each chunk reads V once, and its products lie in M at
    /// once.
    pub chunk_blocks: usize,
}

const BLOCK_TILES: &str = "block_tiles";
const CHUNK_BLOCKS: &str = "chunk_blocks";
const STAGED: &str = "staged";

/// What a [`Blocking`] is called from outside.
pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter { name: BLOCK_TILES, meaning: "tiles that pass through all stages at a time", range: 1..=1 << 16 },
    Parameter { name: CHUNK_BLOCKS, meaning: "register tiles of output channels multiplied at a time", range: 1..=64 },
    Parameter { name: STAGED, meaning: "1: all tiles pass one stage before the next begins", range: 0..=1 },
];

/// Blockings that measured best on some layer: from one register tile of rows to all tiles at once, with few and with
/// many channels at a time; in stages only where there are several workers.
pub(crate) fn tunings(algorithm: &dyn Algorithm, geometry: &Geometry, options: &PlanOptions) -> Vec<Parameters> {
    let (tiles, pixels) = (geometry.tiles(), options.isa.tile_shape().pixels);
    let mut sizes: Vec<usize> = [1, 2, 3, 4, 6, 8, 12, 20, 40]
        .map(|count| tiles.div_ceil(tiles.div_ceil((count * pixels).min(tiles))))
        .into_iter()
        .collect();
    sizes.dedup();
    let stages = 0..=usize::from(options.workers > 1);
    let values = stages.flat_map(|staged| {
        let of =
            move |&size: &usize| [1, 2, 4].map(|chunk| [(BLOCK_TILES, size), (CHUNK_BLOCKS, chunk), (STAGED, staged)]);
        sizes.iter().flat_map(of)
    });
    values.filter_map(|values| Parameters::new(algorithm, values).ok()).collect()
}

/// The L2 of one core, where it cannot be asked for.
const L2_BYTES: usize = 1 << 20;

impl Blocking {
    /// What the options say, and for the rest [`Blocking::default_of`].
    pub(crate) fn of(geometry: &Geometry, options: &PlanOptions) -> Self {
        let given = |name| options.parameters.get(name);
        let default = Blocking::default_of(geometry, options);
        Blocking {
            schedule: match given(STAGED) {
                Some(0) => Schedule::Fused,
                Some(_) => Schedule::Staged,
                None => default.schedule,
            },
            tiles: given(BLOCK_TILES).unwrap_or(default.tiles),
            chunk_blocks: given(CHUNK_BLOCKS).unwrap_or(default.chunk_blocks),
        }
    }

    /// Large blocks, as far as M takes half of the L2 and the workers come out even.
    ///
    /// Measured with one thread on cores with 1 MiB of L2: the transformed weights of a 3×3 layer are 10 to 50 MB, so a
    /// block should have 30 tiles or more to make their stream cheap, even though its V then lies in the L3. On a Zen 5
    /// server all 144 tiles of conv3 at batch 16 at once are another 3% faster, for four times the scratch. With two
    /// threads one block each beats the staged schedule by a fifth as long as it fills a register tile, and costs twice the
    /// time where one thread gets a block more than the other.
    fn default_of(geometry: &Geometry, options: &PlanOptions) -> Self {
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
