//! A network with its weights as an ONNX model.

use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::OnnxError;
use super::messages::{
    Attribute, Dimension, Graph, Model, Node, OperatorSet, RAW_DATA, Size, Tensor, TensorShape, TensorType, ValueInfo,
    ValueType, attribute, element,
};
use crate::files;
use crate::network::{LayerKind, Network, Shape, ShapedLayer};
use crate::weights::Weights;

/// The version of the file format, and the operators' version that is written.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// Field numbers of [`Model::graph`] and [`Graph::initializer`], which are written piece by piece.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;

/// Writes `network` with `weights` as an ONNX model of NCHW tensors called `input` and `output`, for `batch` images or any
/// number of them. Dropout, the identity, is left out. Written beside `path` and renamed.
///
/// # Errors
/// [`OnnxError`] if the layers do not fit together, weights are missing, or the file cannot be written.
pub fn write(path: &Path, network: &Network, batch: Option<usize>, weights: &Weights) -> Result<(), OnnxError> {
    let shaped = network.infer(batch.unwrap_or(1))?;
    let mut tensors = Vec::new();
    for layer in shaped.iter().filter(|layer| layer.problem.is_some()) {
        let name = &layer.layer.name;
        let given = weights.get(name).ok_or_else(|| OnnxError::MissingWeights { layer: network.qualified(name) })?;
        tensors.push((initializer(weight_name(name), layer.weight_shape()), &given.weights[..]));
        tensors.push((initializer(bias_name(name), vec![given.bias.len()]), &given.bias[..]));
    }
    let graph = graph(network, &shaped, batch).encode_to_vec();
    let write = |out: &mut dyn Write| write_model(out, &graph, &tensors);
    files::replace(path, write).map_err(|source| OnnxError::Write { path: path.into(), source })
}

/// The model of a `graph` without initializers, and those. Each message begins with its length, so all lengths are known
/// before the first float is written, and no float is copied.
fn write_model(out: &mut dyn Write, graph: &[u8], tensors: &[(Tensor, &[f32])]) -> io::Result<()> {
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "convlab".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: None,
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
    };
    let heads: Vec<Vec<u8>> = tensors.iter().map(|(tensor, values)| head(tensor, 4 * values.len())).collect();
    let lengths = heads.iter().zip(tensors).map(|(head, (_, values))| head.len() + 4 * values.len());
    let keys: Vec<Vec<u8>> = lengths.clone().map(|length| key(INITIALIZER, length)).collect();
    let total = graph.len() + keys.iter().map(Vec::len).sum::<usize>() + lengths.sum::<usize>();
    out.write_all(&model.encode_to_vec())?;
    out.write_all(&key(GRAPH, total))?;
    out.write_all(graph)?;
    for ((key, head), (_, values)) in keys.iter().zip(&heads).zip(tensors) {
        out.write_all(key)?;
        out.write_all(head)?;
        values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?;
    }
    Ok(())
}

/// A tensor's message up to its `bytes` of elements.
fn head(tensor: &Tensor, bytes: usize) -> Vec<u8> {
    let mut head = tensor.encode_to_vec();
    head.extend(key(RAW_DATA, bytes));
    head
}

/// The start of a field of `length` bytes.
fn key(field: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(length as u64, &mut bytes);
    bytes
}

fn weight_name(layer: &str) -> String {
    format!("{layer}.weight")
}

fn bias_name(layer: &str) -> String {
    format!("{layer}.bias")
}

fn initializer(name: String, shape: Vec<usize>) -> Tensor {
    Tensor { dims: ints(shape), data_type: element::FLOAT, name }
}

/// Sizes that were checked when the network was.
fn ints(sizes: impl IntoIterator<Item = usize>) -> Vec<i64> {
    sizes.into_iter().map(|size| size as i64).collect()
}

