//! Transformed weights: `U = G g Gᵀ` for each pair of channels, in f64, packed for the register tile.

use conv_core::{Filter, PlanError};
use conv_simd::AlignedBuffer;

use crate::cook_toom::CookToom;
use crate::geometry::{AxisPlan, Geometry};
use crate::layout::Layout;

/// `G` of an axis, n × taps, in the grid's order: all points but the extra one, which comes after ∞. Smaller tiles use
/// the same rows: see [`crate::line`].
pub(crate) fn filter_matrix(axis: &AxisPlan) -> Vec<Vec<f64>> {
    let mut rows = CookToom::new(&axis.points.finite(true), axis.taps).filter;
    if !axis.points.zero {
        let n = rows.len();
        rows.swap(n - 2, n - 1);
    }
    rows.iter().map(|row| row.iter().map(|x| x.to_f64()).collect()).collect()
}

/// Packs `U[group][chunk][plane][register block][depth][channel]`, and after it the bias, `[group][channel]`, both
/// padded with zeros to whole vectors.
pub(crate) fn pack(geometry: &Geometry, layout: &Layout, filter: Filter<'_>) -> Result<AlignedBuffer, PlanError> {
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
    let packer = Packer { geometry, layout, matrices: [0, 1].map(|axis| filter_matrix(&geometry.axes[axis])) };
    let mut rest = weights;
    for group in 0..groups {
        for chunk in 0..layout.chunks() {
            let (packed, after) = rest.split_at_mut(layout.chunk_width(chunk) * layout.total_depth);
            packer.chunk(packed, group, chunk, filter.weights);
            rest = after;
        }
    }
    Ok(packed)
}

struct Packer<'a> {
    geometry: &'a Geometry,
    layout: &'a Layout,
    matrices: [Vec<Vec<f64>>; 2],
}

impl Packer<'_> {
    /// Writes one chunk, one input channel of one phase after another.
    fn chunk(&self, packed: &mut [f32], group: usize, chunk: usize, weights: &[f32]) {
        let (geometry, layout, problem) = (self.geometry, self.layout, &self.geometry.problem);
        let [vertical, horizontal] = &geometry.axes;
        let (kh, kw) = (problem.height().kernel, problem.width().kernel);
        let (channels, outputs) = (problem.group_in_channels(), problem.group_out_channels());
        let first = chunk * layout.chunk;
        for output in first..(first + layout.chunk_width(chunk)).min(outputs) {
            let block = (output - first) / layout.block;
            let block_start = block * layout.block;
            let width = layout.block.min(layout.chunk_width(chunk) - block_start);
            let lane = output - first - block_start;
            for channel in 0..channels {
                let filter = &weights[((group * outputs + output) * channels + channel) * kh * kw..][..kh * kw];
                for down in 0..vertical.phases {
                    for right in 0..horizontal.phases {
                        let transformed = self.transform(filter, [kh, kw], [down, right]);
                        for (index, plane) in geometry.planes.iter().enumerate() {
                            let (i, j) = (index / geometry.grid_width(), index % geometry.grid_width());
                            let across = horizontal.phases_at(j);
                            if down >= vertical.phases_at(i) || right >= across {
                                continue;
                            }
                            let depth = (down * across + right) * channels + channel;
                            let start = plane.depth_before * layout.chunk_width(chunk) + plane.depth() * block_start;
                            packed[start + depth * width + lane] = transformed[i][j] as f32;
                        }
                    }
                }
            }
        }
    }

    /// `G g Gᵀ` of one phase of a filter.
    fn transform(&self, filter: &[f32], [kh, kw]: [usize; 2], [down, right]: [usize; 2]) -> Vec<Vec<f64>> {
        let problem = &self.geometry.problem;
        let strides = [problem.height().stride, problem.width().stride];
        let [vertical, horizontal] = &self.geometry.axes;
        let tap = |a: usize, b: usize| {
            let (y, x) = (down + a * strides[0], right + b * strides[1]);
            if y < kh && x < kw { f64::from(filter[y * kw + x]) } else { 0.0 }
        };
        let rows: Vec<Vec<f64>> = (0..vertical.taps)
            .map(|a| {
                let row = |g: &Vec<f64>| (0..horizontal.taps).map(|b| g[b] * tap(a, b)).sum();
                self.matrices[1].iter().map(row).collect()
            })
            .collect();
        let column = |g: &Vec<f64>, j: usize| (0..vertical.taps).map(|a| g[a] * rows[a][j]).sum();
        self.matrices[0].iter().map(|g| (0..horizontal.grid()).map(|j| column(g, j)).collect()).collect()
    }
}
