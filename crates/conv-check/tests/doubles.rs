//! The suite must be able to fail: algorithms that are wrong on purpose, each in one way, and each caught for that.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use conv_check::conformance::{self, Cases, Counts, Extent};
use conv_check::{Case, Failure, Flaw, Kind, oracle};
use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Footprint, Parameter, Parameters, Plan, PlanError, PlanOptions, Probe, Problem,
    RunError, Scratch, Unsupported, Work,
};
use conv_simd::{Bounds, Isa};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Wrong {
    Nothing,
    // Results.
    AllZero,
    MostlyZero,
    AllNan,
    LeavesOneOut,
    OneElement,
    OneBit,
    LosesLastTap,
    FlipsFilter,
    IgnoresBias,
    IgnoresBounds,
    IgnoresResidual,
    WritesBetweenPixels,
    // What must not matter.
    ReadsScratch,
    CountsRuns,
    DependsOnWorkers,
    ReadsAlignment,
    // Refusals.
    AnyWeights,
    AnyBias,
    AnyMemory,
    NotEvenEnoughMemory,
    AnyInput,
    AnyOutput,
    AnyScratch,
    RefusesBehindItsBack,
    RefusesOtherwise,
    RefusesAll,
    // What it says of itself.
    NanBound,
    InfiniteBound,
    NegativeBound,
    LooseBound,
    OtherProblem,
    OddScratch,
    TellsLess,
    TunesBits,
}

/// The oracle in f32, but wrong. Its name decides whether it must be exact on integers.
struct Double {
    wrong: Wrong,
    name: &'static str,
}

struct DoublePlan {
    wrong: Wrong,
    problem: Problem,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    epilogue: Epilogue,
    pitch: usize,
    workers: usize,
    tuned: bool,
    runs: AtomicUsize,
}

const REFUSAL: Unsupported = Unsupported::Stride { algorithm: "double", stride_h: 2, stride_w: 3 };

impl Algorithm for Double {
    fn name(&self) -> &'static str {
        self.name
    }

    fn supports(&self, _: &Problem) -> Result<(), Unsupported> {
        if matches!(self.wrong, Wrong::RefusesOtherwise | Wrong::RefusesAll) { Err(REFUSAL) } else { Ok(()) }
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        let wrong = self.wrong;
        match wrong {
            Wrong::RefusesBehindItsBack | Wrong::RefusesAll => return Err(REFUSAL.into()),
            Wrong::AnyWeights if filter.weights.len() != problem.weight_len() => {}
            Wrong::AnyBias if filter.weights.len() == problem.weight_len() => {}
            _ => filter.check(problem)?,
        }
        if wrong == Wrong::NotEvenEnoughMemory && options.memory_limit == 64 {
            return Err(PlanError::Memory { needed: 64, limit: 64 });
        }
        if wrong != Wrong::AnyMemory {
            options.admit(0, if wrong == Wrong::OddScratch { 63 } else { 64 })?;
        }
        let mut weights = filter.weights.to_vec();
        for weights in weights.chunks_mut(problem.reduction()) {
            match wrong {
                Wrong::LosesLastTap => weights[problem.reduction() - 1] = 0.0,
                Wrong::FlipsFilter => weights.reverse(),
                _ => {}
            }
        }
        let other = problem.clone().with_name("other");
        Ok(Box::new(DoublePlan {
            wrong,
            problem: if wrong == Wrong::OtherProblem { other } else { problem.clone() },
            weights,
            bias: filter.bias.filter(|_| wrong != Wrong::IgnoresBias).map(<[f32]>::to_vec),
            epilogue: Epilogue {
                bounds: if wrong == Wrong::IgnoresBounds { Bounds::NONE } else { epilogue.bounds },
                accumulate: epilogue.accumulate && wrong != Wrong::IgnoresResidual,
                ..epilogue
            },
            pitch: epilogue.pitch_of(problem)?,
            workers: options.workers,
            tuned: options.parameters != Parameters::default(),
            runs: AtomicUsize::new(0),
        }))
    }

    fn parameters(&self) -> &'static [Parameter] {
        const TILES: &[Parameter] = &[Parameter { name: "tiles", meaning: "tiles", range: 1..=8 }];
        TILES
    }

    fn tunings(&self, _: &Problem, _: &PlanOptions) -> Vec<Parameters> {
        [1, 8].into_iter().filter_map(|tiles| Parameters::new(self, [("tiles", tiles)]).ok()).collect()
    }

    fn work(&self, _: &Problem, _: &PlanOptions) -> Option<Work> {
        let told = match self.wrong {
            Wrong::OddScratch => 63,
            Wrong::TellsLess => 60,
            _ => 64,
        };
        Some(Work {
            footprint: Footprint { prepared_bytes: 0, scratch_bytes: told },
            product_flops: 0.0,
            rows: 1,
            depth: 1,
            transform_flops: 0.0,
            tile_transforms: 0.0,
            weight_passes: 1.0,
            between_bytes: 0.0,
            between_set: 0.0,
            tasks: 1,
        })
    }

    fn error_growth(&self, problem: &Problem) -> f64 {
        match self.wrong {
            Wrong::NanBound => f64::NAN,
            Wrong::InfiniteBound => f64::INFINITY,
            Wrong::NegativeBound => -1.0,
            Wrong::LooseBound => 1e7,
            // As loose as that of the largest Winograd tiles.
            Wrong::LosesLastTap => 8e4,
            _ => problem.reduction() as f64 + 1.0,
        }
    }
}

