//! What a layer of a forward pass has to do, whoever does it.

use conv_core::Problem;

use super::stage::{Stage, pool_of};
use crate::network::{Network, NetworkError};
use crate::operators::{Operator, Parameter, Pool};
use crate::shape::Shape;

/// The least work of one layer that a pass executes, all images together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerWork {
    /// Floating-point operations of the direct method, two a multiply-add, taps in the padding not counted. Beside
    /// convolutions and fully connected layers: of a normalisation two for each float of its window and four more a
    /// float (scale, offset, power, product), of a pooling one for each float of a window that is no padding, of a
    /// softmax four a float (maximum, exponential, sum, quotient), of factors and offsets of channels two, of whatever else
    /// computes one for each float that it reads or, if these are more, writes.
    pub flops: u128,
    /// Bytes of weights and biases, f32.
    pub weight_bytes: u128,
    /// Bytes of input and output, f32.
    pub activation_bytes: u128,
}

impl LayerWork {
    /// Of a step: its stages' nodes, and what is executed with them. What lies between stages is neither read nor written.
    pub(super) fn new(network: &Network, step: &[Stage]) -> Result<Self, NetworkError> {
        let floats = |value| network.shape(value).map(|shape| shape.floats() as u128);
        let inputs = |stage: &Stage| -> Result<u128, NetworkError> {
            network.nodes()[stage.node].inputs.iter().map(|&input| floats(input)).sum()
        };
        let (mut flops, mut parameters) = (0, 0);
        for stage in step {
            let node = &network.nodes()[stage.node];
            flops += flops_of(network, stage, inputs(stage)?)?;
            let folded = folded_bias(network, stage);
            parameters += node.parameters.iter().chain(folded).map(|parameter| parameter.len() as u128).sum::<u128>();
        }
        let (read, written) = (inputs(&step[0])?, floats(step[step.len() - 1].output)?);
        Ok(LayerWork { flops, weight_bytes: 4 * parameters, activation_bytes: 4 * (read + written) })
    }
}

/// Of a stage that reads so many floats.
fn flops_of(network: &Network, stage: &Stage, read: u128) -> Result<u128, NetworkError> {
    let node = &network.nodes()[stage.node];
    let inputs = node.inputs.iter().map(|&input| network.shape(input)).collect::<Result<Vec<_>, _>>()?;
    let output = network.shape(stage.output)?;
    let own = inputs.first().map_or(0, |input| flops(&node.operator, node.problem.as_ref(), input, output, read));
    let between = network.shape(node.outputs[0])?;
    Ok(own + pool_of(network, stage).map_or(0, |pool| pooled(&pool, between)))
}

/// The bias that a layer without one has by what is folded into it.
fn folded_bias<'a>(network: &'a Network, stage: &Stage) -> Option<&'a Parameter> {
    let has_bias = network.nodes()[stage.node].parameters.len() > 1;
    let folded = stage.folded.first().filter(|_| !has_bias)?;
    network.nodes()[*folded].parameters.get(1)
}

fn flops(operator: &Operator, problem: Option<&Problem>, input: &Shape, output: &Shape, read: u128) -> u128 {
    let written = output.floats() as u128;
    match (problem, operator) {
        (Some(problem), _) => problem.flops_inside(),
        (None, Operator::Lrn(lrn)) => {
            let channels = input.map().map_or(1, |map| map.channels);
            read * (2 * lrn.size.min(channels) as u128 + 4)
        }
        (None, Operator::MaxPool(pool)) => pooled(pool, input),
        (None, Operator::AveragePool(average)) => pooled(&average.pool, input),
        (None, Operator::ConvTranspose(conv)) => conv.flops(input),
        (None, Operator::Softmax(_)) => 4 * read,
        (None, Operator::BatchNormalization(_) | Operator::Affine(_)) => 2 * read,
        (None, Operator::Activation(_) | Operator::Binary(_) | Operator::Reduce(_) | Operator::Resize(_)) => {
            read.max(written)
        }
        _ => 0,
    }
}

/// Floats of a pool's windows that are no padding.
fn pooled(pool: &Pool, input: &Shape) -> u128 {
    input.map().map_or(0, |map| {
        let [height, width] = pool.axes(map);
        input.batch() as u128 * height.valid_pairs() * width.valid_pairs() * map.channels as u128
    })
}
