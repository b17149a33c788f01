//! Networks as ONNX models.

mod messages;
mod write;

pub use write::write;

use std::io;
use std::path::PathBuf;

use crate::network::NetworkError;

/// Why a model could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The layers do not fit together.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A layer without weights.
    #[error("there are no weights for {layer}")]
    MissingWeights {
        /// `network/layer`.
        layer: String,
    },
    /// A file that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
