//! What is executed at once: nodes that are fused, because what lies between them need not be written.

use crate::network::{Network, ValueId};
use crate::operators::{Activation, Operator, Pool};
use crate::shape::Shape;

/// Nodes that are executed at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The node that it is made of, an index of [`Network::nodes`].
    pub node: usize,
    /// Normalisations and factors after it, which become part of its weights.
    pub folded: Vec<usize>,
    /// The ReLU after it that it applies to its results.
    pub relu: Option<usize>,
    /// The pooling after a local response normalisation.
    pub pool: Option<usize>,
    /// What it writes.
    pub output: ValueId,
}

impl Stage {
    /// The node's name, or both, as in `lrn1+pool1`.
    pub fn name(&self, network: &Network) -> String {
        let name = |node: usize| &network.nodes()[node].name;
        self.pool.map_or_else(|| name(self.node).clone(), |pool| format!("{}+{}", name(self.node), name(pool)))
    }
}

/// A network as it is executed.
pub(super) struct Stages {
    pub stages: Vec<Stage>,
    /// Of each value the one whose floats it has: a flattened pixel's are the pixel's.
    pub same: Vec<ValueId>,
}

impl Stages {
    pub fn of(network: &Network) -> Self {
        let uses = network.uses();
        let readers = readers(network);
        let mut fused = vec![false; network.nodes().len()];
        let mut same: Vec<ValueId> = network.values().iter().enumerate().map(|(index, _)| ValueId::at(index)).collect();
        let mut stages = Vec::new();
        // The one node that reads a value which nothing else needs.
        let alone = |value: ValueId| {
            let reader = readers[value.index()]?;
            (uses[value.index()] == 1).then_some(reader)
        };
        for (index, node) in network.nodes().iter().enumerate() {
            if fused[index] {
                continue;
            }
            let [output] = node.outputs[..] else { continue };
            if let (Operator::Reshape(_), &[input]) = (&node.operator, &node.inputs[..])
                && let (Ok(from), Ok(to)) = (network.shape(input), network.shape(output))
                && in_place(from, to)
                && !(network.inputs().contains(&same[input.index()]) && network.outputs().contains(&output))
            {
                same[output.index()] = same[input.index()];
                continue;
            }
            let mut stage = Stage { node: index, folded: Vec::new(), relu: None, pool: None, output };
            let weighted =
                matches!(node.operator, Operator::Conv(_) | Operator::ConvTranspose(_) | Operator::Linear(_));
            let rectifies = weighted
                || matches!(node.operator, Operator::Binary(_) | Operator::Affine(_) | Operator::BatchNormalization(_));
            let normalises = matches!(node.operator, Operator::Lrn(_));
            while let Some(next) = alone(stage.output) {
                match network.nodes()[next].operator {
                    Operator::BatchNormalization(_) | Operator::Affine(_) if weighted => stage.folded.push(next),
                    Operator::Activation(Activation::Relu) if rectifies => stage.relu = Some(next),
                    Operator::MaxPool(_) if normalises => stage.pool = Some(next),
                    _ => break,
                }
                fused[next] = true;
                stage.output = network.nodes()[next].outputs[0];
                if stage.relu.is_some() || stage.pool.is_some() {
                    break;
                }
            }
            stages.push(stage);
        }
        Stages { stages, same }
    }

    /// The values that a stage reads, as they are in memory.
    pub fn inputs(&self, network: &Network, stage: &Stage) -> Vec<ValueId> {
        network.nodes()[stage.node].inputs.iter().map(|input| self.same[input.index()]).collect()
    }
}

/// The last node that reads each value.
fn readers(network: &Network) -> Vec<Option<usize>> {
    let mut readers = vec![None; network.values().len()];
    for (index, node) in network.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|input| readers[input.index()] = Some(index));
    }
    readers
}

/// Whether the elements of both shapes lie in the same order.
fn in_place(from: &Shape, to: &Shape) -> bool {
    // Images, channels, and what lies along the map.
    let parts = |shape: &Shape| {
        let sizes = shape.sizes();
        let map: Vec<usize> = sizes.iter().skip(2).copied().filter(|&size| size != 1).collect();
        (sizes.first().copied(), sizes.get(1).copied(), map)
    };
    // In the order in which frameworks write.
    let plain = |shape: &Shape| {
        let (_, channels, map) = parts(shape);
        map.is_empty() || channels == Some(1)
    };
    plain(from) && plain(to) || parts(from) == parts(to)
}

/// The pool that a stage ends with.
pub(super) fn pool_of(network: &Network, stage: &Stage) -> Option<Pool> {
    match network.nodes()[stage.pool?].operator {
        Operator::MaxPool(pool) => Some(pool),
        _ => None,
    }
}
