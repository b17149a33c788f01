//! Networks are made node by node.

use std::collections::HashSet;

use super::{Network, NetworkError, Node, Value, ValueId};
use crate::operators::{Opaque, Operator, OperatorError};
use crate::shape::Shape;

/// A [`Network`] in the making.
#[derive(Debug, Clone)]
pub struct Builder {
    network: Network,
    names: HashSet<String>,
    value_names: HashSet<String>,
}

impl Builder {
    /// A network called `name` without nodes.
    pub fn new(name: impl Into<String>) -> Self {
        let network = Network {
            name: name.into(),
            values: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        Builder { network, names: HashSet::new(), value_names: HashSet::new() }
    }

    /// Another input.
    ///
    /// # Errors
    /// [`NetworkError`] if `sizes` are no shape or another value has this name.
    pub fn input(&mut self, name: impl Into<String>, sizes: &[usize]) -> Result<ValueId, NetworkError> {
        let name = name.into();
        let shape =
            Shape::new(sizes).map_err(|source| NetworkError::Input { input: self.network.qualified(&name), source })?;
        let id = self.value(name, Some(shape))?;
        self.network.inputs.push(id);
        Ok(id)
    }

    /// Another node, on values that were computed before, and what it computes, which is called like the node.
    ///
    /// # Errors
    /// [`NetworkError`] if it does not fit `inputs`, or another node has this name.
    pub fn node(
        &mut self,
        name: impl Into<String>,
        operator: Operator,
        inputs: &[ValueId],
    ) -> Result<ValueId, NetworkError> {
        let name = name.into();
        self.named(name.clone(), name, operator, inputs)
    }

    /// [`Builder::node`] whose result is called `output`.
    ///
    /// # Errors
    /// As [`Builder::node`].
    pub fn named(
        &mut self,
        name: impl Into<String>,
        output: impl Into<String>,
        operator: Operator,
        inputs: &[ValueId],
    ) -> Result<ValueId, NetworkError> {
        let (network, name) = (&self.network, name.into());
        let wrong = |source: OperatorError| NetworkError::Operator { node: network.qualified(&name), source };
        let shapes = inputs.iter().map(|&input| network.shape(input)).collect::<Result<Vec<_>, _>>()?;
        let shape = operator.shape(&shapes).map_err(wrong)?;
        let problem = match shapes.first() {
            Some(input) => operator.problem(input).map_err(wrong)?,
            None => None,
        };
        let problem = problem.map(|problem| problem.with_name(network.qualified(&name)));
        let parameters = operator.parameters(&shapes);
        self.claim(&name)?;
        let output = self.value(output.into(), Some(shape))?;
        let (inputs, outputs) = (inputs.to_vec(), vec![output]);
        self.network.nodes.push(Node { name, operator, inputs, outputs, parameters, problem });
        Ok(output)
    }

    /// A node that is not computed, with the names of its outputs and what is known of their shapes.
    ///
    /// # Errors
    /// [`NetworkError::DuplicateName`].
    pub fn opaque(
        &mut self,
        name: impl Into<String>,
        opaque: Opaque,
        inputs: &[ValueId],
        outputs: Vec<(String, Option<Shape>)>,
    ) -> Result<Vec<ValueId>, NetworkError> {
        let name = name.into();
        self.claim(&name)?;
        let outputs =
            outputs.into_iter().map(|(name, shape)| self.value(name, shape)).collect::<Result<Vec<_>, _>>()?;
        self.network.nodes.push(Node {
            name,
            operator: Operator::Opaque(opaque),
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            parameters: Vec::new(),
            problem: None,
        });
        Ok(outputs)
    }

    /// The shape of a value, if it is known.
    pub fn shape(&self, id: ValueId) -> Option<&Shape> {
        self.network.value(id).shape.as_ref()
    }

    /// What a value is called.
    pub fn name(&self, id: ValueId) -> &str {
        &self.network.value(id).name
    }

    /// Images: the first size of the first input.
    pub fn batch(&self) -> usize {
        self.network.batch()
    }

    /// Whether a node has this name already.
    pub fn has_node(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The nodes so far.
    pub fn nodes(&self) -> &[Node] {
        self.network.nodes()
    }

    /// The network that computes `outputs`, without the nodes that nothing of it needs.
    ///
    /// # Errors
    /// [`NetworkError::Empty`] if no node computes anything for them.
    pub fn finish(self, outputs: &[ValueId]) -> Result<Network, NetworkError> {
        let Builder { mut network, .. } = self;
        let mut needed = vec![false; network.values.len()];
        outputs.iter().for_each(|output| needed[output.0] = true);
        let mut kept: Vec<bool> = network
            .nodes
            .iter()
            .rev()
            .map(|node| {
                let keep = node.outputs.iter().any(|output| needed[output.0]);
                if keep {
                    node.inputs.iter().for_each(|input| needed[input.0] = true);
                }
                keep
            })
            .collect();
        network.nodes.retain(|_| kept.pop().unwrap_or(false));
        network.outputs = outputs.to_vec();
        if network.nodes.iter().all(|node| matches!(node.operator, Operator::Constant(_))) {
            return Err(NetworkError::Empty { network: network.name });
        }
        Ok(network)
    }

    fn claim(&mut self, name: &str) -> Result<(), NetworkError> {
        if self.names.insert(name.into()) { Ok(()) } else { Err(self.duplicate("layers", name)) }
    }

    fn value(&mut self, name: String, shape: Option<Shape>) -> Result<ValueId, NetworkError> {
        if !self.value_names.insert(name.clone()) {
            return Err(self.duplicate("values", &name));
        }
        self.network.values.push(Value { name, shape });
        Ok(ValueId(self.network.values.len() - 1))
    }

    fn duplicate(&self, what: &'static str, name: &str) -> NetworkError {
        NetworkError::DuplicateName { network: self.network.name.clone(), what, name: name.into() }
    }
}
