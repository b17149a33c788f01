//! `im2col/mec`: memory-efficient convolution (Cho and Brand, "MEC: Memory-efficient Convolution for Deep Neural
//! Network", ICML 2017). Only the width is lowered; each output row is a product with a window of the result, and the
//! windows of neighbouring rows overlap in memory.
//!
//! The lowered matrix is `oh·kh / ih` times smaller than im2col's, about the filter's height over the stride. Vertical
//! padding needs no copy here: a window simply ends at the image's border.

use conv_core::{
    Algorithm, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported,
};
use conv_simd::{Isa, Run};

use crate::kernel::{Columns, Grid, Operand, Start, for_each_block, multiply};
use crate::lowering::Lowering;
use crate::tiles::TileWeights;

/// Rows of the lowered matrix that one task writes.
const BAND: usize = 4;

/// Scratch: the lowered matrix, `n·ow · ih·kw·ic` floats.
pub(crate) struct Im2colMec;

impl Algorithm for Im2colMec {
    fn name(&self) -> &'static str {
        "im2col/mec"
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
        let isa = options.isa;
        let shape = TileWeights::shape(problem, isa, problem.width().output());
        let lowering = Lowering::of_width(problem);
        let (rows, width) = (lowering.rows(), lowering.row_len());
        let footprint =
            options.admit(TileWeights::bytes(problem, (isa, shape.vectors)), 4 * rows as u128 * width as u128)?;
        let [oh, ow] = problem.output_size();
        let tile = ow.div_ceil(ow.div_ceil(shape.pixels));
        let columns = TileWeights::columns_of(problem, (isa, shape.vectors));
        Ok(Box::new(MecPlan {
            problem: problem.clone(),
            isa,
            workers: options.workers,
            epilogue,
            footprint,
            lowering,
            lower: Grid::new(rows, BAND, Columns::whole(width)),
            multiply: Grid { line: ow, equal: true, ..Grid::new(problem.batch() * oh * ow, tile, columns) },
            weights: TileWeights::new(problem, filter, (isa, shape.vectors), options.workers)?,
        }))
    }

    /// As for every sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one
    /// term (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }
}

struct MecPlan {
    problem: Problem,
    isa: Isa,
    workers: usize,
    epilogue: Epilogue,
    footprint: Footprint,
    lowering: Lowering,
    lower: Grid,
    multiply: Grid,
    weights: TileWeights,
}

impl Plan for MecPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// Taps in the vertical padding are skipped, those in the horizontal padding are zeros that are multiplied.
    fn executed_flops(&self) -> u128 {
        let height = self.problem.height();
        let inside: usize = (0..height.output()).map(|row| height.valid_taps(row).len()).sum();
        self.problem.flops() / (height.output() * height.kernel) as u128 * inside as u128
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let row_len = self.lowering.row_len();
        let window = self.lowering.whole();
        for_each_block(self.workers, &self.lower, scratch, &mut [], |_, place, mut block| {
            probe.enter(Phase::Lower);
            let rows = (place.rows, 0..self.problem.groups());
            self.lowering.write(self.isa, input, rows, &window, (block.as_slice(), row_len));
            probe.enter(Phase::Idle);
        });

        let (height, [oh, ow]) = (self.problem.height(), self.problem.output_size());
        let lowered = &*scratch;
        for_each_block(self.workers, &self.multiply, output, &mut [], |_, place, mut block| {
            probe.enter(Phase::Multiply);
            let (line, ox) = (place.rows.start / ow, place.rows.start % ow);
            let (image, oy) = (line / oh, line % oh);
            let (taps, y) = height.taps_from(oy);
            let group = self.multiply.columns.group(place.part);
            let first = (image * ow + ox) * row_len + group * window.len() + y * window.line();
            // In a dense filter, one row's taps follow the other's.
            let joined = if height.dilation == 1 { taps.len() } else { 1 };
            let len = joined * window.line();
            let operand = Operand {
                x: &lowered[first..],
                pixel: row_len,
                rows: taps.len().checked_div(joined).unwrap_or(0),
                row: height.dilation * window.line(),
                w: taps.start * window.line(),
                w_row: window.line(),
                runs: &[Run { x: 0, w: 0, len, skip_first: 0, skip_last: 0 }],
            };
            let weights = self.weights.block(place.part);
            multiply(&weights, &operand, Start::Bias, self.epilogue.relu, &mut block);
            probe.enter(Phase::Idle);
        });
    }
}
