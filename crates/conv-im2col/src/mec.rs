//! `im2col/mec`: memory-efficient convolution (Cho and Brand, "MEC: Memory-efficient Convolution for Deep Neural
//! Network", ICML 2017). Only the width is lowered; each output row is a product with a window of the result, and the
//! windows of neighbouring rows overlap in memory.
//!
//! The lowered matrix is `oh·kh / ih` times smaller than im2col's, about the filter's height over the stride. Vertical
//! padding needs no copy here: a window simply ends at the image's border.

use conv_core::{Phase, PlanOptions, Probe, Problem};
use conv_simd::Run;

use crate::grid::Grid;
use crate::kernel::{Operand, Start, multiply};
use crate::lowering::Lowering;
use crate::plan::{Draft, Im2colPlan, Variant};
use crate::tiles;

/// Rows of the lowered matrix that one task writes.
const BAND: usize = 4;

/// Scratch: the lowered matrix, `n·ow · ih·kw·ic` floats.
pub(crate) struct Mec {
    lowering: Lowering,
    /// The output in tiles.
    grid: Grid,
}

impl Variant for Mec {
    const NAME: &'static str = "im2col/mec";

    fn draft(problem: &Problem, options: &PlanOptions) -> Draft<Self> {
        let [oh, ow] = problem.output_size();
        let shape = tiles::shape(problem, options.isa, ow);
        let layout = tiles::blocks(problem, options.isa, shape.vectors);
        let tile = ow.div_ceil(ow.div_ceil(shape.pixels));
        let grid = Grid { line: ow, equal: true, ..Grid::new(problem.batch() * oh * ow, tile, layout.columns) };
        let lowering = Lowering::of_width(problem);
        let scratch = lowering.rows() as u128 * lowering.row_len() as u128;
        Draft { own: Mec { lowering, grid }, layout, scratch }
    }

    /// Taps in the vertical padding are skipped, those in the horizontal padding are zeros that are multiplied.
    fn executed_flops(&self, problem: &Problem) -> u128 {
        let height = problem.height();
        let inside: usize = (0..height.output()).map(|row| height.valid_taps(row).len()).sum();
        problem.flops() / (height.output() * height.kernel) as u128 * inside as u128
    }

    fn execute(plan: &Im2colPlan<Self>, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let Mec { lowering, grid } = &plan.own;
        plan.lower((lowering, BAND), input, (0, scratch), probe);

        let (height, [oh, ow]) = (plan.problem.height(), plan.problem.output_size());
        let (row_len, window) = (lowering.row_len(), lowering.whole());
        let lowered = &*scratch;
        plan.for_each_block_in((Phase::Multiply, probe), grid, (output, plan.pitch), |place, block| {
            let (line, ox) = (place.rows.start / ow, place.rows.start % ow);
            let (image, oy) = (line / oh, line % oh);
            let (taps, y) = height.taps_from(oy);
            let group = grid.columns.group(place.part);
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
            let weights = tiles::block(&plan.weights, plan.isa, place.part);
            multiply(&weights, &operand, Start::Bias, plan.epilogue, block);
        });
    }
}
