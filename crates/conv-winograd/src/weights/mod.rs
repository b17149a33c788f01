//! Transformed weights: `U = G g Gᵀ` for each pair of channels, in f64, packed for the register tile.

use conv_simd::{AlignedBuffer, AllocationError, Isa};

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

/// `U[group][chunk][plane][register block][depth][channel]` of the weights `[oc][ic/groups][kh][kw]`, with zeros for the
/// channels that fill up a vector.
pub(crate) fn pack(
    geometry: &Geometry,
    layout: &Layout,
    weights: &[f32],
    isa: Isa,
) -> Result<AlignedBuffer, AllocationError> {
    let matrices = [0, 1].map(|axis| filter_matrix(&geometry.axes[axis]));
    kernel::pack(geometry, layout, matrices.each_ref().map(|matrix| &matrix[..]), weights, isa)
}
