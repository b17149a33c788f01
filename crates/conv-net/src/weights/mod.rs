//! Weights of a network, in the order in which frameworks keep them. Each source of weights is a module of its own.

pub(crate) mod elements;
mod safetensors;
mod synthetic;

use std::io;
use std::ops::Range;
use std::path::PathBuf;

pub use safetensors::Safetensors;
pub use synthetic::Synthetic;

use crate::network::{NetworkError, ShapedLayer};

/// Where a network's weights come from: layer by layer, and of a layer some output channels at a time, so that they need
/// not be in memory beside those that a pass prepares from them.
pub trait Weights: Send {
    /// Writes the weights of some output `channels` of `layer`: of a convolution `[channels][ic/groups][kh][kw]`, of a
    /// fully connected layer torch's `[channels][c·h·w]`, the map flattened channels first, which is the same.
    ///
    /// # Errors
    /// [`WeightsError`] if they cannot be had.
    fn weights(
        &mut self,
        layer: &ShapedLayer<'_>,
        channels: Range<usize>,
        values: &mut [f32],
    ) -> Result<(), WeightsError>;

    /// Writes the bias of `layer`, one float an output channel.
    ///
    /// # Errors
    /// As [`Weights::weights`].
    fn bias(&mut self, layer: &ShapedLayer<'_>, values: &mut [f32]) -> Result<(), WeightsError>;
}

/// Why weights could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The network itself is none.
    #[error(transparent)]
    Network(#[from] NetworkError),
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
