//! Every registered algorithm on every instruction set of this machine: the conformance suite, random problems, and each
//! against the others.

use std::collections::BTreeSet;

use conv_check::{Case, Kind, conformance, strategies};
use conv_core::{Epilogue, PlanOptions, Problem};
use conv_simd::Isa;
use conv_tune::algorithms;
use convlab::suite;
use proptest::prelude::*;

/// What the processor has, asked without [`Isa`]: a level that `Isa` failed to find would otherwise never be missed.
fn levels_of_this_machine() -> BTreeSet<&'static str> {
    let mut levels = BTreeSet::from(["portable"]);
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.insert("avx2");
        }
        if is_x86_feature_detected!("avx512f") {
            levels.insert("avx512");
        }
    }
    levels
}

#[test]
fn every_algorithm_conforms_on_every_instruction_set() {
    let mut ran = BTreeSet::new();
    for isa in Isa::available() {
        for algorithm in algorithms() {
            let counts = conformance::assert_conforms(algorithm, isa);
            assert_eq!(counts.computed + counts.refused, conformance::problems().len(), "{}", algorithm.name());
            ran.insert(isa.name());
        }
    }
    assert_eq!(ran, levels_of_this_machine(), "an instruction set of this machine was not tested");
}

/// Checks everyone who computes `problem` against the oracle, and any two against each other: no further apart than the
/// sum of their bounds.
fn check_all(problem: &Problem, kind: Kind, seed: u64, workers: usize) -> Result<(), TestCaseError> {
    let case = Case::new(problem, kind, seed, Epilogue { relu: seed.is_multiple_of(2) });
    let all = suite::cases(vec![problem.clone()], &algorithms(), &Isa::available()).remove(0);
    let mut outputs = Vec::new();
    for candidate in all.candidates {
        let options = PlanOptions::new(workers).isa(candidate.isa);
        let fail = |error: String| TestCaseError::fail(error);
        let output = case.compute(candidate.method.algorithm, &options).map_err(|failure| fail(failure.to_string()))?;
        let name = format!("{} on {}", candidate.method.algorithm.name(), candidate.isa);
        let outcome =
            case.judge(candidate.method.algorithm, &output).map_err(|flaw| fail(format!("{name}: {flaw}")))?;
        outputs.push((name, outcome.bound, output));
    }
    for (i, (name, bound, output)) in outputs.iter().enumerate() {
        for (other_name, other_bound, other) in &outputs[..i] {
            let distance = output.iter().zip(other).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
            prop_assert!(
                distance <= bound + other_bound,
                "{name} and {other_name} differ by {distance:.2e} on '{problem}'"
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_problems_agree_with_the_oracle_and_each_other(
        problem in strategies::problem(),
        seed in 0..1000_u64,
        workers in 1..5_usize,
    ) {
        check_all(&problem, Kind::ReluLike, seed, workers)?;
    }

    /// Integers are exact: whatever differs is a mistake, not rounding.
    #[test]
    fn random_problems_on_integers(problem in strategies::problem(), seed in 0..1000_u64) {
        check_all(&problem, Kind::Integers, seed, 2)?;
    }

    /// Scaling by a power of two is exact in every sum, product and transform: the same bits, scaled.
    #[test]
    fn powers_of_two_scale_exactly(problem in strategies::problem(), seed in 0..1000_u64) {
        let case = Case::without_bias(&problem, Kind::Signed, seed, Epilogue::default());
        let scaled: Vec<f32> = case.input().iter().map(|x| x * 0.25).collect();
        for candidate in suite::cases(vec![problem.clone()], &algorithms(), &Isa::available()).remove(0).candidates {
            let options = PlanOptions::new(2).isa(candidate.isa);
            let plan = candidate.method.algorithm.plan(&problem, case.filter(), Epilogue::default(), &options).unwrap();
            let mut scratch = conv_core::Scratch::with_bytes(plan.footprint().scratch_bytes).unwrap();
            let mut run = |input: &[f32]| {
                let mut output = vec![f32::NAN; problem.output_len()];
                plan.run(input, &mut output, &mut scratch).unwrap();
                output
            };
            let (whole, quarter) = (run(case.input()), run(&scaled));
            let same = whole.iter().zip(&quarter).all(|(a, b)| a * 0.25 == *b);
            prop_assert!(same, "{} on {} for '{problem}'", candidate.method.algorithm.name(), candidate.isa);
        }
    }
}
