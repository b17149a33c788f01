//! One problem with its data and its exact result, against which any number of algorithms are held.

use conv_core::{Algorithm, Epilogue, Filter, Plan, PlanError, PlanOptions, Problem, Scratch};
use conv_simd::AlignedBuffer;

use crate::data::{Data, Kind};
use crate::error::{ErrorStats, Failure, Flaw};
use crate::guard::{CANARY, overwritten};
use crate::oracle::{operator_norm, oracle};

/// A problem, its data, and the oracle's result.
#[derive(Debug)]
pub struct Case {
    problem: Problem,
    data: Data,
    with_bias: bool,
    epilogue: Epilogue,
    /// What stands in the output beforehand, if the epilogue accumulates.
    before: Vec<f32>,
    expected: Vec<f64>,
    norm: f64,
    kind: Kind,
    seed: u64,
}

/// A correct result and how exact it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Distances from the oracle.
    pub errors: ErrorStats,
    /// The bound on `max_abs` that the algorithm's `error_growth` gives here.
    pub bound: f64,
}

impl Case {
    /// Generates the data and computes the exact result.
    pub fn new(problem: &Problem, kind: Kind, seed: u64, epilogue: Epilogue) -> Self {
        Case::build(problem, kind, seed, true, epilogue)
    }

    /// [`Case::new`] without a bias.
    pub fn without_bias(problem: &Problem, kind: Kind, seed: u64, epilogue: Epilogue) -> Self {
        Case::build(problem, kind, seed, false, epilogue)
    }

    fn build(problem: &Problem, kind: Kind, seed: u64, with_bias: bool, epilogue: Epilogue) -> Self {
        let data = Data::new(problem, kind, seed);
        let filter = Filter { bias: with_bias.then_some(&data.bias[..]), ..data.filter() };
        let before = if epilogue.accumulate { residual(problem, seed) } else { Vec::new() };
        let expected = oracle(problem, &data.input, filter, epilogue, &before);
        let largest = before.iter().fold(0.0_f64, |largest, &y| largest.max(f64::from(y).abs()));
        let norm = operator_norm(problem, &data.input, filter) + largest;
        Case { problem: problem.clone(), data, with_bias, epilogue, before, expected, norm, kind, seed }
    }

    /// What is computed.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// `[n][ih][iw][ic]`.
    pub fn input(&self) -> &[f32] {
        &self.data.input
    }

