//! What is executed at once: nodes that are fused, because what lies between them need not be written.

use std::ops::Range;

use super::chains::Chains;
use super::places::{Place, Places};
use super::stage::{Stage, bounds};
use crate::network::{Network, ValueId};
use crate::operators::{Binary, Operator};
use crate::shape::Shape;

/// A network as it is executed.
pub(super) struct Stages {
    stages: Vec<Stage>,
    /// Which of them are executed as one, in order.
    steps: Vec<Range<usize>>,
    /// Where each value is.
    pub places: Places,
}

impl Stages {
    pub fn of(chains: &Chains<'_>) -> Self {
        let network = chains.network;
        let mut fusion = Fusion::new(network);
        for node in 0..network.nodes().len() {
            fusion.node(node);
        }
        let Fusion { mut stages, mut places, .. } = fusion;
        places.join(network, &mut stages);
        let steps = chains.steps(&stages, &mut places);
        Stages { stages, steps, places }
    }

    /// What is executed, step by step: a stage or a chain of them.
    pub fn steps(&self) -> impl Iterator<Item = &[Stage]> {
        self.steps.iter().map(|step| &self.stages[step.clone()])
    }
}

/// Nodes on their way into stages, in their order.
struct Fusion<'a> {
    network: &'a Network,
    stages: Vec<Stage>,
    places: Places,
    /// How often each value is needed.
    uses: Vec<usize>,
    /// The last node that reads each value.
    readers: Vec<Option<usize>>,
    fused: Vec<bool>,
    /// By the value that a buffer belongs to: whether a stage wrote it, and how often what is in it will still be needed.
    written: Vec<bool>,
    pending: Vec<usize>,
}

impl<'a> Fusion<'a> {
    fn new(network: &'a Network) -> Self {
        let uses = network.uses();
        Fusion {
            network,
            stages: Vec::new(),
            places: Places::apart(network.values().len()),
            readers: readers(network),
            fused: vec![false; network.nodes().len()],
            written: vec![false; network.values().len()],
            pending: uses.clone(),
            uses,
        }
    }

    /// Makes a stage of a node that is none's yet, with those after it that it can take in.
    fn node(&mut self, index: usize) {
        let node = &self.network.nodes()[index];
        let [output] = node.outputs[..] else { return };
        if self.fused[index] {
            return;
        }
        if let (Operator::Reshape(_), &[input]) = (&node.operator, &node.inputs[..])
            && self.stays(input, output)
        {
            return self.share(self.places[input], output);
        }
        let mut stage = Stage { node: index, folded: Vec::new(), sum: None, activation: None, pool: None, output };
        while let Some(next) = self.alone(stage.output) {
            if !self.takes(&mut stage, next) {
                break;
            }
            self.fused[next] = true;
            stage.output = self.network.nodes()[next].outputs[0];
        }
        let read = stage.nodes().flat_map(|node| &self.network.nodes()[node].inputs);
        for value in read.copied().collect::<Vec<_>>() {
            self.pending[self.places[value].root.index()] -= 1;
        }
        if let Some(residual) = stage.residual(self.network) {
            self.share(self.places[residual], stage.output);
        }
        let constant = matches!(node.operator, Operator::Constant(_));
        self.written[self.places[stage.output].root.index()] = !constant;
        self.stages.push(stage);
    }

    /// The one node that reads a value which nothing else needs.
    fn alone(&self, value: ValueId) -> Option<usize> {
        self.readers[value.index()].filter(|_| self.uses[value.index()] == 1)
    }

    /// Enters `next`, which reads what `stage` writes, into it, if that can be.
    fn takes(&self, stage: &mut Stage, next: usize) -> bool {
        let operator = &self.network.nodes()[stage.node].operator;
        let planned = matches!(operator, Operator::Conv(_) | Operator::Linear(_));
        let scales = matches!(operator, Operator::BatchNormalization(_) | Operator::Affine(_));
        let weighted = planned || matches!(operator, Operator::ConvTranspose(_));
        if stage.activation.is_some() || stage.pool.is_some() {
            return false;
        }
        match &self.network.nodes()[next].operator {
            Operator::BatchNormalization(_) | Operator::Affine(_) if weighted || scales => {
                let before_the_sum = stage.sum.is_none();
                if before_the_sum {
                    stage.folded.push(next);
                }
                before_the_sum
            }
            Operator::Binary(Binary::Add) if planned && stage.sum.is_none() && self.adds(stage, next) => {
                stage.sum = Some(next);
                true
            }
            Operator::MaxPool(_) if matches!(operator, Operator::Lrn(_)) => {
                stage.pool = Some(next);
                true
            }
            after if bounds(after).is_some() && (weighted || scales || matches!(operator, Operator::Binary(_))) => {
                stage.activation = Some(next);
                true
            }
            _ => false,
        }
    }

    /// Whether the results of `stage` can be added to the other operand of `sum` where that is: a stage before wrote it, and
    /// nobody else will read what is there, the stage itself least of all.
    fn adds(&self, stage: &Stage, sum: usize) -> bool {
        let inputs = &self.network.nodes()[sum].inputs;
        let Some(&other) = inputs.iter().find(|&&input| input != stage.output) else { return false };
        let root = self.places[other].root.index();
        let same =
            |a: ValueId, b: ValueId| matches!((self.network.shape(a), self.network.shape(b)), (Ok(a), Ok(b)) if a == b);
        self.written[root] && self.pending[root] == 1 && same(other, stage.output)
    }

    /// Whether a reshaped value has the same floats in the same order, and may be where it is.
    fn stays(&self, input: ValueId, output: ValueId) -> bool {
        let (Ok(from), Ok(to)) = (self.network.shape(input), self.network.shape(output)) else { return false };
        let caller =
            self.network.inputs().contains(&self.places[input].root) && self.network.outputs().contains(&output);
        in_place(from, to) && !caller
    }

    /// Puts `value` where `place` is.
    fn share(&mut self, place: Place, value: ValueId) {
        self.pending[place.root.index()] += self.pending[value.index()];
        self.places.put(value, place);
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
