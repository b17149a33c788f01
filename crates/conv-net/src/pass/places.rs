//! Where values are: each in a buffer of its own, or in one that it shares.
//!
//! A reshaped value shares its operand's, a sum that of the operand which nothing else needs. The parts of a concatenation
//! along the channels are slices of its result's channels, wherever whoever writes a part can write so, and whoever else
//! reads it can read so: then nothing is copied.

use std::ops::Index;

use super::stage::Stage;
use crate::network::{Network, ValueId};
use crate::operators::Operator;
use crate::shape::Shape;

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The value whose buffer it is.
    pub root: ValueId,
    /// Floats from the buffer's beginning.
    pub start: usize,
    /// Floats from one pixel to the next, if that is more than its channels.
    pub pitch: Option<usize>,
}

/// A value's shape, and how it lies in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub shape: &'a Shape,
    /// See [`Place::pitch`].
    pub pitch: Option<usize>,
}

impl View<'_> {
    /// Floats from one element to the next along each axis.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = self.shape.strides();
        if let Some(pitch) = self.pitch {
            let channels = self.shape.sizes()[1];
            for (axis, stride) in strides.iter_mut().enumerate() {
                if axis != 1 {
                    *stride = *stride / channels * pitch;
                }
            }
        }
        strides
    }

    /// Floats from the first element to the last.
    pub fn span(&self) -> usize {
        let floats = self.shape.floats();
        self.pitch.map_or(floats, |pitch| {
            let channels = self.shape.sizes()[1];
            (floats / channels - 1) * pitch + channels
        })
    }
}

/// The places of all values.
pub(super) struct Places(Vec<Place>);

impl Index<ValueId> for Places {
    type Output = Place;

    fn index(&self, value: ValueId) -> &Place {
        &self.0[value.index()]
    }
}

impl Places {
    /// Each of `count` values in a buffer of its own.
    pub fn apart(count: usize) -> Self {
        let place = |index| Place { root: ValueId::at(index), start: 0, pitch: None };
        Places((0..count).map(place).collect())
    }

    /// Puts a value elsewhere.
    pub fn put(&mut self, value: ValueId, place: Place) {
        self.0[value.index()] = place;
    }

    /// Gives `value`, which a sum put where its other operand is, and what was put there after it a buffer of their own.
    pub fn separate(&mut self, value: ValueId) {
        let before = self[value].root;
        self.0[value.index()..].iter_mut().filter(|place| place.root == before).for_each(|place| place.root = value);
    }

    /// A value as it lies.
    pub fn view<'a>(&self, value: ValueId, shape: &'a Shape) -> View<'a> {
        View { shape, pitch: self[value].pitch }
    }

    /// Puts the parts of concatenations into their results, and takes those out of `stages` that then have nothing to do.
    pub fn join(&mut self, network: &Network, stages: &mut Vec<Stage>) {
        let users = Users::of(network, stages, self);
        // The last first: its result's place is known when that of its parts is asked for.
        let mut idle = vec![false; stages.len()];
        for (index, stage) in stages.iter().enumerate().rev() {
            let node = &network.nodes()[stage.node];
            let Operator::Concat(concat) = &node.operator else { continue };
            let Ok(output) = network.shape(stage.output) else { continue };
            if concat.axis != 1 || output.rank() < 2 {
                continue;
            }
            if let Some(place) = self.neighbours(network, &node.inputs)
                && users.may_be_read(stage.output, index, place.root, (network, stages, self))
            {
                self.put(stage.output, place);
                idle[index] = true;
                continue;
            }
            let whole = self[stage.output];
            if users.summed[whole.root.index()] {
                continue;
            }
            let pitch = Some(whole.pitch.unwrap_or(output.sizes()[1]));
            let mut start = whole.start;
            let mut parts = node.inputs.clone();
            parts.sort_unstable();
            idle[index] = true;
            for &part in &node.inputs {
                let Ok(shape) = network.shape(part) else { continue };
                let twice = parts.get(parts.partition_point(|&other| other < part) + 1) == Some(&part);
                let joins = !twice && users.allow(part, index, whole.root, (network, stages, self));
                if joins {
                    self.put(part, Place { root: whole.root, start, pitch });
                }
                idle[index] &= joins;
                start += shape.sizes()[1];
            }
        }
        let mut idle = idle.into_iter();
        stages.retain(|_| idle.next() != Some(true));
    }

    /// The place of `parts` together, if they are slices of one tensor's channels side by side already: those of a dense
    /// block are parts of the next concatenation too.
    fn neighbours(&self, network: &Network, parts: &[ValueId]) -> Option<Place> {
        let first = self[*parts.first()?];
        first.pitch?;
        let mut next = first.start;
        for &part in parts {
            if self[part] != (Place { start: next, ..first }) {
                return None;
            }
            next += network.shape(part).ok()?.sizes()[1];
        }
        Some(first)
    }
}