    /// The filter, with its bias if the case has one.
    pub fn filter(&self) -> Filter<'_> {
        Filter { bias: self.with_bias.then_some(&self.data.bias[..]), ..self.data.filter() }
    }

    /// What stands in the output beforehand: nothing unless the epilogue accumulates.
    pub(crate) fn before(&self) -> &[f32] {
        &self.before
    }

    /// The epilogue.
    pub fn epilogue(&self) -> Epilogue {
        self.epilogue
    }

    /// The data, in words.
    pub(crate) fn describe(&self) -> String {
        let bias = if self.with_bias { "" } else { "out" };
        let Epilogue { accumulate, bounds, pitch } = self.epilogue;
        let relu = if bounds.least == 0.0 { "" } else { "out" };
        let mut text = format!("{:?} data of seed {}, with{bias} bias, with{relu} ReLU", self.kind, self.seed);
        if bounds.most < f32::INFINITY {
            text += &format!(" up to {}", bounds.most);
        }
        if accumulate {
            text += ", added to a residual";
        }
        pitch.map_or(text.clone(), |pitch| format!("{text}, {pitch} floats from one pixel to the next"))
    }

    /// The scale of the error bound, by [`operator_norm`], and the largest of what stood there before: no output is larger.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// The oracle's result, `[n][oh][ow][oc]`.
    pub fn expected(&self) -> &[f64] {
        &self.expected
    }

    /// Plans and runs `algorithm` once, in a fresh output full of NaN and scratch full of NaN.
    ///
    /// # Errors
    /// [`Failure`] if there is no plan or no run.
    pub fn compute(&self, algorithm: &dyn Algorithm, options: &PlanOptions) -> Result<Vec<f32>, Failure> {
        let output = self.plan(algorithm, options).map_err(Flaw::from).and_then(|plan| self.run(&*plan));
        output.map_err(|flaw| Failure::new(flaw, &self.problem, algorithm, options.isa))
    }

    pub(crate) fn plan(&self, algorithm: &dyn Algorithm, options: &PlanOptions) -> Result<Box<dyn Plan>, PlanError> {
        algorithm.plan(&self.problem, self.filter(), self.epilogue, options)
    }

    /// Runs a plan of this case once, in a fresh output full of NaN and scratch full of NaN.
    pub(crate) fn run(&self, plan: &dyn Plan) -> Result<Vec<f32>, Flaw> {
        self.run_on(plan, self.input(), &self.before)
    }

    /// The same with a plan of another height, on its `input` and what stood in its output `before`.
    pub(crate) fn run_on(&self, plan: &dyn Plan, input: &[f32], before: &[f32]) -> Result<Vec<f32>, Flaw> {
        let problem = plan.problem();
        let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).map_err(PlanError::from)?;
        scratch.fill(f32::NAN);
        let (channels, pitch) = (problem.out_channels(), self.epilogue.pitch_of(problem)?);
        let mut output = AlignedBuffer::zeroed(problem.output_span(pitch)).map_err(PlanError::from)?;
        output.fill(CANARY);
        for (pixel, before) in output.chunks_mut(pitch).zip(before.chunks(channels)) {
            pixel[..channels].copy_from_slice(before);
        }
        plan.run(input, &mut output, &mut scratch)?;
        let floats: usize = output.chunks(pitch).map(|pixel| overwritten(&pixel[channels..])).sum();
        if floats > 0 {
            return Err(Flaw::Outside { buffer: "pixels of the output", floats });
        }
        Ok(output.chunks(pitch).flat_map(|pixel| &pixel[..channels]).copied().collect())
    }

    /// The largest error of one output that `algorithm` states for this problem and data.
    ///
    /// # Errors
    /// [`Flaw::NoBound`] if that is not a number of at least zero.
    pub(crate) fn bound(&self, algorithm: &dyn Algorithm) -> Result<f64, Flaw> {
        // The residual is one more sum.
        let growth = algorithm.error_growth(&self.problem) + f64::from(u8::from(self.epilogue.accumulate));
        let bound = growth * f64::from(f32::EPSILON) / 2.0 * self.norm;
        if (0.0..f64::INFINITY).contains(&bound) {
            return Ok(bound);
        }
        Err(Flaw::NoBound { growth, bound, norm: self.norm })
    }

    /// Holds `output` against the oracle.
    ///
    /// # Panics
    /// If `output` has another length than [`Case::expected`].
    ///
    /// # Errors
    /// [`Flaw::NoBound`] if the algorithm's bound is not a number of at least zero, [`Flaw::Inexact`] if an element is beyond the algorithm's bound (or, for integers and an algorithm that only sums
    /// products, is not exact), [`Flaw::Zeros`] if it is zero where it should not be.
    pub fn judge(&self, algorithm: &dyn Algorithm, output: &[f32]) -> Result<Outcome, Flaw> {
        let bound = self.bound(algorithm)?;
        let bound = if self.kind.exact() && sums_products(algorithm) { 0.0 } else { bound };
        let errors = ErrorStats::new(output, &self.expected);
        if errors.max_abs > bound {
            return Err(Flaw::Inexact {
                index: errors.worst,
                got: output[errors.worst],
                expected: self.expected[errors.worst],
                error: errors.max_abs,
                bound,
            });
        }
        // The bound is on the largest output; one that is all zero could hide below it.
        let zeros = output.iter().filter(|&&y| y == 0.0).count();
        let expected = self.expected.iter().filter(|&&y| y == 0.0).count();
        if zeros > expected + output.len() / 8 {
            return Err(Flaw::Zeros { zeros, expected, len: output.len() });
        }
        Ok(Outcome { errors, bound })
    }

    /// Computes once and judges the result.
    ///
    /// # Errors
    /// [`Failure`] with the line that shows it again.
    pub fn check(&self, algorithm: &dyn Algorithm, options: &PlanOptions) -> Result<Outcome, Failure> {
        self.try_check(algorithm, options).map_err(|flaw| Failure::new(flaw, &self.problem, algorithm, options.isa))
    }

    pub(crate) fn try_check(&self, algorithm: &dyn Algorithm, options: &PlanOptions) -> Result<Outcome, Flaw> {
        let output = self.run(&*self.plan(algorithm, options)?)?;
        self.judge(algorithm, &output)
    }
}

/// What stands in an output: small integers, so that sums with others are exact.
fn residual(problem: &Problem, seed: u64) -> Vec<f32> {
    (0..problem.output_len()).map(|i| ((i as u64 * 7 + seed) % 19) as f32 - 9.0).collect()
}

/// Whether `algorithm` multiplies filters as they are and sums the products, and transforms nothing.
pub(crate) fn sums_products(algorithm: &dyn Algorithm) -> bool {
    ["direct/", "im2col/"].iter().any(|family| algorithm.name().starts_with(family))
}
