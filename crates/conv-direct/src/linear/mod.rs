//! Fully connected layers: a matrix of weights that is read once and hardly used, so that memory is what it waits for.
//!
//! One image is a matrix–vector product at the speed of the memory. For more images the input channels are cut into
//! chunks whose weights stay in L2 while all images pass over them: the weights come from memory once, whatever the batch.

use conv_core::{
    Axis, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, for_each_task,
};
use conv_simd::{Isa, SharedSlice};

use crate::nhwc::weights::{Block, Layout, PackedWeights};

#[allow(unsafe_code)]
mod kernel;

/// Images of one task: 1 MiB of input for each chunk of channels.
const PANEL: usize = 256;

/// Whether `problem` is a fully connected layer: a 1×1 filter on a 1×1 map.
pub(crate) fn applies(problem: &Problem) -> bool {
    let dot = |axis: &Axis| *axis == Axis::new(1, 1);
    problem.groups() == 1 && dot(problem.height()) && dot(problem.width())
}

/// Plans a problem for which [`applies`] holds.
pub(crate) fn plan(
    problem: &Problem,
    filter: Filter<'_>,
    epilogue: Epilogue,
    options: &PlanOptions,
) -> Result<Box<dyn Plan>, PlanError> {
    filter.check(problem)?;
    let layout = Layout::new(problem, options.isa);
    let footprint = options.admit(layout.bytes(), 0)?;
    let weights = PackedWeights::pack(layout, problem, filter, options)?;
    let (problem, isa, workers) = (problem.clone(), options.isa, options.workers);
    Ok(Box::new(LinearPlan { problem, epilogue, isa, workers, footprint, weights }))
}

struct LinearPlan {
    problem: Problem,
    epilogue: Epilogue,
    isa: Isa,
    workers: usize,
    footprint: Footprint,
    weights: PackedWeights,
}

impl LinearPlan {
    fn block(&self, index: usize) -> &Block {
        &self.weights.layout.blocks()[index]
    }

    /// Packed weights of `block`, `[ic][vectors × lanes]`.
    fn block_weights(&self, block: &Block) -> &[f32] {
        let width = self.weights.layout.width(block);
        &self.weights.weights[block.weights..][..self.problem.in_channels() * width]
    }

    fn block_bias(&self, block: &Block) -> &[f32] {
        &self.weights.bias[block.bias..][..self.weights.layout.width(block)]
    }
}

impl Plan for LinearPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn execute(&self, input: &[f32], output: &mut [f32], _: &mut [f32], probe: &dyn Probe) {
        let images = self.problem.batch();
        let blocks = self.weights.layout.blocks().len();
        let output = SharedSlice::new(output);
        for_each_task(self.workers, images.div_ceil(PANEL) * blocks, &mut [], |_, index| {
            probe.enter(Phase::Multiply);
            let (panel, block) = (index / blocks, self.block(index % blocks));
            if images <= kernel::FEW {
                let channels = 0..self.problem.in_channels();
                let output = &output;
                self.isa.run(kernel::Product { plan: self, input, output, block, images: 0..images, channels });
            } else {
                let images = panel * PANEL..images.min((panel + 1) * PANEL);
                kernel::multiply(self, input, &output, block, images);
            }
            probe.enter(Phase::Idle);
        });
    }
}
