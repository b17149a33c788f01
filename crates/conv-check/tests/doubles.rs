//! The suite must be able to fail: algorithms that are wrong on purpose, each in one way.

use conv_check::{conformance, oracle};
use conv_core::{Algorithm, Epilogue, Filter, Footprint, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported};
use conv_simd::Isa;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Wrong {
    Nothing,
    Zeros,
    OneElement,
    ReadsScratch,
    IgnoresBias,
    IgnoresRelu,
    AnyFilter,
    AnyMemory,
}

struct Double(Wrong);

struct DoublePlan {
    wrong: Wrong,
    problem: Problem,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    epilogue: Epilogue,
}

impl Algorithm for Double {
    fn name(&self) -> &'static str {
        "direct/double"
    }

    fn supports(&self, _: &Problem) -> Result<(), Unsupported> {
        Ok(())
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        if self.0 != Wrong::AnyFilter {
            filter.check(problem)?;
        }
        if self.0 != Wrong::AnyMemory {
            options.admit(0, 64)?;
        }
        Ok(Box::new(DoublePlan {
            wrong: self.0,
            problem: problem.clone(),
            weights: filter.weights.to_vec(),
            bias: filter.bias.filter(|_| self.0 != Wrong::IgnoresBias).map(<[f32]>::to_vec),
            epilogue: Epilogue { relu: epilogue.relu && self.0 != Wrong::IgnoresRelu },
        }))
    }

    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }
}

impl Plan for DoublePlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        Footprint { prepared_bytes: 0, scratch_bytes: 64 }
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], _: &dyn Probe) {
        let filter = Filter { weights: &self.weights, bias: self.bias.as_deref() };
        let exact = oracle(&self.problem, input, filter, self.epilogue);
        output.iter_mut().zip(exact).for_each(|(y, exact)| *y = exact as f32);
        match self.wrong {
            Wrong::Zeros => output.fill(0.0),
            Wrong::OneElement => *output.last_mut().unwrap() += 1.0,
            Wrong::ReadsScratch => output[0] += scratch[0],
            _ => {}
        }
        scratch.fill(1.0);
    }
}

#[test]
fn a_right_algorithm_passes() {
    let counts = conformance::assert_conforms(&Double(Wrong::Nothing), Isa::best());
    assert_eq!(counts.computed, conformance::problems().len());
}

#[test]
fn every_wrong_one_is_caught() {
    use Wrong::*;
    for wrong in [Zeros, OneElement, ReadsScratch, IgnoresBias, IgnoresRelu, AnyFilter, AnyMemory] {
        let failures = conformance::check_algorithm(&Double(wrong), Isa::best()).expect_err(&format!("{wrong:?}"));
        assert!(failures[0].to_string().contains("convlab check '"), "{}", failures[0]);
    }
}
