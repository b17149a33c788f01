//! Weights of a network, in the order in which frameworks keep them. Each source of weights is a module of its own.

mod synthetic;

use conv_simd::{AlignedBuffer, AllocationError};

use crate::network::NetworkError;

/// The weights of every layer that has any.
#[derive(Debug)]
pub struct Weights {
    /// One entry a convolution or fully connected layer, found by its name.
    pub layers: Vec<LayerWeights>,
}

/// Weights and bias of one layer.
#[derive(Debug)]
pub struct LayerWeights {
    /// The layer's name, for example `fc6`.
    pub name: String,
    /// A convolution's as OIHW, `[oc][ic/groups][kh][kw]`; a fully connected layer's as torch's `[out][c·h·w]`, the map
    /// flattened channels first.
    pub weights: AlignedBuffer,
    /// One float an output channel.
    pub bias: AlignedBuffer,
}

impl Weights {
    /// The weights of the layer called `name`, if there are any.
    pub fn get(&self, name: &str) -> Option<&LayerWeights> {
        self.layers.iter().find(|layer| layer.name == name)
    }
}

/// Why weights could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// The network itself is none.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Memory that the system would not give.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
}
