//! What must hold for one problem.

use conv_core::{Algorithm, Filter, Parameters, Plan, PlanError, PlanOptions, RunError, Scratch, Unsupported};
use conv_simd::Isa;

use super::{Cases, Extent, Verdict};
use crate::case::Case;
use crate::error::{Failure, Flaw};
use crate::guard::{CANARY, GUARD, Guarded, overwritten};

/// The most workers asked for, and threads of the pool, so that these really work side by side on any machine.
pub(super) const WORKERS: usize = 3;

/// See [`super::check_problem`]; on the current pool.
pub(super) fn check(algorithm: &dyn Algorithm, cases: &Cases, isa: Isa, extent: Extent) -> Result<Verdict, Failure> {
    let options = PlanOptions::new(1).isa(isa);
    let fail = |flaw: Flaw| Failure::new(flaw, cases.problem(), algorithm, isa);
    if let Err(reason) = algorithm.supports(cases.problem()) {
        check_refusal(algorithm, &cases.integers, &options, &reason).map_err(fail)?;
        return Ok(Verdict::Refused);
    }
    let on = |case: &Case, checked: Result<(), Flaw>| {
        checked.map_err(|flaw| fail(Flaw::On { data: case.describe(), flaw: Box::new(flaw) }))
    };
    for case in [&cases.integers, &cases.relu_like, &cases.adversarial, &cases.one_tap] {
        on(case, case.try_check(algorithm, &options).map(drop))?;
    }
    on(&cases.one_tap, check_bound(algorithm, &cases.one_tap))?;
    on(&cases.signed, check_thoroughly(algorithm, cases, &options, extent))?;
    Ok(Verdict::Computed)
}

/// A refusal must be the same from `supports` and `plan`.
fn check_refusal(
    algorithm: &dyn Algorithm,
    case: &Case,
    options: &PlanOptions,
    reason: &Unsupported,
) -> Result<(), Flaw> {
    match case.plan(algorithm, options) {
        Err(PlanError::Unsupported(planned)) if planned == *reason => Ok(()),
        other => {
            let got = other.err().map_or("a plan".into(), |e| e.to_string());
            Err(Flaw::Accepted(format!("supports() says '{reason}', plan() gives {got}")))
        }
    }
}

/// Without a bias, outputs of one tap differ by at least 1: a bound that is no smaller would let a lost tap pass.
fn check_bound(algorithm: &dyn Algorithm, case: &Case) -> Result<(), Flaw> {
    let bound = case.bound(algorithm)?;
    if bound < 1.0 {
        return Ok(());
    }
    Err(Flaw::NoBound { growth: algorithm.error_growth(case.problem()), bound, norm: case.norm() })
}

/// One plan for one worker, and all that can be seen with it; then others, which must come to the same.
fn check_thoroughly(
    algorithm: &dyn Algorithm,
    cases: &Cases,
    options: &PlanOptions,
    extent: Extent,
) -> Result<(), Flaw> {
    let case = &cases.signed;
    check_filters(algorithm, case, options)?;
    let plan = plan_within(algorithm, case, options)?;
    check_plan(algorithm, case, options, &*plan)?;
    let first = case.run(&*plan)?;
    case.judge(algorithm, &first)?;
    check_stability(&*plan, cases, 1, &first)?;
    check_buffers(case, &*plan)?;
    if algorithm.plans_rows(case.problem()) {
        check_rows(case, &*plan, &first, 1 + cases.seed as usize % 3)?;
        // Added to what was there, in a slice of the channels.
        let (case, options) = (&cases.integers, PlanOptions { workers: WORKERS, ..*options });
        let plan = case.plan(algorithm, &options)?;
        check_rows(case, &*plan, &case.run(&*plan)?, 2)?;
    }
    for workers in [1, WORKERS] {
        let options = PlanOptions { workers, ..*options };
        if workers > 1 {
            let plan = case.plan(algorithm, &options)?;
            check_plan(algorithm, case, &options, &*plan)?;
            check_stability(&*plan, cases, workers, &first)?;
        }
        for parameters in some_of(&algorithm.tunings(case.problem(), &options), workers, cases.seed, extent) {
            let options = options.parameters(parameters);
            let plan = case.plan(algorithm, &options)?;
            check_plan(algorithm, case, &options, &*plan)?;
            let when = || format!("{workers} workers and '{parameters}'");
            check_same(&case.run(&*plan)?, &first, when)?;
        }
    }
    Ok(())
}

/// Of the parameters that an algorithm suggests: another one for each problem, so that the suite tries all of a short list;
/// at length the ends and the middle.
fn some_of(tunings: &[Parameters], workers: usize, seed: u64, extent: Extent) -> Vec<Parameters> {
    let Some(last) = tunings.len().checked_sub(1) else { return Vec::new() };
    let turn = seed as usize % tunings.len();
    let indices = match (extent, workers) {
        (Extent::Long, _) => vec![0, tunings.len() / 2, last],
        (Extent::Usual, 1) => vec![turn],
        // From the other end: what is for several workers only stands there.
        (Extent::Usual, _) => vec![last - turn],
    };
    indices.into_iter().map(|index| tunings[index]).collect()
}

