//! How far a result is from the oracle's, and what can be wrong with an algorithm.

use conv_core::{Algorithm, PlanError, Problem, RunError};
use conv_simd::Isa;

/// Distances between a result and the exact one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorStats {
    /// Largest `|e|`.
    pub max_abs: f64,
    /// Largest `|e|` over the largest exact `|y|`.
    pub max_rel: f64,
    /// `‖e‖₂ / ‖y‖₂`.
    pub l2_rel: f64,
    /// Where `|e|` is largest (or not a number).
    pub worst: usize,
}

impl ErrorStats {
    /// Compares `computed` with `expected`, of equal length. A value that is not finite makes every figure infinite.
    pub fn new(computed: &[f32], expected: &[f64]) -> Self {
        assert_eq!(computed.len(), expected.len());
        let (mut max_abs, mut worst, mut squares) = (0.0_f64, 0, 0.0);
        for (i, (&got, &exact)) in computed.iter().zip(expected).enumerate() {
            let error = (f64::from(got) - exact).abs();
            if !error.is_finite() {
                let max = f64::INFINITY;
                return ErrorStats { max_abs: max, max_rel: max, l2_rel: max, worst: i };
            }
            if error > max_abs {
                (max_abs, worst) = (error, i);
            }
            squares += error * error;
        }
        let largest = expected.iter().fold(0.0_f64, |max, y| max.max(y.abs()));
        let norm = expected.iter().map(|y| y * y).sum::<f64>().sqrt();
        let over = |error: f64, scale: f64| if error == 0.0 { 0.0 } else { error / scale };
        ErrorStats { max_abs, max_rel: over(max_abs, largest), l2_rel: over(squares.sqrt(), norm), worst }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Flaw {
    /// Too far from the oracle.
    #[error("output {index} is {got}, should be {expected}: |e| = {error:.3e} is above the bound {bound:.3e}")]
    Inexact {
        /// Which output.
        index: usize,
        /// Computed.
        got: f32,
        /// Exact.
        expected: f64,
        /// Distance.
        error: f64,
        /// Allowed.
        bound: f64,
    },
    /// More zeros than the exact result has.
    #[error("{zeros} of {len} outputs are zero, where the exact result has {expected}")]
    Zeros {
        /// Zeros computed.
        zeros: usize,
        /// Zeros in the exact result.
        expected: usize,
        /// Outputs.
        len: usize,
    },
    /// A bound that bounds nothing.
    #[error("error_growth is {growth}, which allows {bound:.3e}: no bound on outputs of at most {norm:.3e}")]
    NoBound {
        /// The algorithm's `error_growth`.
        growth: f64,
        /// The error that it allows.
        bound: f64,
        /// The operator norm, which no output exceeds.
        norm: f64,
    },
    /// Memory beside a buffer was written.
    #[error("{floats} floats beside the {buffer} were written")]
    Outside {
        /// `output` or `scratch`.
        buffer: &'static str,
        /// How many.
        floats: usize,
    },
    /// Another result with other scratch contents, another number of workers or buffers elsewhere.
    #[error("with {when}, output {index} is {got:e}, where it was {first:e}")]
    Unstable {
        /// What was different.
        when: String,
        /// Which output.
        index: usize,
        /// What it is.
        got: f32,
        /// What it was with one worker, aligned buffers and NaN in scratch.
        first: f32,
    },
    /// A plan that failed.
    #[error("no plan: {0}")]
    Plan(#[from] PlanError),
    /// A run that failed.
    #[error("no run: {0}")]
    Run(#[from] RunError),
    /// Something wrong that was accepted, or refused in another way than it should be.
    #[error("{0}")]
    Accepted(String),
    /// A flaw that shows on certain data.
    #[error("{flaw}\n  on {data}")]
    On {
        /// What to pass to [`Case`](crate::Case) to see it again.
        data: String,
        /// The flaw itself.
        flaw: Box<Flaw>,
    },
}

/// A flaw, where it was found, and how to see it again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{flaw}\n  again with: convlab check '{problem}' --algorithm {algorithm} --isa {isa}")]
pub struct Failure {
    /// What is wrong.
    pub flaw: Box<Flaw>,
    /// The problem's descriptor.
    pub problem: String,
    /// The algorithm.
    pub algorithm: &'static str,
    /// The instruction set.
    pub isa: &'static str,
}

impl Failure {
    /// `flaw`, found in `algorithm` for `problem` on `isa`.
    pub fn new(flaw: impl Into<Flaw>, problem: &Problem, algorithm: &dyn Algorithm, isa: Isa) -> Self {
        let flaw = Box::new(flaw.into());
        Failure { flaw, problem: problem.to_string(), algorithm: algorithm.name(), isa: isa.name() }
    }
}
