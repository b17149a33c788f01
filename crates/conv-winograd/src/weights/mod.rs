//! Transformed weights: `U = G g Gᵀ` for each pair of channels, in f64, packed for the register tile.

use conv_core::{Filter, PlanError, PlanOptions, for_each_task};
use conv_simd::{AlignedBuffer, SharedSlice};

use crate::cook_toom::CookToom;
use crate::geometry::{AxisPlan, Geometry};
use crate::layout::Layout;

#[allow(unsafe_code)]
mod kernel;

/// `G` of an axis, n × taps, in the grid's order: all points but the extra one, which comes after ∞. Smaller tiles use
/// the same rows: see [`crate::line`].
pub(crate) fn filter_matrix(axis: &AxisPlan) -> Vec<Vec<f64>> {
    let mut rows = CookToom::new(&axis.points.finite(true), axis.taps).filter;
    if axis.points.has_two_sizes() {
        let n = rows.len();
        rows.swap(n - 2, n - 1);
    }
    rows.iter().map(|row| row.iter().map(|x| x.to_f64()).collect()).collect()
}

/// Packs `U[group][chunk][plane][register block][depth][channel]`, and after it the bias, `[group][channel]`, both
/// padded with zeros to whole vectors.
pub(crate) fn pack(
    geometry: &Geometry,
    layout: &Layout,
    filter: Filter<'_>,
    options: &PlanOptions,
) -> Result<AlignedBuffer, PlanError> {
    let problem = &geometry.problem;
    let groups = problem.groups();
    let mut packed = AlignedBuffer::zeroed(groups * layout.channels * (layout.total_depth + 1))?;
    let (weights, bias) = packed.split_at_mut(groups * layout.channels * layout.total_depth);
    if let Some(values) = filter.bias {
        let channels = problem.group_out_channels();
        for (padded, values) in bias.chunks_mut(layout.channels).zip(values.chunks(channels)) {
            padded[..channels].copy_from_slice(values);
        }
    }
    let matrices = [0, 1].map(|axis| filter_matrix(&geometry.axes[axis]));
    let packed_weights = &SharedSlice::new(weights);
    let (channels, blocks) = (problem.group_in_channels(), layout.channels.div_ceil(layout.block));
    for_each_task(options.workers, groups * blocks * channels, &mut [], |_, task| {
        let (group, channel) = (task / channels / blocks, task % channels);
        let output = task / channels % blocks * layout.block;
        let matrices = matrices.each_ref().map(|matrix| &matrix[..]);
        options.isa.run(kernel::Filters {
            geometry,
            layout,
            matrices,
            weights: filter.weights,
            packed: packed_weights,
            group,
            output,
            channel,
        });
    });
    Ok(packed)
}
