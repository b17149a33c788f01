//! The order that all weights are prepared in: `[kh][kw][ic/groups]` rows of output channels.

use conv_core::{PlanError, Problem};
use conv_simd::AlignedBuffer;

use crate::kernel::{Columns, Grid, for_each_block};

/// Makes of each part of `columns`, which are the output channels of `problem`, a matrix `[kh·kw·ic/groups × width]` out
/// of its filters `[k][ic/groups][kh][kw]`, one after another. The widths are those of the same part in `stored`: as many
/// as its channels, or more, with zeros. Works on up to `workers` threads.
///
/// # Errors
/// [`PlanError::Allocation`].
pub(crate) fn prepare(
    problem: &Problem,
    weights: &[f32],
    columns: Columns,
    stored: Columns,
    workers: usize,
) -> Result<AlignedBuffer, PlanError> {
    let (reduction, channels) = (problem.reduction(), problem.group_in_channels());
    let taps = reduction / channels;
    let stored = stored.scaled(reduction);
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
