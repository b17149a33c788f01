//! The cut itself: phases of a network, what each worker computes in them, and what crosses from one to the next.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::rules::{self, Ranges, Rule, channels, is_cut};
use crate::network::{Builder, Network, NetworkError, ValueId};
use crate::operators::{Operator, Slice};

/// Which layers are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Convolutions and fully connected layers, as AlexNet's were on two devices: between groups nothing crosses.
    Groups,
    /// Fully connected layers alone, each worker a share of their outputs. Everybody computes everything else.
    Channels,
}

/// Why a network is not cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TowerError {
    /// Of what is not computed here nothing can be cut.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Fewer than two workers, or more than are sensible.
    #[error("{workers} workers; a network is cut for 2 to {MAX_WORKERS}")]
    Workers {
        /// How many were asked for.
        workers: usize,
    },
    /// Nothing that could be computed in chunks.
    #[error(
        "{network} has nothing before its first exchange that could be computed in {chunks} chunks of images; leave --chunks out"
    )]
    NoChunks {
        /// Which.
        network: String,
        /// How many were asked for.
        chunks: usize,
    },
    /// Chunks of different sizes.
    #[error("{chunks} chunks of a batch of {batch}; they must be as large as each other")]
    Chunks {
        /// How many were asked for.
        chunks: usize,
        /// Images.
        batch: usize,
    },
    /// No groups that so many workers could share.
    #[error(
        "{network} has no convolution with groups that {workers} workers could share; cut its fully connected layers with \
         --split channels"
    )]
    NoGroups {
        /// Which.
        network: String,
        /// How many were asked for.
        workers: usize,
    },
    /// Nothing that could be cut.
    #[error("{network} has no fully connected layer of {workers} outputs or more, so there is nothing to cut")]
    NoConnected {
        /// Which.
        network: String,
        /// How many were asked for.
        workers: usize,
    },
}

/// The largest number of workers.
const MAX_WORKERS: usize = 64;

/// A network cut for several workers.
#[derive(Debug, Clone)]
pub struct Towers {
    pub(super) network: Network,
    pub(super) workers: usize,
    pub(super) phases: Vec<Phase>,
    pub(super) arrivals: Vec<Arrival>,
    /// Where the network's outputs are; all of each with worker 0.
    pub(super) outputs: Vec<Feed>,
    /// For each worker, of each node that is cut the first channel that it computes.
    pub(super) first: Vec<HashMap<String, usize>>,
}

/// What is computed between two exchanges.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    /// For each worker.
    pub networks: Vec<Network>,
    /// What the networks' inputs are.
    pub inputs: Vec<Feed>,
    /// Runs of a pass: the images of each are a part of the batch.
    pub chunks: usize,
}

/// Where an input of a phase comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Feed {
    /// Input of the whole network.
    Input(usize),
    /// Index of an [`Arrival`].
    Arrival(usize),
}

/// A value that is needed after the phase that computes it, in the form in which it is needed.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub value: ValueId,
    /// The phase that computes it, and which of its outputs it is there.
    pub phase: usize,
    pub output: usize,
    /// Channels of it that each worker has, and that it needs.
    pub owned: Ranges,
    pub needs: Ranges,
    /// Pixels of all images.
    pub pixels: usize,
}

impl Arrival {
    /// The channels of it that cross from one worker to another.
    pub fn crossing(&self, from: usize, to: usize) -> Range<usize> {
        if from == to || !is_cut(&self.owned) {
            return 0..0;
        }
        let (own, need) = (&self.owned[from], &self.needs[to]);
        let start = own.start.max(need.start);
        start..own.end.min(need.end).max(start)
    }
}

/// What crosses of one value, for a pass over all images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The value's name.
    pub value: String,
    /// The phase after which it crosses. What crosses after the same phase is one exchange.
    pub phase: usize,
    /// Bytes that each worker sends, to all others together.
    pub sent_bytes: Vec<usize>,
    /// Bytes that each worker receives, from all others together.
    pub received_bytes: Vec<usize>,
    /// The nodes that wait for it; none if it is an output.
    pub readers: Vec<String>,
}

