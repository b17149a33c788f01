//! Depthwise convolution: one input and one output channel a group, so there is nothing to sum over channels.
//!
//! The register tile would fill one lane of each vector. Here vectors run along the channels instead: an output vector is
//! the sum over taps of input vector × weight vector.

use conv_core::{
    Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Work, for_each_task,
};
use conv_simd::{AlignedBuffer, Isa, SharedSlice, worth_streaming};

#[allow(unsafe_code)]
mod kernel;

/// Tasks wanted of one layer, so that 64 cores have work at batch 1.
const TASKS: usize = 256;

/// Whether `problem` is depthwise without a channel multiplier.
pub(crate) fn applies(problem: &Problem) -> bool {
    problem.groups() > 1 && problem.group_in_channels() == 1 && problem.group_out_channels() == 1
}

/// Floats of one tap's weights, whole vectors: the last tap's last load must stay inside.
fn stride(problem: &Problem, options: &PlanOptions) -> usize {
    problem.groups().next_multiple_of(options.isa.lanes())
}

fn footprint(problem: &Problem, options: &PlanOptions) -> Result<Footprint, PlanError> {
    let taps = problem.height().kernel * problem.width().kernel;
    options.admit(4 * stride(problem, options) as u128 * (taps as u128 + 1), 0)
}

/// See [`conv_core::Algorithm::work`]: no register tile, so as if it had one row.
pub(crate) fn work(problem: &Problem, options: &PlanOptions) -> Option<Work> {
    let rows = problem.batch() * problem.height().output();
    Some(Work {
        footprint: footprint(problem, options).ok()?,
        product_flops: problem.flops_inside() as f64,
        rows: 1,
        depth: problem.reduction(),
        transform_flops: 0.0,
        weight_passes: 1.0,
        between_bytes: 0.0,
        between_set: 0.0,
        tasks: rows.div_ceil(rows.div_ceil(TASKS)),
    })
}

/// Plans a problem for which [`applies`] holds.
pub(crate) fn plan(
    problem: &Problem,
    filter: Filter<'_>,
    epilogue: Epilogue,
    options: &PlanOptions,
) -> Result<Box<dyn Plan>, PlanError> {
    filter.check(problem)?;
    let pitch = epilogue.pitch_of(problem)?;
    let taps = problem.height().kernel * problem.width().kernel;
    let channels = problem.groups();
    let stride = stride(problem, options);
    let footprint = footprint(problem, options)?;
    let mut weights = AlignedBuffer::zeroed(stride * taps)?;
    for (channel, filter) in filter.weights.chunks_exact(taps).enumerate() {
        for (tap, &weight) in filter.iter().enumerate() {
            weights[tap * stride + channel] = weight;
        }
    }
    let mut bias = AlignedBuffer::zeroed(stride)?;
    if let Some(values) = filter.bias {
        bias[..channels].copy_from_slice(values);
    }
    let rows = problem.batch() * problem.height().output();
    let rows_per_task = rows.div_ceil(TASKS);
    let (problem, isa, workers) = (problem.clone(), options.isa, options.workers);
    let far = worth_streaming(problem.output_len());
    Ok(Box::new(DepthwisePlan {
        problem,
        epilogue,
        pitch,
        isa,
        workers,
        footprint,
        rows_per_task,
        far,
        stride,
        weights,
        bias,
    }))
}

struct DepthwisePlan {
    problem: Problem,
    epilogue: Epilogue,
    /// Floats from one output pixel to the next.
    pitch: usize,
    isa: Isa,
    workers: usize,
    footprint: Footprint,
    /// Output rows of all images that one task computes.
    rows_per_task: usize,
    /// Whether the rows come from beyond L2.
    far: bool,
    /// Floats from one tap's weights to the next's.
    stride: usize,
    /// `[kh][kw][stride]`.
    weights: AlignedBuffer,
    /// `[stride]`.
    bias: AlignedBuffer,
}

impl Plan for DepthwisePlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn output_pitch(&self) -> usize {
        self.pitch
    }

    fn execute(&self, input: &[f32], output: &mut [f32], _: &mut [f32], probe: &dyn Probe) {
        let rows = self.problem.batch() * self.problem.height().output();
        let output = SharedSlice::new(output);
        for_each_task(self.workers, rows.div_ceil(self.rows_per_task), &mut [], |_, index| {
            probe.enter(Phase::Multiply);
            let start = index * self.rows_per_task;
            let end = (start + self.rows_per_task).min(rows);
            self.isa.run(kernel::Rows { plan: self, input, output: &output, rows: start..end });
            probe.enter(Phase::Idle);
        });
    }
}
