//! Fully connected layers: a matrix of weights that is read once and hardly used, so that memory is what it waits for.
//!
//! One image is a matrix–vector product at the speed of the memory. For more images the input channels are cut into
//! chunks whose weights stay in L2 while all images pass over them: the weights come from memory once, whatever the batch.

use conv_core::{
    Axis, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, StreamedFilter,
    for_each_task,
};
use conv_simd::{AlignedBuffer, Core, Isa, SharedSlice};

use crate::weights::{Block, Layout, PackedWeights};

#[allow(unsafe_code)]
mod kernel;

/// Images of one task: 1 MiB of input for each chunk of channels.
const PANEL: usize = 256;

/// Of the packed weights, the share that is in memory unpacked while a plan is made of streamed ones: 1/32.
const STREAMED_SHARE: usize = 32;

/// Whether `problem` is a fully connected layer: a dense filter that covers its whole map, without padding. In NHWC such
/// a map is one row of inputs, in the order in which packed weights have the taps of a filter.
pub(crate) fn applies(problem: &Problem) -> bool {
    let covered = |axis: &Axis| *axis == Axis::new(axis.input, axis.input).stride(axis.stride);
    problem.groups() == 1 && covered(problem.height()) && covered(problem.width())
}

/// Blocks of the usual tile's width.
fn layout(problem: &Problem, isa: Isa) -> Layout {
    let shape = isa.tile_shape();
    Layout::new(problem, shape.lanes, [shape.vectors; 2])
}

/// Plans a problem for which [`applies`] holds.
pub(crate) fn plan(
    problem: &Problem,
    filter: Filter<'_>,
    epilogue: Epilogue,
    options: &PlanOptions,
) -> Result<Box<dyn Plan>, PlanError> {
    filter.check(problem)?;
    let layout = layout(problem, options.isa);
    let footprint = options.admit(layout.bytes(), 0)?;
    let weights = PackedWeights::pack(layout, problem, filter, options)?;
    Ok(Box::new(LinearPlan::new(problem, weights, (epilogue, footprint), options)?))
}

/// The same with weights that are asked for some blocks at a time.
pub(crate) fn plan_streamed(
    problem: &Problem,
    filter: &mut StreamedFilter<'_>,
    epilogue: Epilogue,
    options: &PlanOptions,
) -> Result<Box<dyn Plan>, PlanError> {
    let layout = layout(problem, options.isa);
    let footprint = options.admit(layout.bytes(), 0)?;
    let blocks = layout.blocks().to_vec();
    let mut weights = PackedWeights::new(layout, filter.bias)?;
    // The first block is the widest.
    let mut unpacked = AlignedBuffer::default();
    let step = (blocks.len() / STREAMED_SHARE).max(1);
    for start in (0..blocks.len()).step_by(step) {
        let range = start..blocks.len().min(start + step);
        let (first, last) = (blocks[range.start], blocks[range.end - 1]);
        let channels = first.first..last.first + last.channels;
        let floats = channels.len() * problem.reduction();
        if unpacked.is_empty() {
            unpacked = AlignedBuffer::zeroed(floats)?;
        }
        (filter.weights)(channels, &mut unpacked[..floats])?;
        weights.pack_blocks(problem, range, &unpacked[..floats], options.workers);
    }
    Ok(Box::new(LinearPlan::new(problem, weights, (epilogue, footprint), options)?))
}

struct LinearPlan {
    problem: Problem,
    epilogue: Epilogue,
    /// Floats from one output to the next.
    pitch: usize,
    isa: Isa,
    workers: usize,
    /// Of weights, read at once where memory is what a run waits for.
    stretches: usize,
    footprint: Footprint,
    weights: PackedWeights,
}

impl LinearPlan {
    fn new(
        problem: &Problem,
        weights: PackedWeights,
        (epilogue, footprint): (Epilogue, Footprint),
        options: &PlanOptions,
    ) -> Result<Self, PlanError> {
        let pitch = epilogue.pitch_of(problem)?;
        let (problem, isa, workers) = (problem.clone(), options.isa, options.workers);
        let stretches = Core::detect().read_stretches();
        Ok(LinearPlan { problem, epilogue, pitch, isa, workers, stretches, footprint, weights })
    }

    /// Floats of an image.
    fn inputs(&self) -> usize {
        self.problem.reduction()
    }

    fn block(&self, index: usize) -> &Block {
        &self.weights.layout.blocks()[index]
    }

    /// Packed weights of `block`, `[inputs][vectors × lanes]`.
    fn block_weights(&self, block: &Block) -> &[f32] {
        let width = self.weights.layout.width(block);
        &self.weights.weights[block.weights..][..self.inputs() * width]
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

    fn output_pitch(&self) -> usize {
        self.pitch
    }

    fn execute(&self, input: &[f32], output: &mut [f32], _: &mut [f32], probe: &dyn Probe) {
        let images = self.problem.batch();
        let blocks = self.weights.layout.blocks().len();
        let output = SharedSlice::new(output);
        for_each_task(self.workers, images.div_ceil(PANEL) * blocks, &mut [], |_, index| {
            probe.enter(Phase::Multiply);
            let (panel, block) = (index / blocks, self.block(index % blocks));
            if images <= kernel::FEW {
                let channels = 0..self.inputs();
                let (output, stretches) = (&output, self.stretches);
                self.isa.run(kernel::Product {
                    plan: self,
                    input,
                    output,
                    block,
                    images: 0..images,
                    channels,
                    stretches,
                });
            } else {
                let images = panel * PANEL..images.min((panel + 1) * PANEL);
                kernel::multiply(self, input, &output, block, images);
            }
            probe.enter(Phase::Idle);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conv_core::Silent;

    /// However many stretches this machine reads at once: small integers, whose sums have no rounding.
    #[test]
    fn stretches_share_all_inputs() {
        for (images, inputs, outputs) in [(1, 5, 3), (1, 1031, 70), (2, 7, 33), (2, 515, 17)] {
            let problem: Problem = format!("mb{images}ic{inputs}ih1oc{outputs}kh1").parse().unwrap();
            let integer = |i: usize, step: usize| ((i * step) % 7) as f32 - 3.0;
            let input: Vec<f32> = (0..problem.input_len()).map(|i| integer(i, 5)).collect();
            let weights: Vec<f32> = (0..problem.weight_len()).map(|i| integer(i, 11)).collect();
            let sum = |i: usize| -> f32 {
                let (image, output) = (&input[i / outputs * inputs..][..inputs], &weights[i % outputs * inputs..]);
                image.iter().zip(output).map(|(x, w)| x * w).sum()
            };
            let expected: Vec<f32> = (0..images * outputs).map(sum).collect();
            for isa in Isa::available() {
                for stretches in [2, 4, 8] {
                    let options = PlanOptions::new(1).isa(isa);
                    let layout = layout(&problem, isa);
                    let footprint = options.admit(layout.bytes(), 0).unwrap();
                    let filter = Filter { weights: &weights, bias: None };
                    let packed = PackedWeights::pack(layout, &problem, filter, &options).unwrap();
                    let plan = LinearPlan::new(&problem, packed, (Epilogue::default(), footprint), &options).unwrap();
                    let mut output = vec![f32::NAN; expected.len()];
                    LinearPlan { stretches, ..plan }.execute(&input, &mut output, &mut [], &Silent);
                    assert_eq!(output, expected, "{problem:?} on {isa} in {stretches} stretches");
                }
            }
        }
    }
}
