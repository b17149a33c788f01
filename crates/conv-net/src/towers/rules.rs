//! What a worker needs of a node's inputs to compute its part of the node, and which part that is: ranges of channels.

use std::ops::Range;

use super::Split;
use crate::network::{Network, Node, ValueId};
use crate::operators::{Conv, Linear, Operator};
use crate::shape::Shape;

/// A range of channels for each worker.
pub(super) type Ranges = Vec<Range<usize>>;

/// How a node is computed by several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Of each input what each worker needs.
    pub needs: Vec<Ranges>,
    /// What each worker computes from that.
    pub computes: Ranges,
    /// What is valid of that, and stays with it.
    pub owns: Ranges,
}

/// Channels of a tensor: its second size.
pub(super) fn channels(network: &Network, value: ValueId) -> usize {
    network.value(value).shape.as_ref().and_then(|shape| shape.sizes().get(1)).copied().unwrap_or(1)
}

/// Whether workers have parts of a value, and not all of it each.
pub(super) fn is_cut(ranges: &Ranges) -> bool {
    ranges.windows(2).any(|pair| pair[0] != pair[1])
}

/// The rule for `node`, of whose inputs the workers own `owned`, and have at least that: what they `made`.
pub(super) fn rule(
    network: &Network,
    node: &Node,
    [owned, made]: [&[&Ranges]; 2],
    split: Split,
    workers: usize,
) -> Rule {
    let everything = || everything(network, node, workers);
    match &node.operator {
        Operator::Conv(conv) if split == Split::Groups => convolution(network, node, conv, workers),
        Operator::Linear(linear) => outputs_apart(network, node, linear.out_features, workers),
        // Windows of other sizes are summed up in another order where a worker's channels end: other bits.
        Operator::Lrn(lrn) if lrn.size == 5 && is_cut(owned[0]) => {
            let (margin, all) = (lrn.size / 2, channels(network, node.inputs[0]));
            let wider = |own: &Range<usize>| own.start.saturating_sub(margin)..(own.end + margin).min(all);
            let needs: Ranges = owned[0].iter().map(wider).collect();
            Some(Rule { needs: vec![needs.clone()], computes: needs, owns: owned[0].clone() })
        }
        Operator::BatchNormalization(_) | Operator::Affine(_) | Operator::Activation(_) => {
            Some(alike(owned[0], vec![owned[0].clone()]))
        }
        // The margin of a normalisation is cut off behind the pool, where there is less of it, and both stay one stage.
        Operator::MaxPool(_) | Operator::AveragePool(_) => {
            Some(Rule { owns: owned[0].clone(), ..alike(made[0], vec![made[0].clone()]) })
        }
        Operator::Binary(_) => elementwise(network, node, owned),
        _ => None,
    }
    .unwrap_or_else(everything)
}

/// Everybody computes all of it.
fn everything(network: &Network, node: &Node, workers: usize) -> Rule {
    let whole = |&value: &ValueId| vec![0..channels(network, value); workers];
    let computes = node.outputs.first().map_or_else(Vec::new, whole);
    alike(&computes, node.inputs.iter().map(whole).collect())
}

/// What is computed is what is owned.
fn alike(owns: &Ranges, needs: Vec<Ranges>) -> Rule {
    Rule { needs, computes: owns.clone(), owns: owns.clone() }
}

/// Each worker a share of the outputs, from all inputs.
fn outputs_apart(network: &Network, node: &Node, outputs: usize, workers: usize) -> Option<Rule> {
    let all = vec![0..channels(network, node.inputs[0]); workers];
    (outputs >= workers).then(|| alike(&shares(outputs, workers), vec![all]))
}

/// Whole groups if there are as many for each worker; as many workers for each group; or, without groups, all inputs for a
/// share of the outputs.
fn convolution(network: &Network, node: &Node, conv: &Conv, workers: usize) -> Option<Rule> {
    let (groups, outputs) = (conv.groups, conv.out_channels);
    if groups == 1 {
        return outputs_apart(network, node, outputs, workers);
    }
    let (inputs, each) = (channels(network, node.inputs[0]) / groups, outputs / groups);
    let (computes, needs): (Ranges, Ranges) = if groups.is_multiple_of(workers) {
        let groups = shares(groups, workers);
        let times = |by: usize| groups.iter().map(|groups| groups.start * by..groups.end * by).collect();
        (times(each), times(inputs))
    } else if workers.is_multiple_of(groups) && each >= workers / groups {
        let together = workers / groups;
        let within = shares(each, together);
        let part = |worker: usize| {
            let (group, part) = (worker / together, &within[worker % together]);
            let computes = group * each + part.start..group * each + part.end;
            (computes, group * inputs..(group + 1) * inputs)
        };
        (0..workers).map(part).unzip()
    } else {
        return None;
    };
    Some(alike(&computes, vec![needs]))
}

/// Like its first operand that is cut; of one whose channels are repeated everybody needs them.
fn elementwise(network: &Network, node: &Node, owned: &[&Ranges]) -> Option<Rule> {
    let shape = |value: ValueId| network.value(value).shape.as_ref();
    let output = shape(node.outputs[0])?;
    let fits = |&input: &ValueId| {
        let rank = shape(input).map_or(0, Shape::rank);
        rank >= 2 && rank == output.rank()
    };
    if !node.inputs.iter().all(fits) {
        return None;
    }
    let all = channels(network, node.outputs[0]);
    let operands = || node.inputs.iter().zip(owned);
    let own = operands().find(|(input, owned)| channels(network, **input) == all && is_cut(owned))?.1;
    let needs = |(&input, owned): (&ValueId, &&Ranges)| match channels(network, input) {
        of if of == all => (*own).clone(),
        of => vec![0..of; owned.len()],
    };
    Some(alike(own, operands().map(needs).collect()))
}

/// `count` channels cut for `workers`, about equally.
fn shares(count: usize, workers: usize) -> Ranges {
    (0..workers).map(|worker| worker * count / workers..(worker + 1) * count / workers).collect()
}

/// The operator by which a worker computes `computes` of what `node` does, from `needs` of its first input.
pub(super) fn local(
    operator: &Operator,
    computes: &Range<usize>,
    needs: &Range<usize>,
    filter_channels: usize,
) -> Operator {
    match operator {
        Operator::Conv(conv) => {
            Operator::Conv(Conv { out_channels: computes.len(), groups: needs.len() / filter_channels, ..*conv })
        }
        Operator::Linear(linear) => Operator::Linear(Linear { out_features: computes.len(), ..*linear }),
        other => other.clone(),
    }
}

/// Whether a node may be computed for some images of a batch at a time: they have nothing to do with each other there, and its
/// parameters know no batch. Of fully connected layers the weights are read once, for all.
pub(super) fn images_apart(network: &Network, node: &Node) -> bool {
    let of_a_batch = matches!(node.operator, Operator::Reshape(_) | Operator::Slice(_) | Operator::Constant(_));
    !of_a_batch && !matches!(node.operator, Operator::Linear(_)) && network.keeps_images_apart(node)
}