/// The nodes, each on the output of the one before.
fn graph(network: &Network, layers: &[ShapedLayer<'_>], batch: Option<usize>) -> Graph {
    let mut chain = Chain { nodes: Vec::new(), last: "input".into(), flat: false };
    for layer in layers {
        chain.layer(layer);
    }
    if let Some(last) = chain.nodes.last_mut() {
        last.output = vec!["output".into()];
    }
    let output = layers.last().map_or(network.input, |layer| layer.output);
    Graph {
        node: chain.nodes,
        name: network.name.clone(),
        initializer: Vec::new(),
        input: vec![value("input", batch, network.input, false)],
        output: vec![value("output", batch, output, chain.flat)],
    }
}

/// A tensor of `batch` images of `shape`, NCHW, or `[n][c]` if it is `flat`.
fn value(name: &str, batch: Option<usize>, shape: Shape, flat: bool) -> ValueInfo {
    let batch = batch.map_or_else(|| Size::Parameter("batch".into()), |batch| Size::Value(batch as i64));
    let sizes = if flat { vec![shape.floats()] } else { vec![shape.channels, shape.height, shape.width] };
    let sizes = std::iter::once(batch).chain(ints(sizes).into_iter().map(Size::Value));
    let dim = sizes.map(|size| Dimension { size: Some(size) }).collect();
    let tensor = TensorType { element: element::FLOAT, shape: Some(TensorShape { dim }) };
    ValueInfo { name: name.into(), value_type: Some(ValueType { tensor: Some(tensor) }) }
}

/// Nodes, and what the last of them computes.
struct Chain {
    nodes: Vec<Node>,
    last: String,
    /// Whether that is flattened.
    flat: bool,
}

impl Chain {
    /// Appends a node called `name`, which is also what its output is called.
    fn push(&mut self, name: &str, operator: &str, constants: Vec<String>, attribute: Vec<Attribute>) {
        let mut input = vec![std::mem::replace(&mut self.last, name.into())];
        input.extend(constants);
        let output = vec![name.into()];
        let (name, op_type, domain) = (name.into(), operator.into(), String::new());
        self.nodes.push(Node { input, output, name, op_type, attribute, domain });
    }

    fn layer(&mut self, shaped: &ShapedLayer<'_>) {
        let name = &shaped.layer.name;
        let parameters = vec![weight_name(name), bias_name(name)];
        match shaped.layer.kind {
            LayerKind::Conv(conv) => {
                let mut attributes = window(conv.kernel, conv.stride, conv.pad);
                attributes.push(int("group", conv.groups));
                self.push(name, "Conv", parameters, attributes);
            }
            LayerKind::Linear(_) => {
                if !self.flat {
                    self.push(&format!("{name}.flatten"), "Flatten", Vec::new(), vec![int("axis", 1)]);
                    self.flat = true;
                }
                self.push(name, "Gemm", parameters, vec![int("transB", 1)]);
            }
            LayerKind::Lrn(lrn) => {
                // ONNX divides its alpha by the window.
                let alpha = lrn.alpha * lrn.size as f32;
                let floats = [float("alpha", alpha), float("beta", lrn.beta), float("bias", lrn.k)];
                self.push(name, "LRN", Vec::new(), floats.into_iter().chain([int("size", lrn.size)]).collect());
            }
            LayerKind::MaxPool(pool) => {
                self.push(name, "MaxPool", Vec::new(), window(pool.kernel, pool.stride, pool.pad));
            }
            LayerKind::Softmax => self.push(name, "Softmax", Vec::new(), vec![int("axis", 1)]),
            LayerKind::Dropout => {}
        }
        if shaped.layer.kind.relu() {
            self.push(&format!("{name}.relu"), "Relu", Vec::new(), Vec::new());
        }
    }
}

/// How a filter or a pool moves.
fn window(kernel: usize, stride: usize, pad: usize) -> Vec<Attribute> {
    let list = |name: &str, sizes: Vec<usize>| Attribute {
        name: name.into(),
        ints: ints(sizes),
        kind: attribute::INTS,
        ..Attribute::default()
    };
    vec![list("kernel_shape", vec![kernel; 2]), list("strides", vec![stride; 2]), list("pads", vec![pad; 4])]
}

fn int(name: &str, value: usize) -> Attribute {
    Attribute { name: name.into(), i: Some(value as i64), kind: attribute::INT, ..Attribute::default() }
}

fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: name.into(), f: Some(value), kind: attribute::FLOAT, ..Attribute::default() }
}
