//! From a model's graph to a network.

use std::collections::{HashMap, HashSet};

use super::constants::Files;
use super::graph::{Import, Known, MAX_COUNT, Refusal};
use super::input_shape::InputShape;
use super::literal::{self, Literal};
use super::messages::{Graph, Node};
use super::parameters::Source;
use super::{operators, other, shown};
use crate::network::{Builder, Network, ValueId};
use crate::operators::{Opaque, Operator};
use crate::shape::Shape;

/// The most names that nodes read and write, all together.
const MAX_EDGES: usize = 8 * MAX_COUNT;

/// The most bytes of a value's name.
const MAX_NAME: usize = 1 << 12;

/// A network, of what each node's constants are made, by name, and the files that hold them.
pub(super) type Imported = (Network, HashMap<String, Vec<Source>>, Files);

/// Why a model is no network.
pub(super) enum Wrong {
    Model(String),
    Node { node: String, operator: String, message: String },
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Wrong::Model(message)
    }
}

/// Reads the network called `name` out of a graph whose operators are of `opset`.
pub(super) fn import(
    name: &str,
    graph: &Graph,
    opset: i64,
    files: Files,
    batch: Option<usize>,
    shapes: &[InputShape],
) -> Result<Imported, Wrong> {
    counted(graph)?;
    let stated = graph.value_info.iter().chain(&graph.output).map(|info| (info.name.as_str(), info)).collect();
    let mut import = Import {
        builder: Builder::new(name),
        parameters: HashMap::new(),
        files,
        opset,
        rebatched: None,
        producers: HashMap::new(),
        maps: HashMap::new(),
        known: HashMap::new(),
        stated,
        literal_bytes: 0,
        numbered: 0,
    };
    for tensor in &graph.initializer {
        let known = import.constant_of(tensor)?;
        if let Known::Literal(literal) = &known {
            import
                .keep(literal.own_bytes())
                .map_err(|message| format!("its constant {} {message}", shown(&tensor.name)))?;
        }
        if import.known.insert(&tensor.name, known).is_some() {
            return Err(format!("two initializers are called {}", shown(&tensor.name)).into());
        }
    }
    import.inputs(graph, batch, shapes)?;
    let later: HashSet<&str> = graph.node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
    for (index, node) in graph.node.iter().enumerate() {
        import.node(index, node, &later).map_err(|message| wrong(node, message))?;
    }
    let outputs = graph.output.iter().map(|output| import.output(&output.name)).collect::<Result<Vec<_>, _>>()?;
    let network = import.builder.finish(&outputs).map_err(|error| error.to_string())?;
    Ok((network, import.parameters, import.files))
}

/// That of nothing there is more than any network needs.
fn counted(graph: &Graph) -> Result<(), Wrong> {
    let few = |what: &str, count: usize, most: usize| match count > most {
        true => Err(format!("has {count} {what}; at most {most} are accepted")),
        false => Ok(()),
    };
    let of_graph = [
        ("nodes", graph.node.len()),
        ("inputs", graph.input.len()),
        ("outputs", graph.output.len()),
        ("initializers", graph.initializer.len()),
    ];
    let edges: usize = graph.node.iter().map(|node| node.input.len() + node.output.len()).sum();
    let of_graph = of_graph.into_iter().try_for_each(|(what, count)| few(what, count, MAX_COUNT));
    of_graph
        .and_then(|()| few("inputs and outputs of nodes", edges, MAX_EDGES))
        .map_err(|message| format!("it {message}"))?;
    for node in &graph.node {
        let of_node =
            [("inputs", node.input.len()), ("outputs", node.output.len()), ("attributes", node.attribute.len())];
        let fits = of_node.into_iter().try_for_each(|(what, count)| few(what, count, MAX_COUNT));
        let longest = node.output.iter().map(String::len).max().unwrap_or(0);
        // What is made on the way to an output is called after it.
        let fits = fits.and_then(|()| few("bytes of an output's name", longest, MAX_NAME));
        fits.map_err(|message| wrong(node, message))?;
    }
    Ok(())
}

/// What is wrong with a node.
fn wrong(node: &Node, message: String) -> Wrong {
    let operator = shown(&node.op_type).trim_matches('\'').into();
    Wrong::Node { node: shown(label(node)), operator, message }
}

/// What a node is called: by its name, or else by its output's.
fn label(node: &Node) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

/// Whether a node's operator is one of ONNX's own.
fn is_own(node: &Node) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx")
}

