//! The result of tuning as a file, to be read and kept: TOML.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use conv_core::{Method, ParameterError, Parameters, Problem, file};
use conv_measure::Machine;
use serde::{Deserialize, Serialize};

use crate::constants::Constants;
use crate::optimise::Limits;
use crate::registry::{UnknownAlgorithm, select};
use crate::version::COMMIT;

/// What a plan file says of itself, first of all.
const FORMAT: u32 = 1;
/// Bytes of a plan file that are read at most.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Who computes one layer, and what that costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedMethod {
    /// For example `winograd/f4x3`.
    pub algorithm: String,
    /// What is not left to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, usize>,
    /// Median time in a network (input in the caches, weights not), milliseconds a batch.
    pub network_ms: f64,
    /// Median time with everything in the caches; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_ms: Option<f64>,
    /// Scratch, bytes.
    pub scratch_bytes: usize,
    /// Prepared weights, bytes.
    pub prepared_bytes: usize,
    /// Largest error over the largest output.
    pub max_error: f64,
}

/// One layer of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedLayer {
    /// What it is called.
    pub name: String,
    /// Its descriptor, batch included.
    pub problem: String,
    /// The choice.
    pub choice: PlannedMethod,
    /// What came next, fastest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runner_up: Vec<PlannedMethod>,
}

/// The file's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u32,
    command: String,
    processor: String,
    isa: String,
    threads: usize,
    commit: String,
    date: String,
    max_error: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workspace_limit_bytes: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights_limit_bytes: Option<usize>,
    machine: Constants,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layer: Vec<PlannedLayer>,
}

/// What of the text every version of this program understands.
#[derive(Debug, Deserialize)]
struct Head {
    format: u32,
    commit: Option<String>,
}

/// Where a plan comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The command that makes it anew.
    pub command: String,
    /// Processor name.
    pub processor: String,
    /// Instruction set.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// Commit of the program.
    pub commit: String,
    /// When it was made, UTC.
    pub date: String,
}

/// The choices for some layers, as measured on one machine.
#[derive(Debug, Clone)]
pub struct TunedPlan {
    /// Where it comes from.
    pub origin: Origin,
    /// What was asked for.
    pub limits: Limits,
    /// Speeds of the machine.
    pub constants: Constants,
    layers: Vec<PlannedLayer>,
    /// Of each layer, checked.
    methods: Vec<(Problem, Method)>,
}

/// A plan that cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("cannot read the plan {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no plan.
    #[error("{} is no plan of this program: {reason}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is one of another version, and says what this one does not know.
    #[error("{} is no plan of this program: {reason}; it was made by another version, so tune again", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        reason: String,
    },
    /// A layer that says what cannot be.
    #[error("{}: {source}", path.display())]
    Layer {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        source: InvalidLayer,
    },
    /// The file cannot be written.
    #[error("cannot write the plan {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A layer of a plan that says what cannot be.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer}: {source}")]
pub struct InvalidLayer {
    /// Its name.
    pub layer: String,
    /// Why.
    pub source: Box<LayerError>,
}

