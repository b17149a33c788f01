//! Products by faer, cut so that it need not pack: weights in panels, rows a dozen at a time.

use conv_core::{Filter, PlanError, Problem};
use conv_simd::AlignedBuffer;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatRef, Par};

use crate::kernel::{Block, Columns};

/// Rows of one product. Up to three columns of its 4-wide tile faer reads the other operand in place, where it is
/// contiguous as our panels are; from 13 on it copies the weights first, at every call. On a Zen 4 server twelve rows
/// a call run at 92–97% of the FMA peak on all of AlexNet's layers, as fast as the whole matrix in one call.
pub(crate) const ROWS: usize = 12;

/// Widest panel: the height of faer's AVX-512 tile, and a multiple of its AVX2 tile.
const PANEL: usize = 96;

/// Panel widths are multiples of this, whole vectors on every instruction set; a group's last panel may be narrower.
const PANEL_STEP: usize = 16;

/// Weights as panels of output channels, each a row-major matrix `[kh·kw·ic/groups × panel]` of its own, with the bias.
pub(crate) struct Panels {
    columns: Columns,
    reduction: usize,
    weights: AlignedBuffer,
    bias: Option<AlignedBuffer>,
}

impl Panels {
    /// Bytes that [`Panels::new`] will allocate.
    pub fn bytes(problem: &Problem, filter: Filter<'_>) -> u128 {
        4 * (problem.weight_len() as u128 + filter.bias.map_or(0, <[f32]>::len) as u128)
    }

    /// Prepares `filter`, whose lengths were checked.
    ///
    /// # Errors
    /// [`PlanError::Allocation`].
    pub fn new(problem: &Problem, filter: Filter<'_>) -> Result<Self, PlanError> {
        let (reduction, group_channels) = (problem.reduction(), problem.group_out_channels());
        let piece = group_channels.div_ceil(group_channels.div_ceil(PANEL)).next_multiple_of(PANEL_STEP);
        let columns = Columns::new(problem.groups(), group_channels, piece);
        let taps = problem.height().kernel * problem.width().kernel;
        let mut weights = AlignedBuffer::zeroed(problem.weight_len())?;
        for range in (0..columns.parts()).map(|part| columns.range(part)) {
            let width = range.len();
            let filters = &filter.weights[range.start * reduction..range.end * reduction];
            let panel = &mut weights[range.start * reduction..range.end * reduction];
            for (k, filter) in filters.chunks_exact(reduction).enumerate() {
                for (c, channel) in filter.chunks_exact(taps).enumerate() {
                    for (tap, &weight) in channel.iter().enumerate() {
                        panel[(tap * (reduction / taps) + c) * width + k] = weight;
                    }
                }
            }
        }
        let bias = filter.bias.map(AlignedBuffer::copy_of).transpose()?;
        Ok(Panels { columns, reduction, weights, bias })
    }

    /// The output channels of each panel; none spans two groups.
    pub fn columns(&self) -> Columns {
        self.columns
    }

    /// The bias of panel `part`, if there is one.
    pub fn bias(&self, part: usize) -> Option<&[f32]> {
        self.bias.as_ref().map(|bias| &bias[self.columns.range(part)])
    }

    /// `out = rows · panel`. `rows` starts with the first row's first float of this panel's group; the next row is `stride`
    /// floats further.
    pub fn multiply(&self, part: usize, rows: &[f32], stride: usize, out: &mut Block<'_>) {
        let columns = self.columns.range(part);
        let panel = &self.weights[columns.start * self.reduction..columns.end * self.reduction];
        let lhs = MatRef::from_row_major_slice_with_stride(rows, out.rows(), self.reduction, stride);
        let rhs = MatRef::from_row_major_slice(panel, self.reduction, columns.len());
        matmul(out.as_mat(), Accum::Replace, lhs, rhs, 1.0, Par::Seq);
    }
}
