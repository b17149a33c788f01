//! A network with its weights as an ONNX model.

mod batch;
mod steps;

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use prost::Message;

use self::steps::{Operand, Step, steps};
use super::OnnxError;
use super::messages::{
    Dimension, Graph, Model, Node, OperatorSet, RAW_DATA, Size, Tensor, TensorShape, TensorType, ValueInfo, ValueType,
    element,
};
use super::wire::key;
use crate::files;
use crate::network::{Network, NetworkError, Node as Layer, ValueId};
use crate::operators::Operator;
use crate::shape::Shape;
use crate::weights::Weights;

/// The version of the file format, and the operators' version that is written.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// Floats of weights that are in memory at once.
const PIECE_FLOATS: usize = 1 << 20;

/// The most bytes of a message of protocol buffers, by their definition.
const MAX_BYTES: usize = i32::MAX as usize;

/// Field numbers of [`Model::graph`] and [`Graph::initializer`], which are written piece by piece.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;

/// What the number of images is called if it is free.
const BATCH: &str = "N";

/// Writes `network` with `weights` as an ONNX model of NCHW tensors, whose inputs and outputs are called as they are in the
/// network: for its number of images, or with `free_batch` for any. Written beside `path` and renamed.
///
/// # Errors
/// [`OnnxError::Node`] if a node is [`Operator::Opaque`], has no ONNX operator for its inputs, or mixes images of a free
/// number. [`OnnxError::Write`] if weights are missing, the model exceeds the 2 GiB of its format, or the file cannot be
/// written.
pub fn write(path: &Path, network: &Network, free_batch: bool, weights: &mut dyn Weights) -> Result<(), OnnxError> {
    let export = Export::of(path, network, free_batch)?;
    files::replace(path, |out| export.write(out, weights))
        .map_err(|source| OnnxError::Write { path: path.into(), source })
}

/// A model whose lengths are known, but not its weights.
struct Export<'a> {
    network: &'a Network,
    /// Names of tensors so far; those of initializers must differ from them.
    names: HashSet<String>,
    /// Everything but initializers of floats.
    graph: Graph,
    floats: Vec<Initializer<'a>>,
}

/// A tensor of floats.
struct Initializer<'a> {
    /// Its key in the graph and its message up to the elements.
    head: Vec<u8>,
    len: usize,
    elements: Elements<'a>,
}

enum Elements<'a> {
    /// A constant of a node, by its number.
    Parameter(&'a Layer, usize),
    Values(Vec<f32>),
}

impl<'a> Export<'a> {
    fn of(path: &Path, network: &'a Network, free_batch: bool) -> Result<Self, OnnxError> {
        let names = network.values().iter().map(|value| value.name.clone()).collect();
        let graph = Graph { name: network.name().into(), ..Graph::default() };
        let mut export = Export { network, names, graph, floats: Vec::new() };
        let mut batched = vec![false; network.values().len()];
        for &input in network.inputs() {
            let shape = network.shape(input)?;
            batched[input.index()] = free_batch && shape.rank() > 0 && shape.batch() == network.batch();
        }
        for node in network.nodes() {
            let refused = |message| OnnxError::Node {
                path: path.into(),
                node: node.name.clone(),
                operator: node.operator.name().into(),
                message,
            };
            let inputs = node.inputs.iter().map(|&id| Ok((network.shape(id)?, batched[id.index()])));
            let inputs = inputs.collect::<Result<Vec<_>, NetworkError>>()?;
            let keeps = batch::keeps(&node.operator, &inputs).map_err(|reason| refused(reason.into()))?;
            let shapes: Vec<&Shape> = inputs.iter().map(|&(shape, _)| shape).collect();
            let steps = steps(node, &shapes, keeps).map_err(refused)?;
            for &output in &node.outputs {
                batched[output.index()] = keeps;
                export.node(node, &network.value(output).name, &steps);
            }
        }
        let infos = |ids: &[ValueId]| ids.iter().map(|&id| info(network, id, batched[id.index()])).collect();
        let infos: [Result<Vec<_>, NetworkError>; 2] = [infos(network.inputs()), infos(network.outputs())];
        let [inputs, outputs] = infos;
        (export.graph.input, export.graph.output) = (inputs?, outputs?);
        Ok(export)
    }

