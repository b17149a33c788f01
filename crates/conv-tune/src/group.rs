//! Layers that run one after the other and so share limits: those of one network, or file, and batch.

use crate::optimise::{Infeasible, Limits, optimise};
use crate::plan_file::{PlannedLayer, PlannedMethod};
use crate::search::{Trial, Tuned};

/// Runners-up that a plan keeps of each layer.
const RUNNERS_UP: usize = 4;

/// Some measured layers.
pub struct Group {
    /// The network or file.
    pub name: String,
    /// Images.
    pub batch: usize,
    /// Its layers, in order.
    pub layers: Vec<Tuned>,
}

/// The trial chosen for each layer.
pub type Choices<'a> = Vec<&'a Trial>;

impl Group {
    /// The network or file that a problem belongs to: its name up to the slash.
    pub fn name_of(problem: &conv_core::Problem) -> String {
        let label = problem.label();
        label.split_once('/').map_or(label.clone(), |(name, _)| name.into())
    }

    /// The fastest choice within `limits`.
    ///
    /// # Errors
    /// [`Infeasible`] if there is none.
    pub fn choose(&self, limits: &Limits) -> Result<Choices<'_>, Infeasible> {
        let costs: Vec<_> = self.layers.iter().map(|layer| (layer.problem.label(), layer.costs())).collect();
        let chosen = optimise(&costs, limits)?;
        Ok(self.layers.iter().zip(chosen).map(|(layer, index)| &layer.trials[index]).collect())
    }

    /// What a plan says of these choices.
    pub fn planned(&self, choices: &Choices<'_>) -> Vec<PlannedLayer> {
        let layer = |(layer, choice): (&Tuned, &&Trial)| {
            let others = layer.trials.iter().filter(|trial| trial.method != choice.method);
            let mut runner_up: Vec<PlannedMethod> = others.map(planned).collect();
            runner_up.sort_by(|a, b| a.network_ms.total_cmp(&b.network_ms));
            runner_up.truncate(RUNNERS_UP);
            let problem = layer.problem.to_string();
            PlannedLayer { name: layer.problem.label(), problem, choice: planned(choice), runner_up }
        };
        self.layers.iter().zip(choices).map(layer).collect()
    }
}

fn planned(trial: &Trial) -> PlannedMethod {
    let digits = |ms: f64| (ms * 1e4).round() / 1e4;
    PlannedMethod {
        algorithm: trial.method.algorithm.name().into(),
        parameters: trial.method.parameters.iter().map(|(name, value)| (name.into(), value)).collect(),
        network_ms: digits(trial.network.median() / 1e6),
        warm_ms: (trial.warm.count() > 0).then(|| digits(trial.warm.median() / 1e6)),
        scratch_bytes: trial.footprint.scratch_bytes,
        prepared_bytes: trial.footprint.prepared_bytes,
        max_error: trial.error,
    }
}
