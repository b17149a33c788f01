//! A model that was read: its network, and its weights when they are asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use prost::Message;

use super::constants::{FileError, Files};
use super::parameters::{Normalisation, Parameters};
use super::wire::{WireError, skeleton};
use super::{OnnxError, chain, messages};
use crate::network::{Network, ShapedLayer};
use crate::weights::{Weights, WeightsError};

/// A network with its weights from an ONNX file.
#[derive(Debug)]
pub struct Model {
    network: Network,
    /// By the layer's name.
    parameters: HashMap<String, Parameters>,
    files: Files,
}

impl Model {
    /// Reads a model that is a chain of Conv, Gemm, MatMul and Add, BatchNormalization after one of these, Relu, LRN,
    /// MaxPool, AveragePool, GlobalAveragePool, Flatten, Reshape, Dropout, Identity and Softmax, of opset 3 to 22. Its
    /// constants are initializers or nodes (Constant, ConstantOfShape, ConstantFill) of f32, f16 or bf16, in the file or
    /// in others of its folder. The network is called after the file.
    ///
    /// Elements of tensors are not read before they are asked for.
    ///
    /// # Errors
    /// [`OnnxError`] if the file cannot be read, is damaged, or is a model of something else; the node is named.
    pub fn open(path: &Path) -> Result<Self, OnnxError> {
        let unreadable = |source| OnnxError::Read { path: path.into(), source };
        let damaged = |message: String| OnnxError::Model { path: path.into(), message };
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("it is no regular file")));
        }
        let bytes = skeleton(&mut file, metadata.len()).map_err(|error| match error {
            WireError::Io(source) => unreadable(source),
            WireError::Damaged(message) => damaged(message),
        })?;
        let model = messages::Model::decode(&bytes[..]).map_err(|error| damaged(error.to_string()))?;
        let (network, parameters, files) = chain::import(path, &model, Files::new(path, file))?;
        Ok(Model { network, parameters, files })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

/// A layer's parameters.
fn of<'a>(
    parameters: &'a mut HashMap<String, Parameters>,
    layer: &ShapedLayer<'_>,
) -> Result<&'a mut Parameters, WeightsError> {
    let name = &layer.layer.name;
    parameters.get_mut(name).ok_or_else(|| WeightsError::Absent { layer: name.clone() })
}

impl Weights for Model {
    fn weights(
        &mut self,
        layer: &ShapedLayer<'_>,
        channels: Range<usize>,
        values: &mut [f32],
    ) -> Result<(), WeightsError> {
        let (files, inputs) = (&mut self.files, layer.fan_in());
        let parameters = of(&mut self.parameters, layer)?;
        if parameters.transposed {
            let outputs = parameters.weights.len() / inputs;
            let mut row = vec![0.0; channels.len()];
            for input in 0..inputs {
                parameters.weights.read(files, input * outputs + channels.start, &mut row)?;
                for (values, &value) in values.chunks_exact_mut(inputs).zip(&row) {
                    values[input] = value;
                }
            }
        } else {
            parameters.weights.read(files, channels.start * inputs, values)?;
        }
        let factors = parameters.factors(files, channels)?;
        for (values, factor) in values.chunks_exact_mut(inputs).zip(factors) {
            if factor != 1.0 {
                values.iter_mut().for_each(|value| *value *= factor);
            }
        }
        Ok(())
    }

    fn bias(&mut self, layer: &ShapedLayer<'_>, values: &mut [f32]) -> Result<(), WeightsError> {
        let files = &mut self.files;
        let parameters = of(&mut self.parameters, layer)?;
        values.fill(0.0);
        if let Some(bias) = &mut parameters.bias {
            let given = if bias.len() == 1 { 1 } else { values.len() };
            bias.read(files, 0, &mut values[..given])?;
            let first = values[0];
            values[given..].fill(first);
            values.iter_mut().for_each(|value| *value *= parameters.bias_factor);
        }
        if let Some(Normalisation { mean, shift, .. }) = &mut parameters.normalisation {
            let mut of_channels = vec![0.0; values.len()];
            mean.read(files, 0, &mut of_channels)?;
            values.iter_mut().zip(&of_channels).for_each(|(value, mean)| *value -= mean);
            shift.read(files, 0, &mut of_channels)?;
            let scales = parameters.scales(files, 0..values.len())?;
            let shifted = values.iter_mut().zip(&of_channels).zip(scales);
            shifted.for_each(|((value, shift), scale)| *value = *value * scale + shift);
        }
        Ok(())
    }
}

impl From<FileError> for WeightsError {
    fn from(FileError { path, source }: FileError) -> Self {
        WeightsError::Read { path, source }
    }
}
