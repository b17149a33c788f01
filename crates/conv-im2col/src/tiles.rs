//! Weights for the register tile, and products by it.

use conv_core::{Filter, PlanError, Problem};
use conv_simd::{AlignedBuffer, Isa, TileShape};

use crate::kernel::Columns;
use crate::weights::prepare;

/// Weights in blocks of a register tile's output channels, each `[kh·kw·ic/groups][vectors × lanes]`, with the bias.
pub(crate) struct TileWeights {
    isa: Isa,
    columns: Columns,
    reduction: usize,
    weights: AlignedBuffer,
    bias: AlignedBuffer,
}

/// One block of [`TileWeights`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileBlock<'a> {
    /// The instruction set they are cut for.
    pub isa: Isa,
    /// Vectors of the tile.
    pub vectors: usize,
    /// Rows of weights, vectors × lanes floats each.
    pub weights: &'a [f32],
    /// One float a channel, zero without a bias.
    pub bias: &'a [f32],
}

impl TileWeights {
    /// The register tile for maps that are cut into rows of `line` pixels: the one with the fewest tiles, the narrower of
    /// equals. On AVX2 that is 4 pixels × 3 vectors for rows of 13 and 256 channels (3 to 4% faster there than 6 × 2), and
    /// 6 × 2 for 128, where some blocks of 4 × 3 would have two vectors and too few sums in flight (4% slower).
    pub fn shape(problem: &Problem, isa: Isa, line: usize) -> TileShape {
        let TileShape { vectors: most, lanes, .. } = isa.tile_shape();
        let all = problem.group_out_channels().div_ceil(lanes);
        let tiles = |vectors: &usize| line.div_ceil(isa.tile_pixels(*vectors)) * all.div_ceil(*vectors);
        let vectors = (1..=most).min_by_key(tiles).unwrap_or(most);
        TileShape { pixels: isa.tile_pixels(vectors), vectors, lanes }
    }

    /// The output channels of `problem` in blocks of `vectors` at most; none spans two groups.
    pub fn columns_of(problem: &Problem, (isa, vectors): (Isa, usize)) -> Columns {
        Columns::new(problem.groups(), problem.group_out_channels(), isa.lanes(), vectors)
    }

    /// Bytes that [`TileWeights::new`] will allocate: every block is whole vectors.
    pub fn bytes(problem: &Problem, tile: (Isa, usize)) -> u128 {
        let channels = TileWeights::columns_of(problem, tile).padded().width();
        4 * channels as u128 * (problem.reduction() as u128 + 1)
    }

    /// Prepares `filter`, whose lengths were checked, for blocks of `tile`'s vectors on up to `workers` threads.
    ///
    /// # Errors
    /// [`PlanError::Allocation`].
    pub fn new(problem: &Problem, filter: Filter<'_>, tile: (Isa, usize), workers: usize) -> Result<Self, PlanError> {
        let columns = TileWeights::columns_of(problem, tile);
        let weights = prepare(problem, filter.weights, columns, columns.padded(), workers)?;
        let padded = columns.padded();
        let mut bias = AlignedBuffer::zeroed(padded.width())?;
        if let Some(values) = filter.bias {
            for part in 0..columns.parts() {
                let range = columns.range(part);
                bias[padded.range(part).start..][..range.len()].copy_from_slice(&values[range]);
            }
        }
        Ok(TileWeights { isa: tile.0, columns, reduction: problem.reduction(), weights, bias })
    }

    /// The output channels of each block, by [`TileWeights::columns_of`].
    pub fn columns(&self) -> Columns {
        self.columns
    }

    /// The block `part`.
    pub fn block(&self, part: usize) -> TileBlock<'_> {
        let lanes = self.isa.lanes();
        let range = self.columns.padded().range(part);
        TileBlock {
            isa: self.isa,
            vectors: range.len() / lanes,
            weights: &self.weights[range.start * self.reduction..range.end * self.reduction],
            bias: &self.bias[range],
        }
    }
}
