//! `direct/nhwc`: any stride, padding, dilation, groups and channel counts; no scratch.

use std::sync::Arc;

use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Footprint, Parameter, Parameters, Phase, Plan, PlanError, PlanOptions, Probe,
    Problem, StreamedFilter, Unsupported, Work, for_each_task,
};
use conv_simd::{SharedSlice, worth_streaming};

use crate::grouped::{self, Packing};
use crate::linear;
use crate::weights::{self, PackedWeights};

mod geometry;
#[allow(unsafe_code)]
mod kernel;
mod lanes;
mod schedule;
mod tiling;
mod tuning;

use geometry::Geometry;
use schedule::Schedule;
use tiling::Tiling;
use tuning::Choice;

/// How many times what transforms stream past the caches is still kept in them here: the layer behind may do little with each float.
const CACHED_OUTPUTS: usize = 2;

/// The algorithm; see the [module](self).
pub(crate) struct DirectNhwc;

impl Algorithm for DirectNhwc {
    fn name(&self) -> &'static str {
        "direct/nhwc"
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
        let options = &lanes::narrowed(problem, options);
        if let Some(packing) = Packing::new(problem, options.isa) {
            return grouped::plan(packing, problem, filter, epilogue, options);
        }
        if linear::applies(problem) {
            return linear::plan(problem, filter, epilogue, options);
        }
        filter.check(problem)?;
        let pitch = epilogue.pitch_of(problem)?;
        let layout = weights::Layout::new(problem, options.isa.lanes(), Choice::of(problem, options).vectors);
        let footprint = options.admit(layout.bytes(), 0)?;
        let weights = Arc::new(PackedWeights::pack(layout, problem, filter, options)?);
        Ok(Box::new(DirectPlan::new(problem, weights, (epilogue, pitch), (options, footprint))))
    }

    fn plans_rows(&self, problem: &Problem) -> bool {
        !linear::applies(problem)
    }

    fn plan_streamed(
        &self,
        problem: &Problem,
        mut filter: StreamedFilter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        if linear::applies(problem) {
            return linear::plan_streamed(problem, &mut filter, epilogue, options);
        }
        let weights = filter.collect(problem, options)?;
        self.plan(problem, Filter { weights: &weights, bias: filter.bias }, epilogue, options)
    }

    /// A sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one term
    /// (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }

    fn parameters(&self) -> &'static [Parameter] {
        tuning::PARAMETERS
    }

    fn tunings(&self, problem: &Problem, options: &PlanOptions) -> Vec<Parameters> {
        let options = &lanes::narrowed(problem, options);
        let other = Packing::new(problem, options.isa).is_some() || linear::applies(problem);
        if other { Vec::new() } else { tuning::tunings(self, problem, options) }
    }

    fn work(&self, problem: &Problem, options: &PlanOptions) -> Option<Work> {
        let options = &lanes::narrowed(problem, options);
        if let Some(packing) = Packing::new(problem, options.isa) {
            return grouped::work(packing, problem, options);
        }
        let choice = Choice::of(problem, options);
        let layout = weights::Layout::new(problem, options.isa.lanes(), choice.vectors);
        let (geometry, vectors) = (Geometry::new(problem, problem.out_channels()), layout.vectors());
        let tiles = Tiling::new(problem, &geometry, vectors, choice.pixels(vectors, geometry.pitch())).len();
        let schedule = Schedule::new(&geometry, &choice, tiles, (layout.blocks().len(), layout.bytes()));
        let channels = problem.group_out_channels();
        // A wide tile is as good as the usual one.
        let usual = options.isa.tile_shape();
        let rows = (geometry.output[0] * geometry.output[1]).div_ceil(tiles);
        let rows = if vectors > usual.vectors { usual.pixels } else { rows };
        let padded = channels.next_multiple_of(options.isa.lanes()) as f64 / channels as f64;
        Some(Work {
            footprint: options.admit(layout.bytes(), 0).ok()?,
            product_flops: problem.flops_inside() as f64 * padded,
            rows,
            depth: problem.reduction(),
            transform_flops: 0.0,
            tile_transforms: 0.0,
            weight_passes: schedule.weight_passes() as f64,
            between_bytes: 0.0,
            between_set: 0.0,
            tasks: schedule.tasks(),
        })
    }
}

struct DirectPlan {
    options: PlanOptions,
    problem: Problem,
    epilogue: Epilogue,
    /// Whether the output is stored past the caches.
    stream: bool,
    footprint: Footprint,
    geometry: Geometry,
    /// The tiles of an image, by the vectors of a block: fewer vectors leave room for more pixels.
    tilings: Vec<Tiling>,
    schedule: Schedule,
    weights: Arc<PackedWeights>,
}

impl DirectPlan {
    fn new(
        problem: &Problem,
        weights: Arc<PackedWeights>,
        (epilogue, pitch): (Epilogue, usize),
        (options, footprint): (&PlanOptions, Footprint),
    ) -> Self {
        let (layout, choice, geometry) = (&weights.layout, Choice::of(problem, options), Geometry::new(problem, pitch));
        let tiling = |vectors| Tiling::new(problem, &geometry, vectors, choice.pixels(vectors, geometry.pitch()));
        let tilings: Vec<_> = (1..=layout.vectors()).map(tiling).collect();
        let blocks = (layout.blocks().len(), layout.bytes());
        DirectPlan {
            options: *options,
            problem: problem.clone(),
            epilogue,
            stream: worth_streaming(problem.output_len() / CACHED_OUTPUTS),
            footprint,
            schedule: Schedule::new(&geometry, &choice, tilings[layout.vectors() - 1].len(), blocks),
            geometry,
            tilings,
            weights,
        }
    }
}

impl Plan for DirectPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn output_pitch(&self) -> usize {
        self.geometry.output_pitch
    }

    fn on_rows(&self, height: Axis) -> Option<Box<dyn Plan>> {
        let problem = self.problem.on_rows(height).ok()?;
        let (options, pitch) = (PlanOptions { workers: 1, ..self.options }, self.geometry.output_pitch);
        let weights = Arc::clone(&self.weights);
        Some(Box::new(DirectPlan::new(&problem, weights, (self.epilogue, pitch), (&options, self.footprint))))
    }

    fn execute(&self, input: &[f32], output: &mut [f32], _: &mut [f32], probe: &dyn Probe) {
        let output = SharedSlice::new(output);
        for_each_task(self.options.workers, self.schedule.tasks(), &mut [], |_, index| {
            probe.enter(Phase::Multiply);
            let (image, block, tiles) = self.schedule.task(index);
            kernel::run_tiles(self, input, &output, image, block, tiles);
            if self.stream {
                self.options.isa.fence();
            }
            probe.enter(Phase::Idle);
        });
    }
}
