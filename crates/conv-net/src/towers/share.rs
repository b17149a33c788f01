//! A worker's share of a network's weights.

use std::collections::HashMap;

use crate::network::{Network, Node};
use crate::weights::{Weights, WeightsError};

/// Reads what belongs to a worker's channels from the weights of the whole network.
pub(super) struct Share<'a> {
    pub network: &'a Network,
    pub weights: &'a mut dyn Weights,
    /// Of each node that is cut the first channel that the worker computes, by its name.
    pub first: &'a HashMap<String, usize>,
}

impl Weights for Share<'_> {
    fn read(&mut self, node: &Node, parameter: usize, first: usize, values: &mut [f32]) -> Result<(), WeightsError> {
        let whole = self.network.nodes().iter().find(|whole| whole.name == node.name);
        let (Some(whole), Some(part)) = (whole, node.parameters.get(parameter)) else {
            return Err(WeightsError::Absent { layer: node.name.clone() });
        };
        // The first size of whatever belongs to a node that is cut are its output channels.
        let row: usize = part.shape.iter().skip(1).product();
        let start = self.first.get(&node.name).copied().unwrap_or(0) * row;
        self.weights.read(whole, parameter, start + first, values)
    }
}