    /// Appends the steps that compute `output`, or the constant that it is.
    fn node(&mut self, node: &'a Layer, output: &str, steps: &[Step]) {
        if let Operator::Constant(shape) = &node.operator {
            self.floats.push(Initializer::new(output.into(), shape.sizes(), Elements::Parameter(node, 0)));
        }
        let value = |id: &ValueId| self.network.value(*id).name.clone();
        let inputs: Vec<String> = node.inputs.iter().map(value).collect();
        let mut last = inputs.first().cloned().unwrap_or_default();
        for (index, step) in steps.iter().enumerate() {
            let is_last = index + 1 == steps.len();
            let result = if is_last { output.into() } else { self.fresh(format!("{}.{}", node.name, step.op_type)) };
            let operands = step.operands.iter().map(|operand| match operand {
                Operand::Last => last.clone(),
                Operand::Input(index) => inputs[*index].clone(),
                Operand::Absent => String::new(),
                Operand::Parameter(index, dims) => {
                    let name = format!("{}.{}", node.name, node.parameters[*index].name);
                    self.initializer(name, dims, Elements::Parameter(node, *index))
                }
                Operand::Floats(dims, values) => {
                    self.initializer(format!("{result}.constant"), dims, Elements::Values(values.clone()))
                }
                Operand::Integers(values) => self.integers(format!("{result}.constant"), values),
            });
            let input = operands.collect();
            self.graph.node.push(Node {
                input,
                output: vec![result.clone()],
                name: if is_last { node.name.clone() } else { result.clone() },
                op_type: step.op_type.into(),
                attribute: step.attributes.clone(),
                domain: String::new(),
            });
            last = result;
        }
    }

    /// `name`, or something like it that no tensor is called yet.
    fn fresh(&mut self, mut name: String) -> String {
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    fn initializer(&mut self, name: String, dims: &[usize], elements: Elements<'a>) -> String {
        let name = self.fresh(name);
        self.floats.push(Initializer::new(name.clone(), dims, elements));
        name
    }

    fn integers(&mut self, name: String, values: &[i64]) -> String {
        let name = self.fresh(name);
        self.graph.initializer.push(Tensor {
            dims: vec![values.len() as i64],
            data_type: element::INT64,
            int64_data: values.to_vec(),
            name: name.clone(),
            ..Tensor::default()
        });
        name
    }

    /// Each message begins with its length, so all lengths are known before the first float is written, and weights pass
    /// through a few at a time.
    fn write(&self, out: &mut dyn Write, weights: &mut dyn Weights) -> io::Result<()> {
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: "convlab".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: None,
            opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        };
        let graph = self.graph.encode_to_vec();
        let length = graph.len() + self.floats.iter().map(|tensor| tensor.head.len() + 4 * tensor.len).sum::<usize>();
        let mut head = model.encode_to_vec();
        key(&mut head, GRAPH, length);
        head.extend(graph);
        if length > MAX_BYTES {
            return Err(io::Error::other(format!("it would have {length} bytes; ONNX files end at {MAX_BYTES}")));
        }
        out.write_all(&head)?;
        self.floats.iter().try_for_each(|tensor| tensor.write(out, weights))
    }
}

impl<'a> Initializer<'a> {
    fn new(name: String, dims: &[usize], elements: Elements<'a>) -> Self {
        let len = dims.iter().product();
        let dims = dims.iter().map(|&size| size as i64).collect();
        let mut tensor = Tensor { dims, data_type: element::FLOAT, name, ..Tensor::default() }.encode_to_vec();
        key(&mut tensor, RAW_DATA, 4 * len);
        let mut head = Vec::new();
        key(&mut head, INITIALIZER, tensor.len() + 4 * len);
        head.extend(tensor);
        Initializer { head, len, elements }
    }

    fn write(&self, out: &mut dyn Write, weights: &mut dyn Weights) -> io::Result<()> {
        out.write_all(&self.head)?;
        match &self.elements {
            Elements::Values(values) => write_floats(out, values),
            Elements::Parameter(node, parameter) => {
                let mut piece = vec![0.0; self.len.min(PIECE_FLOATS)];
                for first in (0..self.len).step_by(PIECE_FLOATS) {
                    let piece = &mut piece[..PIECE_FLOATS.min(self.len - first)];
                    weights.read(node, *parameter, first, piece).map_err(io::Error::other)?;
                    write_floats(out, piece)?;
                }
                Ok(())
            }
        }
    }
}

fn write_floats(out: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// Name, type and shape of a tensor, whose first size is free if it is `batched`.
fn info(network: &Network, id: ValueId, batched: bool) -> Result<ValueInfo, NetworkError> {
    let sizes = network.shape(id)?.sizes().iter().enumerate();
    let dim = sizes.map(|(axis, &size)| match axis {
        0 if batched => Size::Parameter(BATCH.into()),
        _ => Size::Value(size as i64),
    });
    let dim = dim.map(|size| Dimension { size: Some(size) }).collect();
    let tensor = TensorType { element: element::FLOAT, shape: Some(TensorShape { dim }) };
    Ok(ValueInfo { name: network.value(id).name.clone(), value_type: Some(ValueType { tensor: Some(tensor) }) })
}
