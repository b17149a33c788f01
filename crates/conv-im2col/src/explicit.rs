//! `im2col/faer`: the textbook method. The matrix of some images is written out and multiplied by faer, a chunk of rows after
//! the other: a chunk stays in L2 while all panels of weights pass over it.
//!
//! Some images, because that of a whole batch goes through memory for nothing: of paper's conv2 it is 112 MB at batch 16, and
//! took 1.26 times as long as direct convolution on a Zen 4 even if written past the caches; image by image, as Caffe lowers
//! (Jia et al. 2014), 1.22.

use conv_core::{
    Algorithm, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported,
};
use conv_simd::Isa;
use faer::Accum;

use crate::epilogue::finish;
use crate::gemm::{Panels, ROWS};
use crate::kernel::{Columns, Grid, for_each_block};
use crate::lowering::Lowering;

/// Rows lowered before they are multiplied, in bytes for each worker: half of a 1 MiB L2. With the whole matrix lowered
/// first, 70–110 MB at batch 16 came back from memory for each panel of weights, and products ran at 58–84% of the peak on
/// a Zen 5 server, now at 82–92%; a quarter of L2 was no better.
const CHUNK_BYTES: usize = 512 << 10;

/// What the matrix may take for each worker, so that it stays near the core; that of one image is never cut.
const MATRIX_BYTES: usize = 4 << 20;

/// Scratch: the im2col matrix of some images, `i·oh·ow · kh·kw·ic` floats; none where the input already is that matrix.
pub(crate) struct Im2colFaer;

impl Algorithm for Im2colFaer {
    fn name(&self) -> &'static str {
        "im2col/faer"
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
        let (image, width) = (lowering.rows() / problem.batch(), lowering.row_len());
        let images = (MATRIX_BYTES / 4 * options.workers / image / width).clamp(1, problem.batch());
        let rows = images * image;
        let matrix = if lowering.is_identity() { 0 } else { 4 * rows as u128 * width as u128 };
        let footprint = options.admit(Panels::bytes(problem, filter), matrix)?;
        let panels = Panels::new(problem, filter, options.workers)?;
        Ok(Box::new(ExplicitPlan {
            rows,
            chunk: (CHUNK_BYTES / 4 * options.workers / width).next_multiple_of(ROWS),
            problem: problem.clone(),
            isa: options.isa,
            workers: options.workers,
            epilogue,
            footprint,
            lowering,
            panels,
        }))
    }

    /// A sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one term
    /// (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }
}

struct ExplicitPlan {
    problem: Problem,
    isa: Isa,
    workers: usize,
    epilogue: Epilogue,
    footprint: Footprint,
    lowering: Lowering,
    /// Rows of the matrix.
    rows: usize,
    /// Rows of a chunk.
    chunk: usize,
    panels: Panels,
}

impl Plan for ExplicitPlan {
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
        let (stride, channels) = (self.lowering.row_len(), self.problem.out_channels());
        if self.lowering.is_identity() {
            return self.multiply(input, output, probe);
        }
        for (part, output) in output.chunks_mut(self.rows * channels).enumerate() {
            let matrix = &mut scratch[..output.len() / channels * stride];
            let chunks = matrix.chunks_mut(self.chunk * stride).zip(output.chunks_mut(self.chunk * channels));
            for (chunk, (matrix, output)) in chunks.enumerate() {
                self.lower(input, part * self.rows + chunk * self.chunk, matrix, probe);
                self.multiply(matrix, output, probe);
            }
        }
    }
}

impl ExplicitPlan {
    /// Writes rows of the matrix from `first` on.
    fn lower(&self, input: &[f32], first: usize, matrix: &mut [f32], probe: &dyn Probe) {
        let stride = self.lowering.row_len();
        let window = self.lowering.whole();
        let grid = Grid::new(matrix.len() / stride, ROWS, Columns::whole(stride));
        for_each_block(self.workers, &grid, matrix, &mut [], |_, place, mut block| {
            probe.enter(Phase::Lower);
            let band = block.as_slice();
            let rows = first + place.rows.start..first + place.rows.end;
            self.lowering.write(self.isa, input, (rows, 0..self.problem.groups()), &window, (band, stride));
            probe.enter(Phase::Idle);
        });
    }

    /// Multiplies rows of the matrix.
    fn multiply(&self, matrix: &[f32], output: &mut [f32], probe: &dyn Probe) {
        let (reduction, stride) = (self.problem.reduction(), self.lowering.row_len());
        let grid = Grid::new(matrix.len() / stride, ROWS, self.panels.columns());
        for_each_block(self.workers, &grid, output, &mut [], |_, place, mut block| {
            probe.enter(Phase::Multiply);
            let group = self.panels.columns().group(place.part);
            let rows = (&matrix[place.rows.start * stride + group * reduction..], stride);
            self.panels.multiply((place.part, 0..reduction), rows, Accum::Replace, &mut block);
            finish(self.isa, &mut block, self.panels.bias(place.part), self.epilogue);
            probe.enter(Phase::Idle);
        });
    }
}
