//! `im2col/indirect`: the indirect convolution algorithm (Dukhan, "The Indirect Convolution Algorithm", 2019). In place of
//! a matrix of copied pixels a table of pointers to them, made once a plan; padding points to a shared row of zeros.
//!
//! As in the paper, the product reads its pixels through the table, any pixels in one tile. Two things are ours: pixels
//! with the same padding share tiles, so that padding is mostly left out of the table (the paper multiplies it), and
//! taps that are neighbours in memory are one pointer.

use conv_core::{
    Algorithm, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported, Work,
    for_each_task,
};
use conv_simd::{AlignedBuffer, Isa, SharedSlice};

use crate::tiles::TileWeights;

#[allow(unsafe_code)]
mod kernel;
mod table;

use table::Table;

/// Input of one panel of tiles, which stays in about half of a 1 MiB L2 while all blocks of output channels pass over it.
const PANEL_BYTES: usize = 512 << 10;

/// No scratch. The table counts as prepared bytes.
pub(crate) struct Im2colIndirect;

impl Algorithm for Im2colIndirect {
    fn name(&self) -> &'static str {
        "im2col/indirect"
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
        let (pixels, vectors) = tile_size(problem, isa);
        let mut table = Table::new(problem, pixels);
        let footprint = options.admit(TileWeights::bytes(problem, (isa, vectors)) + table.bytes(), 0)?;
        table.point(problem);
        let weights = TileWeights::new(problem, filter, (isa, vectors), options.workers)?;
        Ok(Box::new(IndirectPlan {
            tiles_per_panel: tiles_per_panel(problem, &table, weights.columns().parts(), options.workers),
            problem: problem.clone(),
            isa,
            workers: options.workers,
            epilogue,
            footprint,
            zeros: AlignedBuffer::zeroed(table.zeros)?,
            table,
            weights,
        }))
    }

    /// As for every sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one
    /// term (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }

    fn work(&self, problem: &Problem, options: &PlanOptions) -> Option<Work> {
        let (pixels, vectors) = tile_size(problem, options.isa);
        let (table, tile) = (Table::new(problem, pixels), (options.isa, vectors));
        let columns = TileWeights::columns_of(problem, tile);
        let copies = problem.batch() / table.images;
        let panels = table.tiles.len().div_ceil(tiles_per_panel(problem, &table, columns.parts(), options.workers));
        Some(Work {
            footprint: options.admit(TileWeights::bytes(problem, tile) + table.bytes(), 0).ok()?,
            product_flops: 2.0 * (copies * columns.padded().width()) as f64 * table.multiply_adds() as f64,
            rows: table.pixels.len().div_ceil(table.tiles.len()),
            depth: problem.reduction(),
            transform_flops: 0.0,
            weight_passes: (copies * panels) as f64,
            between_bytes: 0.0,
            between_set: 0.0,
            tasks: copies * panels * columns.parts(),
        })
    }
}

/// Pixels and vectors of the register tile. Most pixels are those of one row.
fn tile_size(problem: &Problem, isa: Isa) -> (usize, usize) {
    let [oh, ow] = problem.output_size();
    let vectors = TileWeights::shape(problem, isa, problem.batch() * oh * ow).vectors;
    (isa.tile_pixels_apart(vectors, problem.width().stride * problem.in_channels()), vectors)
}

/// As many tiles as [`PANEL_BYTES`] hold the input of, fewer where the workers would have too little to share.
fn tiles_per_panel(problem: &Problem, table: &Table, parts: usize, workers: usize) -> usize {
    let tiles = table.tiles.len();
    let input = 4 * problem.input_len() / problem.batch() * table.images;
    let others = problem.batch() / table.images * parts;
    let wanted = (8 * workers).div_ceil(others);
    (PANEL_BYTES / input.div_ceil(tiles)).clamp(1, tiles.div_ceil(wanted))
}

struct IndirectPlan {
    problem: Problem,
    isa: Isa,
    workers: usize,
    epilogue: Epilogue,
    footprint: Footprint,
    table: Table,
    zeros: AlignedBuffer,
    weights: TileWeights,
    tiles_per_panel: usize,
}

impl Plan for IndirectPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// Of the padding, only what the table points to zeros for.
    fn executed_flops(&self) -> u128 {
        let copies = (self.problem.batch() / self.table.images) as u128;
        2 * copies * self.problem.out_channels() as u128 * self.table.multiply_adds() as u128
    }

    fn execute(&self, input: &[f32], output: &mut [f32], _: &mut [f32], probe: &dyn Probe) {
        let output = SharedSlice::new(output);
        let parts = self.weights.columns().parts();
        let panels = self.table.tiles.len().div_ceil(self.tiles_per_panel);
        let copies = self.problem.batch() / self.table.images;
        for_each_task(self.workers, copies * panels * parts, &mut [], |_, index| {
            probe.enter(Phase::Multiply);
            let (index, part) = (index / parts, index % parts);
            let (copy, panel) = (index / panels, index % panels);
            let first = panel * self.tiles_per_panel;
            let tiles = first..(first + self.tiles_per_panel).min(self.table.tiles.len());
            for tile in &self.table.tiles[tiles] {
                kernel::run_tile(self, input, &output, (copy, part), tile);
            }
            probe.enter(Phase::Idle);
        });
    }
}