/// What is wrong with a layer of a plan.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// No descriptor.
    #[error(transparent)]
    Problem(#[from] conv_core::DescriptorError),
    /// An algorithm that is not there.
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    /// Parameters that it does not take.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// A problem that it does not compute.
    #[error(transparent)]
    Unsupported(#[from] conv_core::Unsupported),
    /// A figure that nothing costs.
    #[error("{field} is {value}; it must be a number from 0 to 1e15")]
    Figure {
        /// Which.
        field: &'static str,
        /// Its value.
        value: f64,
    },
}

impl TunedPlan {
    /// A plan of `layers`, checked as if they came from a file.
    ///
    /// # Errors
    /// [`InvalidLayer`] for the first that says what cannot be.
    pub fn new(
        origin: Origin,
        limits: Limits,
        constants: Constants,
        layers: Vec<PlannedLayer>,
    ) -> Result<Self, InvalidLayer> {
        let mut methods: Vec<(Problem, Method)> = Vec::new();
        for layer in &layers {
            methods
                .push(check(layer).map_err(|error| InvalidLayer { layer: layer.name.clone(), source: error.into() })?);
        }
        Ok(TunedPlan { origin, limits, constants, layers, methods })
    }

    /// Reads a plan and checks all of it.
    ///
    /// # Errors
    /// [`PlanError`] naming the file, and the layer if one is wrong.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let unread = |source| PlanError::Read { path: path.into(), source };
        let text = file::read_to_string(path, MAX_FILE_BYTES).map_err(unread)?;
        let version = |reason: String| PlanError::Version { path: path.into(), reason };
        // What another version wrote, only that one can call damaged.
        let head: Option<Head> = toml::from_str(&text).ok();
        match &head {
            Some(Head { format, .. }) if *format != FORMAT => {
                Err(version(format!("its format is {format}, not {FORMAT}")))
            }
            Some(Head { commit: Some(commit), .. }) if commit != COMMIT => {
                TunedPlan::parse(path, &text).map_err(|error| version(error.to_string()))
            }
            _ => TunedPlan::parse(path, &text),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, PlanError> {
        let wrong = |error: toml::de::Error| PlanError::Text { path: path.into(), reason: error.to_string() };
        let text: Text = toml::from_str(text).map_err(wrong)?;
        let Text { command, processor, isa, threads, commit, date, .. } = text;
        let limits = Limits {
            workspace_bytes: text.workspace_limit_bytes,
            weights_bytes: text.weights_limit_bytes,
            error: text.max_error,
        };
        let origin = Origin { command, processor, isa, threads, commit, date };
        TunedPlan::new(origin, limits, text.machine, text.layer)
            .map_err(|source| PlanError::Layer { path: path.into(), source })
    }

    /// Writes the plan, as [`file::replace`] does.
    ///
    /// # Errors
    /// [`PlanError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), PlanError> {
        let written = self.to_text().map_err(io::Error::other).and_then(|text| file::write(path, text.as_bytes()));
        written.map_err(|source| PlanError::Write { path: path.into(), source })
    }

    fn to_text(&self) -> Result<String, toml::ser::Error> {
        let Origin { command, processor, isa, threads, commit, date } = self.origin.clone();
        let text = Text {
            format: FORMAT,
            command,
            processor,
            isa,
            threads,
            commit,
            date,
            max_error: self.limits.error,
            workspace_limit_bytes: self.limits.workspace_bytes,
            weights_limit_bytes: self.limits.weights_bytes,
            machine: self.constants,
            layer: self.layers.clone(),
        };
        let head = "# The fastest methods on one machine, by `convlab tune`. For `convlab forward --plan` and `bench --plan`.\n\n";
        Ok(head.to_owned() + &toml::to_string(&text)?)
    }

    /// Why its figures may not hold here: what differs from `machine`, instruction set and threads, and the command that
    /// makes it anew. `None` if nothing differs.
    pub fn foreign(&self, machine: &Machine, isa: &str, threads: usize) -> Option<String> {
        let Origin { processor, commit, .. } = &self.origin;
        let here = String::from(COMMIT);
        let pairs = [
            ("processor", processor.clone(), machine.cpu.clone()),
            ("version", commit.clone(), here),
            ("instruction set", self.origin.isa.clone(), isa.into()),
            ("number of threads", self.origin.threads.to_string(), threads.to_string()),
        ];
        let (what, there, here) = pairs.into_iter().find(|(_, there, here)| there != here)?;
        let command = &self.origin.command;
        Some(format!("the plan was made for another {what}: {there}, here {here}; it was made by\n  {command}"))
    }

    /// Its layers.
    pub fn layers(&self) -> &[PlannedLayer] {
        &self.layers
    }

    /// The choice for `problem`, whatever it is called; the first of several.
    pub fn method(&self, problem: &Problem) -> Option<Method> {
        let problem = problem.clone().with_name("");
        self.methods.iter().find(|(other, _)| *other == problem).map(|(_, method)| *method)
    }

    /// This plan's layers, and those of `older` for other problems.
    pub fn merged_with(mut self, older: TunedPlan) -> Self {
        for (layer, (problem, method)) in older.layers.into_iter().zip(older.methods) {
            if self.methods.iter().all(|(other, _)| *other != problem) {
                self.layers.push(layer);
                self.methods.push((problem, method));
            }
        }
        self
    }
}

/// The problem, without a name, and the method of a layer.
fn check(layer: &PlannedLayer) -> Result<(Problem, Method), LayerError> {
    let problem: Problem = layer.problem.parse()?;
    let mut methods = Vec::new();
    for planned in std::iter::once(&layer.choice).chain(&layer.runner_up) {
        let algorithm = select(&planned.algorithm)?[0];
        if algorithm.name() != planned.algorithm {
            return Err(UnknownAlgorithm::new(&planned.algorithm, &[]).into());
        }
        algorithm.supports(&problem)?;
        let values = planned.parameters.iter().map(|(name, value)| (name.as_str(), *value));
        methods.push(Method { algorithm, parameters: Parameters::new(algorithm, values)? });
        let warm = planned.warm_ms.unwrap_or(0.0);
        for (field, value) in [("network_ms", planned.network_ms), ("warm_ms", warm), ("max_error", planned.max_error)]
        {
            if !(0.0..=1e15).contains(&value) {
                return Err(LayerError::Figure { field, value });
            }
        }
    }
    Ok((problem.with_name(""), methods[0]))
}
