//! Networks as ONNX models.

mod attributes;
mod constants;
mod graph;
mod import;
mod input_shape;
mod literal;
mod messages;
mod model;
mod movement;
mod operators;
mod other;
mod parameters;
mod wire;
mod write;

use std::io;
use std::path::PathBuf;

pub use input_shape::InputShape;
pub use model::Model;
pub use write::write;

use crate::network::NetworkError;
use crate::text::{listed, shown};

/// Why a model could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The layers do not fit together.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A file that cannot be opened or read.
    #[error("cannot read the model {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is no model, is damaged, leaves sizes open, or does not fit together.
    #[error("{path} cannot be taken as an ONNX model: {message}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A node that is wrong.
    #[error("{path}: the node {node} ({operator}) {message}")]
    Node {
        /// The file.
        path: PathBuf,
        /// Its name, or else that of its output.
        node: String,
        /// Its operator.
        operator: String,
        /// What is wrong.
        message: String,
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
