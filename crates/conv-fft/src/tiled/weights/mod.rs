//! Transformed weights, conjugated because a network's convolution is a correlation, packed for the register tile.

use conv_core::{Filter, PlanError, PlanOptions, for_each_task};
use conv_simd::{AlignedBuffer, SharedSlice};

use super::geometry::Geometry;
use super::layout::{Layout, weight_floats};

#[allow(unsafe_code)]
mod kernel;

/// Output channels whose filters one task transforms.
const TASK_OUTPUTS: usize = 32;

/// Packs U (see [`super::layout`]), and after it the bias, `[group][channel]`, both padded with zeros to whole vectors.
/// Transforms are computed in f64 and rounded once.
pub(super) fn pack<const N: usize>(
    geometry: &Geometry,
    layout: &Layout,
    filter: Filter<'_>,
    options: &PlanOptions,
) -> Result<AlignedBuffer, PlanError> {
    let problem = &geometry.problem;
    let (groups, channels) = (problem.groups(), problem.group_out_channels());
    let floats = weight_floats::<N>(layout.products, [groups, layout.channels, layout.depth]) as usize;
    let mut packed = AlignedBuffer::zeroed(floats + groups * layout.channels)?;
    let (weights, bias) = packed.split_at_mut(floats);
    if let Some(values) = filter.bias {
        for (padded, values) in bias.chunks_mut(layout.channels).zip(values.chunks(channels)) {
            padded[..channels].copy_from_slice(values);
        }
    }
    let packed_weights = &SharedSlice::new(weights);
    // Two cache lines of output channels a task, so that tasks do not share lines.
    let outputs = channels.div_ceil(TASK_OUTPUTS);
    for_each_task(options.workers, groups * outputs, &mut [], |_, task| {
        let (group, first) = (task / outputs, task % outputs * TASK_OUTPUTS);
        let outputs = first..(first + TASK_OUTPUTS).min(channels);
        let weights = filter.weights;
        options.isa.run(kernel::Filters::<N> { geometry, layout, weights, packed: packed_weights, group, outputs });
    });
    Ok(packed)
}

/// Where weights stand.
struct Place<'a> {
    layout: &'a Layout,
    /// Columns before this one, those of the groups before included.
    columns: usize,
    output: usize,
    depth: usize,
}

impl Place<'_> {
    /// The first float of part number `part` at a plane.
    fn offset<const N: usize>(&self, plane: usize, real: bool, part: usize) -> usize {
        let layout = self.layout;
        let chunk = self.output / layout.chunk;
        let (chunk_start, chunk_width) = (chunk * layout.chunk, layout.chunk_width(chunk));
        let block_start = (self.output - chunk_start) / layout.block * layout.block;
        let width = layout.block.min(chunk_width - block_start);
        let lane = self.output - chunk_start - block_start;
        // Parts before this plane: real ones, which come last, have one each.
        let parts = layout.products.parts();
        let before = if real { parts * (N - 2) + (plane - (N - 2)) } else { parts * plane };
        let rows = if real { layout.depth } else { parts * layout.depth };
        (self.columns * layout.channels + chunk_start) * parts * N * layout.depth
            + before * layout.depth * chunk_width
            + block_start * rows
            + (part * layout.depth + self.depth) * width
            + lane
    }
}
