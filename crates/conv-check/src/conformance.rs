//! One suite for every algorithm: what each must do for each problem, and how each must refuse.

use std::sync::LazyLock;

use conv_core::{
    Algorithm, Epilogue, Filter, Parameters, Plan, PlanError, PlanOptions, Problem, RunError, Scratch, Unsupported,
};
use conv_simd::Isa;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::case::Case;
use crate::data::{Data, Kind};
use crate::error::{Failure, Flaw};
use crate::guard::{CANARY, GUARD, Guarded, overwritten};

pub use crate::problems::problems;

/// How many problems an algorithm computed and how many it refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Computed, correctly in every respect.
    pub computed: usize,
    /// Refused with a typed reason.
    pub refused: usize,
}

/// What an algorithm rightly did with a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Computed it, correctly in every respect.
    Computed,
    /// Refused it with a typed reason.
    Refused,
}

/// Runs the whole suite: [`check_problem`] for each of [`problems`].
///
/// # Errors
/// Every failure found, each with the line that shows it again.
pub fn check_algorithm(algorithm: &dyn Algorithm, isa: Isa) -> Result<Counts, Vec<Failure>> {
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for (seed, problem) in (0..).zip(problems()) {
        match check_problem(algorithm, &problem, isa, seed) {
            Ok(Verdict::Computed) => counts.computed += 1,
            Ok(Verdict::Refused) => counts.refused += 1,
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(counts) } else { Err(failures) }
}

/// [`check_algorithm`] for tests.
///
/// # Panics
/// With every failure, or if the algorithm refused the whole suite.
pub fn assert_conforms(algorithm: &dyn Algorithm, isa: Isa) -> Counts {
    match check_algorithm(algorithm, isa) {
        Ok(counts) => {
            assert!(counts.computed > 0, "{} computes no problem of the suite", algorithm.name());
            counts
        }
        Err(failures) => {
            let report: Vec<_> = failures.iter().map(ToString::to_string).collect();
            panic!("{} failures of {} on {isa}:\n{}", failures.len(), algorithm.name(), report.join("\n"));
        }
    }
}

/// Everything that must hold for one problem: exact or within the bound on five kinds of data, with and without bias and
/// ReLU; the same bits with any scratch contents, workers and alignment; nothing touched outside the buffers; wrong
/// buffers, filters and too little memory refused. Or, if the algorithm does not support it, that it says so twice.
///
/// The data is that of `seed`.
///
/// # Errors
/// The first failure found.
pub fn check_problem(algorithm: &dyn Algorithm, problem: &Problem, isa: Isa, seed: u64) -> Result<Verdict, Failure> {
    POOL.install(|| match algorithm.supports(problem) {
        Ok(()) => check_supported(algorithm, problem, isa, seed).map(|()| Verdict::Computed),
        Err(reason) => check_refusal(algorithm, problem, isa, &reason)
            .map(|()| Verdict::Refused)
            .map_err(|flaw| Failure::new(flaw, problem, algorithm, isa)),
    })
}

/// As many threads as the most workers asked for, so that these really work side by side on any machine.
static POOL: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(3).build().expect("three threads"));

/// A refusal must be the same from `supports` and `plan`.
fn check_refusal(algorithm: &dyn Algorithm, problem: &Problem, isa: Isa, reason: &Unsupported) -> Result<(), Flaw> {
    let data = Data::new(problem, Kind::Integers, 1);
    let options = PlanOptions::new(1).isa(isa);
    match algorithm.plan(problem, data.filter(), Epilogue::default(), &options) {
        Err(PlanError::Unsupported(planned)) if planned == *reason => Ok(()),
        other => {
            let got = other.err().map_or("a plan".into(), |e| e.to_string());
            Err(Flaw::Accepted(format!("supports() says '{reason}', plan() gives {got}")))
        }
    }
}

