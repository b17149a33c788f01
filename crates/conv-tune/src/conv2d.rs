//! One convolution in a few lines, for other programs.

use conv_core::{Epilogue, Filter, Footprint, Method, Plan, PlanError, PlanOptions, Problem, RunError, Scratch};
use conv_simd::Isa;

use crate::cache;
use crate::choose::Chooser;
use crate::plan_file::{self, TunedPlan};
use crate::registry::UnknownAlgorithm;

/// A convolution whose algorithm is still to be chosen.
///
/// Weights are `[oc][ic/groups][kh][kw]`, inputs and outputs NHWC. It is prepared for the current rayon pool, and runs on
/// the pool that is current then.
///
/// ```
/// use conv_tune::Conv2d;
///
/// let problem = "mb1ic16ih13oc32kh3ph1".parse()?;
/// let (weights, bias) = (vec![0.1; 32 * 16 * 9], vec![0.0; 32]);
/// let mut convolution = Conv2d::new(problem, &weights, Some(&bias)).relu().auto()?;
/// let output = convolution.run(&vec![1.0; 13 * 13 * 16])?;
/// assert_eq!(output.len(), 13 * 13 * 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Conv2d<'a> {
    problem: Problem,
    filter: Filter<'a>,
    epilogue: Epilogue,
    options: PlanOptions,
}

/// A convolution that was not prepared.
#[derive(Debug, thiserror::Error)]
pub enum Conv2dError {
    /// No such algorithm.
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    /// A plan that was kept for this user, but is damaged.
    #[error(transparent)]
    Kept(#[from] plan_file::PlanError),
    /// Arrays that do not fit the problem, a problem that the algorithm does not compute, or too little memory.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl<'a> Conv2d<'a> {
    /// `problem` with these weights and, if there is one, bias `[oc]`.
    pub fn new(problem: Problem, weights: &'a [f32], bias: Option<&'a [f32]>) -> Self {
        let options = PlanOptions::new(rayon::current_num_threads());
        Conv2d { problem, filter: Filter { weights, bias }, epilogue: Epilogue::default(), options }
    }

    /// The same with negative results made zero.
    pub fn relu(self) -> Self {
        Conv2d { epilogue: Epilogue::RELU, ..self }
    }

    /// The same on another instruction set.
    pub fn isa(self, isa: Isa) -> Self {
        Conv2d { options: self.options.isa(isa), ..self }
    }

    /// The same with at most so many bytes of prepared weights and scratch: what does not fit is not chosen, as far as
    /// the cost model knows it.
    pub fn memory_limit(self, bytes: usize) -> Self {
        Conv2d { options: self.options.memory_limit(bytes), ..self }
    }

    /// Prepares it by what `convlab tune` found on this machine for this problem, if it did, and else by the cost model.
    ///
    /// # Errors
    /// [`Conv2dError`].
    pub fn auto(self) -> Result<ReadyConv2d, Conv2dError> {
        let (chooser, _) = cache::chooser(self.options.isa.name(), self.options.workers)?;
        let method = chooser.choose(&self.problem, &self.options).method;
        self.by(method)
    }

    /// Prepares it as `plan` has it, or by the cost model if it has no such problem.
    ///
    /// # Errors
    /// [`Conv2dError::Plan`].
    pub fn tuned(self, plan: &TunedPlan) -> Result<ReadyConv2d, Conv2dError> {
        let method = plan.method(&self.problem);
        let method = method.unwrap_or_else(|| Chooser::Auto.choose(&self.problem, &self.options).method);
        self.by(method)
    }

    /// Prepares it by an algorithm (`winograd/f4x3`) or the best of a family (`winograd`).
    ///
    /// # Errors
    /// [`Conv2dError`], also if the algorithm does not compute the problem.
    pub fn algorithm(self, name: &str) -> Result<ReadyConv2d, Conv2dError> {
        let choice = Chooser::by_name(name)?.choose(&self.problem, &self.options);
        match choice.fallback {
            Some(reason) => Err(PlanError::from(reason).into()),
            None => self.by(choice.method),
        }
    }

    fn by(self, method: Method) -> Result<ReadyConv2d, Conv2dError> {
        let options = self.options.parameters(method.parameters);
        let plan = method.algorithm.plan(&self.problem, self.filter, self.epilogue, &options)?;
        let scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).map_err(PlanError::from)?;
        Ok(ReadyConv2d { method, plan, scratch, output: vec![0.0; self.problem.output_len()] })
    }
}

/// A convolution that is prepared: weights transformed, scratch and output allocated.
pub struct ReadyConv2d {
    method: Method,
    plan: Box<dyn Plan>,
    scratch: Scratch,
    output: Vec<f32>,
}

impl ReadyConv2d {
    /// Computes the output `[n][oh][ow][oc]` of `input` `[n][ih][iw][ic]`. Allocates nothing.
    ///
    /// # Errors
    /// [`RunError::Length`] if `input` has another length than the problem's.
    pub fn run(&mut self, input: &[f32]) -> Result<&[f32], RunError> {
        self.plan.run(input, &mut self.output, &mut self.scratch)?;
        Ok(&self.output)
    }

    /// Who computes.
    pub fn method(&self) -> Method {
        self.method
    }

    /// What it costs in memory beside input, weights as given, and output.
    pub fn footprint(&self) -> Footprint {
        self.plan.footprint()
    }
}
