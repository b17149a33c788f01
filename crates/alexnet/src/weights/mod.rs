//! Weights of a network, in the order in which frameworks keep them. Each source of weights is a module of its own.

mod safetensors;
mod synthetic;

use std::io;
use std::path::PathBuf;

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
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The network itself is none.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Memory that the system would not give.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// A file that cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not in its format, or damaged.
    #[error("{path} is no safetensors file that convlab can read: {message}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A tensor that the network needs.
    #[error("{path} has no tensor {tensor}{other}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// What there is instead, if anything is like it.
        other: String,
    },
    /// A tensor of another shape than the network's.
    #[error("{path}: {tensor} has the shape {shape:?}; the network needs {expected:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The network's.
        expected: Vec<usize>,
    },
    /// An element type that no weights have.
    #[error("{path}: {tensor} holds {dtype}; only F32, F16 and BF16 are accepted")]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The format's name of the type.
        dtype: String,
    },
}
