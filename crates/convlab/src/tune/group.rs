//! Layers that run one after the other and so share limits: those of one network, or file, and batch.

use super::optimise::{Infeasible, Limits, optimise};
use super::plan_file::{PlannedLayer, PlannedMethod};
use super::search::{Trial, Tuned};
use crate::measure::Samples;
use crate::record::{Cache, Clock, Kind, LayerTime, Model, Record};
use crate::registry::TUNED;
use crate::suite::label;

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
        let label = label(problem);
        label.split_once('/').map_or(label.clone(), |(name, _)| name.into())
    }

    /// The fastest choice within `limits`.
    ///
    /// # Errors
    /// [`Infeasible`] if there is none.
    pub fn choose(&self, limits: &Limits) -> Result<Choices<'_>, Infeasible> {
        let costs: Vec<_> = self.layers.iter().map(|layer| (label(&layer.problem), layer.costs())).collect();
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
            PlannedLayer { name: label(&layer.problem), problem, choice: planned(choice), runner_up }
        };
        self.layers.iter().zip(choices).map(layer).collect()
    }

    /// The record of tuning under one limit of the workspace.
    pub fn record(&self, choices: &Choices<'_>, limits: &Limits, record: &Record) -> Record {
        let layers = self.layers.iter().zip(choices).map(|(layer, choice)| LayerTime {
            name: label(&layer.problem),
            algorithm: Some(choice.method.to_string()),
            median_ns: choice.network.median(),
            scratch_bytes: choice.footprint.scratch_bytes,
            ..LayerTime::default()
        });
        let all = |of: fn(&Tuned) -> usize| Some(self.layers.iter().map(of).sum());
        Record {
            kind: Kind::Tune,
            name: self.name.clone(),
            algorithm: Some(TUNED.into()),
            batch: Some(self.batch),
            cache: Some(Cache::Network),
            clock: Some(Clock::Convlab),
            median_ns: Some(choices.iter().map(|choice| choice.network.median()).sum()),
            layers: layers.collect(),
            scratch_bytes: choices.iter().map(|choice| choice.footprint.scratch_bytes).max(),
            prepared_bytes: Some(choices.iter().map(|choice| choice.footprint.prepared_bytes).sum()),
            max_rel_error: choices.iter().map(|choice| choice.error).max_by(f64::total_cmp),
            considered: all(|layer| layer.considered),
            measured: all(|layer| layer.trials.len()),
            workspace_limit_bytes: limits.workspace_bytes,
            tuned_in_ns: Some(self.layers.iter().map(|layer| layer.took.as_nanos() as f64).sum()),
            ..record.clone()
        }
    }

    /// Records of every finalist, warm and as in a network.
    pub fn trial_records(&self, choices: &Choices<'_>, record: &Record) -> Vec<Record> {
        let mut records = Vec::new();
        for (layer, choice) in self.layers.iter().zip(choices) {
            for trial in layer.trials.iter().filter(|trial| trial.finalist) {
                let chosen = [(TUNED, trial.method == choice.method), ("auto", trial.method == layer.model)];
                let base = Record {
                    kind: Kind::Conv,
                    name: label(&layer.problem),
                    problem: Some(layer.problem.to_string()),
                    algorithm: Some(trial.method.algorithm.name().into()),
                    parameters: Some(trial.method.parameters.to_string()).filter(|text| !text.is_empty()),
                    chosen_by: chosen.iter().filter(|(_, is)| *is).map(|(name, _)| (*name).into()).collect(),
                    batch: Some(layer.problem.batch()),
                    model: Some(Model::Run),
                    clock: Some(Clock::Convlab),
                    scratch_bytes: Some(trial.footprint.scratch_bytes),
                    prepared_bytes: Some(trial.footprint.prepared_bytes),
                    max_rel_error: Some(trial.error),
                    ..record.clone()
                };
                let timed = |cache, samples: &Samples| {
                    let base = Record { cache: Some(cache), ..base.clone() };
                    Record {
                        gflops_effective: Some(layer.problem.flops() as f64 / samples.median()),
                        ..samples.record(base)
                    }
                };
                records.push(timed(Cache::Network, &trial.network));
                records.push(timed(Cache::Warm, &trial.warm));
            }
        }
        records
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