impl Towers {
    /// Cuts `network` for `workers`. Up to the first fully connected layer a batch is computed in so many `chunks`.
    ///
    /// # Errors
    /// [`TowerError`] if it is not computed here, or nothing of it can be cut like that.
    pub fn new(network: &Network, workers: usize, split: Split, chunks: usize) -> Result<Self, TowerError> {
        if !(2..=MAX_WORKERS).contains(&workers) {
            return Err(TowerError::Workers { workers });
        }
        if chunks == 0 || !network.batch().is_multiple_of(chunks) {
            return Err(TowerError::Chunks { chunks, batch: network.batch() });
        }
        network.check_computed()?;
        let cut = Cut::of(network, workers, split);
        let name = network.name().to_owned();
        let is_cut = |wanted: fn(&Operator) -> bool| {
            network.nodes().iter().zip(&cut.rules).any(|(node, rule)| wanted(&node.operator) && is_cut(&rule.owns))
        };
        match split {
            Split::Groups if !is_cut(|node| matches!(node, Operator::Conv(conv) if conv.groups > 1)) => {
                Err(TowerError::NoGroups { network: name, workers })
            }
            Split::Channels if !is_cut(|node| matches!(node, Operator::Linear(_))) => {
                Err(TowerError::NoConnected { network: name, workers })
            }
            _ => match cut.finish(chunks)? {
                towers if chunks > 1 && towers.phases[0].chunks == 1 => {
                    Err(TowerError::NoChunks { network: name, chunks })
                }
                towers => Ok(towers),
            },
        }
    }

    /// How many workers it is for.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Phases: one more than there are exchanges, at least.
    pub fn phases(&self) -> usize {
        self.phases.len()
    }

    /// The network that is cut.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What the worker computes, phase by phase, each for the images of one run.
    pub fn networks(&self, worker: usize) -> impl Iterator<Item = &Network> {
        self.phases.iter().map(move |phase| &phase.networks[worker])
    }

    /// What crosses, value by value, in order.
    pub fn crossings(&self) -> Vec<Crossing> {
        let readers = self.readers();
        let crossing = |(arrival, readers): (&Arrival, Vec<String>)| {
            let all = || 0..self.workers;
            let bytes = |channels: usize| size_of::<f32>() * arrival.pixels * channels;
            let sent = |from: usize| bytes(all().map(|to| arrival.crossing(from, to).len()).sum());
            let received = |to: usize| bytes(all().map(|from| arrival.crossing(from, to).len()).sum());
            Crossing {
                value: self.network.value(arrival.value).name.clone(),
                phase: arrival.phase,
                sent_bytes: all().map(sent).collect(),
                received_bytes: all().map(received).collect(),
                readers,
            }
        };
        let crossings = self.arrivals.iter().zip(readers).map(crossing);
        crossings.filter(|crossing| crossing.sent_bytes.iter().any(|&bytes| bytes > 0)).collect()
    }

    /// The names of the nodes that read each arrival.
    fn readers(&self) -> Vec<Vec<String>> {
        let mut of_value: Vec<Vec<&str>> = vec![Vec::new(); self.network.values().len()];
        for node in self.network.nodes() {
            for input in &node.inputs {
                let readers = &mut of_value[input.index()];
                // Whoever reads it twice is one reader.
                if readers.last() != Some(&node.name.as_str()) {
                    readers.push(&node.name);
                }
            }
        }
        let mut readers = vec![Vec::new(); self.arrivals.len()];
        for phase in &self.phases {
            let here: HashSet<&str> = phase.networks[0].nodes().iter().map(|node| node.name.as_str()).collect();
            for feed in &phase.inputs {
                let Feed::Arrival(arrival) = *feed else { continue };
                let nodes = of_value[self.arrivals[arrival].value.index()].iter().filter(|node| here.contains(**node));
                readers[arrival].extend(nodes.map(|&node| node.to_owned()));
            }
        }
        readers
    }
}

