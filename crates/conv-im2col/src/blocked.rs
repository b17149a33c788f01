//! `im2col/blocked`: a strip of the im2col matrix that stays in L2, multiplied as soon as it is written.

use conv_core::{Phase, PlanOptions, Probe, Problem};
use faer::Accum;

use crate::epilogue::finish;
use crate::gemm::{ROWS, multiply, panels};
use crate::grid::{Columns, Grid};
use crate::lowering::Lowering;
use crate::plan::{Draft, Im2colPlan, Variant};

/// A strip's size. A quarter of a 1 MiB L2, so that a slice of a panel of weights (up to 192 KiB) stays there too.
const STRIP_BYTES: usize = 256 << 10;

/// How much of the reduction is multiplied at a time, so that this slice of the panel serves all of the strip's rows.
const DEPTH: usize = 512;

/// Scratch: a strip a worker, `rows · kh·kw·ic/groups` floats of at most [`STRIP_BYTES`] (but at least [`ROWS`] rows);
/// none where the input already is the matrix.
pub(crate) struct Blocked {
    lowering: Lowering,
    grid: Grid,
}

impl Variant for Blocked {
    const NAME: &'static str = "im2col/blocked";

    fn draft(problem: &Problem, options: &PlanOptions) -> Draft<Self> {
        let lowering = Lowering::new(problem);
        let layout = panels(problem);
        let grid = cut(problem, lowering.rows(), layout.columns, options.workers);
        let strips = options.workers.min(grid.blocks());
        let strip = if lowering.is_identity() { 0 } else { grid.band as u128 * problem.reduction() as u128 };
        Draft { own: Blocked { lowering, grid }, layout, scratch: strips as u128 * strip }
    }

    fn executed_flops(&self, problem: &Problem) -> u128 {
        problem.flops()
    }

    fn execute(plan: &Im2colPlan<Self>, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let Blocked { lowering, grid } = &plan.own;
        let reduction = plan.problem.reduction();
        plan.for_each_block(grid, output, scratch, probe, |strip, place, block| {
            let group = grid.columns.group(place.part);
            let (matrix, stride) = if lowering.is_identity() {
                let stride = lowering.row_len();
                (&input[place.rows.start * stride + group * reduction..], stride)
            } else {
                probe.enter(Phase::Lower);
                let rows = (place.rows.clone(), group..group + 1);
                lowering.write(plan.isa, input, rows, &lowering.whole(), (strip, reduction));
                (&*strip, reduction)
            };
            probe.enter(Phase::Multiply);
            for (part, columns) in plan.weights.columns().parts_of(&grid.columns, place.part) {
                let (panel, bias) = plan.weights.part(part);
                for first in (0..reduction).step_by(DEPTH) {
                    let depth = first..(first + DEPTH).min(reduction);
                    let accumulate = plan.epilogue.of_part(first == 0, depth.end == reduction).accumulate;
                    let accum = if accumulate { Accum::Add } else { Accum::Replace };
                    for row in (0..place.rows.len()).step_by(ROWS) {
                        let rows = row..(row + ROWS).min(place.rows.len());
                        let mut out = block.part(rows, columns.clone());
                        let rows = (&matrix[row * stride + first..], stride);
                        multiply(rows, (panel, depth.clone()), accum, &mut out);
                        if depth.end == reduction {
                            finish(plan.isa, &mut out, bias, plan.epilogue.bounds);
                        }
                    }
                }
            }
        });
    }
}

/// Strips × groups, and where that is too little work for the workers, × shares of the panels, at the price of writing
/// the strip once for each share.
fn cut(problem: &Problem, rows: usize, panels: Columns, workers: usize) -> Grid {
    let wanted = 8 * workers;
    let strip = (STRIP_BYTES / 4 / problem.reduction()).min(rows.div_ceil(wanted));
    let band = (strip / ROWS * ROWS).max(ROWS).min(rows);
    Grid::new(rows, band, panels.joined(rows.div_ceil(band), wanted))
}
