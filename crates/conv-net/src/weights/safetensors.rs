//! Weights in safetensors files, under torchvision's names or the network's own.
//!
//! The format: the header's length (eight bytes, little-endian), the header (JSON: each tensor's type, shape and place),
//! then the elements, little-endian, without gaps.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};

use super::elements::Element;
use super::{Weights, WeightsError};
use crate::files;
use crate::network::{Network, Node};
use crate::operators::{Operator, Parameter};

/// Headers longer than any of a network that could run here are refused; the format's own limit is 100 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Torchvision's lists of convolutions and of fully connected layers, and the dimensions of their weights.
const LISTS: [(&str, usize); 2] = [("features", 4), ("classifier", 2)];

/// The weights of a network in a safetensors file, read when they are asked for.
#[derive(Debug)]
pub struct Safetensors {
    path: PathBuf,
    file: File,
    /// A node's constants by its name.
    nodes: HashMap<String, Vec<Stored>>,
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
    /// A node's constants are `<name>.weight`, `<name>.bias`, `<name>.running_mean` and `<name>.running_var`, under the node's
    /// own name (`conv2`, `layer1.0.conv1`: the presets' names are torchvision's, but AlexNet's) or in torchvision's lists:
    /// the n-th convolution is the n-th `features.<number>` whose weight has four dimensions, the n-th fully connected
    /// layer the n-th `classifier.<number>` whose weight has two. Shapes are those of [`Parameter::shape`].
    ///
    /// [`Parameter::shape`]: crate::Parameter::shape
    ///
    /// # Errors
    /// [`WeightsError`] if the file cannot be read, is damaged, or has not the tensors, shapes and types that the network
    /// needs.
    pub fn open(path: &Path, network: &Network) -> Result<Self, WeightsError> {
        let header = Header::read(path)?;
        let lists = LISTS.map(|(list, dimensions)| header.numbers(list, dimensions));
        let mut nodes = HashMap::new();
        let mut earlier = [0; 2];
        for node in network.nodes().iter().filter(|node| !node.parameters.is_empty()) {
            let list = match node.operator {
                Operator::Conv(_) => Some(0),
                Operator::Linear(_) => Some(1),
                _ => None,
            };
            let stem = match list {
                Some(list) => header.stem(node, LISTS[list], &lists[list], earlier[list])?,
                None => node.name.clone(),
            };
            list.into_iter().for_each(|list| earlier[list] += 1);
            let find = |parameter: &Parameter| header.find(&format!("{stem}.{}", parameter.name), &parameter.shape);
            nodes.insert(node.name.clone(), node.parameters.iter().map(find).collect::<Result<_, _>>()?);
        }
        Ok(Safetensors { path: header.path, file: header.file, nodes })
    }
}

impl Weights for Safetensors {
    fn read(&mut self, node: &Node, parameter: usize, first: usize, values: &mut [f32]) -> Result<(), WeightsError> {
        let stored = self.nodes.get(&node.name).and_then(|constants| constants.get(parameter));
        let &Stored { element, offset } = stored.ok_or_else(|| WeightsError::Absent { layer: node.name.clone() })?;
        let offset = offset + (first * element.size()) as u64;
        let unreadable = |source| WeightsError::Read { path: self.path.clone(), source };
        element.read(&mut self.file, offset, values).map_err(unreadable)
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
        let (file, bytes) = files::open(path).map_err(unreadable)?;
        let mut file = BufReader::new(file);
        let mut length = [0; 8];
        if bytes < length.len() as u64 {
            return Err(damaged("it ends within the length of its header".into()));
        }
        file.read_exact(&mut length).map_err(unreadable)?;
        let length = u64::from_le_bytes(length);
        let rest = bytes - 8;
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

    /// What a node's tensors are called before `.weight` and `.bias`: its own name, or the `index`-th of torchvision's
    /// `list`, which has these `numbers`.
    fn stem(
        &self,
        node: &Node,
        (list, dimensions): (&'static str, usize),
        numbers: &[usize],
        index: usize,
    ) -> Result<String, WeightsError> {
        let own = &node.name;
        if self.tensors.info(&format!("{own}.weight")).is_some() {
            return Ok(own.clone());
        }
        let number = numbers.get(index).ok_or_else(|| WeightsError::Missing {
            path: self.path.clone(),
            tensor: format!("{own}.weight"),
            other: format!(", and only {} {list}.<number>.weight of {dimensions} dimensions", numbers.len()),
        })?;
        Ok(format!("{list}.{number}"))
    }

    /// The numbers in torchvision's `list`, ascending: of those whose weight has so many dimensions.
    fn numbers(&self, list: &'static str, dimensions: usize) -> Vec<usize> {
        let number = |(name, info): (String, &TensorInfo)| {
            let number = name.strip_prefix(list)?.strip_prefix('.')?.strip_suffix(".weight")?.parse::<usize>().ok()?;
            (info.shape.len() == dimensions).then_some(number)
        };
        let mut numbers: Vec<usize> = self.tensors.tensors().into_iter().filter_map(number).collect();
        numbers.sort_unstable();
        numbers
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