/// Of each value the forms in which a worker has it: which channels, and as which value of its network.
type Made = HashMap<ValueId, Vec<(Range<usize>, ValueId)>>;

/// A cut in the making.
struct Cut<'a> {
    network: &'a Network,
    workers: usize,
    /// By node.
    rules: Vec<Rule>,
    phase_of_node: Vec<usize>,
    /// By value; what the caller has belongs to the first.
    owned: Vec<Ranges>,
    /// What is computed of it where it is computed, at least what is owned.
    made: Vec<Ranges>,
    phase_of: Vec<usize>,
    /// By value: which input of the network it is, which node's constant, and which arrivals are of it.
    given: Vec<Option<usize>>,
    constants: Vec<Option<usize>>,
    arrivals_of: Vec<Vec<usize>>,
    arrivals: Vec<Arrival>,
    /// By phase: its nodes but for constants, and the values that it computes for those after it.
    nodes: Vec<Vec<usize>>,
    outputs: Vec<Vec<ValueId>>,
}

impl<'a> Cut<'a> {
    fn of(network: &'a Network, workers: usize, split: Split) -> Self {
        let whole = |value| vec![0..channels(network, ValueId::at(value)); workers];
        let values = network.values().len();
        let mut cut = Cut {
            network,
            workers,
            rules: Vec::new(),
            phase_of_node: Vec::new(),
            owned: (0..values).map(whole).collect(),
            made: (0..values).map(whole).collect(),
            phase_of: vec![0; values],
            given: vec![None; values],
            constants: vec![None; values],
            arrivals_of: vec![Vec::new(); values],
            arrivals: Vec::new(),
            nodes: Vec::new(),
            outputs: Vec::new(),
        };
        for (index, input) in network.inputs().iter().enumerate() {
            cut.given[input.index()].get_or_insert(index);
        }
        for (index, node) in network.nodes().iter().enumerate() {
            let of = |ranges: &'_ [Ranges]| node.inputs.iter().map(|input| ranges[input.index()].clone()).collect();
            let [owned, made]: [Vec<Ranges>; 2] = [of(&cut.owned), of(&cut.made)];
            let [owned, made] = [&owned, &made].map(|ranges| ranges.iter().collect::<Vec<_>>());
            let rule = rules::rule(network, node, [&owned, &made], split, workers);
            let after = |(input, needs): (&ValueId, &Ranges)| {
                let crosses = needs.iter().zip(&cut.made[input.index()]).any(|(need, made)| !within(need, made));
                cut.phase_of[input.index()] + usize::from(crosses)
            };
            let phase = node.inputs.iter().zip(&rule.needs).map(after).max().unwrap_or(0);
            for output in &node.outputs {
                cut.owned[output.index()] = rule.owns.clone();
                cut.made[output.index()] = rule.computes.clone();
                cut.phase_of[output.index()] = phase;
            }
            cut.rules.push(rule);
            cut.phase_of_node.push(phase);
            cut.nodes.resize(cut.nodes.len().max(phase + 1), Vec::new());
            if matches!(node.operator, Operator::Constant(_)) {
                node.outputs.iter().for_each(|output| cut.constants[output.index()] = Some(index));
            } else {
                cut.nodes[phase].push(index);
            }
        }
        cut
    }

