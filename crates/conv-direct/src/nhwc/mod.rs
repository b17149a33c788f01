//! `direct/nhwc`: any stride, padding, dilation, groups and channel counts; no scratch.

use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported,
    for_each_task,
};
use conv_simd::SharedSlice;

use crate::depthwise;

mod columns;
#[allow(unsafe_code)]
mod kernel;
mod weights;

use columns::Column;
use weights::PackedWeights;

/// Input rows of one panel should stay in about half of a 1 MiB L2 while all blocks of output channels pass over them.
const PANEL_BYTES: usize = 512 << 10;

/// Tasks wanted of one layer, so that 64 cores have work at batch 1.
const TASKS: usize = 256;

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
        if depthwise::applies(problem) {
            return depthwise::plan(problem, filter, epilogue, options);
        }
        filter.check(problem)?;
        let layout = weights::Layout::new(problem, options.isa);
        let footprint = options.admit(layout.bytes(), 0)?;
        let geometry = Geometry::new(problem);
        let columns = columns::cut(problem, &geometry, options.isa.tile_shape());
        let schedule = Schedule::new(&geometry, layout.blocks().len());
        let weights = PackedWeights::pack(layout, problem, filter, options)?;
        let (problem, workers) = (problem.clone(), options.workers);
        Ok(Box::new(DirectPlan {
            isa: options.isa,
            problem,
            epilogue,
            workers,
            footprint,
            geometry,
            columns,
            schedule,
            weights,
        }))
    }

    /// A sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one term
    /// (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }
}

/// The loops of a problem. A dense 1×1 filter at stride 1 is a matrix product: all pixels of the batch form one row.
#[derive(Debug, Clone)]
struct Geometry {
    images: usize,
    height: Axis,
    width: Axis,
    /// Floats of one input pixel, all groups.
    in_channels: usize,
    out_channels: usize,
}

impl Geometry {
    fn new(problem: &Problem) -> Self {
        let (height, width) = (*problem.height(), *problem.width());
        let [in_channels, out_channels] = [problem.in_channels(), problem.out_channels()];
        let pointwise = |axis: &Axis| *axis == Axis::new(axis.input, 1);
        if pointwise(&height) && pointwise(&width) {
            let pixels = problem.batch() * height.input * width.input;
            return Geometry {
                images: 1,
                height: Axis::new(1, 1),
                width: Axis::new(pixels, 1),
                in_channels,
                out_channels,
            };
        }
        Geometry { images: problem.batch(), height, width, in_channels, out_channels }
    }
}

/// How the output is cut into tasks: images × panels of rows × blocks of output channels × pieces of a panel.
///
/// Within a panel, whose input stays in L2, all blocks pass; a piece is what one worker takes at a time.
#[derive(Debug, Clone)]
struct Schedule {
    images: usize,
    blocks: usize,
    rows: usize,
    rows_per_panel: usize,
    rows_per_piece: usize,
}

impl Schedule {
    fn new(geometry: &Geometry, blocks: usize) -> Self {
        let rows = geometry.height.output();
        let row_bytes = 4 * geometry.width.input * geometry.in_channels * geometry.height.stride;
        let rows_per_panel = (PANEL_BYTES / row_bytes).clamp(1, rows);
        let rows_per_panel = rows.div_ceil(rows.div_ceil(rows_per_panel));
        let panels = geometry.images * rows.div_ceil(rows_per_panel);
        let pieces = TASKS.div_ceil(panels * blocks).min(rows_per_panel);
        Schedule {
            images: geometry.images,
            blocks,
            rows,
            rows_per_panel,
            rows_per_piece: rows_per_panel.div_ceil(pieces),
        }
    }

    fn panels(&self) -> usize {
        self.rows.div_ceil(self.rows_per_panel)
    }

    fn pieces(&self) -> usize {
        self.rows_per_panel.div_ceil(self.rows_per_piece)
    }

    fn tasks(&self) -> usize {
        self.images * self.panels() * self.blocks * self.pieces()
    }

    /// Image, block and rows of task `index`; the last panel's last pieces may be empty.
    fn task(&self, index: usize) -> (usize, usize, std::ops::Range<usize>) {
        let (index, piece) = (index / self.pieces(), index % self.pieces());
        let (index, block) = (index / self.blocks, index % self.blocks);
        let (image, panel) = (index / self.panels(), index % self.panels());
        let end = (panel * self.rows_per_panel + self.rows_per_panel).min(self.rows);
        let start = (panel * self.rows_per_panel + piece * self.rows_per_piece).min(end);
        (image, block, start..(start + self.rows_per_piece).min(end))
    }
}

struct DirectPlan {
    isa: conv_simd::Isa,
    problem: Problem,
    epilogue: Epilogue,
    workers: usize,
    footprint: Footprint,
    geometry: Geometry,
    columns: Vec<Column>,
    schedule: Schedule,
    weights: PackedWeights,
}

impl Plan for DirectPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn execute(&self, input: &[f32], output: &mut [f32], _: &mut [f32], probe: &dyn Probe) {
        let output = SharedSlice::new(output);
        for_each_task(self.workers, self.schedule.tasks(), &mut [], |_, index| {
            probe.enter(Phase::Multiply);
            let (image, block, rows) = self.schedule.task(index);
            kernel::run_rows(self, input, &output, image, block, rows);
            probe.enter(Phase::Idle);
        });
    }
}