/// A plan must say what it computes, ask for whole floats, and cost what is told without planning.
fn check_plan(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions, plan: &dyn Plan) -> Result<(), Flaw> {
    if plan.problem() != case.problem() {
        return Err(Flaw::Accepted(format!("the plan says that it computes '{}'", plan.problem())));
    }
    let footprint = plan.footprint();
    if !footprint.scratch_bytes.is_multiple_of(size_of::<f32>()) {
        let bytes = footprint.scratch_bytes;
        return Err(Flaw::Accepted(format!("{bytes} bytes of scratch are no whole number of floats")));
    }
    match algorithm.work(case.problem(), options).map(|work| work.footprint) {
        Some(told) if told != footprint => {
            let PlanOptions { workers, parameters, .. } = options;
            Err(Flaw::Accepted(format!(
                "with {workers} workers and '{parameters}' {told:?} is told, {footprint:?} planned"
            )))
        }
        _ => Ok(()),
    }
}

/// Plans with exactly as much memory as the refusal of any asks for. One byte less must be refused too.
fn plan_within(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<Box<dyn Plan>, Flaw> {
    let plan_with = |limit| case.plan(algorithm, &options.memory_limit(limit));
    let needed = match plan_with(0) {
        Err(PlanError::Memory { needed, limit: 0 }) => needed as usize,
        Err(error) => return Err(error.into()),
        Ok(_) => 0,
    };
    if needed > 0 {
        match plan_with(needed - 1) {
            Err(PlanError::Memory { needed: again, limit }) if (again as usize, limit) == (needed, needed - 1) => {}
            other => {
                let got = other.err().map_or("a plan".into(), |error| error.to_string());
                return Err(Flaw::Accepted(format!("a limit one byte below the {needed} that are needed gives {got}")));
            }
        }
    }
    let plan = plan_with(needed)
        .map_err(|error| Flaw::Accepted(format!("a limit equal to the {needed} bytes needed is refused: {error}")))?;
    let footprint = plan.footprint();
    if footprint.prepared_bytes + footprint.scratch_bytes != needed {
        return Err(Flaw::Accepted(format!("with a limit of {needed} bytes a plan has {footprint:?}")));
    }
    Ok(plan)
}

/// Same bits again, from aligned buffers and others, with any scratch contents.
fn check_stability(plan: &dyn Plan, cases: &Cases, workers: usize, first: &[f32]) -> Result<(), Flaw> {
    let guarded_bytes = plan.footprint().scratch_bytes + GUARD * size_of::<f32>();
    let mut scratch = Scratch::with_bytes(guarded_bytes).map_err(PlanError::from)?;
    for (contents, fill) in [("NaN in scratch", Some(f32::NAN)), ("used scratch", None), ("0 in scratch", Some(0.0))] {
        if let Some(value) = fill {
            scratch.fill(value);
        }
        let output = run_guarded(plan, &cases.guarded, &mut scratch)?;
        check_same(&output, first, || format!("{workers} workers, unaligned buffers and {contents}"))?;
    }
    Ok(())
}

/// The same bits as at `first`.
fn check_same(output: &[f32], first: &[f32], when: impl Fn() -> String) -> Result<(), Flaw> {
    match output.iter().zip(first).position(|(got, first)| got.to_bits() != first.to_bits()) {
        Some(index) => Err(Flaw::Unstable { when: when(), index, got: output[index], first: first[index] }),
        None => Ok(()),
    }
}

/// The same bits from plans of `band` rows at a time, which see no other rows of the input than they need.
fn check_rows(case: &Case, plan: &dyn Plan, whole: &[f32], band: usize) -> Result<(), Flaw> {
    let problem = plan.problem();
    let (height, [rows, width]) = (problem.height(), problem.output_size());
    let (input_row, output_row) = (problem.width().input * problem.in_channels(), width * problem.out_channels());
    let bands = |image: usize| (0..rows).step_by(band).map(move |start| (image, start..rows.min(start + band)));
    for (image, outputs) in (0..problem.batch()).flat_map(bands) {
        let Some((inputs, axis)) = height.band(outputs.clone()) else { continue };
        let Some(plan) = plan.on_rows(axis) else {
            return Err(Flaw::Accepted(format!(
                "plans_rows() says that there are plans of rows, but {outputs:?} have none"
            )));
        };
        let inputs = (image * height.input + inputs.start) * input_row..(image * height.input + inputs.end) * input_row;
        let outputs = (image * rows + outputs.start) * output_row..(image * rows + outputs.end) * output_row;
        let input = Guarded::copy_of(&case.input()[inputs]);
        let output = case.run_on(&*plan, &input, case.before().get(outputs.clone()).unwrap_or_default())?;
        check_same(&output, &whole[outputs.clone()], || format!("floats {outputs:?} by a plan of their rows"))?;
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
fn check_buffers(case: &Case, plan: &dyn Plan) -> Result<(), Flaw> {
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

/// Filters of the wrong length must be refused.
fn check_filters(algorithm: &dyn Algorithm, case: &Case, options: &PlanOptions) -> Result<(), Flaw> {
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
        let filter = Filter { weights, bias: Some(bias) };
        let got = algorithm.plan(case.problem(), filter, case.epilogue(), options).err();
        if got.as_ref() != Some(&expected) {
            return Err(Flaw::Accepted(format!("a plan that should say '{expected}' gives {got:?}")));
        }
    }
    Ok(())
}
