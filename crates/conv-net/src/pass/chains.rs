//! Which stages are one step: chains of layers that are computed band by band (DESIGN.md, "Chains").

use std::ops::Range;

use conv_core::{Axis, Method};

use super::bands::{self, Rows};
use super::places::Places;
use super::stage::Stage;
use crate::network::{Network, ValueId};
use crate::operators::Operator;
use crate::shape::Shape;

/// What one worker keeps whole and what several do: the most bytes of a tensor for each of them, and of the weights of a chain.
///
/// A worker alone finds in an L2 of 1 MiB what it wrote; of several each finds half of it in the other's, or more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    /// Bytes of a tensor for each worker from which on it is not kept whole.
    pub tensor: usize,
    /// Bytes that weights of a chain take at most: they stay in L2 beside the buffers of a band.
    pub weights: usize,
}

impl Near {
    /// For so many workers. Measured: DECISIONS.md, "Layers in chains".
    pub fn of(workers: usize) -> Self {
        match workers {
            1 => Near { tensor: 512 << 10, weights: 224 << 10 },
            _ => Near { tensor: 64 << 10, weights: 480 << 10 },
        }
    }
}

/// Rows of a band, of a map that has them, at least.
const LEAST_ROWS: usize = 4;

/// Rows that the busiest worker computes for each of its share, at most: what a chain saves is little more than its bytes.
const MOST_WORK: f64 = 1.2;

/// What decides which stages are chained.
pub(super) struct Chains<'a> {
    pub network: &'a Network,
    /// Of the nodes that have a choice.
    pub methods: &'a [Option<Method>],
    /// How often each value is needed.
    pub uses: &'a [usize],
    pub workers: usize,
    pub near: Near,
}

impl Chains<'_> {
    /// The steps that `stages` are executed in. What a chain adds to is then no longer where its own input is.
    ///
    /// Of all ways to cut them into chains this is the one with the fewest bytes of tensors that could lie within one and do not.
    pub fn steps(&self, stages: &[Stage], places: &mut Places) -> Vec<Range<usize>> {
        let linked: Vec<Option<usize>> = (0..stages.len()).map(|index| self.link(stages, index, places)).collect();
        // For each number of stages from the first on: bytes that are written, and where the last step begins.
        let mut best = vec![(0, 0)];
        for end in 1..=stages.len() {
            let starts = (0..end).rev().take_while(|&start| {
                start + 1 == end || linked[start + 1].is_some() && self.is_chain(&stages[start..end], places)
            });
            let written = |start: usize| best[start].0 + linked[start].unwrap_or_default();
            // Of equals the longest.
            let step = starts.map(|start| (written(start), start)).min();
            best.push(step.expect("a stage of its own is a step"));
        }
        let mut steps = Vec::new();
        let mut end = stages.len();
        while end > 0 {
            let start = best[end].1;
            steps.push(start..end);
            end = start;
        }
        steps.reverse();
        for step in steps.iter().filter(|step| step.len() > 1) {
            let output = stages[step.end - 1].output;
            if places[self.input(&stages[step.start])].root == places[output].root {
                places.separate(output);
            }
        }
        steps
    }

    /// What a stage reads.
    fn input(&self, stage: &Stage) -> ValueId {
        self.network.nodes()[stage.node].inputs[0]
    }

    /// The bytes of what stage `index` reads, if the one before it wrote that for nobody else, and it is not near.
    fn link(&self, stages: &[Stage], index: usize, places: &Places) -> Option<usize> {
        let (before, stage) = (&stages[index.checked_sub(1)?], &stages[index]);
        let value = before.output;
        self.rows(stage, places)?;
        let bytes = self.network.shape(value).ok()?.bytes();
        let alone = self.input(stage) == value && self.uses[value.index()] == 1;
        let own = places[value].root == value && places[value].pitch.is_none();
        (alone && own && bytes / self.workers >= self.near.tensor).then_some(bytes)
    }

    /// Whether stages that are linked are worth being computed together.
    fn is_chain(&self, stages: &[Stage], places: &Places) -> bool {
        let Some(layers) = stages.iter().map(|stage| self.rows(stage, places)).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let (first, last) = (&stages[0], &stages[stages.len() - 1]);
        let apart = last.sum.is_some() || places[self.input(first)].root != places[last.output].root;
        let parameters = stages.iter().flat_map(|stage| &self.network.nodes()[stage.node].parameters);
        let weights: usize = parameters.map(|parameter| size_of::<f32>() * parameter.len()).sum();
        let images = self.network.shape(self.input(first)).map_or(1, Shape::batch);
        let rows = layers[layers.len() - 1].height.output();
        let share = (images * rows) as f64 / self.workers as f64;
        apart
            && weights <= self.near.weights
            && bands::buffer_floats(&layers, rows.min(LEAST_ROWS)) <= bands::MOST_FLOATS
            && bands::most_rows(&layers, images, self.workers) as f64 <= MOST_WORK * share
    }

    /// How a stage goes through its rows, if it can compute some of them from some of its input's.
    pub fn rows(&self, stage: &Stage, places: &Places) -> Option<Rows> {
        let node = &self.network.nodes()[stage.node];
        let &[input] = &node.inputs[..] else { return None };
        let [from, to] = [input, stage.output].map(|value| self.network.shape(value).ok()?.map());
        let (from, to) = (from?, to?);
        let height = match (&node.operator, &node.problem, self.methods[stage.node]) {
            (_, Some(problem), Some(method)) if method.algorithm.plans_rows(problem) => *problem.height(),
            (Operator::MaxPool(pool), ..) => pool.axes(from)[0],
            (
                Operator::Activation(_)
                | Operator::ChannelShuffle { .. }
                | Operator::BatchNormalization(_)
                | Operator::Affine(_),
                ..,
            ) => Axis::new(from.height, 1),
            _ => return None,
        };
        height.band(0..height.output())?;
        let [pitch_from, pitch_to] =
            [(input, from), (stage.output, to)].map(|(value, map)| places[value].pitch.unwrap_or(map.channels));
        Some(Rows {
            height,
            read: from.width * pitch_from,
            written: to.width * pitch_to,
            gaps: [pitch_from - from.channels, pitch_to - to.channels],
        })
    }
}
