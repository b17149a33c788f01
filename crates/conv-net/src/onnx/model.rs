//! A model that was read: its network, and its weights when they are asked for.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;

use super::constants::{FileError, Files};
use super::import::{Wrong, import};
use super::input_shape::InputShape;
use super::parameters::Source;
use super::wire::{WireError, skeleton};
use super::{OnnxError, messages};
use crate::files;
use crate::network::{Network, Node};
use crate::weights::{Weights, WeightsError};

/// Versions of ONNX's operators that are understood.
const OPSETS: std::ops::RangeInclusive<i64> = 1..=26;

/// A network with its weights from an ONNX file.
#[derive(Debug)]
pub struct Model {
    network: Network,
    /// By the node's name.
    parameters: HashMap<String, Vec<Source>>,
    files: Files,
}

impl Model {
    /// Reads a model. Nodes that are not computed here, and what depends on their shapes, are in its network as
    /// [`Operator::Opaque`](crate::Operator::Opaque). Its constants are initializers or nodes of f32, f16 or bf16, in the
    /// file or in others of its folder. The network is called after the file.
    ///
    /// With a `batch` the first size of each input is that, whatever the model says; sizes that it leaves open are those of
    /// `shapes`, a batch of 1 if nothing says another.
    ///
    /// Elements of tensors are not read before they are asked for, but of small ones.
    ///
    /// # Errors
    /// [`OnnxError`] if the file cannot be read, is damaged, leaves sizes open that nothing gives, or does not fit together;
    /// the node is named.
    pub fn open(path: &Path, batch: Option<usize>, shapes: &[InputShape]) -> Result<Self, OnnxError> {
        let unreadable = |source| OnnxError::Read { path: path.into(), source };
        let damaged = |message: String| OnnxError::Model { path: path.into(), message };
        let (mut file, length) = files::open(path).map_err(unreadable)?;
        let bytes = skeleton(&mut file, length).map_err(|error| match error {
            WireError::Io(source) => unreadable(source),
            WireError::Damaged(message) => damaged(message),
        })?;
        let model = messages::Model::decode(&bytes[..]).map_err(|error| damaged(error.to_string()))?;
        let own = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
        // The first models named none.
        let opset = own.map(|set| set.version).or((model.ir_version < 3).then_some(1));
        let opset = opset.ok_or_else(|| damaged("it names no version of ONNX's operators".into()))?;
        if !OPSETS.contains(&opset) {
            return Err(damaged(format!("its operators are of opset {opset}; {OPSETS:?} are known")));
        }
        let graph = model.graph.as_ref().ok_or_else(|| damaged("it has no graph".into()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let imported = import(&name, graph, opset, Files::new(path, file), batch, shapes);
        let (network, parameters, files) = imported.map_err(|wrong| match wrong {
            Wrong::Model(message) => damaged(message),
            Wrong::Node { node, operator, message } => OnnxError::Node { path: path.into(), node, operator, message },
        })?;
        Ok(Model { network, parameters, files })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

impl Weights for Model {
    fn read(&mut self, node: &Node, parameter: usize, first: usize, values: &mut [f32]) -> Result<(), WeightsError> {
        let source = self.parameters.get_mut(&node.name).and_then(|sources| sources.get_mut(parameter));
        let source = source.ok_or_else(|| WeightsError::Absent { layer: node.name.clone() })?;
        Ok(source.read(&mut self.files, first, values)?)
    }
}

impl From<FileError> for WeightsError {
    fn from(FileError { path, source }: FileError) -> Self {
        WeightsError::Read { path, source }
    }
}
