//! Networks as ONNX models.

#![allow(dead_code)]
mod attributes;
mod constants;
mod messages;
mod model;
mod wire;
mod write;

use std::io;
use std::path::PathBuf;

pub use model::{InputShape, Model};
pub use write::write;

use crate::network::NetworkError;

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
    /// A file that is no model, is damaged, or is a model of something else than a chain of layers.
    #[error("{path} is no ONNX model that convlab can read: {message}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A node that is not computed here.
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

/// The most characters of a file's own names that are shown.
const SHOWN: usize = 80;

/// A name of a file's own, in quotes, without what would disturb a terminal.
fn shown(name: &str) -> String {
    let cut: String = name.chars().take(SHOWN).collect();
    format!("'{}{}'", cut.escape_debug(), if cut.len() < name.len() { "…" } else { "" })
}
