//! `im2col/faer`: the textbook method. The matrix of some images is written out and multiplied by faer, a chunk of rows after
//! the other: a chunk stays in L2 while all panels of weights pass over it.
//!
//! Some images, because that of a whole batch goes through memory for nothing: of paper's conv2 it is 112 MB at batch 16, and
//! took 1.26 times as long as direct convolution on a Zen 4 even if written past the caches; image by image, as Caffe lowers
//! (Jia et al. 2014), 1.22.

use conv_core::{Phase, PlanOptions, Probe, Problem};
use faer::Accum;

use crate::epilogue::finish;
use crate::gemm::{ROWS, multiply, panels};
use crate::grid::Grid;
use crate::lowering::Lowering;
use crate::plan::{Draft, Im2colPlan, Variant};

/// Rows lowered before they are multiplied, in bytes for each worker: half of a 1 MiB L2. With the whole matrix lowered
/// first, 70–110 MB at batch 16 came back from memory for each panel of weights, and products ran at 58–84% of the peak on
/// a Zen 5 server, now at 82–92%; a quarter of L2 was no better.
const CHUNK_BYTES: usize = 512 << 10;

/// What the matrix may take for each worker, so that it stays near the core; that of one image is never cut.
const MATRIX_BYTES: usize = 4 << 20;

/// Scratch: the im2col matrix of some images, `i·oh·ow · kh·kw·ic` floats; none where the input already is that matrix.
pub(crate) struct Explicit {
    lowering: Lowering,
    /// Rows of the matrix.
    rows: usize,
    /// Rows of a chunk.
    chunk: usize,
}

impl Variant for Explicit {
    const NAME: &'static str = "im2col/faer";

    fn draft(problem: &Problem, options: &PlanOptions) -> Draft<Self> {
        let lowering = Lowering::new(problem);
        let (image, width) = (lowering.rows() / problem.batch(), lowering.row_len());
        let images = (MATRIX_BYTES / 4 * options.workers / image / width).clamp(1, problem.batch());
        let rows = images * image;
        let chunk = (CHUNK_BYTES / 4 * options.workers / width).max(1).next_multiple_of(ROWS);
        let scratch = if lowering.is_identity() { 0 } else { rows as u128 * width as u128 };
        Draft { own: Explicit { lowering, rows, chunk }, layout: panels(problem), scratch }
    }

    fn executed_flops(&self, problem: &Problem) -> u128 {
        problem.flops()
    }

    fn execute(plan: &Im2colPlan<Self>, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let Explicit { lowering, rows, chunk } = &plan.own;
        let (stride, pitch) = (lowering.row_len(), plan.pitch);
        if lowering.is_identity() {
            return plan.multiply(input, output, probe);
        }
        for (part, output) in output.chunks_mut(rows * pitch).enumerate() {
            let matrix = &mut scratch[..output.len().div_ceil(pitch) * stride];
            let chunks = matrix.chunks_mut(chunk * stride).zip(output.chunks_mut(chunk * pitch));
            for (i, (matrix, output)) in chunks.enumerate() {
                plan.lower((lowering, ROWS), input, (part * rows + i * chunk, matrix), probe);
                plan.multiply(matrix, output, probe);
            }
        }
    }
}

impl Im2colPlan<Explicit> {
    /// Multiplies rows of the matrix.
    fn multiply(&self, matrix: &[f32], output: &mut [f32], probe: &dyn Probe) {
        let (reduction, stride) = (self.problem.reduction(), self.own.lowering.row_len());
        let columns = self.weights.columns();
        let grid = Grid::new(matrix.len() / stride, ROWS, columns);
        let accum = if self.epilogue.accumulate { Accum::Add } else { Accum::Replace };
        self.for_each_block_in((Phase::Multiply, probe), &grid, (output, self.pitch), |place, block| {
            let rows = &matrix[place.rows.start * stride + columns.group(place.part) * reduction..];
            let (panel, bias) = self.weights.part(place.part);
            multiply((rows, stride), (panel, 0..reduction), accum, block);
            finish(self.isa, block, bias, self.epilogue.bounds);
        });
    }
}