impl<'a> Import<'a> {
    fn node(&mut self, index: usize, node: &'a Node, later: &HashSet<&str>) -> Result<(), String> {
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            if !self.known.contains_key(input.as_str()) {
                return Err(match later.contains(input.as_str()) {
                    true => format!("reads {}, which only a later node computes, or it itself", shown(input)),
                    false => format!("reads {}, which nothing computes", shown(input)),
                });
            }
        }
        if let Some(known) = self.fold(node) {
            let output = node.output.first().ok_or("has no output")?;
            return self.define(output, known);
        }
        let refusal = if !is_own(node) {
            Refusal::Opaque(format!("is of the domain {}, not of ONNX's own", shown(&node.domain)))
        } else {
            match self.unknown_input(node) {
                Some(input) => Refusal::Opaque(format!("reads {}, whose shape is not known", shown(input))),
                None => {
                    let name = self.name(index, label(node));
                    match operators::add(self, &name, node) {
                        Ok(()) => return Ok(()),
                        Err(refusal) => refusal,
                    }
                }
            }
        };
        match refusal {
            Refusal::Wrong(message) => Err(message),
            Refusal::Opaque(reason) => self.opaque(index, node, reason),
        }
    }

    /// An output of the model, under its own name: also if it is another value, or a constant.
    fn output(&mut self, name: &str) -> Result<ValueId, String> {
        let known = self.known.get(name).cloned();
        let known = known.ok_or_else(|| format!("its output {} is computed by no node", shown(name)))?;
        let (operator, inputs, sources) = match known {
            Known::Value(value) => {
                let Some(shape) = self.builder.shape(value).cloned() else { return Ok(value) };
                if self.builder.name(value) == name {
                    return Ok(value);
                }
                (Operator::Reshape(shape), vec![value], Vec::new())
            }
            known => {
                let constant = known.source().and_then(|(sizes, source)| Some((Shape::new(&sizes).ok()?, source)));
                let Some((shape, source)) = constant else {
                    let reason = "is empty, or of numbers that are not computed with".into();
                    let opaque = Opaque { operator: "Constant".into(), reason };
                    let node = self.name(usize::MAX, name);
                    let added = self.builder.opaque(node, opaque, &[], vec![(name.into(), None)]);
                    return added.map(|values| values[0]).map_err(|error| error.to_string());
                };
                (Operator::Constant(shape), Vec::new(), vec![source])
            }
        };
        let node = self.name(usize::MAX, name);
        let pushed = self.push(&node, name, operator, &inputs, sources);
        pushed.map_err(|refusal| match refusal {
            Refusal::Opaque(message) | Refusal::Wrong(message) => format!("its output {} {message}", shown(name)),
        })
    }

    /// Enters a node that is not computed, and what is known of the shapes of its outputs.
    fn opaque(&mut self, index: usize, node: &'a Node, reason: String) -> Result<(), String> {
        // Another domain's operator may be called like one of ONNX's own.
        let inferred = if is_own(node) { other::shapes(self, node) } else { Vec::new() };
        let mut outputs = Vec::new();
        for (place, output) in node.output.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
            let known = inferred.get(place).cloned().flatten().or_else(|| self.stated_shape(output));
            outputs.push((output.as_str(), known));
        }
        let inputs: Vec<ValueId> = node.input.iter().filter_map(|input| self.value_of(input)).collect();
        let opaque = Opaque { operator: shown(&node.op_type).trim_matches('\'').into(), reason };
        let name = self.name(index, label(node));
        let named = outputs.iter().map(|(name, shape)| ((*name).to_owned(), shape.clone())).collect();
        let values = self.builder.opaque(name, opaque, &inputs, named).map_err(|error| error.to_string())?;
        for ((name, _), value) in outputs.iter().zip(values) {
            self.define(name, Known::Value(value))?;
        }
        Ok(())
    }

    /// A constant, if the node only makes one of constants.
    fn fold(&mut self, node: &'a Node) -> Option<Known<'a>> {
        if let Some(known) = operators::constant(self, node) {
            return Some(known);
        }
        let literal = |name: &String| match self.known.get(name.as_str()) {
            Some(Known::Literal(literal)) => Some(Some(literal)),
            _ => name.is_empty().then_some(None),
        };
        let inputs: Vec<Option<&Literal>> = node.input.iter().map(literal).collect::<Option<_>>()?;
        literal::fold(node, &inputs).map(Known::Literal)
    }
}
