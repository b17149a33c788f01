//! Seeded weights for networks that nobody trained, and for those whose weights one has not.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{Weights, WeightsError};
use crate::network::{Network, Node};
use crate::operators::{Operator, Parameter};

/// Largest magnitude of a synthetic bias.
const BIAS_BOUND: f32 = 0.05;

/// Values that one task makes.
const CHUNK: usize = 1 << 16;

/// Random weights, the same for the same network and seed on every machine and with any number of threads.
///
/// Uniform with variance 2 / fan-in before a ReLU, which keeps the mean square of activations from layer to layer
/// (K. He et al., "Delving Deep into Rectifiers", ICCV 2015), and 1 / fan-in elsewhere; biases uniform in ±0.05, and so are
/// means; factors and variances uniform around 1. Normalisation and pooling move the scale by small factors, which a test
/// holds within limits.
#[derive(Debug)]
pub struct Synthetic {
    /// Of each constant its stream and what it is uniform in, by the node's name.
    nodes: HashMap<String, Vec<(SplitMix64, Uniform)>>,
}

/// `[centre − bound, centre + bound)`.
#[derive(Debug, Clone, Copy)]
struct Uniform {
    centre: f32,
    bound: f32,
}

impl Synthetic {
    /// The weights of `network` for `seed`; they are made when they are asked for.
    pub fn new(network: &Network, seed: u64) -> Self {
        let mut streams = SplitMix64 { state: seed };
        let mut rectified = vec![false; network.values().len()];
        // From the end: what a normalisation hands on to a ReLU counts, too.
        for node in network.nodes().iter().rev() {
            let hands_on = match node.operator {
                Operator::Activation(_) => true,
                Operator::BatchNormalization(_) | Operator::Affine(_) => rectified[node.outputs[0].index()],
                _ => false,
            };
            node.inputs.iter().for_each(|input| rectified[input.index()] |= hands_on);
        }
        let with_constants = network.nodes().iter().filter(|node| !node.parameters.is_empty());
        let nodes = with_constants.map(|node| {
            let gain = if rectified[node.outputs[0].index()] { 2.0 } else { 1.0 };
            let constant = |parameter: &Parameter| (streams.split(), uniform(node, parameter, gain));
            (node.name.clone(), node.parameters.iter().map(constant).collect())
        });
        Synthetic { nodes: nodes.collect() }
    }
}

/// What a constant is uniform in.
fn uniform(node: &Node, parameter: &Parameter, gain: f32) -> Uniform {
    match (&node.operator, parameter.name) {
        // A uniform distribution in ±b has variance b²/3.
        (Operator::Conv(_) | Operator::Linear(_), "weight") => {
            let fan_in: usize = parameter.shape[1..].iter().product();
            Uniform { centre: 0.0, bound: (3.0 * gain / fan_in as f32).sqrt() }
        }
        (Operator::ConvTranspose(conv), "weight") => {
            // Each output is reached by one filter element of `stride²`.
            let reached: usize = conv.windows.iter().map(|window| window.kernel.div_ceil(window.stride)).product();
            let fan_in = parameter.shape[0] / conv.groups * reached;
            Uniform { centre: 0.0, bound: (3.0 * gain / fan_in as f32).sqrt() }
        }
        (_, "weight" | "running_var") => Uniform { centre: 1.0, bound: 0.25 },
        (Operator::Constant(_), _) => Uniform { centre: 0.0, bound: 1.0 },
        _ => Uniform { centre: 0.0, bound: BIAS_BOUND },
    }
}

impl Weights for Synthetic {
    fn read(&mut self, node: &Node, parameter: usize, first: usize, values: &mut [f32]) -> Result<(), WeightsError> {
        let absent = || WeightsError::Absent { layer: node.name.clone() };
        let constants = self.nodes.get(&node.name).ok_or_else(absent)?;
        let (stream, uniform) = constants.get(parameter).ok_or_else(absent)?;
        stream.fill(first, values, *uniform);
        Ok(())
    }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014): output `i` is a hash of
/// `state + i·γ`, so any part of the stream can be made on its own, by any thread.
#[derive(Debug)]
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Output `index`, counted from 0.
    fn at(&self, index: u64) -> u64 {
        let z = self.state.wrapping_add(index.wrapping_add(1).wrapping_mul(Self::GAMMA));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A generator of its own, seeded by the next output.
    fn split(&mut self) -> SplitMix64 {
        let split = SplitMix64 { state: self.at(0) };
        self.state = self.state.wrapping_add(Self::GAMMA);
        split
    }

    /// Uniform values, 24 random bits each, of the outputs from `first` on.
    fn fill(&self, first: usize, values: &mut [f32], Uniform { centre, bound }: Uniform) {
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            for (i, value) in values.iter_mut().enumerate() {
                let bits = self.at((first + chunk * CHUNK + i) as u64) >> 40;
                *value = (bits as f32 * (2.0 / (1_u64 << 24) as f32) - 1.0) * bound + centre;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_stream() {
        // First outputs of the reference implementation for seed 1234567.
        let generator = SplitMix64 { state: 1_234_567 };
        assert_eq!(generator.at(0), 6_457_827_717_110_365_317);
        assert_eq!(generator.at(1), 3_203_168_211_198_807_973);
        assert_eq!(generator.at(4), 16_408_922_859_458_223_821);
    }
}
