//! Constants on their way into a pass: read node by node, what is folded into weights applied to them.

use std::ops::Range;

use conv_core::{Epilogue, Method, Plan, PlanError, PlanOptions, StreamedFilter};
use conv_simd::AlignedBuffer;

use super::bands::{Chain, Member};
use super::chains::Chains;
use super::operation::Operation;
use super::places::{Places, View};
use super::stage::{Stage, pool_of};
use super::{ForwardError, LayerMemory, MemoryPlan};
use crate::layers::{Affine, StridedCopy, TransposedConv, TransposedShape};
use crate::network::{Network, NetworkError, Node, ValueId};
use crate::operators::{ConvTranspose, Operator};
use crate::shape::Shape;
use crate::weights::{Weights, WeightsError};

/// Constants of a normalisation: factor, offset, mean and variance.
const MOST_CONSTANTS: usize = 4;

/// What is prepared so far.
pub(super) struct Planner<'a> {
    pub network: &'a Network,
    pub places: &'a Places,
    pub weights: &'a mut dyn Weights,
    pub options: &'a PlanOptions,
    pub memory: MemoryPlan,
}

/// `x[c] · factors[c] + offsets[c]`.
struct Folded {
    factors: Vec<f64>,
    offsets: Vec<f64>,
}

impl Planner<'_> {
    /// Prepares the weights of a convolution or fully connected layer.
    pub fn plan(&mut self, stage: &Stage, method: Method) -> Result<Box<dyn Plan>, ForwardError> {
        let options = self.left(stage)?.parameters(method.parameters);
        let plan = self.stream(stage, method, &options);
        plan.map_err(|source| self.failed(stage, method.algorithm.name(), source))
    }

    /// Prepares several stages that follow each other.
    pub fn chain(&mut self, stages: &[Stage], chains: &Chains<'_>) -> Result<Chain, ForwardError> {
        let mut members = Vec::new();
        let before = self.memory.prepared_bytes;
        for stage in stages {
            let node = &self.network.nodes()[stage.node];
            let operation = match chains.methods[stage.node] {
                Some(method) => Operation::Plan(self.plan(stage, method)?),
                None => self.operation(stage)?,
            };
            // Held until the whole chain is admitted.
            self.memory.prepared_bytes += operation.footprint(1).prepared_bytes;
            let map = self.network.shape(node.inputs[0])?.map().expect("a chain's layers read maps");
            let rows = chains.rows(stage, self.places).expect("a chain's layers go by rows");
            members.push(Member { rows, operator: &node.operator, map, operation });
        }
        self.memory.prepared_bytes = before;
        let last = &stages[stages.len() - 1];
        let elsewhere = |&residual: &ValueId| self.places[residual].root != self.places[last.output].root;
        let copied = last.residual(self.network).filter(elsewhere).is_some();
        let images = self.network.shape(last.output)?.batch();
        Ok(Chain::new(&members, images, copied, self.options))
    }

    fn stream(&mut self, stage: &Stage, method: Method, options: &PlanOptions) -> Result<Box<dyn Plan>, PlanError> {
        let problem = self.network.nodes()[stage.node].problem.as_ref().expect("only these have a method");
        // Before the bias, however long it is, is allocated.
        options.admit(4 * problem.out_channels() as u128, 0)?;
        let node = &self.network.nodes()[stage.node];
        let folded = self.folded(stage, problem.out_channels())?;
        let bias = self.bias(node, problem.out_channels(), folded.as_ref())?;
        let fan_in = problem.reduction();
        let mut read = |channels: Range<usize>, values: &mut [f32]| {
            self.weights.read(node, 0, channels.start * fan_in, values).map_err(|error| unavailable(&error))?;
            if let Some(Folded { factors, .. }) = &folded {
                for (values, factor) in values.chunks_exact_mut(fan_in).zip(&factors[channels]) {
                    values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
                }
            }
            Ok(())
        };
        let filter = StreamedFilter { weights: &mut read, bias: Some(&bias) };
        let (accumulate, bounds) = (stage.sum.is_some(), stage.bounds(self.network));
        let epilogue = Epilogue { accumulate, bounds, pitch: self.places[stage.output].pitch };
        method.algorithm.plan_streamed(problem, filter, epilogue, options)
    }

    /// Prepares every other node.
    pub fn operation(&mut self, stage: &Stage) -> Result<Operation, ForwardError> {
        let node = &self.network.nodes()[stage.node];
        let view = |&input: &ValueId| Ok::<_, NetworkError>(self.places.view(input, self.network.shape(input)?));
        let inputs = node.inputs.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        let output = View { shape: self.network.shape(node.outputs[0])?, ..view(&stage.output)? };
        let bounds = stage.bounds(self.network);
        let failed = |planner: &Self, source| planner.failed(stage, node.operator.name(), source);
        let tables = self.left(stage)?.admit(Operation::table_bytes(&node.operator, output.shape), 0);
        tables.map_err(|source| failed(self, source))?;
        match &node.operator {
            Operator::ConvTranspose(conv) => {
                let prepared = self.transposed(stage, conv, [inputs[0].shape, output.shape]);
                prepared.map(Operation::Transposed).map_err(|source| failed(self, source))
            }
            Operator::BatchNormalization(_) | Operator::Affine(_) => {
                let (shape, pitch) = (inputs[0].shape, inputs[0].pitch);
                let nodes: Vec<usize> = [stage.node].into_iter().chain(stage.folded.iter().copied()).collect();
                let folded = self.fold(&nodes, shape.sizes()[1]).map_err(|source| failed(self, source))?;
                let [scale, shift] =
                    [folded.factors, folded.offsets].map(|of| of.into_iter().map(|x| x as f32).collect::<Vec<_>>());
                let pitch = pitch.unwrap_or(shape.sizes()[1]);
                Ok(Operation::Affine(Affine { scale, shift, pitch, bounds }))
            }
            operator => {
                let pool = pool_of(self.network, stage);
                let mut operation = Operation::new(operator, &inputs, output, pool, bounds)?;
                if let Operation::Copies(copies) = &mut operation {
                    // What is where it belongs need not be copied.
                    let root = self.places[stage.output].root;
                    copies.retain(|(operand, _)| self.places[node.inputs[*operand]].root != root);
                }
                Ok(operation)
            }
        }
    }

    /// A tensor that does not depend on the input, as it is in memory.
    pub fn constant(&mut self, node: &Node, shape: &Shape) -> Result<AlignedBuffer, ForwardError> {
        // As it comes, and as it is kept.
        let needed = self.memory.total_bytes() as u128 + 2 * shape.bytes() as u128;
        if needed > self.options.memory_limit as u128 {
            return Err(self.too_much(&node.name, needed));
        }
        let mut written = AlignedBuffer::zeroed(shape.floats())?;
        let failed = |source| {
            let layer = self.network.qualified(&node.name);
            ForwardError::Plan { layer, algorithm: node.operator.name().into(), source: unavailable(&source) }
        };
        self.weights.read(node, 0, 0, &mut written).map_err(failed)?;
        let mut stored = AlignedBuffer::zeroed(shape.floats())?;
        StridedCopy::to_memory(shape).run(self.options.workers, &written, &mut stored);
        self.memory.prepared_bytes += shape.bytes();
        Ok(stored)
    }

    /// Enters a prepared stage into the memory plan.
    pub fn admit(&mut self, layer: LayerMemory) -> Result<(), ForwardError> {
        let name = layer.name.clone();
        self.memory.push(layer);
        let needed = self.memory.total_bytes();
        if needed > self.options.memory_limit { Err(self.too_much(&name, needed as u128)) } else { Ok(()) }
    }

    fn transposed(
        &mut self,
        stage: &Stage,
        conv: &ConvTranspose,
        [input, output]: [&Shape; 2],
    ) -> Result<TransposedConv, PlanError> {
        let node = &self.network.nodes()[stage.node];
        let [map, result] = [input, output].map(|shape| shape.map().expect("a convolution's shapes are maps"));
        let shape = TransposedShape {
            batch: input.batch(),
            groups: conv.groups,
            in_channels: map.channels,
            out_channels: conv.out_channels,
            input: [map.height, map.width],
            kernel: conv.windows.map(|window| window.kernel),
            stride: conv.windows.map(|window| window.stride),
            dilation: conv.windows.map(|window| window.dilation),
            pad: conv.windows.map(|window| window.pad[0]),
            output: [result.height, result.width],
        };
        self.left_for_plan(stage)?.admit(shape.prepared_bytes(), 0)?;
        let len = node.parameters[0].len();
        // As they come, and packed.
        self.meanwhile(4 * len as u128 + shape.prepared_bytes())?;
        let mut weights = AlignedBuffer::zeroed(len)?;
        self.weights.read(node, 0, 0, &mut weights).map_err(|error| unavailable(&error))?;
        let folded = self.folded(stage, conv.out_channels)?;
        let bias = self.bias(node, conv.out_channels, folded.as_ref())?;
        if let Some(Folded { factors, .. }) = &folded {
            // [ic][oc/groups][kh][kw]: each group of inputs has its own outputs.
            let (out, inputs) = (conv.out_channels / conv.groups, node.parameters[0].shape[0] / conv.groups);
            let taps = len / (node.parameters[0].shape[0] * out);
            for (index, values) in weights.chunks_exact_mut(taps).enumerate() {
                let (group, channel) = (index / out / inputs, index % out);
                let factor = factors[group * out + channel];
                values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
            }
        }
        Ok(TransposedConv::new(shape, &weights, Some(&bias), stage.bounds(self.network)))
    }

    /// What the nodes that are folded into a stage make of its results.
    fn folded(&mut self, stage: &Stage, channels: usize) -> Result<Option<Folded>, PlanError> {
        (!stage.folded.is_empty()).then(|| self.fold(&stage.folded, channels)).transpose()
    }

    /// What `nodes`, one after the other, make of their input.
    fn fold(&mut self, nodes: &[usize], channels: usize) -> Result<Folded, PlanError> {
        // All in f64, and one node's constants.
        let floats = 2 * size_of::<f64>() + MOST_CONSTANTS * size_of::<f32>();
        self.meanwhile(floats as u128 * channels as u128)?;
        let mut all = Folded { factors: vec![1.0; channels], offsets: vec![0.0; channels] };
        for &node in nodes {
            let node = &self.network.nodes()[node];
            let mut read = |parameter: usize| {
                let mut values = vec![0.0; channels];
                self.weights.read(node, parameter, 0, &mut values).map_err(|error| unavailable(&error))?;
                Ok::<Vec<f32>, PlanError>(values)
            };
            let (weight, bias) = (read(0)?, read(1)?);
            let trained = match &node.operator {
                Operator::BatchNormalization(normalisation) => Some((read(2)?, read(3)?, normalisation.epsilon)),
                _ => None,
            };
            for channel in 0..channels {
                let (mut factor, mut offset) = (f64::from(weight[channel]), f64::from(bias[channel]));
                if let Some((mean, variance, epsilon)) = &trained {
                    factor /= (f64::from(variance[channel]) + f64::from(*epsilon)).sqrt();
                    offset -= f64::from(mean[channel]) * factor;
                }
                all.factors[channel] *= factor;
                all.offsets[channel] = all.offsets[channel] * factor + offset;
            }
        }
        Ok(all)
    }

    /// A node's bias, zeros without one, with what is folded into it.
    fn bias(&mut self, node: &Node, channels: usize, folded: Option<&Folded>) -> Result<AlignedBuffer, PlanError> {
        let mut bias = AlignedBuffer::zeroed(channels)?;
        if node.parameters.len() > 1 {
            self.weights.read(node, 1, 0, &mut bias).map_err(|error| unavailable(&error))?;
        }
        if let Some(Folded { factors, offsets }) = folded {
            for ((bias, factor), offset) in bias.iter_mut().zip(factors).zip(offsets) {
                *bias = (f64::from(*bias) * factor + offset) as f32;
            }
        }
        Ok(bias)
    }

    /// That what is in memory only until a stage is prepared fits beside what is prepared: activations have no place yet.
    fn meanwhile(&self, bytes: u128) -> Result<(), PlanError> {
        let left = self.options.memory_limit.saturating_sub(self.memory.prepared_bytes);
        self.options.memory_limit(left).admit(bytes, 0).map(|_| ())
    }

    /// The options with what is left of the memory.
    fn left(&self, stage: &Stage) -> Result<PlanOptions, ForwardError> {
        let kept = self.memory.prepared_bytes + self.memory.activation_bytes;
        match self.options.memory_limit.checked_sub(kept) {
            Some(left) => Ok(self.options.memory_limit(left)),
            None => Err(self.too_much(&stage.name(self.network), kept as u128)),
        }
    }

    fn left_for_plan(&self, stage: &Stage) -> Result<PlanOptions, PlanError> {
        // Beside what is kept, which whoever makes the message adds.
        let (needed, limit) = (self.memory.scratch_bytes as u128, self.options.memory_limit);
        self.left(stage).map_err(|_| PlanError::Memory { needed, limit })
    }

    fn failed(&self, stage: &Stage, algorithm: &str, source: PlanError) -> ForwardError {
        let name = stage.name(self.network);
        match source {
            PlanError::Memory { needed, .. } => {
                let kept = self.memory.prepared_bytes + self.memory.activation_bytes;
                self.too_much(&name, needed.saturating_add(kept as u128))
            }
            source => ForwardError::Plan { layer: self.network.qualified(&name), algorithm: algorithm.into(), source },
        }
    }

    fn too_much(&self, layer: &str, needed: u128) -> ForwardError {
        ForwardError::Memory { layer: self.network.qualified(layer), needed, limit: self.options.memory_limit }
    }
}

fn unavailable(error: &WeightsError) -> PlanError {
    PlanError::Weights { message: error.to_string() }
}
