//! Weights of a network, in the order in which frameworks keep them. Each source of weights is a module of its own.

pub(crate) mod elements;
mod safetensors;
mod synthetic;

use std::io;
use std::path::PathBuf;

pub use safetensors::Safetensors;
pub use synthetic::Synthetic;

use crate::network::Node;
use crate::text::listed;

/// Where a network's weights come from: node by node, and of a constant some elements at a time, so that they need not be in
/// memory beside those that a pass prepares from them.
pub trait Weights: Send {
    /// Writes elements of `node`'s constant number `parameter`, from `first` on, in the order of [`Parameter::shape`].
    ///
    /// [`Parameter::shape`]: crate::Parameter::shape
    ///
    /// # Errors
    /// [`WeightsError`] if they cannot be had.
    fn read(&mut self, node: &Node, parameter: usize, first: usize, values: &mut [f32]) -> Result<(), WeightsError>;
}

/// Why weights could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A layer that these are not the weights of.
    #[error("there are no weights for {layer}")]
    Absent {
        /// The layer's name.
        layer: String,
    },
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
    #[error("{path}: {tensor} has the shape {}; the network needs {expected:?}", listed(shape))]
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