    fn finish(mut self, chunks: usize) -> Result<Towers, NetworkError> {
        let network = self.network;
        let last = self.phase_of_node.iter().copied().max().unwrap_or(0);
        // Arrivals are found while the first worker's networks are made, and are the same for all.
        let outputs: Vec<Feed> = network.outputs().iter().map(|&output| self.result(output)).collect();
        let mut phases = Vec::new();
        for phase in 0..=last {
            phases.push(Phase { networks: Vec::new(), inputs: self.inputs(phase), chunks: 1 });
        }
        self.number_outputs();
        let apart = |phase: usize| {
            let mut nodes = network.nodes().iter().zip(&self.phase_of_node).filter(|(_, of)| **of == phase);
            nodes.all(|(node, _)| rules::images_apart(network, node))
        };
        let alike = network.values().iter().all(|value| {
            value.shape.as_ref().is_some_and(|shape| shape.batch() == network.batch()) //
        });
        let chunked = if alike { (0..=last).take_while(|&phase| apart(phase)).count() } else { 0 };
        for (index, phase) in phases.iter_mut().enumerate() {
            phase.chunks = if index < chunked { chunks } else { 1 };
            phase.networks = (0..self.workers)
                .map(|worker| self.network_of(index, worker, &phase.inputs, phase.chunks))
                .collect::<Result<_, _>>()?;
        }
        let first = |worker: usize| {
            let cut = network.nodes().iter().zip(&self.rules).filter(|(_, rule)| is_cut(&rule.computes));
            cut.map(|(node, rule)| (node.name.clone(), rule.computes[worker].start)).collect()
        };
        let first = (0..self.workers).map(first).collect();
        let (workers, arrivals) = (self.workers, self.arrivals);
        Ok(Towers { network: network.clone(), workers, phases, arrivals, outputs, first })
    }

    /// The arrival that `needs` of a value are.
    fn arrival(&mut self, value: ValueId, needs: &Ranges) -> Feed {
        // Everybody has all of what the network is given.
        if let Some(input) = self.given[value.index()] {
            return Feed::Input(input);
        }
        let same = |&&arrival: &&usize| self.arrivals[arrival].needs == *needs;
        let known = self.arrivals_of[value.index()].iter().find(same).copied();
        let index = known.unwrap_or_else(|| {
            self.arrivals_of[value.index()].push(self.arrivals.len());
            let shape = self.network.value(value).shape.as_ref();
            self.arrivals.push(Arrival {
                value,
                phase: self.phase_of[value.index()],
                output: 0,
                owned: self.owned[value.index()].clone(),
                needs: needs.clone(),
                pixels: shape.map_or(0, crate::Shape::floats) / channels(self.network, value),
            });
            self.arrivals.len() - 1
        });
        Feed::Arrival(index)
    }

    /// An output of the network: all of it for worker 0.
    fn result(&mut self, output: ValueId) -> Feed {
        let mut needs = self.owned[output.index()].clone();
        needs[0] = 0..channels(self.network, output);
        self.arrival(output, &needs)
    }

    /// What a phase takes from those before it.
    fn inputs(&mut self, phase: usize) -> Vec<Feed> {
        let (mut inputs, mut known) = (Vec::new(), HashSet::new());
        for index in self.nodes[phase].clone() {
            let node = &self.network.nodes()[index];
            for (operand, &value) in node.inputs.iter().enumerate() {
                if !self.is_made_here(value, phase) {
                    let needs = self.rules[index].needs[operand].clone();
                    let feed = self.arrival(value, &needs);
                    if known.insert(feed) {
                        inputs.push(feed);
                    }
                }
            }
        }
        inputs
    }

    fn is_made_here(&self, value: ValueId, phase: usize) -> bool {
        let place = value.index();
        self.given[place].is_none() && (self.phase_of[place] == phase || self.constants[place].is_some())
    }

    /// Which output of its phase each arrival is.
    fn number_outputs(&mut self) {
        let mut places = vec![None; self.network.values().len()];
        self.outputs = vec![Vec::new(); self.nodes.len()];
        for arrival in &mut self.arrivals {
            let outputs = &mut self.outputs[arrival.phase];
            arrival.output = *places[arrival.value.index()].get_or_insert_with(|| {
                outputs.push(arrival.value);
                outputs.len() - 1
            });
        }
    }