fn check_supported(algorithm: &dyn Algorithm, problem: &Problem, isa: Isa, seed: u64) -> Result<(), Failure> {
    let relu = Epilogue { relu: true };
    let options = PlanOptions::new(1).isa(isa);
    let holds = |case: Case, check: &dyn Fn(&Case) -> Result<(), Flaw>| {
        check(&case).map_err(|flaw| {
            let flaw = Flaw::On { data: case.describe(), flaw: Box::new(flaw) };
            Failure::new(flaw, problem, algorithm, isa)
        })
    };
    let exact = |case: &Case| case.try_check(algorithm, &options).map(|_| ());
    holds(Case::new(problem, Kind::Integers, seed, Epilogue::default()), &exact)?;
    holds(Case::without_bias(problem, Kind::ReluLike, seed, relu), &exact)?;
    holds(Case::new(problem, Kind::Adversarial, seed, relu), &exact)?;
    holds(Case::without_bias(problem, Kind::OneTap, seed, Epilogue::default()), &|case| {
        exact(case)?;
        check_bound(algorithm, case)
    })?;
    holds(Case::new(problem, Kind::Signed, seed, Epilogue::default()), &|case| {
        exact(case)?;
        check_plan(algorithm, case, &options)?;
        check_stability(algorithm, case, &options)?;
        check_tunings(algorithm, case, &options)?;
        check_buffers(algorithm, case, &options)?;
        check_arguments(algorithm, case, &options)
    })
}

/// Without a bias, outputs of one tap differ by at least 1: a bound that is no smaller would let a lost tap pass.
fn check_bound(algorithm: &dyn Algorithm, case: &Case) -> Result<(), Flaw> {
    let bound = case.bound(algorithm)?;
    if bound < 1.0 {
        return Ok(());
    }
    Err(Flaw::NoBound { growth: algorithm.error_growth(case.problem()), bound, norm: case.norm() })
}