/// Who writes and reads each value, as indices of stages.
struct Users {
    writer: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
    /// Whether another value shares its buffer, or the caller needs it as it is.
    bound: Vec<bool>,
    /// Whether something is added to what is in its buffer, which its parts would lose.
    summed: Vec<bool>,
}

impl Users {
    fn of(network: &Network, stages: &[Stage], places: &Places) -> Self {
        let values = network.values().len();
        let (bound, summed) = (vec![false; values], vec![false; values]);
        let mut users = Users { writer: vec![None; values], readers: vec![Vec::new(); values], bound, summed };
        for (index, stage) in stages.iter().enumerate() {
            users.writer[stage.output.index()] = Some(index);
            users.summed[places[stage.output].root.index()] |= stage.sum.is_some();
            for input in stage.nodes().flat_map(|node| &network.nodes()[node].inputs) {
                let readers = &mut users.readers[input.index()];
                // Whoever reads it twice is one reader.
                if readers.last() != Some(&index) {
                    readers.push(index);
                }
            }
        }
        for value in (0..values).map(ValueId::at).filter(|&value| places[value].root != value) {
            users.bound[value.index()] = true;
            users.bound[places[value].root.index()] = true;
        }
        network.outputs().iter().for_each(|output| users.bound[output.index()] = true);
        users
    }

    /// Whether `part` of the concatenation that is stage `concat` may lie in a slice of the channels of `root`.
    fn allow(
        &self,
        part: ValueId,
        concat: usize,
        root: ValueId,
        (network, stages, places): (&Network, &[Stage], &Places),
    ) -> bool {
        let Some(writer) = self.writer[part.index()].map(|writer| &stages[writer]) else { return false };
        let writes = writer.pool.is_none()
            && matches!(
                network.nodes()[writer.node].operator,
                Operator::Conv(_)
                    | Operator::Linear(_)
                    | Operator::MaxPool(_)
                    | Operator::AveragePool(_)
                    | Operator::Concat(_)
            );
        let apart = |input: &ValueId| places[*input].root != root;
        places[part].root == part
            && writes
            && network.nodes()[writer.node].inputs.iter().all(apart)
            && self.may_be_read(part, concat, root, (network, stages, places))
    }

    /// Whether whoever reads `value` can do so in a slice of the channels of `root`, stage `concat` aside, and nobody reads in
    /// the buffer that he writes to.
    fn may_be_read(
        &self,
        value: ValueId,
        concat: usize,
        root: ValueId,
        (network, stages, places): (&Network, &[Stage], &Places),
    ) -> bool {
        let reads = |&reader: &usize| {
            let stage = &stages[reader];
            let able = matches!(
                network.nodes()[stage.node].operator,
                Operator::BatchNormalization(_)
                    | Operator::Affine(_)
                    | Operator::MaxPool(_)
                    | Operator::AveragePool(_)
                    | Operator::Concat(_)
                    | Operator::Slice(_)
            );
            reader == concat || able && places[stage.output].root != root
        };
        !self.bound[value.index()] && self.readers[value.index()].iter().all(reads)
    }
}
