//! Weights in safetensors files, under torchvision's names or the network's own.
//!
//! The format: the header's length (eight bytes, little-endian), the header (JSON: each tensor's type, shape and place),
//! then the elements, little-endian, without gaps.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};

use super::elements::Element;
use super::{Weights, WeightsError};
use crate::network::{LayerKind, Network, ShapedLayer};

/// Headers longer than any of a network that could run here are refused; the format's own limit is 100 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// The weights of a network in a safetensors file, read when they are asked for.
#[derive(Debug)]
pub struct Safetensors {
    path: PathBuf,
    file: File,
    /// Weights and bias by the layer's name.
    layers: HashMap<String, [Stored; 2]>,
}

/// Where a tensor's elements are.
#[derive(Debug, Clone, Copy)]
struct Stored {
    element: Element,
    offset: u64,
}

impl Safetensors {
    /// Finds the weights of `network` in a file of f32, f16 or bf16. Only its header is read.
    ///
    /// A layer's weights and bias are `<name>.weight` and `<name>.bias`, under the layer's own name (`conv2`) or
    /// torchvision's: the n-th convolution is the n-th `features.<number>` whose weight has four dimensions, the n-th
    /// fully connected layer the n-th `classifier.<number>` whose weight has two. Convolutions are OIHW, fully connected
    /// layers `[out][c·h·w]`.
    ///
    /// # Errors
    /// [`WeightsError`] if the layers do not fit together, the file cannot be read, is damaged, or has not the tensors,
    /// shapes and types that the network needs.
    pub fn open(path: &Path, network: &Network) -> Result<Self, WeightsError> {
        let shaped = network.infer(1)?;
        let header = Header::read(path)?;
        let mut layers = HashMap::new();
        let mut earlier = [0; 2];
        for layer in &shaped {
            let Some(problem) = &layer.problem else { continue };
            let linear = matches!(layer.layer.kind, LayerKind::Linear(_));
            let (list, index) = (["features", "classifier"][usize::from(linear)], &mut earlier[usize::from(linear)]);
            let stem = header.stem(layer, list, *index)?;
            *index += 1;
            let weights = header.find(&format!("{stem}.weight"), &layer.weight_shape())?;
            let bias = header.find(&format!("{stem}.bias"), &[problem.out_channels()])?;
            layers.insert(layer.layer.name.clone(), [weights, bias]);
        }
        Ok(Safetensors { path: header.path, file: header.file, layers })
    }

    fn read(
        &mut self,
        layer: &ShapedLayer<'_>,
        which: usize,
        at: usize,
        values: &mut [f32],
    ) -> Result<(), WeightsError> {
        let name = &layer.layer.name;
        let Some(tensors) = self.layers.get(name) else { return Err(WeightsError::Absent { layer: name.clone() }) };
        let Stored { element, offset } = tensors[which];
        let offset = offset + (at * element.size()) as u64;
        let unreadable = |source| WeightsError::Read { path: self.path.clone(), source };
        element.read(&mut self.file, offset, values).map_err(unreadable)
    }
}

impl Weights for Safetensors {
    fn weights(
        &mut self,
        layer: &ShapedLayer<'_>,
        channels: Range<usize>,
        values: &mut [f32],
    ) -> Result<(), WeightsError> {
        self.read(layer, 0, channels.start * layer.fan_in(), values)
    }

    fn bias(&mut self, layer: &ShapedLayer<'_>, values: &mut [f32]) -> Result<(), WeightsError> {
        self.read(layer, 1, 0, values)
    }
}

/// An open file and what it says of itself.
struct Header {
    path: PathBuf,
    file: File,
    tensors: Metadata,
    /// Where the elements begin.
    start: u64,
}

impl Header {
    fn read(path: &Path) -> Result<Self, WeightsError> {
        let unreadable = |source| WeightsError::Read { path: path.into(), source };
        let damaged = |message: String| WeightsError::Format { path: path.into(), message };
        let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
        let metadata = file.get_ref().metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("it is no regular file")));
        }
        let mut length = [0; 8];
        if metadata.len() < length.len() as u64 {
            return Err(damaged("it ends within the length of its header".into()));
        }
        file.read_exact(&mut length).map_err(unreadable)?;
        let length = u64::from_le_bytes(length);
        let rest = metadata.len() - 8;
        if length > rest.min(MAX_HEADER_BYTES) {
            return Err(damaged(format!(
                "its header would be {length} bytes long; {rest} follow, and the limit is {MAX_HEADER_BYTES}"
            )));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        // This holds every tensor's shape against its place, and the places against each other.
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| damaged(format!("its header: {error}")))?;
        let (needed, got) = (header.data_len() as u64, rest - length);
        if needed != got {
            return Err(damaged(format!(
                "its tensors need {needed} bytes, but there are {got}; it is truncated or damaged"
            )));
        }
        Ok(Header { path: path.into(), file: file.into_inner(), tensors: header, start: 8 + length })
    }

    /// What a layer's tensors are called before `.weight` and `.bias`: its own name, or the `index`-th of torchvision's
    /// `list`.
    fn stem(&self, layer: &ShapedLayer<'_>, list: &'static str, index: usize) -> Result<String, WeightsError> {
        let own = &layer.layer.name;
        if self.tensors.info(&format!("{own}.weight")).is_some() {
            return Ok(own.clone());
        }
        let dimensions = if list == "features" { 4 } else { 2 };
        let number = |(name, info): (String, &TensorInfo)| {
            let number = name.strip_prefix(list)?.strip_prefix('.')?.strip_suffix(".weight")?.parse::<usize>().ok()?;
            (info.shape.len() == dimensions).then_some(number)
        };
        let mut numbers: Vec<usize> = self.tensors.tensors().into_iter().filter_map(number).collect();
        numbers.sort_unstable();
        let number = numbers.get(index).ok_or_else(|| WeightsError::Missing {
            path: self.path.clone(),
            tensor: format!("{own}.weight"),
            other: format!(", and only {} {list}.<number>.weight of {dimensions} dimensions", numbers.len()),
        })?;
        Ok(format!("{list}.{number}"))
    }

    /// Where the elements of `tensor` are, whose shape must be `expected`.
    fn find(&self, tensor: &str, expected: &[usize]) -> Result<Stored, WeightsError> {
        let path = || self.path.clone();
        let Some(info) = self.tensors.info(tensor) else {
            return Err(WeightsError::Missing { path: path(), tensor: tensor.into(), other: String::new() });
        };
        if info.shape != expected {
            let (shape, expected) = (info.shape.clone(), expected.to_vec());
            return Err(WeightsError::Shape { path: path(), tensor: tensor.into(), shape, expected });
        }
        let element = match info.dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            dtype => {
                let (tensor, dtype) = (tensor.into(), dtype.to_string());
                return Err(WeightsError::Type { path: path(), tensor, dtype });
            }
        };
        Ok(Stored { element, offset: self.start + info.data_offsets.0 as u64 })
    }
}
