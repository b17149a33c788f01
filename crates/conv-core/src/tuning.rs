//! What may be tuned of an algorithm, and what a run of it would do, told without preparing anything.

use std::fmt;
use std::ops::RangeInclusive;

use crate::memory::Footprint;

/// Parameters that one algorithm may have.
const MAX_PARAMETERS: usize = 4;

/// A number that an algorithm lets others choose. It changes time and memory, never the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// For example `block_tiles`.
    pub name: &'static str,
    /// What it counts.
    pub meaning: &'static str,
    /// Values that it may have.
    pub range: RangeInclusive<usize>,
}

/// Values of one algorithm's parameters, by name. What is not named is left to the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Parameters(pub(crate) [Option<(&'static str, usize)>; MAX_PARAMETERS]);

impl Parameters {
    /// The value of `name`, if it is not left to the algorithm.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values, in the algorithm's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.0.into_iter().flatten()
    }
}

/// `block_tiles=24 chunk_blocks=2`; nothing where all is left to the algorithm.
impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// Parameters that an algorithm does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// No such name.
    #[error("{algorithm} has no parameter '{name}'; it has {}", list(known))]
    Unknown {
        /// The algorithm.
        algorithm: &'static str,
        /// What was asked for.
        name: String,
        /// Those that it has.
        known: Vec<&'static str>,
    },
    /// A value out of range.
    #[error("{algorithm} takes a {name} from {} to {}, not {value}", range.start(), range.end())]
    Range {
        /// The algorithm.
        algorithm: &'static str,
        /// The parameter.
        name: &'static str,
        /// The value given.
        value: usize,
        /// Values that it takes.
        range: RangeInclusive<usize>,
    },
    /// A name that is given twice.
    #[error("{name} of {algorithm} is given twice")]
    Twice {
        /// The algorithm.
        algorithm: &'static str,
        /// The parameter.
        name: &'static str,
    },
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// What one run does, as far as its time depends on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// What the plan would cost in memory.
    pub footprint: Footprint,
    /// Operations of the register tile, channels that only fill it up included.
    pub product_flops: f64,
    /// Rows (pixels or tiles) of each matrix product, of which a register tile takes several at a time.
    pub rows: usize,
    /// Multiply-adds behind one element of a product, summed in registers.
    pub depth: usize,
    /// Operations of transforms.
    pub transform_flops: f64,
    /// Transforms that begin anew, a few vectors of channels of one tile each; 0 where that is nothing beside what they compute.
    pub tile_transforms: f64,
    /// How often each worker's share of a run reads all prepared weights.
    pub weight_passes: f64,
    /// Bytes of intermediate results, each counted once; they are written and read.
    pub between_bytes: f64,
    /// Bytes of intermediate results that are in use at a time, of one worker: which cache holds them.
    pub between_set: f64,
    /// Pieces of work that are handed to threads.
    pub tasks: usize,
}
