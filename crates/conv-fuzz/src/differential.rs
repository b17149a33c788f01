//! Problem × algorithm × instruction set × threads × parameters × epilogue × data, against the oracle.

use conv_check::{Case, Failure, Kind};
use conv_core::{Axis, Epilogue, PlanError, PlanOptions, Problem};
use conv_simd::{Bounds, Isa};
use conv_tune::algorithms;

use crate::numbers::Numbers;

/// Multiply-adds, times two, of the largest problem: the oracle computes a million in a millisecond or two.
const MAX_FLOPS: u128 = 1_500_000;

const KINDS: [Kind; 5] = [Kind::Signed, Kind::Integers, Kind::ReluLike, Kind::Adversarial, Kind::OneTap];

/// Seldom a wide range: small numbers are where the edges are.
fn size(numbers: &mut Numbers, usual: usize, most: usize) -> usize {
    let most = if numbers.within(0, 7) == 0 { most } else { usual };
    numbers.within(1, most)
}

/// One axis whose filter fits.
fn axis(numbers: &mut Numbers) -> Axis {
    let (input, kernel) = (size(numbers, 18, 60), size(numbers, 5, 12));
    let (stride, dilation) = (size(numbers, 2, 5), size(numbers, 1, 4));
    let (before, after) = (numbers.within(0, 4), numbers.within(0, 4));
    let axis = Axis::new(input, kernel).stride(stride).pad(before, after).dilation(dilation);
    let missing = axis.extent().saturating_sub(input + before + after);
    axis.pad(before, after + missing)
}

fn problem(numbers: &mut Numbers) -> Option<Problem> {
    let batch = size(numbers, 2, 5);
    let (groups, [in_channels, out_channels]) = match numbers.within(0, 3) {
        0 => (size(numbers, 20, 70), [1, numbers.within(1, 3)]),
        1 => (numbers.within(2, 9), [size(numbers, 9, 36), size(numbers, 9, 36)]),
        _ => (1, [size(numbers, 24, 80), size(numbers, 36, 140)]),
    };
    let channels = [groups * in_channels, groups * out_channels];
    let problem = Problem::new(batch, groups, channels, [axis(numbers), axis(numbers)]).ok()?;
    (problem.flops() <= MAX_FLOPS).then_some(problem)
}

fn epilogue(numbers: &mut Numbers, problem: &Problem) -> Epilogue {
    let bounds = [Bounds::NONE, Bounds::RELU, Bounds { least: 0.0, most: 6.0 }, Bounds { least: -0.25, most: 0.75 }];
    let channels = problem.out_channels();
    let pitches = [None, Some(channels), Some(channels + numbers.within(1, 40)), Some(channels.next_multiple_of(16))];
    Epilogue {
        accumulate: numbers.within(0, 3) == 0,
        bounds: numbers.of_list(&bounds),
        pitch: numbers.of_list(&pitches),
    }
}

/// Asks one algorithm for one thing, and holds its result against the oracle and its own bound.
pub fn differential(bytes: &[u8]) {
    let mut numbers = Numbers::of(bytes);
    let (algorithm, isa) = (numbers.of_list(&algorithms()), numbers.of_list(&Isa::available()));
    let (workers, tuning, kind, seed) = (numbers.within(1, 4), numbers.byte(), numbers.of_list(&KINDS), numbers.byte());
    let Some(problem) = problem(&mut numbers) else { return };
    let epilogue = epilogue(&mut numbers, &problem);
    let options = PlanOptions::new(workers).isa(isa);
    let with_bias = numbers.within(0, 1) == 1;
    let new = if with_bias { Case::new } else { Case::without_bias };
    if let Err(reason) = algorithm.supports(&problem) {
        let planned = new(&problem, kind, 0, epilogue).compute(algorithm, &options);
        let error = planned.err().unwrap_or_else(|| panic!("supports() says '{reason}', and a plan was made"));
        let expected = Failure::new(PlanError::Unsupported(reason), &problem, algorithm, isa);
        assert_eq!(error, expected, "supports() and plan() refuse it differently");
        return;
    }
    let mut tunings = algorithm.tunings(&problem, &options);
    tunings.push(options.parameters);
    let options = options.parameters(tunings[usize::from(tuning) % tunings.len()]);
    let case = new(&problem, kind, u64::from(seed), epilogue);
    if let Err(failure) = case.check(algorithm, &options) {
        panic!("{workers} workers, '{}', {epilogue:?}, {kind:?} of seed {seed}: {failure}", options.parameters);
    }
}
