//! What all variants share: how each is planned, what each plan holds, and its loops over blocks.

use std::marker::PhantomData;

use conv_core::{
    Algorithm, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported, Work,
};
use conv_simd::Isa;

use crate::grid::{Columns, Grid, Place};
use crate::kernel::{Block, for_each_block};
use crate::lowering::Lowering;
use crate::weights::{Layout, Weights};

/// What is a variant's own: how it cuts a problem up, and how it computes it.
pub(crate) trait Variant: Sized + Send + Sync + 'static {
    /// `im2col/variant`.
    const NAME: &'static str;

    /// Decides everything about a plan before any memory is asked for.
    fn draft(problem: &Problem, options: &PlanOptions) -> Draft<Self>;

    /// Bytes of what [`Variant::fill`] will make.
    fn table_bytes(&self) -> u128 {
        0
    }

    /// Makes what is to be prepared beside the weights, when its memory is admitted.
    ///
    /// # Errors
    /// [`PlanError::Allocation`].
    fn fill(&mut self, _problem: &Problem) -> Result<(), PlanError> {
        Ok(())
    }

    /// [`Plan::executed_flops`].
    fn executed_flops(&self, problem: &Problem) -> u128 {
        problem.flops_inside()
    }

    /// [`Algorithm::work`].
    fn work(_problem: &Problem, _options: &PlanOptions) -> Option<Work> {
        None
    }

    /// [`Plan::execute`].
    fn execute(plan: &Im2colPlan<Self>, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe);
}

/// What is to be planned.
pub(crate) struct Draft<V> {
    /// What the variant itself will need in a run.
    pub own: V,
    /// How weights will be kept.
    pub layout: Layout,
    /// Floats of scratch.
    pub scratch: u128,
}

/// The algorithm of a variant.
pub(crate) struct Im2col<V>(PhantomData<V>);

impl<V> Im2col<V> {
    /// There is one of each.
    pub const fn new() -> Self {
        Im2col(PhantomData)
    }
}

/// Lanes of whole vectors over those of half as wide ones from which on these are faster: on a Zen 4 `im2col/indirect` takes 0.79 to
/// 0.99 of the time to 24 to 88 output channels (1.33 to 1.09).
const LEAST_SAVED: f64 = 1.05;

/// `options` with the instruction set whose vectors `problem` is computed in.
fn narrowed(problem: &Problem, options: &PlanOptions) -> PlanOptions {
    options.isa(options.isa.filled_by(problem.group_out_channels(), LEAST_SAVED))
}

impl<V: Variant> Algorithm for Im2col<V> {
    fn name(&self) -> &'static str {
        V::NAME
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
        let pitch = epilogue.pitch_of(problem)?;
        let options = &narrowed(problem, options);
        let Draft { mut own, layout, scratch } = V::draft(problem, options);
        let prepared_bytes = layout.bytes(problem, filter.bias.is_some()) + own.table_bytes();
        let footprint = options.admit(prepared_bytes, 4 * scratch)?;
        own.fill(problem)?;
        Ok(Box::new(Im2colPlan {
            problem: problem.clone(),
            isa: options.isa,
            workers: options.workers,
            epilogue,
            pitch,
            weights: Weights::new(layout, problem, filter, options.workers)?,
            own,
            footprint,
        }))
    }

    /// A sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one term
    /// (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }

    fn work(&self, problem: &Problem, options: &PlanOptions) -> Option<Work> {
        V::work(problem, &narrowed(problem, options))
    }
}

/// The plan of a variant.
pub(crate) struct Im2colPlan<V> {
    pub problem: Problem,
    pub isa: Isa,
    pub workers: usize,
    pub epilogue: Epilogue,
    /// Floats from one output pixel to the next.
    pub pitch: usize,
    pub weights: Weights,
    pub own: V,
    footprint: Footprint,
}

impl<V: Variant> Plan for Im2colPlan<V> {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn output_pitch(&self) -> usize {
        self.pitch
    }

    fn executed_flops(&self) -> u128 {
        self.own.executed_flops(&self.problem)
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        V::execute(self, input, output, scratch, probe);
    }
}

impl<V: Variant> Im2colPlan<V> {
    /// Calls `task(share of scratch, place, block)` for every block of the output, as [`for_each_block`]. The task tells
    /// `probe` its phases but the last, [`Phase::Idle`].
    pub fn for_each_block<F>(&self, grid: &Grid, output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe, task: F)
    where
        F: Fn(&mut [f32], &Place, &mut Block<'_>) + Sync,
    {
        for_each_block(self.workers, grid, (output, self.pitch), scratch, |share, place, mut block| {
            task(share, &place, &mut block);
            probe.enter(Phase::Idle);
        });
    }

    /// The same for any matrix, its rows so many floats apart, where a block needs one phase and no scratch.
    pub fn for_each_block_in<F>(
        &self,
        (phase, probe): (Phase, &dyn Probe),
        grid: &Grid,
        matrix: (&mut [f32], usize),
        task: F,
    ) where
        F: Fn(&Place, &mut Block<'_>) + Sync,
    {
        for_each_block(self.workers, grid, matrix, &mut [], |_, place, mut block| {
            let (place, block) = (&place, &mut block);
            probe.enter(phase);
            task(place, block);
            probe.enter(Phase::Idle);
        });
    }

    /// Fills `matrix` with rows of the matrix that `lowering` makes of `input`, from row `first` on, `band` rows at a time.
    pub fn lower(
        &self,
        (lowering, band): (&Lowering, usize),
        input: &[f32],
        (first, matrix): (usize, &mut [f32]),
        probe: &dyn Probe,
    ) {
        let (row_len, window) = (lowering.row_len(), lowering.whole());
        let grid = Grid::new(matrix.len() / row_len, band, Columns::whole(row_len));
        self.for_each_block_in((Phase::Lower, probe), &grid, (matrix, row_len), |place, block| {
            let rows = (first + place.rows.start..first + place.rows.end, 0..self.problem.groups());
            lowering.write(self.isa, input, rows, &window, (block.as_slice(), row_len));
        });
    }
}
