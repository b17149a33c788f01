//! One suite for every algorithm: what each must do for each problem, and how each must refuse.

use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Plan, PlanError, PlanOptions, Problem, RunError, Scratch, Unsupported,
};
use conv_simd::Isa;

use crate::case::Case;
use crate::data::{Data, Kind};
use crate::error::{Failure, Flaw};

/// How many problems an algorithm computed and how many it refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Computed, correctly in every respect.
    pub computed: usize,
    /// Refused with a typed reason.
    pub refused: usize,
}

/// The problems of the suite: AlexNet's maps with few channels, and every kind of awkward shape, all small.
pub fn problems() -> Vec<Problem> {
    let problem = |batch, groups, channels, axes| Problem::new(batch, groups, channels, axes).expect("a valid problem");
    let same = |axis| [axis, axis];
    let mut all = vec![
        // AlexNet's layers, spatially true.
        problem(1, 1, [3, 32], same(Axis::new(227, 11).stride(4))),
        problem(1, 1, [3, 20], same(Axis::new(224, 11).stride(4).pad(2, 2))),
        problem(2, 2, [16, 48], same(Axis::new(27, 5).pad(2, 2))),
        problem(5, 1, [24, 40], same(Axis::new(13, 3).pad(1, 1))),
        problem(1, 2, [32, 64], same(Axis::new(13, 3).pad(1, 1))),
        // 1×1: plain, strided, one pixel (a fully connected layer), padded.
        problem(3, 1, [37, 33], same(Axis::new(6, 1))),
        problem(2, 2, [10, 14], same(Axis::new(9, 1).stride(2))),
        problem(1, 1, [129, 100], same(Axis::new(1, 1))),
        problem(7, 1, [50, 24], same(Axis::new(1, 1))),
        problem(1, 1, [4, 5], same(Axis::new(3, 1).pad(1, 2))),
        // Strides, also unequal and larger than the filter.
        problem(1, 1, [8, 16], same(Axis::new(28, 7).stride(2).pad(3, 3))),
        problem(2, 1, [5, 9], [Axis::new(12, 3).stride(2).pad(1, 1), Axis::new(14, 3).stride(3)]),
        problem(1, 1, [4, 6], same(Axis::new(17, 2).stride(5))),
        // Padding: asymmetric, wider than the filter, an image smaller than the filter.
        problem(1, 1, [6, 7], [Axis::new(9, 3).pad(2, 0), Axis::new(8, 3).pad(0, 1)]),
        problem(2, 1, [3, 18], same(Axis::new(5, 3).pad(4, 5))),
        problem(1, 1, [3, 4], [Axis::new(2, 5).pad(3, 2), Axis::new(3, 5).pad(2, 4)]),
        problem(1, 1, [2, 8], same(Axis::new(28, 11).pad(5, 5))),
        // Dilation.
        problem(1, 1, [8, 8], same(Axis::new(13, 3).dilation(2).pad(2, 2))),
        problem(2, 3, [6, 9], [Axis::new(11, 2).dilation(4).pad(1, 3), Axis::new(12, 3).dilation(3).stride(2)]),
        // Depthwise, with a channel multiplier, and small groups.
        problem(2, 20, [20, 20], same(Axis::new(14, 3).pad(1, 1))),
        problem(1, 37, [37, 37], same(Axis::new(9, 5).stride(2).pad(2, 1))),
        problem(1, 130, [130, 130], same(Axis::new(7, 3).pad(1, 1).dilation(2))),
        problem(1, 6, [6, 12], same(Axis::new(8, 3).pad(1, 1))),
        problem(2, 4, [16, 16], same(Axis::new(8, 3).pad(1, 1))),
        // Filters that are not square, and even ones.
        problem(1, 1, [9, 17], [Axis::new(10, 1), Axis::new(15, 3).pad(1, 1)]),
        problem(1, 1, [9, 17], [Axis::new(10, 3).pad(1, 1), Axis::new(15, 1)]),
        problem(1, 1, [5, 8], [Axis::new(9, 1), Axis::new(17, 7).pad(3, 3)]),
        problem(2, 1, [5, 8], [Axis::new(17, 7).pad(3, 3), Axis::new(9, 1)]),
        problem(1, 1, [4, 4], same(Axis::new(10, 2))),
        problem(1, 1, [4, 4], [Axis::new(9, 4).pad(1, 2), Axis::new(11, 2).pad(0, 1)]),
        problem(1, 1, [1, 1], same(Axis::new(1, 1))),
    ];
    // Channel tails.
    for (ic, oc) in [(1, 1), (3, 7), (5, 16), (17, 24), (16, 33), (2, 40), (33, 100)] {
        all.push(problem(1, 1, [ic, oc], same(Axis::new(7, 3).pad(1, 1))));
        all.push(problem(2, 1, [ic, oc], same(Axis::new(8, 5).pad(2, 2))));
    }
    // Output widths around the tiles of every instruction set.
    for width in [1, 2, 3, 5, 6, 7, 12, 13, 14, 15, 27, 28, 29, 55, 56] {
        all.push(problem(1, 1, [4, 36], [Axis::new(3, 3).pad(1, 1), Axis::new(width, 3).pad(1, 1)]));
    }
    all
}

