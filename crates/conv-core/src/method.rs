//! What a chooser chooses: an algorithm with its parameters.

use std::fmt;

use crate::algorithm::Algorithm;
use crate::tuning::{Parameter, ParameterError, Parameters};

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