    /// What a worker computes in a phase.
    fn network_of(&self, phase: usize, worker: usize, inputs: &[Feed], chunks: usize) -> Result<Network, NetworkError> {
        let network = self.network;
        let mut builder = Builder::new(network.name());
        // Of each value the forms in which it is here: its channels, and what it is called now.
        let mut made = Made::new();
        for (index, feed) in inputs.iter().enumerate() {
            let (value, range) = match feed {
                Feed::Input(index) => (network.inputs()[*index], 0..channels(network, network.inputs()[*index])),
                Feed::Arrival(index) => (self.arrivals[*index].value, self.arrivals[*index].needs[worker].clone()),
            };
            let mut sizes = network.shape(value)?.sizes().to_vec();
            if let Some(size) = sizes.get_mut(1) {
                *size = range.len();
            }
            if let Some(size) = sizes.first_mut() {
                *size /= chunks;
            }
            // Of one value there may be several that are alike for this worker alone.
            let name = format!("{}@{index}", named(&network.value(value).name, &range, channels(network, value)));
            let local = builder.input(name, &sizes)?;
            made.entry(value).or_default().push((range, local));
        }
        for &index in &self.nodes[phase] {
            let (node, rule) = (&network.nodes()[index], &self.rules[index]);
            let mut operands = Vec::new();
            for (operand, &value) in node.inputs.iter().enumerate() {
                operands.push(self.operand(&mut builder, &mut made, value, &rule.needs[operand][worker])?);
            }
            let filter_channels = node.parameters.first().and_then(|weight| weight.shape.get(1)).copied().unwrap_or(1);
            let computes = &rule.computes[worker];
            let needs = rule.needs.first().map_or(0..0, |needs| needs[worker].clone());
            let operator = rules::local(&node.operator, computes, &needs, filter_channels);
            let output = node.outputs[0];
            let local = builder.named(&node.name, &network.value(output).name, operator, &operands)?;
            made.entry(output).or_default().push((computes.clone(), local));
        }
        let mut outputs = Vec::new();
        for &value in &self.outputs[phase] {
            outputs.push(self.operand(&mut builder, &mut made, value, &self.owned[value.index()][worker])?);
        }
        builder.finish(&outputs)
    }

    /// `range` of the channels of a value, cut out of those that are here if they are more.
    fn operand(
        &self,
        builder: &mut Builder,
        made: &mut Made,
        value: ValueId,
        range: &Range<usize>,
    ) -> Result<ValueId, NetworkError> {
        let made = made.entry(value).or_default();
        let exact = made.iter().find(|(is, _)| is == range);
        let here = exact.or_else(|| made.iter().find(|(is, _)| within(range, is))).cloned();
        let (is, local) = match (here, self.constants[value.index()]) {
            (Some(found), _) => found,
            (None, Some(node)) => {
                let node = &self.network.nodes()[node];
                let local = builder.named(&node.name, &self.network.value(value).name, node.operator.clone(), &[])?;
                let all = 0..channels(self.network, value);
                made.push((all.clone(), local));
                (all, local)
            }
            (None, None) => {
                let name = &self.network.value(value).name;
                return Err(NetworkError::UnknownShape { value: format!("{}/{name}", self.network.name()) });
            }
        };
        if is == *range {
            return Ok(local);
        }
        let Some(shape) = builder.shape(local).cloned() else { return Ok(local) };
        let slice = Slice::of(&shape, 1, range.start - is.start, range.len());
        let name = named(&self.network.value(value).name, range, channels(self.network, value));
        let local = builder.node(name, Operator::Slice(slice), &[local])?;
        made.push((range.clone(), local));
        Ok(local)
    }
}

/// What a range of a value's channels is called.
fn named(value: &str, range: &Range<usize>, channels: usize) -> String {
    if *range == (0..channels) { value.into() } else { format!("{value}[{}..{}]", range.start, range.end) }
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    inner.start >= outer.start && inner.end <= outer.end
}