/// Runs the whole suite.
///
/// # Errors
/// Every failure found, each with the line that shows it again.
pub fn check_algorithm(algorithm: &dyn Algorithm, isa: Isa) -> Result<Counts, Vec<Failure>> {
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for (i, problem) in problems().iter().enumerate() {
        match algorithm.supports(problem) {
            Err(reason) => match check_refusal(algorithm, problem, isa, &reason) {
                Ok(()) => counts.refused += 1,
                Err(failure) => failures.push(failure),
            },
            Ok(()) => match check_problem(algorithm, problem, isa, i) {
                Ok(()) => counts.computed += 1,
                Err(failure) => failures.push(failure),
            },
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

/// A refusal must be the same from `supports` and `plan`.
fn check_refusal(algorithm: &dyn Algorithm, problem: &Problem, isa: Isa, reason: &Unsupported) -> Result<(), Failure> {
    let data = Data::new(problem, Kind::Integers, 1);
    let options = PlanOptions::new(1).isa(isa);
    match algorithm.plan(problem, data.filter(), Epilogue::default(), &options) {
        Err(PlanError::Unsupported(planned)) if planned == *reason => Ok(()),
        other => {
            let got = other.err().map_or("a plan".into(), |e| e.to_string());
            let flaw = Flaw::Accepted(format!("supports() says '{reason}', plan() gives {got}"));
            Err(Failure {
                flaw: Box::new(flaw),
                problem: problem.to_string(),
                algorithm: algorithm.name(),
                isa: isa.name(),
            })
        }
    }
}

/// Everything that must hold for one supported problem.
fn check_problem(algorithm: &dyn Algorithm, problem: &Problem, isa: Isa, seed: usize) -> Result<(), Failure> {
    let relu = Epilogue { relu: true };
    let options = PlanOptions::new(1).isa(isa);
    let seed = seed as u64;
    Case::new(problem, Kind::Integers, seed, Epilogue::default()).check(algorithm, &options)?;
    Case::without_bias(problem, Kind::ReluLike, seed, relu).check(algorithm, &options)?;
    Case::new(problem, Kind::Adversarial, seed, relu).check(algorithm, &options)?;
    let case = Case::new(problem, Kind::Signed, seed, Epilogue::default());
    case.check(algorithm, &options)?;
    let report = |flaw| case.failure(algorithm, &options, flaw);
    check_stability(algorithm, &case, &options).map_err(report)?;
    check_buffers(algorithm, &case, &options).map_err(report)?;
    check_arguments(algorithm, &case, &options).map_err(report)
}

/// Same bits again: on used scratch, with clean scratch, with more workers.
fn check_stability(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<(), Flaw> {
    let bits = |output: &[f32]| output.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
    let mut results = Vec::new();
    for workers in [1, 3] {
        let options = PlanOptions { workers, ..*options };
        let plan = algorithm.plan(case.problem(), case.filter(), case.epilogue(), &options)?;
        let mut scratch = scratch_of(&*plan)?;
        for fill in [Some(f32::NAN), None, Some(0.0)] {
            if let Some(value) = fill {
                scratch.fill(value);
            }
            let mut output = vec![f32::NAN; case.problem().output_len()];
            plan.run(case.input(), &mut output, &mut scratch)?;
            results.push(bits(&output));
        }
    }
    match results.iter().position(|result| *result != results[0]) {
        None => Ok(()),
        Some(at) => {
            Err(Flaw::Unstable(["", "used scratch", "clean scratch"].get(at).copied().unwrap_or("three workers")))
        }
    }
}

fn scratch_of(plan: &dyn Plan) -> Result<Scratch, Flaw> {
    Ok(Scratch::with_bytes(plan.footprint().scratch_bytes).map_err(PlanError::from)?)
}

/// Buffers of the wrong length must be refused, and nothing written.
fn check_buffers(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<(), Flaw> {
    let plan = algorithm.plan(case.problem(), case.filter(), case.epilogue(), options)?;
    let mut scratch = scratch_of(&*plan)?;
    let (input, output_len) = (case.input(), case.problem().output_len());
    let long = [input, &[0.0]].concat();
    for (input, len) in
        [(&input[1..], output_len), (&long[..], output_len), (input, output_len - 1), (input, output_len + 1)]
    {
        let mut output = vec![7.0; len];
        let refused = plan.run(input, &mut output, &mut scratch);
        if !matches!(refused, Err(RunError::Length { .. })) || output.iter().any(|&y| y != 7.0) {
            return Err(Flaw::Accepted(format!(
                "an input of {} and an output of {len} floats were taken",
                input.len()
            )));
        }
    }
    let needed = plan.footprint().scratch_bytes;
    if needed > 0 {
        let mut output = vec![7.0; output_len];
        let refused = plan.run(input, &mut output, &mut Scratch::default());
        if refused != (Err(RunError::Scratch { got: 0, needed })) {
            return Err(Flaw::Accepted(format!("no scratch was taken where {needed} bytes are needed")));
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
    let short_weights = Filter { weights: &filter.weights[1..], ..filter };
    let short_bias = Filter { bias: filter.bias.map(|bias| &bias[1..]), ..filter };
    for wrong in [short_weights, short_bias] {
        if !matches!(plan_with(wrong, options), Some(PlanError::Length { .. })) {
            return Err(Flaw::Accepted("a filter of the wrong length was taken".into()));
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
