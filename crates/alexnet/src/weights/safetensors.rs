//! Weights in safetensors files, under torchvision's names or the network's own.
//!
//! The format: the header's length (eight bytes, little-endian), the header (JSON: each tensor's type, shape and place),
//! then the elements, little-endian, without gaps.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};
use conv_simd::AlignedBuffer;
use half::{bf16, f16};

use super::{LayerWeights, Weights, WeightsError};
use crate::network::{LayerKind, Network, ShapedLayer};

/// Headers longer than any of a network that could run here are refused; the format's own limit is 100 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Bytes that are read and converted at a time.
const CHUNK_BYTES: usize = 1 << 16;

impl Weights {
    /// Reads the weights of `network` from a safetensors file of f32, f16 or bf16. Nothing else in the file is read.
    ///
    /// A layer's weights and bias are `<name>.weight` and `<name>.bias`, under the layer's own name (`conv2`) or
    /// torchvision's: the n-th convolution is the n-th `features.<number>` whose weight has four dimensions, the n-th
    /// fully connected layer the n-th `classifier.<number>` whose weight has two. Convolutions are OIHW, fully connected
    /// layers `[out][c·h·w]`.
    ///
    /// # Errors
    /// [`WeightsError`] if the layers do not fit together, the file cannot be read, is damaged, or has not the tensors,
    /// shapes and types that the network needs, or there is not enough memory.
    pub fn from_safetensors(path: &Path, network: &Network) -> Result<Weights, WeightsError> {
        let shaped = network.infer(1)?;
        let mut file = Tensors::open(path)?;
        let mut layers = Vec::new();
        let mut earlier = [0; 2];
        for layer in &shaped {
            let Some(problem) = &layer.problem else { continue };
            let linear = matches!(layer.layer.kind, LayerKind::Linear(_));
            let (list, index) = (["features", "classifier"][usize::from(linear)], &mut earlier[usize::from(linear)]);
            let stem = file.stem(layer, list, *index)?;
            *index += 1;
            let bias = [problem.out_channels()];
            layers.push(LayerWeights {
                name: layer.layer.name.clone(),
                weights: file.read(&format!("{stem}.weight"), &layer.weight_shape())?,
                bias: file.read(&format!("{stem}.bias"), &bias)?,
            });
        }
        Ok(Weights { layers })
    }
}

/// An open file and its header.
struct Tensors {
    path: PathBuf,
    file: BufReader<File>,
    header: Metadata,
    /// Where the elements begin.
    start: u64,
}

impl Tensors {
    fn open(path: &Path) -> Result<Self, WeightsError> {
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
        Ok(Tensors { path: path.into(), file, header, start: 8 + length })
    }

    /// What a layer's tensors are called before `.weight` and `.bias`: its own name, or the `index`-th of torchvision's
    /// `list`.
    fn stem(&self, layer: &ShapedLayer<'_>, list: &'static str, index: usize) -> Result<String, WeightsError> {
        let own = &layer.layer.name;
        if self.header.info(&format!("{own}.weight")).is_some() {
            return Ok(own.clone());
        }
        let dimensions = if list == "features" { 4 } else { 2 };
        let number = |(name, info): (String, &TensorInfo)| {
            let number = name.strip_prefix(list)?.strip_prefix('.')?.strip_suffix(".weight")?.parse::<usize>().ok()?;
            (info.shape.len() == dimensions).then_some(number)
        };
        let mut numbers: Vec<usize> = self.header.tensors().into_iter().filter_map(number).collect();
        numbers.sort_unstable();
        let number = numbers.get(index).ok_or_else(|| WeightsError::Missing {
            path: self.path.clone(),
            tensor: format!("{own}.weight"),
            other: format!(", and only {} {list}.<number>.weight of {dimensions} dimensions", numbers.len()),
        })?;
        Ok(format!("{list}.{number}"))
    }

    /// Reads one tensor as floats. Its shape is held against `expected` before anything is allocated.
    fn read(&mut self, tensor: &str, expected: &[usize]) -> Result<AlignedBuffer, WeightsError> {
        let path = || self.path.clone();
        let Some(info) = self.header.info(tensor) else {
            return Err(WeightsError::Missing { path: path(), tensor: tensor.into(), other: String::new() });
        };
        if info.shape != expected {
            let (shape, expected) = (info.shape.clone(), expected.to_vec());
            return Err(WeightsError::Shape { path: path(), tensor: tensor.into(), shape, expected });
        }
        let convert = converter(info.dtype).ok_or_else(|| WeightsError::Type {
            path: path(),
            tensor: tensor.into(),
            dtype: info.dtype.to_string(),
        })?;
        let size = info.dtype.bitsize() / 8;
        let mut values = AlignedBuffer::zeroed(expected.iter().product())?;
        let mut bytes = vec![0; CHUNK_BYTES];
        let mut fill = || {
            self.file.seek(SeekFrom::Start(self.start + info.data_offsets.0 as u64))?;
            for values in values.chunks_mut(CHUNK_BYTES / size) {
                let bytes = &mut bytes[..values.len() * size];
                self.file.read_exact(bytes)?;
                convert(bytes, values);
            }
            Ok(())
        };
        fill().map_err(|source| WeightsError::Read { path: self.path.clone(), source })?;
        Ok(values)
    }
}

/// Turns little-endian elements of a type into floats.
type Convert = fn(&[u8], &mut [f32]);

fn converter(dtype: Dtype) -> Option<Convert> {
    fn each<const SIZE: usize>(bytes: &[u8], values: &mut [f32], value: impl Fn([u8; SIZE]) -> f32) {
        bytes.as_chunks().0.iter().zip(values).for_each(|(&bytes, slot)| *slot = value(bytes));
    }
    match dtype {
        Dtype::F32 => Some(|bytes, values| each(bytes, values, f32::from_le_bytes)),
        Dtype::F16 => Some(|bytes, values| each(bytes, values, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => Some(|bytes, values| each(bytes, values, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        _ => None,
    }
}
