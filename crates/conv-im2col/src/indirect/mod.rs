//! `im2col/indirect`: the indirect convolution algorithm (Dukhan, "The Indirect Convolution Algorithm", 2019). In place of
//! a matrix of copied pixels a table of pointers to them, made once a plan; padding points to a shared row of zeros.
//!
//! As in the paper, the product reads its pixels through the table, any pixels in one tile. Two things are ours: pixels
//! with the same padding share tiles, so that padding is mostly left out of the table (the paper multiplies it), and
//! taps that are neighbours in memory are one pointer.

use conv_core::{Phase, PlanError, PlanOptions, Probe, Problem, Work, for_each_task};
use conv_simd::{Isa, SharedSlice};

use crate::plan::{Draft, Im2colPlan, Variant};
use crate::tiles;

#[allow(unsafe_code)]
mod kernel;
mod table;

pub(crate) use table::Table;

/// No scratch. The table counts as prepared bytes.
impl Variant for Table {
    const NAME: &'static str = "im2col/indirect";

    fn draft(problem: &Problem, options: &PlanOptions) -> Draft<Self> {
        let (pixels, vectors) = tile_size(problem, options.isa);
        let layout = tiles::blocks(problem, options.isa, vectors);
        let table = Table::new(problem, pixels).in_panels(problem, layout.columns.parts(), options.workers);
        Draft { own: table, layout, scratch: 0 }
    }

    fn table_bytes(&self) -> u128 {
        self.bytes()
    }

    fn fill(&mut self, problem: &Problem) -> Result<(), PlanError> {
        self.point(problem)
    }

    /// Of the padding, only what the table points to zeros for.
    fn executed_flops(&self, problem: &Problem) -> u128 {
        2 * self.copies(problem) as u128 * problem.out_channels() as u128 * self.multiply_adds() as u128
    }

    fn work(problem: &Problem, options: &PlanOptions) -> Option<Work> {
        let Draft { own: table, layout, .. } = Table::draft(problem, options);
        let (copies, panels, parts) = (table.copies(problem), table.panels(), layout.columns.parts());
        let rows = table.pixels.len().div_ceil(table.tiles.len());
        let (_, vectors) = tile_size(problem, options.isa);
        let short = vectors == 1 && options.isa.lanes() <= SHORT_LANES;
        Some(Work {
            footprint: options.admit(layout.bytes(problem, false) + table.bytes(), 0).ok()?,
            product_flops: 2.0 * (copies * layout.stored().width()) as f64 * table.multiply_adds() as f64,
            rows: if short { rows.div_ceil(ROWS_OF_SHORT) } else { rows },
            depth: problem.reduction(),
            transform_flops: 0.0,
            tile_transforms: 0.0,
            weight_passes: (copies * panels) as f64,
            between_bytes: 0.0,
            between_set: 0.0,
            tasks: copies * panels * parts,
        })
    }

    fn execute(plan: &Im2colPlan<Self>, input: &[f32], output: &mut [f32], _: &mut [f32], probe: &dyn Probe) {
        let (table, output) = (&plan.own, SharedSlice::new(output));
        let (panels, parts) = (table.panels(), plan.weights.columns().parts());
        for_each_task(plan.workers, table.copies(&plan.problem) * panels * parts, &mut [], |_, index| {
            probe.enter(Phase::Multiply);
            let (index, part) = (index / parts, index % parts);
            let (copy, panel) = (index / panels, index % panels);
            for tile in table.panel(panel) {
                kernel::run_tile(plan, input, &output, (copy, part), tile);
            }
            probe.enter(Phase::Idle);
        });
    }
}

/// Tiles of one vector of so many lanes are short of sums and look up as many pixels as they multiply: they take the time of tiles with a
/// quarter of their rows. Groups of 8 channels by 3×3 take 1.3 to 2.2 times as long so as by direct convolution (Zen 4).
const SHORT_LANES: usize = 8;
const ROWS_OF_SHORT: usize = 4;

/// Pixels and vectors of the register tile. Most pixels are those of one row.
fn tile_size(problem: &Problem, isa: Isa) -> (usize, usize) {
    let [oh, ow] = problem.output_size();
    let vectors = tiles::shape(problem, isa, problem.batch() * oh * ow).vectors;
    (isa.tile_pixels_apart(vectors, problem.width().stride * problem.in_channels()), vectors)
}
