//! A network with its weights as an ONNX model.

use std::io::{self, Write};
use std::path::Path;

use prost::Message;

use super::OnnxError;
use super::messages::{
    Attribute, Dimension, Graph, Model, Node, OperatorSet, RAW_DATA, Size, Tensor, TensorShape, TensorType, ValueInfo,
    ValueType, attribute, element,
};
use super::wire::key;
use crate::files;
use crate::network::{AveragePool, LayerKind, Network, Pool, Shape, ShapedLayer, Window};
use crate::weights::Weights;

/// The version of the file format, and the operators' version that is written.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// Floats of weights that are in memory at once.
const PIECE_FLOATS: usize = 1 << 20;

/// Field numbers of [`Model::graph`] and [`Graph::initializer`], which are written piece by piece.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;

/// Writes `network` with `weights` as an ONNX model of NCHW tensors called `input` and `output`, for `batch` images or any
/// number of them. Dropout, the identity, is left out. Written beside `path` and renamed.
///
/// # Errors
/// [`OnnxError`] if the layers do not fit together, weights are missing, or the file cannot be written.
pub fn write(path: &Path, network: &Network, batch: Option<usize>, weights: &mut dyn Weights) -> Result<(), OnnxError> {
    let shaped = network.infer(batch.unwrap_or(1))?;
    let graph = graph(network, &shaped, batch).encode_to_vec();
    let write = |out: &mut dyn Write| write_model(out, &graph, &shaped, weights);
    files::replace(path, write).map_err(|source| OnnxError::Write { path: path.into(), source })
}

/// The model of a `graph` without initializers, and those. Each message begins with its length, so all lengths are known
/// before the first float is written, and weights pass through a few at a time.
fn write_model(
    out: &mut dyn Write,
    graph: &[u8],
    layers: &[ShapedLayer<'_>],
    weights: &mut dyn Weights,
) -> io::Result<()> {
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "convlab".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: None,
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
    };
    let layers = layers.iter().filter_map(|layer| Some((layer, layer.problem.as_ref()?.out_channels())));
    let tensors = |layer: &ShapedLayer<'_>, outputs| {
        let name = &layer.layer.name;
        [initializer(weight_name(name), layer.weight_shape()), initializer(bias_name(name), vec![outputs])]
    };
    let lengths = layers.clone().flat_map(|(layer, outputs)| {
        let [weights, bias] = tensors(layer, outputs).map(|head| head.len());
        [weights + 4 * outputs * layer.fan_in(), bias + 4 * outputs]
    });
    let mut head = model.encode_to_vec();
    key(&mut head, GRAPH, graph.len() + lengths.sum::<usize>());
    head.extend(graph);
    out.write_all(&head)?;
    for (layer, outputs) in layers {
        let [weight_head, bias_head] = tensors(layer, outputs);
        out.write_all(&weight_head)?;
        let step = (PIECE_FLOATS / layer.fan_in()).clamp(1, outputs);
        let mut values = vec![0.0; step * layer.fan_in()];
        for first in (0..outputs).step_by(step) {
            let channels = first..outputs.min(first + step);
            let values = &mut values[..channels.len() * layer.fan_in()];
            weights.weights(layer, channels, values).map_err(io::Error::other)?;
            write_floats(out, values)?;
        }
        let mut bias = vec![0.0; outputs];
        weights.bias(layer, &mut bias).map_err(io::Error::other)?;
        out.write_all(&bias_head)?;
        write_floats(out, &bias)?;
    }
    Ok(())
}

fn write_floats(out: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// An initializer of `shape` up to its elements, its key in the graph included.
fn initializer(name: String, shape: Vec<usize>) -> Vec<u8> {
    let bytes = 4 * shape.iter().product::<usize>();
    let mut tensor = Tensor { dims: ints(shape), data_type: element::FLOAT, name, ..Tensor::default() }.encode_to_vec();
    key(&mut tensor, RAW_DATA, bytes);
    let mut head = Vec::new();
    key(&mut head, INITIALIZER, tensor.len() + bytes);
    head.extend(tensor);
    head
}

fn weight_name(layer: &str) -> String {
    format!("{layer}.weight")
}

fn bias_name(layer: &str) -> String {
    format!("{layer}.bias")
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
                let mut attributes = window(conv.windows);
                attributes.push(list("dilations", conv.windows.map(|window| window.dilation)));
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
            LayerKind::MaxPool(pool) => self.push(name, "MaxPool", Vec::new(), pool_attributes(&pool)),
            LayerKind::AveragePool(AveragePool { pool, count_padding }) => {
                let mut attributes = pool_attributes(&pool);
                attributes.push(int("count_include_pad", usize::from(count_padding)));
                self.push(name, "AveragePool", Vec::new(), attributes);
            }
            LayerKind::Relu => self.push(name, "Relu", Vec::new(), Vec::new()),
            LayerKind::Softmax => self.push(name, "Softmax", Vec::new(), vec![int("axis", 1)]),
            LayerKind::Dropout => {}
        }
        if shaped.layer.kind.relu() {
            self.push(&format!("{name}.relu"), "Relu", Vec::new(), Vec::new());
        }
    }
}

fn pool_attributes(pool: &Pool) -> Vec<Attribute> {
    let mut attributes = window(pool.windows);
    attributes.push(int("ceil_mode", usize::from(pool.ceil)));
    attributes
}

/// How a filter or a pool moves.
fn window(windows: [Window; 2]) -> Vec<Attribute> {
    let [[top, bottom], [left, right]] = windows.map(|window| window.pad);
    vec![
        list("kernel_shape", windows.map(|window| window.kernel)),
        list("strides", windows.map(|window| window.stride)),
        list("pads", [top, left, bottom, right]),
    ]
}

fn list<const N: usize>(name: &str, sizes: [usize; N]) -> Attribute {
    Attribute { name: name.into(), ints: ints(sizes), kind: attribute::INTS, ..Attribute::default() }
}

fn int(name: &str, value: usize) -> Attribute {
    Attribute { name: name.into(), i: Some(value as i64), kind: attribute::INT, ..Attribute::default() }
}

fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: name.into(), f: Some(value), kind: attribute::FLOAT, ..Attribute::default() }
}
