//! Networks as data: a graph of values and of the nodes that compute them, and the shapes that follow from it.

mod build;
mod error;

use conv_core::Problem;

pub use build::Builder;
pub use error::NetworkError;

use crate::operators::{Opaque, Operator, Parameter};
use crate::shape::Shape;

/// A network on inputs of fixed shapes. Made by a [`Builder`], which holds that it fits together: each node reads what was
/// computed before it, names differ, and shapes follow from the inputs'.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    name: String,
    values: Vec<Value>,
    nodes: Vec<Node>,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
}

/// A tensor of a [`Network`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its name, unique in the network.
    pub name: String,
    /// Its shape; unknown only of what a node that is not computed writes.
    pub shape: Option<Shape>,
}

/// Which value of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(usize);

impl ValueId {
    pub(crate) fn at(index: usize) -> Self {
        ValueId(index)
    }

    /// Its place in [`Network::values`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// One step of a computation.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, unique in the network, for example `conv2`.
    pub name: String,
    /// What it computes.
    pub operator: Operator,
    /// What it reads.
    pub inputs: Vec<ValueId>,
    /// What it writes.
    pub outputs: Vec<ValueId>,
    /// Its constants, in the order of [`Weights::read`](crate::Weights::read).
    pub parameters: Vec<Parameter>,
    /// The convolution that computes it, named `network/node`, if it is one or a fully connected layer: a filter as large
    /// as its map.
    pub problem: Option<Problem>,
}

impl Node {
    /// Weights, biases and other constants that are learned: means and variances of normalisations are not.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().filter(|parameter| !parameter.name.starts_with("running")).map(Parameter::len).sum()
    }
}

impl Network {
    /// What it is called, for example `paper`; the first part of its problems' names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every tensor.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The nodes, in an order in which they can be computed.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What it is given.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// What it computes.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// A tensor.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The shape of a tensor.
    ///
    /// # Errors
    /// [`NetworkError::UnknownShape`].
    pub fn shape(&self, id: ValueId) -> Result<&Shape, NetworkError> {
        let Value { name, shape } = self.value(id);
        shape.as_ref().ok_or_else(|| NetworkError::UnknownShape { value: format!("{}/{name}", self.name) })
    }

    /// Images of a run: the first size of the first input.
    pub fn batch(&self) -> usize {
        let shape = self.inputs.first().and_then(|&input| self.value(input).shape.as_ref());
        shape.map_or(1, Shape::batch)
    }

    /// The convolutions proper, without the fully connected layers, each named `network/node`.
    pub fn problems(&self) -> Vec<Problem> {
        let convolutions = self.nodes.iter().filter(|node| matches!(node.operator, Operator::Conv(_)));
        convolutions.filter_map(|node| node.problem.clone()).collect()
    }

    /// Nodes that are not computed, and why.
    pub fn opaque(&self) -> impl Iterator<Item = (&Node, &Opaque)> {
        self.nodes.iter().filter_map(|node| match &node.operator {
            Operator::Opaque(opaque) => Some((node, opaque)),
            _ => None,
        })
    }

    /// Whether every node is computed here.
    ///
    /// # Errors
    /// [`NetworkError::Opaque`] with the first one that is not.
    pub fn check_computed(&self) -> Result<(), NetworkError> {
        self.opaque().next().map_or(Ok(()), |(node, opaque)| {
            let (node, operator, reason) = (self.qualified(&node.name), opaque.operator.clone(), opaque.reason.clone());
            Err(NetworkError::Opaque { node, operator, reason })
        })
    }

    /// A node that may compute what belongs to one image from what belongs to others, if there is one: along the first axis.
    pub fn mixes_images(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| !self.keeps_images_apart(node))
    }

    /// Whether a node computes what belongs to an image from that alone.
    pub(crate) fn keeps_images_apart(&self, node: &Node) -> bool {
        let shape = |value: &ValueId| self.value(*value).shape.as_ref();
        let inputs: Option<Vec<&Shape>> = node.inputs.iter().map(shape).collect();
        let output = node.outputs.first().and_then(shape);
        inputs.zip(output).is_some_and(|(inputs, output)| node.operator.keeps_images_apart(&inputs, output))
    }

    /// [`Node::parameter_count`] of all nodes.
    pub fn parameter_count(&self) -> usize {
        self.nodes.iter().map(Node::parameter_count).sum()
    }

    /// The same network with more outputs: what the nodes, or the values, of these names compute. A pass then keeps them, and
    /// fuses nothing that would do without them.
    ///
    /// # Errors
    /// [`NetworkError::NoSuchLayer`].
    pub fn with_outputs(mut self, names: &[&str]) -> Result<Network, NetworkError> {
        for name in names {
            let node = self.nodes.iter().find(|node| node.name == *name).and_then(|node| node.outputs.first().copied());
            let value = || self.values.iter().position(|value| value.name == *name).map(ValueId);
            let missing = || NetworkError::NoSuchLayer { network: self.name.clone(), name: (*name).into() };
            let output = node.or_else(value).ok_or_else(missing)?;
            self.outputs.push(output);
        }
        Ok(self)
    }

    /// `network/name`, as a node's problem is called.
    pub fn qualified(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// How often each value is read, and once more for each output that it is.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        let read = self.nodes.iter().flat_map(|node| &node.inputs);
        read.chain(&self.outputs).for_each(|value| uses[value.0] += 1);
        uses
    }
}
