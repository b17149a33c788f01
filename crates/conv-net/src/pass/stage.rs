//! One stage of a pass: nodes that are fused.

use conv_simd::Bounds;

use crate::network::{Network, ValueId};
use crate::operators::{Activation, Operator, Pool};

/// Nodes that are executed at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The node that it is made of, an index of [`Network::nodes`].
    pub node: usize,
    /// Normalisations and factors after it, which become part of its weights.
    pub folded: Vec<usize>,
    /// The sum after it that it adds its results to: they go where its other operand is, which nothing else needs any more.
    pub sum: Option<usize>,
    /// The ReLU or Clip after it that it applies to its results.
    pub activation: Option<usize>,
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

    /// The other operand of its sum.
    pub(super) fn residual(&self, network: &Network) -> Option<ValueId> {
        let own = network.nodes()[self.folded.last().copied().unwrap_or(self.node)].outputs[0];
        network.nodes()[self.sum?].inputs.iter().copied().find(|&input| input != own)
    }

    /// Of its results.
    pub(super) fn bounds(&self, network: &Network) -> Bounds {
        self.activation.and_then(|node| bounds(&network.nodes()[node].operator)).unwrap_or(Bounds::NONE)
    }

    /// All nodes that are executed with it.
    pub(super) fn nodes(&self) -> impl Iterator<Item = usize> {
        let after = [self.sum, self.activation, self.pool].into_iter().flatten();
        std::iter::once(self.node).chain(self.folded.iter().copied()).chain(after)
    }
}

/// The bounds that an activation keeps results within, if it does nothing else.
pub(super) fn bounds(operator: &Operator) -> Option<Bounds> {
    match operator {
        Operator::Activation(Activation::Relu) => Some(Bounds::RELU),
        &Operator::Activation(Activation::Clip { low, high }) if low <= high => Some(Bounds { least: low, most: high }),
        _ => None,
    }
}

/// The pool that a stage ends with.
pub(super) fn pool_of(network: &Network, stage: &Stage) -> Option<Pool> {
    match network.nodes()[stage.pool?].operator {
        Operator::MaxPool(pool) => Some(pool),
        _ => None,
    }
}

/// What a step is called: as its stage, or as the first and the last of its chain, `features.2.conv.0..features.2.conv.2`.
pub(super) fn name(network: &Network, step: &[Stage]) -> String {
    match step {
        [first, .., last] => format!("{}..{}", first.name(network), last.name(network)),
        _ => step.iter().map(|stage| stage.name(network)).collect(),
    }
}
