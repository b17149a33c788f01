//! Products by faer, cut so that it need not pack: weights in panels, rows a dozen at a time.

use std::ops::Range;

use conv_core::{Filter, PlanError, Problem};
use conv_simd::AlignedBuffer;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatRef, Par};

use crate::kernel::{Block, Columns};
use crate::weights::prepare;

/// Rows of one product. Up to three columns of its 4-wide tile faer reads the other operand in place, where it is
/// contiguous as our panels are; from 13 on it copies the weights first, at every call. On a Zen 4 server twelve rows
/// a call run at 92–97% of the FMA peak on all of AlexNet's layers, as fast as the whole matrix in one call.
pub(crate) const ROWS: usize = 12;

/// Panels are whole vectors of this many columns on every instruction set; a group's last one may be narrower.
const PANEL_UNIT: usize = 16;

/// Widest panel, in units: the height of faer's AVX-512 tile, and a multiple of its AVX2 tile.
const PANEL: usize = 6;

/// What a panel may take of a 1 MiB L2, in which it is to stay from one dozen rows to the next.
const PANEL_BYTES: usize = 700 << 10;

/// Narrowest panel that is worth that, in units: with 48 columns the products ran at 73% of the peak instead of 83%.
const PANEL_LEAST: usize = 4;

/// Weights as panels of output channels, each a row-major matrix `[kh·kw·ic/groups × panel]` of its own, with the bias.
pub(crate) struct Panels {
    columns: Columns,
    reduction: usize,
    weights: AlignedBuffer,
    bias: Option<AlignedBuffer>,
}

impl Panels {
    /// The output channels of `problem` in equal panels; none spans two groups.
    pub fn columns_of(problem: &Problem) -> Columns {
        let fitting = PANEL_BYTES / 4 / (PANEL_UNIT * problem.reduction());
        let most = fitting.clamp(PANEL_LEAST, PANEL);
        Columns::new(problem.groups(), problem.group_out_channels(), PANEL_UNIT, most)
    }

    /// Bytes that [`Panels::new`] will allocate.
    pub fn bytes(problem: &Problem, filter: Filter<'_>) -> u128 {
        4 * (problem.weight_len() as u128 + filter.bias.map_or(0, <[f32]>::len) as u128)
    }

    /// Prepares `filter`, whose lengths were checked, on up to `workers` threads.
    ///
    /// # Errors
    /// [`PlanError::Allocation`].
    pub fn new(problem: &Problem, filter: Filter<'_>, workers: usize) -> Result<Self, PlanError> {
        let columns = Panels::columns_of(problem);
        let weights = prepare(problem, filter.weights, columns, columns, workers)?;
        let bias = filter.bias.map(AlignedBuffer::copy_of).transpose()?;
        Ok(Panels { columns, reduction: problem.reduction(), weights, bias })
    }

    /// The output channels of each panel, by [`Panels::columns_of`].
    pub fn columns(&self) -> Columns {
        self.columns
    }

    /// The bias of panel `part`, if there is one.
    pub fn bias(&self, part: usize) -> Option<&[f32]> {
        self.bias.as_ref().map(|bias| &bias[self.columns.range(part)])
    }

    /// `out = rows · panel`, or with [`Accum::Add`] `out += rows · panel`, over the `depth` part of the reduction.
    ///
    /// `rows` starts with the first row's first float of `depth`; the next row's is `stride` floats further. A dozen rows
    /// at most keep faer from packing.
    pub fn multiply(
        &self,
        (part, depth): (usize, Range<usize>),
        (rows, stride): (&[f32], usize),
        accum: Accum,
        out: &mut Block<'_>,
    ) {
        let columns = self.columns.range(part);
        let width = columns.len();
        let panel = &self.weights[columns.start * self.reduction..][..width * self.reduction];
        let lhs = MatRef::from_row_major_slice_with_stride(rows, out.rows(), depth.len(), stride);
        let rhs = MatRef::from_row_major_slice(&panel[depth.start * width..depth.end * width], depth.len(), width);
        matmul(out.as_mat(), accum, lhs, rhs, 1.0, Par::Seq);
    }
}
