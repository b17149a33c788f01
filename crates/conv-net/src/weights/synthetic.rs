//! Seeded weights for networks that nobody trained, and for those whose weights one has not.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use super::{Weights, WeightsError};
use crate::network::{Network, NetworkError, ShapedLayer};

/// Largest magnitude of a synthetic bias.
const BIAS_BOUND: f32 = 0.05;

/// Values that one task makes.
const CHUNK: usize = 1 << 16;

/// Random weights, the same for the same network and seed on every machine and with any number of threads.
///
/// Uniform with variance 2 / fan-in before a ReLU, which keeps the mean square of activations from layer to layer
/// (K. He et al., "Delving Deep into Rectifiers", ICCV 2015), and 1 / fan-in elsewhere; biases uniform in ±0.05.
/// Normalisation and pooling move the scale by small factors, which a test holds within limits.
#[derive(Debug)]
pub struct Synthetic {
    /// Streams of weights and bias by the layer's name.
    layers: HashMap<String, [SplitMix64; 2]>,
}

impl Synthetic {
    /// The weights of `network` for `seed`; they are made when they are asked for.
    ///
    /// # Errors
    /// [`NetworkError`] if the layers do not fit together.
    pub fn new(network: &Network, seed: u64) -> Result<Self, NetworkError> {
        let mut streams = SplitMix64 { state: seed };
        let shaped = network.infer(1)?;
        let with_weights = shaped.iter().filter(|shaped| shaped.problem.is_some());
        let layers = with_weights.map(|shaped| (shaped.layer.name.clone(), [streams.split(), streams.split()]));
        Ok(Synthetic { layers: layers.collect() })
    }

    fn stream(&self, layer: &ShapedLayer<'_>, which: usize) -> Result<&SplitMix64, WeightsError> {
        let name = &layer.layer.name;
        let streams = self.layers.get(name).ok_or_else(|| WeightsError::Absent { layer: name.clone() })?;
        Ok(&streams[which])
    }
}

impl Weights for Synthetic {
    fn weights(
        &mut self,
        layer: &ShapedLayer<'_>,
        channels: Range<usize>,
        values: &mut [f32],
    ) -> Result<(), WeightsError> {
        let gain = if layer.layer.kind.relu() { 2.0 } else { 1.0 };
        // A uniform distribution in ±b has variance b²/3.
        let bound = (3.0 * gain / layer.fan_in() as f32).sqrt();
        self.stream(layer, 0)?.fill(channels.start * layer.fan_in(), values, bound);
        Ok(())
    }

    fn bias(&mut self, layer: &ShapedLayer<'_>, values: &mut [f32]) -> Result<(), WeightsError> {
        self.stream(layer, 1)?.fill(0, values, BIAS_BOUND);
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

    /// Uniform values in `[-bound, bound)`, 24 random bits each, of the outputs from `first` on.
    fn fill(&self, first: usize, values: &mut [f32], bound: f32) {
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            for (i, value) in values.iter_mut().enumerate() {
                let bits = self.at((first + chunk * CHUNK + i) as u64) >> 40;
                *value = (bits as f32 * (2.0 / (1_u64 << 24) as f32) - 1.0) * bound;
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
