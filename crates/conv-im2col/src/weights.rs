//! The order that all weights are prepared in: `[kh][kw][ic/groups]` rows of output channels.

use conv_core::{PlanError, Problem};
use conv_simd::AlignedBuffer;

use crate::kernel::{Columns, Grid, for_each_block};

/// Cuts the output channels of `problem` as `columns` does and makes of each part's filters `[k][ic/groups][kh][kw]` a
/// matrix `[kh·kw·ic/groups × width]`, one after another. The width is the part's channels rounded up to `lanes`, with
/// zeros. Works on up to `workers` threads.
///
/// # Errors
/// [`PlanError::Allocation`].
pub(crate) fn prepare(
    problem: &Problem,
    weights: &[f32],
    columns: Columns,
    lanes: usize,
    workers: usize,
) -> Result<AlignedBuffer, PlanError> {
    let (reduction, channels) = (problem.reduction(), problem.group_in_channels());
    let taps = reduction / channels;
    let stored = columns.padded(lanes).scaled(reduction);
    let mut prepared = AlignedBuffer::zeroed(stored.width())?;
    let grid = Grid::new(1, 1, stored);
    for_each_block(workers, &grid, &mut prepared, &mut [], |_, place, mut block| {
        let range = columns.range(place.part);
        let to = block.row(0);
        let width = to.len() / reduction;
        let filters = &weights[range.start * reduction..range.end * reduction];
        for (k, filter) in filters.chunks_exact(reduction).enumerate() {
            for (c, channel) in filter.chunks_exact(taps).enumerate() {
                for (tap, &weight) in channel.iter().enumerate() {
                    to[(tap * channels + c) * width + k] = weight;
                }
            }
        }
    });
    Ok(prepared)
}
