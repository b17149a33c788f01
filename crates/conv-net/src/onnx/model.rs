//! A model that was read: its network, and its weights when they are asked for.

use std::path::Path;
use std::str::FromStr;

use super::OnnxError;
use crate::network::{Network, Node};
use crate::weights::{Weights, WeightsError};

/// A network with its weights from an ONNX file.
#[derive(Debug)]
pub struct Model {
    network: Network,
}

/// The shape of an input that a model leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputShape {
    /// The input, if not the only one.
    pub name: Option<String>,
    /// Its sizes, images first.
    pub sizes: Vec<usize>,
}

/// `1x3x320x320`, or `input:1x3x320x320`.
impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, sizes) = text.rsplit_once(':').map_or((None, text), |(name, sizes)| (Some(name.to_owned()), sizes));
        let sizes: Result<Vec<usize>, _> = sizes.split('x').map(str::parse).collect();
        let sizes = sizes.ok().filter(|sizes| !sizes.contains(&0));
        let sizes = sizes.ok_or_else(|| format!("'{text}' is no shape: write sizes such as 1x3x320x320, or input:1x3x320x320"))?;
        Ok(InputShape { name, sizes })
    }
}

impl Model {
    /// Reads a model for `batch` images, with the shapes that it leaves open.
    ///
    /// # Errors
    /// [`OnnxError`].
    pub fn open(path: &Path, _batch: Option<usize>, _shapes: &[InputShape]) -> Result<Self, OnnxError> {
        Err(OnnxError::Model { path: path.into(), message: "not yet".into() })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

impl Weights for Model {
    fn read(&mut self, node: &Node, _: usize, _: usize, _: &mut [f32]) -> Result<(), WeightsError> {
        Err(WeightsError::Absent { layer: node.name.clone() })
    }
}
