//! From a model's graph to a chain of layers.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::constants::{Constant, Files, boolean, integers};
use super::messages::{self, Graph, Node, Size, Tensor, ValueInfo, element};
use super::parameters::Parameters;
use super::{OnnxError, shown};
use crate::network::{Layer, LayerKind, Network, Shape};

/// Versions of ONNX's operators that are understood.
const OPSETS: std::ops::RangeInclusive<i64> = 3..=22;

/// The most characters of a layer's name.
const NAME: usize = 60;

/// A network, of what each layer's weights are made, by name, and the files that hold them.
pub(super) type Imported = (Network, HashMap<String, Parameters>, Files);

/// Reads the network out of a model.
///
/// # Errors
/// [`OnnxError::Node`] or [`OnnxError::Model`] saying what is no chain, or not computed here.
pub(super) fn import(path: &Path, model: &messages::Model, files: Files) -> Result<Imported, OnnxError> {
    let refused = |message: String| OnnxError::Model { path: path.into(), message };
    let own = model.opset_import.iter().find(|set| is_own(&set.domain));
    let opset = own.map(|set| set.version).ok_or_else(|| refused("it names no version of ONNX's operators".into()))?;
    if !OPSETS.contains(&opset) {
        return Err(refused(format!("its operators are of opset {opset}; {OPSETS:?} are known")));
    }
    let graph = model.graph.as_ref().ok_or_else(|| refused("it has no graph".into()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut chain = Chain::begin(&name, graph, opset, files).map_err(refused)?;
    for (index, node) in graph.node.iter().enumerate() {
        chain.node(index, node).map_err(|message| OnnxError::Node {
            path: path.into(),
            node: shown(label(node)),
            operator: shown(&node.op_type).trim_matches('\'').into(),
            message,
        })?;
    }
    chain.end(graph).map_err(refused)
}

/// Whether a domain is that of ONNX's own operators.
fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// What a node is called: by its name, or else by its output's.
fn label(node: &Node) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

/// The layers so far.
pub(super) struct Chain<'a> {
    pub network: Network,
    pub parameters: HashMap<String, Parameters>,
    pub files: Files,
    pub opset: i64,
    /// What the last node computed.
    current: &'a str,
    /// Its size, one image's.
    pub shape: Shape,
    /// Whether it is flattened, `[n][c·h·w]`, instead of a map `[n][c][h][w]`.
    pub flat: bool,
    /// Images that the model asks for, if it does.
    pub batch: Option<i64>,
    pub constants: HashMap<&'a str, Source<'a>>,
    names: HashSet<String>,
}

/// A constant that no node has used yet.
#[derive(Clone)]
pub(super) enum Source<'a> {
    Tensor(&'a Tensor),
    Fill(Vec<i64>, f32),
}

impl<'a> Chain<'a> {
    fn begin(name: &str, graph: &'a Graph, opset: i64, files: Files) -> Result<Self, String> {
        let constants: HashMap<&str, Source<'_>> =
            graph.initializer.iter().map(|tensor| (tensor.name.as_str(), Source::Tensor(tensor))).collect();
        // Old models list initializers among the inputs.
        let mut inputs = graph.input.iter().filter(|input| !constants.contains_key(input.name.as_str()));
        let (Some(input), None) = (inputs.next(), inputs.next()) else {
            return Err("it does not have one input, as a chain of layers has".into());
        };
        let (batch, shape) = image(input)?;
        let network = Network { name: name.into(), input: shape, layers: Vec::new() };
        let (parameters, names, current) = (HashMap::new(), HashSet::new(), input.name.as_str());
        Ok(Chain { network, parameters, files, opset, current, shape, flat: false, batch, constants, names })
    }

    /// Appends what `node` computes.
    fn node(&mut self, index: usize, node: &'a Node) -> Result<(), String> {
        if !is_own(&node.domain) {
            return Err(format!("is of the domain {}, not of ONNX's own", shown(&node.domain)));
        }
        let output = node.output.first().filter(|output| !output.is_empty()).ok_or("has no output")?;
        let data = node.input.first().map_or("", String::as_str);
        if let Some(constant) = self.constant_of(node, data)? {
            self.constants.insert(output, constant);
            return Ok(());
        }
        // A sum may name its operands in either order.
        let data = if node.op_type == "Add" && node.input.get(1).is_some_and(|second| second == self.current) {
            self.current
        } else {
            data
        };
        if data != self.current {
            return Err(format!(
                "reads {}, not {}, which was computed before it: only chains of layers are computed",
                shown(data),
                shown(self.current)
            ));
        }
        let name = self.name(index, node);
        self.operator(name, node)?;
        self.current = output;
        Ok(())
    }

    /// The layer's name: the node's, such that it can be printed and no other layer has it.
    fn name(&mut self, index: usize, node: &Node) -> String {
        let mut name: String = label(node).chars().filter(|c| !c.is_control()).take(NAME).collect();
        if name.is_empty() || self.names.contains(&name) {
            name = format!("{name}#{index}");
        }
        self.names.insert(name.clone());
        name
    }

    fn end(self, graph: &Graph) -> Result<Imported, String> {
        match &graph.output[..] {
            [output] if output.name == self.current => {}
            _ => return Err(format!("its output is not, alone, {}, the end of its nodes", shown(self.current))),
        }
        self.network.infer(1).map_err(|error| error.to_string())?;
        Ok((self.network, self.parameters, self.files))
    }

    /// Appends a layer.
    ///
    /// # Errors
    /// If it does not fit.
    pub(super) fn push(&mut self, name: String, kind: LayerKind) -> Result<(), String> {
        let layer = Layer::new(name, kind);
        let shaped = self.network.shape(&layer, self.shape, 1).map_err(|error| format!("does not fit: {error}"))?;
        self.shape = shaped.output;
        self.network.layers.push(layer);
        Ok(())
    }

    /// The node's input number `index`, if it has one.
    pub(super) fn input<'n>(&self, node: &'n Node, index: usize) -> Option<&'n str> {
        node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The constant that is a node's input number `index`.
    ///
    /// # Errors
    /// If it is none, or what is wrong with it.
    pub(super) fn constant(&mut self, node: &Node, index: usize) -> Result<Constant, String> {
        let name = self.input(node, index).ok_or_else(|| format!("has no input {index}"))?;
        let constant = match self.constants.get(name) {
            Some(Source::Tensor(tensor)) => Constant::of(tensor, &mut self.files),
            Some(Source::Fill(shape, value)) => Constant::fill(shape, *value),
            None => return Err(format!("reads {}, which is no constant", shown(name))),
        };
        constant.map_err(|message| format!("reads {}, which {message}", shown(name)))
    }

    /// The integers that are a node's input number `index`.
    ///
    /// # Errors
    /// If it is no constant of integers.
    pub(super) fn integers(&mut self, node: &Node, index: usize) -> Result<Vec<i64>, String> {
        let name = self.input(node, index).ok_or_else(|| format!("has no input {index}"))?;
        match self.constants.get(name) {
            Some(Source::Tensor(tensor)) => integers(tensor, &mut self.files),
            _ => Err("is no constant of integers".into()),
        }
        .map_err(|message| format!("reads {}, which {message}", shown(name)))
    }

    /// The truth value that is a node's input number `index`.
    ///
    /// # Errors
    /// If it is no constant of one.
    pub(super) fn boolean(&mut self, node: &Node, index: usize) -> Result<bool, String> {
        let name = self.input(node, index).ok_or_else(|| format!("has no input {index}"))?;
        match self.constants.get(name) {
            Some(Source::Tensor(tensor)) => boolean(tensor, &mut self.files),
            _ => Err("is no constant".into()),
        }
        .map_err(|message| format!("reads {}, which {message}", shown(name)))
    }
}

/// Batch and size of the graph's input, which must be NCHW.
fn image(input: &ValueInfo) -> Result<(Option<i64>, Shape), String> {
    let name = shown(&input.name);
    let tensor = input.value_type.as_ref().and_then(|value_type| value_type.tensor.as_ref());
    let tensor = tensor.ok_or_else(|| format!("its input {name} is no tensor"))?;
    if ![element::FLOAT, element::FLOAT16, element::BFLOAT16].contains(&tensor.element) {
        return Err(format!("its input {name} is not of floats (f32, f16 or bf16)"));
    }
    let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim[..]);
    let sizes: Vec<Option<i64>> = dims
        .iter()
        .map(|dimension| match dimension.size {
            Some(Size::Value(size)) => Some(size),
            _ => None,
        })
        .take(5)
        .collect();
    let [batch, channels, height, width] = sizes[..] else {
        return Err(format!("its input {name} is not of four dimensions, images × channels × height × width"));
    };
    let size = |size: Option<i64>| size.and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0);
    let (Some(channels), Some(height), Some(width)) = (size(channels), size(height), size(width)) else {
        return Err(format!("its input {name} has no fixed channels, height and width"));
    };
    Ok((batch.filter(|&batch| batch > 0), Shape::new(height, width, channels)))
}
