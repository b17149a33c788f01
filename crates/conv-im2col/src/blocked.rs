//! `im2col/blocked`: a strip of the im2col matrix that stays in L2, multiplied as soon as it is written.

use conv_core::{
    Algorithm, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported,
};
use conv_simd::Isa;
use faer::Accum;

use crate::epilogue::finish;
use crate::gemm::{Panels, ROWS};
use crate::kernel::{Columns, Grid, for_each_block};
use crate::lowering::Lowering;

/// A strip's size. A quarter of a 1 MiB L2, so that a slice of a panel of weights (up to 192 KiB) stays there too.
const STRIP_BYTES: usize = 256 << 10;

/// How much of the reduction is multiplied at a time, so that this slice of the panel serves all of the strip's rows.
const DEPTH: usize = 512;

/// Scratch: a strip a worker, `rows · kh·kw·ic/groups` floats of at most [`STRIP_BYTES`] (but at least [`ROWS`] rows);
/// none where the input already is the matrix.
pub(crate) struct Im2colBlocked;

impl Algorithm for Im2colBlocked {
    fn name(&self) -> &'static str {
        "im2col/blocked"
    }

    fn supports(&self, _: &Problem) -> Result<(), Unsupported> {
        Ok(())
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        filter.check(problem)?;
        let lowering = Lowering::new(problem);
        let panels = Panels::columns_of(problem);
        let grid = cut(problem, lowering.rows(), panels, options.workers);
        let strips = options.workers.min(grid.blocks());
        let strip = if lowering.is_identity() { 0 } else { 4 * grid.band as u128 * problem.reduction() as u128 };
        let footprint = options.admit(Panels::bytes(problem, filter), strips as u128 * strip)?;
        Ok(Box::new(BlockedPlan {
            problem: problem.clone(),
            isa: options.isa,
            workers: options.workers,
            epilogue,
            footprint,
            lowering,
            grid,
            panels: Panels::new(problem, filter, options.workers)?,
        }))
    }

    /// As for every sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one
    /// term (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
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

struct BlockedPlan {
    problem: Problem,
    isa: Isa,
    workers: usize,
    epilogue: Epilogue,
    footprint: Footprint,
    lowering: Lowering,
    grid: Grid,
    panels: Panels,
}

impl Plan for BlockedPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn executed_flops(&self) -> u128 {
        self.problem.flops()
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let reduction = self.problem.reduction();
        let panels = self.panels.columns();
        for_each_block(self.workers, &self.grid, output, scratch, |strip, place, mut block| {
            let first_column = self.grid.columns.range(place.part).start;
            let group = self.grid.columns.group(place.part);
            let (matrix, stride) = if self.lowering.is_identity() {
                let stride = self.lowering.row_len();
                (&input[place.rows.start * stride + group * reduction..], stride)
            } else {
                probe.enter(Phase::Lower);
                let rows = (place.rows.clone(), group..group + 1);
                self.lowering.write(self.isa, input, rows, &self.lowering.whole(), (strip, reduction));
                (&*strip, reduction)
            };
            probe.enter(Phase::Multiply);
            for part in panels.parts_of(&self.grid.columns, place.part) {
                let range = panels.range(part);
                let range = range.start - first_column..range.end - first_column;
                for first in (0..reduction).step_by(DEPTH) {
                    let depth = first..(first + DEPTH).min(reduction);
                    let accum = if first == 0 { Accum::Replace } else { Accum::Add };
                    for row in (0..place.rows.len()).step_by(ROWS) {
                        let rows = row..(row + ROWS).min(place.rows.len());
                        let mut out = block.part(rows, range.clone());
                        let matrix = (&matrix[row * stride + first..], stride);
                        self.panels.multiply((part, depth.clone()), matrix, accum, &mut out);
                        if depth.end == reduction {
                            finish(self.isa, &mut out, self.panels.bias(part), self.epilogue);
                        }
                    }
                }
            }
            probe.enter(Phase::Idle);
        });
    }
}