/// A plan must say what it computes, and ask for whole floats.
fn check_plan(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<(), Flaw> {
    let plan = algorithm.plan(case.problem(), case.filter(), case.epilogue(), options)?;
    if plan.problem() != case.problem() {
        return Err(Flaw::Accepted(format!("the plan says that it computes '{}'", plan.problem())));
    }
    let scratch_bytes = plan.footprint().scratch_bytes;
    if !scratch_bytes.is_multiple_of(size_of::<f32>()) {
        return Err(Flaw::Accepted(format!("{scratch_bytes} bytes of scratch are no whole number of floats")));
    }
    Ok(())
}

/// Same bits again, from aligned buffers and others, with any scratch contents, with more workers.
fn check_stability(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<(), Flaw> {
    let first = case.try_compute(algorithm, options)?;
    let input = Guarded::copy_of(case.input());
    for workers in [1, 3] {
        let options = PlanOptions { workers, ..*options };
        let plan = algorithm.plan(case.problem(), case.filter(), case.epilogue(), &options)?;
        let guarded_bytes = plan.footprint().scratch_bytes + GUARD * size_of::<f32>();
        let mut scratch = Scratch::with_bytes(guarded_bytes).map_err(PlanError::from)?;
        for (contents, fill) in
            [("NaN in scratch", Some(f32::NAN)), ("used scratch", None), ("0 in scratch", Some(0.0))]
        {
            if let Some(value) = fill {
                scratch.fill(value);
            }
            let output = run_guarded(&*plan, &input, &mut scratch)?;
            let differs = output.iter().zip(&first).position(|(got, first)| got.to_bits() != first.to_bits());
            if let Some(index) = differs {
                let when = format!("{workers} workers, unaligned buffers and {contents}");
                return Err(Flaw::Unstable { when, index, got: output[index], first: first[index] });
            }
        }
    }
    Ok(())
}

/// Parameters must change no bit of the result, and what a run costs in memory must be told before it is planned.
fn check_tunings(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<(), Flaw> {
    let first = case.try_compute(algorithm, options)?;
    for workers in [1, 3] {
        let options = PlanOptions { workers, ..*options };
        let tunings = algorithm.tunings(case.problem(), &options);
        // The ends and the middle of what is tried: all would take minutes.
        let some = [0, tunings.len() / 2, tunings.len().saturating_sub(1)].map(|index| tunings.get(index).copied());
        for parameters in [Some(Parameters::default())].into_iter().chain(some).flatten() {
            let options = options.parameters(parameters);
            let planned = algorithm.plan(case.problem(), case.filter(), case.epilogue(), &options)?.footprint();
            if let Some(work) = algorithm.work(case.problem(), &options).filter(|work| work.footprint != planned) {
                let told = work.footprint;
                return Err(Flaw::Accepted(format!("with '{parameters}' {told:?} was told, {planned:?} is planned")));
            }
            let output = case.try_compute(algorithm, &options)?;
            let differs = output.iter().zip(&first).position(|(got, first)| got.to_bits() != first.to_bits());
            if let Some(index) = differs {
                let when = format!("{workers} workers and '{parameters}'");
                return Err(Flaw::Unstable { when, index, got: output[index], first: first[index] });
            }
        }
    }
    Ok(())
}

/// Runs once into an output between guards, on `scratch` that has one behind it.
fn run_guarded(plan: &dyn Plan, input: &[f32], scratch: &mut Scratch) -> Result<Guarded, Flaw> {
    let scratch_bytes = plan.footprint().scratch_bytes;
    let behind = scratch_bytes / size_of::<f32>()..;
    let all_bytes = scratch.bytes();
    scratch.lend(all_bytes)?[behind.clone()].fill(CANARY);
    let mut output = Guarded::filled(plan.problem().output_len(), f32::NAN);
    plan.run(input, &mut output, scratch)?;
    let guards = [("output", output.overwritten()), ("scratch", overwritten(&scratch.lend(all_bytes)?[behind]))];
    match guards.into_iter().find(|(_, floats)| *floats > 0) {
        Some((buffer, floats)) => Err(Flaw::Outside { buffer, floats }),
        None => Ok(output),
    }
}

/// Buffers of the wrong length must be refused by name and length, and nothing written.
fn check_buffers(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<(), Flaw> {
    let plan = algorithm.plan(case.problem(), case.filter(), case.epilogue(), options)?;
    let needed = plan.footprint().scratch_bytes;
    let (input, output_len) = (case.input(), case.problem().output_len());
    let long = [input, &[0.0]].concat();
    let input_error = |got| RunError::Length { buffer: "input", got, expected: input.len() };
    let output_error = |got| RunError::Length { buffer: "output", got, expected: output_len };
    let mut wrong = vec![
        (&input[1..], output_len, needed, input_error(input.len() - 1)),
        (&long[..], output_len, needed, input_error(input.len() + 1)),
        (input, output_len - 1, needed, output_error(output_len - 1)),
        (input, output_len + 1, needed, output_error(output_len + 1)),
    ];
    if needed > 0 {
        let too_small = [0, needed - size_of::<f32>()];
        wrong.extend(too_small.map(|got| (input, output_len, got, RunError::Scratch { got, needed })));
    }
    for (input, output_len, scratch_bytes, expected) in wrong {
        let mut scratch = Scratch::with_bytes(scratch_bytes).map_err(PlanError::from)?;
        let mut output = vec![7.0; output_len];
        let got = plan.run(input, &mut output, &mut scratch);
        if got != Err(expected.clone()) {
            return Err(Flaw::Accepted(format!("a run that should say '{expected}' gives {got:?}")));
        }
        if output.iter().any(|&y| y != 7.0) {
            return Err(Flaw::Accepted(format!("a run wrote, although it says '{expected}'")));
        }
    }
    Ok(())
}

/// Filters of the wrong length and too little memory must be refused.
fn check_arguments(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<(), Flaw> {
    let plan_with = |filter: Filter<'_>, options: &PlanOptions| {
        algorithm.plan(case.problem(), filter, case.epilogue(), options).err()
    };
    let filter = case.filter();
    let (weights, bias) = (filter.weights, filter.bias.unwrap_or_default());
    let (long_weights, long_bias) = ([weights, &[0.0]].concat(), [bias, &[0.0]].concat());
    let length = |array, got, expected| PlanError::Length { array, got, expected };
    for (weights, bias, expected) in [
        (&weights[1..], bias, length("weights", weights.len() - 1, weights.len())),
        (&long_weights, bias, length("weights", weights.len() + 1, weights.len())),
        (weights, &bias[1..], length("bias", bias.len() - 1, bias.len())),
        (weights, &long_bias, length("bias", bias.len() + 1, bias.len())),
    ] {
        let got = plan_with(Filter { weights, bias: Some(bias) }, options);
        if got.as_ref() != Some(&expected) {
            return Err(Flaw::Accepted(format!("a plan that should say '{expected}' gives {got:?}")));
        }
    }
    let footprint = algorithm.plan(case.problem(), filter, case.epilogue(), options)?.footprint();
    let needed = footprint.prepared_bytes + footprint.scratch_bytes;
    if needed > 0 {
        let refused = plan_with(filter, &options.memory_limit(needed - 1));
        if refused != Some(PlanError::Memory { needed: needed as u128, limit: needed - 1 }) {
            return Err(Flaw::Accepted(format!("a limit one byte below the footprint of {needed} gives {refused:?}")));
        }
        if let Some(error) = plan_with(filter, &options.memory_limit(needed)) {
            return Err(Flaw::Accepted(format!("a limit equal to the footprint of {needed} is refused: {error}")));
        }
    }
    Ok(())
}
