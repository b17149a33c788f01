//! Weights for the register tile.

use conv_core::Problem;
use conv_simd::{Isa, TileShape};

use crate::grid::Columns;
use crate::kernel::TileWeights;
use crate::weights::{Form, Layout, Weights};

/// The register tile for maps that are cut into rows of `line` pixels: the one with the fewest tiles, the narrower of
/// equals. On AVX2 that is 4 pixels × 3 vectors for rows of 13 and 256 channels (3 to 4% faster there than 6 × 2), and
/// 6 × 2 for 128, where some blocks of 4 × 3 would have two vectors and too few sums in flight (4% slower).
pub(crate) fn shape(problem: &Problem, isa: Isa, line: usize) -> TileShape {
    let TileShape { vectors: most, lanes, .. } = isa.tile_shape();
    let all = problem.group_out_channels().div_ceil(lanes);
    let tiles = |vectors: &usize| line.div_ceil(isa.tile_pixels(*vectors)) * all.div_ceil(*vectors);
    let vectors = (1..=most).min_by_key(tiles).unwrap_or(most);
    TileShape { pixels: isa.tile_pixels(vectors), vectors, lanes }
}

/// Weights in blocks of a register tile's output channels, `vectors` at most, none of two groups.
pub(crate) fn blocks(problem: &Problem, isa: Isa, vectors: usize) -> Layout {
    let columns = Columns::new(problem.groups(), problem.group_out_channels(), isa.lanes(), vectors);
    Layout { columns, form: Form::Tiles }
}

/// One of these blocks.
pub(crate) fn block(weights: &Weights, isa: Isa, part: usize) -> TileWeights<'_> {
    let (weights, bias) = weights.part(part);
    let bias = bias.expect("tiles have a bias in any case");
    TileWeights { isa, vectors: bias.len() / isa.lanes(), weights, bias }
}
