//! Records of what was measured: from machines, subjects, samples and tuned groups to [`Record`]s.

use conv_core::Problem;
use conv_measure::{Candidate, Limits, Machine, Samples, Subject};
use conv_net::LayerWork;
use conv_report::record::{Cache, Clock, Kind, LayerTime, Model, Record};
use conv_simd::Isa;
use conv_tune::{Choices, Group, TUNED, Tuned};

/// A record that says where it comes from and nothing else yet.
pub fn origin(machine: &Machine) -> Record {
    Record {
        commit: conv_tune::COMMIT.into(),
        rustc: conv_tune::RUSTC.into(),
        cpu: machine.cpu.clone(),
        date: machine.date.clone(),
        ..Record::default()
    }
}

/// The record of kind `machine`, whose caches are read as fast as `cache_gb_s` says.
pub fn limits(limits: &Limits, cache_gb_s: Vec<f64>, machine: &Machine, isa: Isa, threads: usize) -> Record {
    Record {
        kind: Kind::Machine,
        name: "machine".into(),
        isa: isa.name().into(),
        threads,
        caches: machine.caches.clone(),
        cache_gb_s,
        peak_gflops: Some(limits.peak_gflops),
        bandwidth_gb_s: Some(limits.bandwidth_gb_s),
        ..origin(machine)
    }
}

/// What `work` takes the direct method at the least, nanoseconds: the larger of its operations over the peak and its
/// bytes over the bandwidth. These are the bytes that the last-level cache cannot hold from one use to the next: a
/// layer's weights if the `weight_bytes` of the whole pass do not fit in there, its input and output if both together
/// do not.
pub fn bound_ns(limits: &Limits, work: &LayerWork, weight_bytes: u128) -> f64 {
    let from_memory = |bytes, together| if together > limits.cache_bytes as u128 { bytes } else { 0 };
    let bytes =
        from_memory(work.weight_bytes, weight_bytes) + from_memory(work.activation_bytes, work.activation_bytes);
    (work.flops as f64 / limits.peak_gflops).max(bytes as f64 / limits.bandwidth_gb_s)
}

/// `record` with these times.
pub fn times(samples: &Samples, record: Record) -> Record {
    Record {
        samples: Some(samples.count()),
        min_ns: Some(samples.min()),
        median_ns: Some(samples.median()),
        mad_ns: Some(samples.mad()),
        interval_ns: samples.interval(),
        ..record
    }
}

/// `record` of a candidate that was not measured for `problem`.
pub fn left_out(candidate: Candidate, problem: &Problem, record: Record) -> Record {
    Record {
        kind: Kind::Conv,
        name: problem.label(),
        problem: Some(problem.to_string()),
        algorithm: Some(candidate.method.algorithm.name().into()),
        parameters: parameters(candidate),
        isa: candidate.isa.name().into(),
        batch: Some(problem.batch()),
        model: Some(Model::Run),
        cache: Some(Cache::Warm),
        clock: Some(Clock::Convlab),
        ..record
    }
}

/// What is not left to the algorithm.
pub(crate) fn parameters(candidate: Candidate) -> Option<String> {
    Some(candidate.method.parameters.to_string()).filter(|text| !text.is_empty())
}

/// `record` with everything that is known of the subject's plan and its result.
pub fn subject(subject: &Subject, record: Record) -> Record {
    let (problem, candidate) = (subject.plan().problem(), subject.candidate());
    let footprint = subject.footprint();
    let errors = subject.errors();
    Record {
        kind: Kind::Conv,
        name: problem.label(),
        problem: Some(problem.to_string()),
        algorithm: Some(candidate.method.algorithm.name().into()),
        parameters: parameters(candidate),
        isa: candidate.isa.name().into(),
        batch: Some(problem.batch()),
        executed_flops: Some(subject.plan().executed_flops() as f64),
        scratch_bytes: Some(footprint.scratch_bytes),
        scratch_counted_bytes: subject.counted().map(|counted| counted.scratch_bytes),
        prepared_bytes: Some(footprint.prepared_bytes),
        prepared_counted_bytes: subject.counted().map(|counted| counted.prepared_bytes),
        weight_bytes: Some(4 * problem.weight_len()),
        max_rel_error: Some(errors[0]),
        l2_rel_error: Some(errors[1]),
        ..record
    }
}

/// `record` with the times of `samples` of `subject`, and the rates of computation that follow.
pub fn timed(subject: &Subject, samples: &Samples, record: Record) -> Record {
    let median = samples.median();
    let flops = subject.plan().problem().flops() as f64;
    let executed = subject.plan().executed_flops() as f64;
    Record {
        // Operations in a nanosecond are 10⁹ in a second.
        gflops_effective: Some(flops / median),
        peak_fraction: record.peak_gflops.map(|peak| executed / median / peak),
        ..times(samples, record)
    }
}

/// The record of tuning `group` under one limit of the workspace.
pub fn tuned(group: &Group, choices: &Choices<'_>, limits: &conv_tune::Limits, record: &Record) -> Record {
    let layers = group.layers.iter().zip(choices).map(|(layer, choice)| LayerTime {
        name: layer.problem.label(),
        algorithm: Some(choice.method.to_string()),
        median_ns: choice.network.median(),
        scratch_bytes: choice.footprint.scratch_bytes,
        ..LayerTime::default()
    });
    let all = |of: fn(&Tuned) -> usize| Some(group.layers.iter().map(of).sum());
    Record {
        kind: Kind::Tune,
        name: group.name.clone(),
        algorithm: Some(TUNED.into()),
        batch: Some(group.batch),
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
        tuned_in_ns: Some(group.layers.iter().map(|layer| layer.took.as_nanos() as f64).sum()),
        ..record.clone()
    }
}

/// Records of every finalist of `group`, warm and as in a network.
pub fn trials(group: &Group, choices: &Choices<'_>, record: &Record) -> Vec<Record> {
    let mut records = Vec::new();
    for (layer, choice) in group.layers.iter().zip(choices) {
        for trial in layer.trials.iter().filter(|trial| trial.finalist) {
            let chosen = [(TUNED, trial.method == choice.method), ("auto", trial.method == layer.model)];
            let base = Record {
                kind: Kind::Conv,
                name: layer.problem.label(),
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
                    ..times(samples, base)
                }
            };
            records.push(timed(Cache::Network, &trial.network));
            records.push(timed(Cache::Warm, &trial.warm));
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_larger_of_operations_and_bytes() {
        let limits = Limits { peak_gflops: 100.0, bandwidth_gb_s: 10.0, cache_bytes: 1000 };
        let bound = |flops, weight_bytes, activation_bytes, pass_weights| {
            bound_ns(&limits, &LayerWork { flops, weight_bytes, activation_bytes }, pass_weights)
        };
        assert_eq!(bound(5000, 600, 1000, 1001), 60.0, "weights from memory");
        assert_eq!(bound(7000, 600, 1000, 1001), 70.0, "more operations than bytes");
        assert_eq!(bound(5000, 600, 1000, 1000), 50.0, "everything in the cache");
        assert_eq!(bound(5000, 600, 1001, 1000), 100.1, "activations from memory");
        assert_eq!(bound(5000, 600, 1001, 1001), 160.1, "both");
        let unknown = Limits { cache_bytes: 0, ..limits };
        assert_eq!(bound_ns(&unknown, &LayerWork { flops: 0, weight_bytes: 100, activation_bytes: 200 }, 100), 30.0);
    }
}
