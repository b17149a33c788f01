//! What may be tuned of an algorithm, and what a run of it would do, told without preparing anything.

use std::fmt;
use std::ops::RangeInclusive;

use crate::algorithm::Algorithm;
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
pub struct Parameters([Option<(&'static str, usize)>; MAX_PARAMETERS]);

impl Parameters {
    /// Checks `values` against [`Algorithm::parameters`]. They may come from a file.
    ///
    /// # Errors
    /// [`ParameterError`] for a name that `algorithm` has not, or that was given before, and for a value that it does not
    /// take.
    pub fn new<'a>(
        algorithm: &dyn Algorithm,
        values: impl IntoIterator<Item = (&'a str, usize)>,
    ) -> Result<Self, ParameterError> {
        let mut parameters = Parameters::default();
        for (name, value) in values {
            let known = algorithm.parameters();
            let Some(place) = known.iter().position(|parameter| parameter.name == name) else {
                let known = known.iter().map(|parameter| parameter.name).collect();
                return Err(ParameterError::Unknown { algorithm: algorithm.name(), name: name.into(), known });
            };
            let Parameter { name, range, .. } = known[place].clone();
            if !range.contains(&value) {
                return Err(ParameterError::Range { algorithm: algorithm.name(), name, value, range });
            }
            if parameters.0[place].replace((name, value)).is_some() {
                return Err(ParameterError::Twice { algorithm: algorithm.name(), name });
            }
        }
        Ok(parameters)
    }

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

/// An algorithm with its parameters: what a chooser chooses.
#[derive(Clone, Copy)]
pub struct Method {
    /// The algorithm.
    pub algorithm: &'static dyn Algorithm,
    /// Its parameters, checked for it.
    pub parameters: Parameters,
}

/// The algorithm with parameters of its own choice.
impl From<&'static dyn Algorithm> for Method {
    fn from(algorithm: &'static dyn Algorithm) -> Self {
        Method { algorithm, parameters: Parameters::default() }
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        (self.algorithm.name(), self.parameters) == (other.algorithm.name(), other.parameters)
    }
}

/// `winograd/f4x3 block_tiles=24`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.parameters == Parameters::default() { "" } else { " " };
        write!(f, "{}{space}{}", self.algorithm.name(), self.parameters)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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
    /// How often each worker's share of a run reads all prepared weights.
    pub weight_passes: f64,
    /// Bytes of intermediate results, each counted once; they are written and read.
    pub between_bytes: f64,
    /// Bytes of intermediate results that are in use at a time, of one worker: which cache holds them.
    pub between_set: f64,
    /// Pieces of work that are handed to threads.
    pub tasks: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epilogue, Filter, Plan, PlanError, PlanOptions, Problem, Unsupported};

    struct Tunable;

    impl Algorithm for Tunable {
        fn name(&self) -> &'static str {
            "test/tunable"
        }
        fn supports(&self, _: &Problem) -> Result<(), Unsupported> {
            Ok(())
        }
        fn plan(&self, _: &Problem, _: Filter<'_>, _: Epilogue, _: &PlanOptions) -> Result<Box<dyn Plan>, PlanError> {
            unreachable!()
        }
        fn error_growth(&self, _: &Problem) -> f64 {
            1.0
        }
        fn parameters(&self) -> &'static [Parameter] {
            const ALL: &[Parameter] = &[
                Parameter { name: "tiles", meaning: "tiles", range: 1..=8 },
                Parameter { name: "blocks", meaning: "blocks", range: 0..=1 },
            ];
            ALL
        }
    }

    #[test]
    fn parameters_are_checked_and_keep_their_order() {
        let new = |values: &[(&str, usize)]| Parameters::new(&Tunable, values.iter().copied());
        let both = new(&[("blocks", 0), ("tiles", 8)]).unwrap();
        assert_eq!(both.to_string(), "tiles=8 blocks=0");
        assert_eq!((both.get("tiles"), both.get("blocks"), both.get("x")), (Some(8), Some(0), None));
        assert_eq!(new(&[]).unwrap(), Parameters::default());
        let error = |values| new(values).unwrap_err().to_string();
        assert_eq!(error(&[("tile", 1)]), "test/tunable has no parameter 'tile'; it has tiles, blocks");
        assert_eq!(error(&[("tiles", 0)]), "test/tunable takes a tiles from 1 to 8, not 0");
        assert_eq!(error(&[("tiles", 1), ("tiles", 2)]), "tiles of test/tunable is given twice");
    }
}
