//! Every algorithm against the oracle and against each other.

use conv_check::{Case as Verification, ErrorStats, Failure, Kind};
use conv_core::{Epilogue, Method, PlanOptions, Problem};
use conv_measure::memory::{self, TooLittleMemory};
use conv_measure::{Candidate, Stop, Stopped};
use conv_report::record::{Kind as RecordKind, Record};
use rayon::ThreadPool;

use crate::suite::Case;

/// Seed of the data that is checked on.
const SEED: u64 = 1;

/// How exact one candidate is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exactness {
    /// Distances from the oracle.
    pub errors: ErrorStats,
    /// Largest distance over what the algorithm's error bound allows; above 1 it is wrong.
    pub bound_fraction: f64,
}

/// How exact everyone is on one problem.
pub struct Report {
    /// Each candidate, in the case's order, with its figures or what is wrong with it.
    pub results: Vec<(Candidate, Result<Exactness, Failure>)>,
    /// Largest difference of any output between any two candidates, over the largest exact output.
    pub spread: f64,
}

impl Report {
    /// A record of each candidate's errors, or of why it was left out, with what `base` says; what is wrong has none.
    pub fn records(&self, problem: &Problem, base: &Record) -> Vec<Record> {
        let record = |(candidate, result): &(Candidate, Result<Exactness, Failure>)| {
            let outcome = match result {
                Ok(Exactness { errors, .. }) => {
                    Record { max_rel_error: Some(errors.max_rel), l2_rel_error: Some(errors.l2_rel), ..base.clone() }
                }
                Err(failure) if memory::refused(failure) => {
                    Record { failure: Some(failure.flaw.to_string()), ..base.clone() }
                }
                Err(_) => return None,
            };
            Some(Record {
                kind: RecordKind::Check,
                name: problem.label(),
                problem: Some(problem.to_string()),
                algorithm: Some(candidate.method.algorithm.name().into()),
                isa: candidate.isa.name().into(),
                batch: Some(problem.batch()),
                ..outcome
            })
        };
        self.results.iter().filter_map(record).collect()
    }
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The problem's data does not fit.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    /// An end that was asked for.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Computes `case` on data of `kind` by every candidate on `pool` and holds the results against the oracle and each other.
///
/// # Errors
/// [`CheckError`] if the problem's data does not fit, or `stop` asked for the end.
pub fn check(case: &Case, kind: Kind, pool: &ThreadPool, stop: &Stop) -> Result<Report, CheckError> {
    pool.install(|| check_inside(case, kind, stop))
}

fn check_inside(case: &Case, kind: Kind, stop: &Stop) -> Result<Report, CheckError> {
    // Data, two outputs and the range of all; exact output and weights in f64.
    memory::admit(&format!("checking {}", case.problem.label()), 5 * case.problem.bytes())?;
    let verification = Verification::new(&case.problem, kind, SEED, Epilogue::default());
    let mut range = Range::default();
    let result = |&candidate: &Candidate| {
        let Candidate { method: Method { algorithm, parameters }, isa } = candidate;
        let options = PlanOptions::new(rayon::current_num_threads()).isa(isa).memory_limit(memory::plannable_bytes());
        let result = verification.compute(algorithm, &options.parameters(parameters)).and_then(|output| {
            range.include(&output);
            let failed = |flaw| Failure {
                flaw: Box::new(flaw),
                problem: case.problem.to_string(),
                algorithm: algorithm.name(),
                isa: isa.name(),
            };
            let outcome = verification.judge(algorithm, &output).map_err(failed)?;
            let bound_fraction = outcome.errors.max_abs / outcome.bound;
            Ok(Exactness { errors: outcome.errors, bound_fraction })
        });
        stop.check().map(|()| (candidate, result))
    };
    let results = case.candidates.iter().map(result).collect::<Result<_, _>>()?;
    Ok(Report { results, spread: range.widest() / largest(verification.expected()) })
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.abs()))
}

/// The smallest and largest value that any candidate gives each output.
#[derive(Default)]
struct Range {
    lowest: Vec<f32>,
    highest: Vec<f32>,
}

impl Range {
    fn include(&mut self, output: &[f32]) {
        if self.lowest.is_empty() {
            (self.lowest, self.highest) = (output.to_vec(), output.to_vec());
        }
        for ((low, high), &value) in self.lowest.iter_mut().zip(&mut self.highest).zip(output) {
            (*low, *high) = (low.min(value), high.max(value));
        }
    }

    fn widest(&self) -> f64 {
        let widths = self.lowest.iter().zip(&self.highest).map(|(&low, &high)| f64::from(high) - f64::from(low));
        widths.fold(0.0, f64::max)
    }
}