fn next_float(y: f32) -> f32 {
    f32::from_bits(y.to_bits() ^ 1)
}

impl Plan for DoublePlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        Footprint { prepared_bytes: 0, scratch_bytes: if self.wrong == Wrong::OddScratch { 63 } else { 64 } }
    }

    fn output_pitch(&self) -> usize {
        self.pitch
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], _: &dyn Probe) {
        let filter = Filter { weights: &self.weights, bias: self.bias.as_deref() };
        let (pitch, channels) = (self.pitch, self.problem.out_channels());
        let before: Vec<f32> = output.chunks(pitch).flat_map(|pixel| &pixel[..channels]).copied().collect();
        let exact = oracle(&self.problem, input, filter, self.epilogue, &before);
        let left_out = usize::from(self.wrong == Wrong::LeavesOneOut);
        let written = output.chunks_mut(pitch).flat_map(|pixel| &mut pixel[..channels]);
        written.zip(exact).skip(left_out).for_each(|(y, exact)| *y = exact as f32);
        if self.wrong == Wrong::WritesBetweenPixels
            && let Some(between) = output.get_mut(channels).filter(|_| pitch > channels)
        {
            *between = 0.0;
        }
        let runs = self.runs.fetch_add(1, Ordering::Relaxed);
        let unaligned = !(output.as_ptr() as usize).is_multiple_of(64);
        match self.wrong {
            Wrong::AllZero => output.chunks_mut(pitch).for_each(|pixel| pixel[..channels].fill(0.0)),
            Wrong::MostlyZero => output.chunks_mut(pitch).skip(1).for_each(|pixel| pixel[..channels].fill(0.0)),
            Wrong::AllNan | Wrong::NanBound | Wrong::InfiniteBound => {
                output.chunks_mut(pitch).for_each(|pixel| pixel[..channels].fill(f32::NAN));
            }
            Wrong::OneElement => *output.last_mut().unwrap() += 1.0,
            Wrong::OneBit => output[0] = next_float(output[0]),
            Wrong::ReadsScratch => output[0] += scratch[0],
            Wrong::CountsRuns if runs == 1 => output[0] = next_float(output[0]),
            Wrong::DependsOnWorkers if self.workers == 3 => output[0] = next_float(output[0]),
            Wrong::TunesBits if self.tuned => output[0] = next_float(output[0]),
            Wrong::ReadsAlignment if unaligned => output[0] = next_float(output[0]),
            _ => {}
        }
        scratch.fill(1.0);
    }

    fn run_probed(
        &self,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut Scratch,
        probe: &dyn Probe,
    ) -> Result<(), RunError> {
        let lengths = [
            (Wrong::AnyInput, "input", input.len(), self.problem.input_len()),
            (Wrong::AnyOutput, "output", output.len(), self.problem.output_span(self.pitch)),
        ];
        for (wrong, buffer, got, expected) in lengths {
            if got != expected {
                return if self.wrong == wrong { Ok(()) } else { Err(RunError::Length { buffer, got, expected }) };
            }
        }
        match scratch.lend(self.footprint().scratch_bytes) {
            Ok(scratch) => self.execute(input, output, scratch, probe),
            Err(_) if self.wrong == Wrong::AnyScratch => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The data of the suite's first problems, which show every flaw here.
static CASES: LazyLock<Vec<Cases>> =
    LazyLock::new(|| (0..).zip(conformance::problems()).take(8).map(|(seed, p)| Cases::new(&p, seed)).collect());

/// The first failure that the suite finds.
fn first_failure(double: &Double) -> Option<Failure> {
    CASES.iter().find_map(|cases| conformance::check_problem(double, cases, Isa::best(), Extent::Usual).err())
}

/// What the suite says of all problems that are not too wide.
fn counts(double: &Double) -> Counts {
    conformance::check_algorithms(&[double], &[Isa::best()], Extent::Usual).expect("no failure")[0]
}

/// The flaw itself, without the data that it shows on.
fn bare(flaw: &Flaw) -> &Flaw {
    if let Flaw::On { flaw, .. } = flaw { flaw } else { flaw }
}

#[test]
fn a_right_algorithm_passes() {
    let all = conformance::problems().len();
    for (name, computed) in [("winograd/double", all), ("direct/double", all + conformance::wide_problems().len())] {
        assert_eq!(counts(&Double { wrong: Wrong::Nothing, name }), Counts { computed, refused: 0 });
    }
}

fn assert_caught(wrongs: &[Wrong], expected: fn(&Flaw) -> bool) {
    for &wrong in wrongs {
        let failure = first_failure(&Double { wrong, name: "winograd/double" });
        let failure = failure.unwrap_or_else(|| panic!("{wrong:?} passes"));
        assert!(expected(bare(&failure.flaw)), "{wrong:?}: {failure}");
    }
}

#[test]
fn every_wrong_one_is_caught_for_what_it_is() {
    use Wrong::*;
    let results = [
        AllZero,
        MostlyZero,
        AllNan,
        LeavesOneOut,
        OneElement,
        LosesLastTap,
        FlipsFilter,
        IgnoresBias,
        IgnoresBounds,
        IgnoresResidual,
    ];
    assert_caught(&results, |flaw| matches!(flaw, Flaw::Inexact { .. }));
    assert_caught(&[WritesBetweenPixels], |flaw| matches!(flaw, Flaw::Outside { floats: 1, .. }));
    assert_caught(&[ReadsScratch], |flaw| matches!(flaw, Flaw::Inexact { got, .. } if got.is_nan()));
    let circumstances = [CountsRuns, DependsOnWorkers, ReadsAlignment, TunesBits];
    assert_caught(&circumstances, |flaw| matches!(flaw, Flaw::Unstable { .. }));
    assert_caught(&[NanBound, InfiniteBound, NegativeBound, LooseBound], |flaw| matches!(flaw, Flaw::NoBound { .. }));
    let claims = [
        AnyWeights,
        AnyBias,
        AnyMemory,
        NotEvenEnoughMemory,
        AnyInput,
        AnyOutput,
        AnyScratch,
        OtherProblem,
        OddScratch,
        TellsLess,
        RefusesOtherwise,
    ];
    assert_caught(&claims, |flaw| matches!(flaw, Flaw::Accepted(_)));
    assert_caught(&[RefusesBehindItsBack], |flaw| *flaw == Flaw::Plan(REFUSAL.into()));
}

#[test]
fn sums_of_products_must_be_exact_on_integers() {
    let wrong = Wrong::OneBit;
    let failure = first_failure(&Double { wrong, name: "direct/double" }).expect("one bit");
    assert!(matches!(bare(&failure.flaw), Flaw::Inexact { bound: 0.0, .. }), "{failure}");
    let report = failure.to_string();
    assert!(report.contains("Integers data of seed 0, with bias, without ReLU, added to a residual"), "{report}");
    let again = format!("convlab check '{}' --algorithm direct/double --isa {}", failure.problem, Isa::best());
    assert!(report.contains(&again), "{report}");
}

/// The bound of a transform is wider than one product of many: only data of one tap shows a lost one.
#[test]
fn a_lost_tap_hides_in_sums_but_not_alone() {
    let problem = Problem::new(1, 1, [600, 8], [Axis::new(5, 3).pad(1, 1); 2]).unwrap();
    let double = Double { wrong: Wrong::LosesLastTap, name: "winograd/double" };
    let options = PlanOptions::new(1);
    let check = |kind| Case::without_bias(&problem, kind, 1, Epilogue::default()).check(&double, &options);
    assert!(check(Kind::Integers).is_ok());
    assert!(check(Kind::OneTap).is_err());
}

/// Whatever the bound allows: zeros that should be none are counted.
#[test]
fn zeros_are_caught_under_any_bound() {
    let double = Double { wrong: Wrong::LooseBound, name: "winograd/double" };
    let problem = Problem::new(1, 1, [3, 8], [Axis::new(9, 3); 2]).unwrap();
    let case = Case::new(&problem, Kind::Signed, 1, Epilogue::default());
    let mut output: Vec<f32> = case.expected().iter().map(|&y| y as f32).collect();
    assert!(case.judge(&double, &output).is_ok());
    let kept = output.len() / 4;
    output[kept..].fill(0.0);
    let zeros = output.len() - kept;
    assert_eq!(case.judge(&double, &output), Err(Flaw::Zeros { zeros, expected: 0, len: output.len() }));
}

#[test]
fn a_refusal_that_is_the_same_twice_is_right() {
    let double = Double { wrong: Wrong::RefusesAll, name: "winograd/double" };
    assert_eq!(counts(&double), Counts { computed: 0, refused: conformance::problems().len() });
}

#[test]
#[should_panic(expected = "computes no problem of the suite")]
fn but_refusing_everything_does_not_conform() {
    conformance::assert_conform(&[&Double { wrong: Wrong::RefusesAll, name: "winograd/double" }], Extent::Usual);
}
