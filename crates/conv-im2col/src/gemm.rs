//! Products by faer, cut so that it need not pack: weights in panels, rows a dozen at a time.

use std::ops::Range;

use conv_core::Problem;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatRef, Par};

use crate::grid::Columns;
use crate::kernel::Block;
use crate::weights::{Form, Layout};

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

/// Weights as panels: the output channels in equal parts, none of two groups.
pub(crate) fn panels(problem: &Problem) -> Layout {
    let fitting = PANEL_BYTES / 4 / (PANEL_UNIT * problem.reduction());
    let most = fitting.clamp(PANEL_LEAST, PANEL);
    let columns = Columns::new(problem.groups(), problem.group_out_channels(), PANEL_UNIT, most);
    Layout { columns, form: Form::Panels }
}

/// `out = rows · panel`, or with [`Accum::Add`] `out += rows · panel`, over the `depth` part of the reduction.
///
/// `rows` starts with the first row's first float of `depth`; the next row's is `stride` floats further. A dozen rows
/// at most keep faer from packing.
pub(crate) fn multiply(
    (rows, stride): (&[f32], usize),
    (panel, depth): (&[f32], Range<usize>),
    accum: Accum,
    out: &mut Block<'_>,
) {
    let width = out.columns();
    let lhs = MatRef::from_row_major_slice_with_stride(rows, out.rows(), depth.len(), stride);
    let rhs = MatRef::from_row_major_slice(&panel[depth.start * width..depth.end * width], depth.len(), width);
    matmul(out.as_mat(), accum, lhs, rhs, 1.0, Par::Seq);
}
