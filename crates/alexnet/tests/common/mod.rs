//! What the tests of forward passes share.

use alexnet::LayerObserver;
use conv_check::oracle;
use conv_core::{Algorithm, Epilogue, Filter, Footprint, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported};

/// The f64 oracle as an algorithm, so that what these tests see is not a kernel's doing. It keeps the weights as given
/// and asks for scratch that it does not need, so that there is memory to plan.
pub struct Oracle;

impl Algorithm for Oracle {
    fn name(&self) -> &'static str {
        "test/oracle"
    }

    fn supports(&self, problem: &Problem) -> Result<(), Unsupported> {
        match problem.height().stride {
            7 => Err(Unsupported::Stride { algorithm: self.name(), stride_h: 7, stride_w: 7 }),
            _ => Ok(()),
        }
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        self.supports(problem)?;
        filter.check(problem)?;
        let prepared = 4 * (filter.weights.len() + problem.out_channels());
        let footprint = options.admit(prepared as u128, 4 * problem.reduction() as u128)?;
        let bias = filter.bias.map(<[f32]>::to_vec);
        Ok(Box::new(OraclePlan {
            problem: problem.clone(),
            footprint,
            epilogue,
            weights: filter.weights.to_vec(),
            bias,
        }))
    }

    fn error_growth(&self, _: &Problem) -> f64 {
        1.0
    }
}

struct OraclePlan {
    problem: Problem,
    footprint: Footprint,
    epilogue: Epilogue,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Plan for OraclePlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], _: &dyn Probe) {
        scratch.fill(f32::NAN);
        let filter = Filter { weights: &self.weights, bias: self.bias.as_deref() };
        let exact = oracle(&self.problem, input, filter, self.epilogue);
        output.iter_mut().zip(exact).for_each(|(output, exact)| *output = exact as f32);
    }
}

/// Everything by [`Oracle`].
pub fn oracle_only(_: &Problem) -> &'static dyn Algorithm {
    &Oracle
}

/// Keeps each layer's output.
#[derive(Default)]
pub struct Outputs(pub Vec<Vec<f32>>);

impl LayerObserver for Outputs {
    fn begin(&mut self, layer: usize) {
        assert_eq!(layer, self.0.len(), "layers begin in order");
    }

    fn end(&mut self, layer: usize, output: &[f32]) {
        assert_eq!(layer, self.0.len(), "a layer ends before the next begins");
        self.0.push(output.to_vec());
    }
}
