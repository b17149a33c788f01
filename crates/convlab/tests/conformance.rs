//! What no kernel crate can test of its own algorithms, each of which it holds to the conformance suite: that the suite runs
//! for every algorithm of the registry and on every instruction set of the machine, and that all of them agree on random
//! problems.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use conv_check::{Case, Kind, strategies};
use conv_core::{Epilogue, PlanOptions, Problem, Scratch};
use conv_simd::Isa;
use conv_tune::{algorithms, families};
use convlab::suite;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

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

/// The suite asks [`Isa::available`].
#[test]
fn every_instruction_set_of_this_machine_is_tested() {
    let tested: BTreeSet<_> = Isa::available().into_iter().map(Isa::name).collect();
    assert_eq!(tested, levels_of_this_machine(), "an instruction set of this machine was not tested");
}

/// Crates that have algorithms are those of the registry's families, and each runs the suite on all that it has.
#[test]
fn every_algorithm_is_held_to_the_suite() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    let mut with_algorithms = BTreeSet::new();
    for entry in fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path();
        let exports = |line: &str| line.starts_with("pub ") && line.contains("ALGORITHMS");
        if text(&folder.join("src/lib.rs")).lines().any(exports) {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            let tests = text(&folder.join("tests/conformance.rs"));
            assert!(tests.contains("ALGORITHMS, Extent::Usual)"), "{name} does not run the suite");
            with_algorithms.insert(name);
        }
    }
    let registered = families().into_iter().map(|family| format!("conv-{family}")).collect();
    assert_eq!(with_algorithms, registered);
}

/// Checks everyone who computes `problem` against the oracle, and any two against each other: no further apart than the
/// sum of their bounds.
fn check_all(problem: &Problem, kind: Kind, seed: u64, workers: usize) -> Result<(), TestCaseError> {
    let case =
        Case::new(problem, kind, seed, if seed.is_multiple_of(2) { Epilogue::RELU } else { Epilogue::default() });
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

/// Scaling by a power of two is exact in every sum, product and transform: the same bits, scaled.
fn check_scaling(problem: &Problem, seed: u64) -> Result<(), TestCaseError> {
    let case = Case::without_bias(problem, Kind::Signed, seed, Epilogue::default());
    let scaled: Vec<f32> = case.input().iter().map(|x| x * 0.25).collect();
    for candidate in suite::cases(vec![problem.clone()], &algorithms(), &Isa::available()).remove(0).candidates {
        let options = PlanOptions::new(2).isa(candidate.isa);
        let plan = candidate.method.algorithm.plan(problem, case.filter(), Epilogue::default(), &options).unwrap();
        let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).unwrap();
        let mut run = |input: &[f32]| {
            let mut output = vec![f32::NAN; problem.output_len()];
            plan.run(input, &mut output, &mut scratch).unwrap();
            output
        };
        let (whole, quarter) = (run(case.input()), run(&scaled));
        let same = whole.iter().zip(&quarter).all(|(a, b)| a * 0.25 == *b);
        prop_assert!(same, "{} on {} for '{problem}'", candidate.method.algorithm.name(), candidate.isa);
    }
    Ok(())
}

/// A property of a problem, a seed and a number of workers.
type Property = fn(&Problem, u64, usize) -> Result<(), TestCaseError>;

const AGREE: Property = |problem, seed, workers| check_all(problem, Kind::ReluLike, seed, workers);
/// Integers are exact: whatever differs is a mistake, not rounding.
const AGREE_ON_INTEGERS: Property = |problem, seed, workers| check_all(problem, Kind::Integers, seed, workers);
const SCALE: Property = |problem, seed, _| check_scaling(problem, seed);

fn holds(property: Property, cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let inputs = (strategies::problem(), 0..1000_u64, 1..5_usize);
    let result = TestRunner::new(config).run(&inputs, |(problem, seed, workers)| property(&problem, seed, workers));
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn random_problems_agree_with_the_oracle_and_each_other() {
    holds(AGREE, 16);
}

#[test]
fn random_problems_on_integers() {
    holds(AGREE_ON_INTEGERS, 16);
}

#[test]
fn powers_of_two_scale_exactly() {
    holds(SCALE, 16);
}

#[test]
#[ignore = "long: see CONTRIBUTING.md"]
fn many_random_problems() {
    for property in [AGREE, AGREE_ON_INTEGERS, SCALE] {
        holds(property, 1000);
    }
}
