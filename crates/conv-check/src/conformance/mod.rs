//! One suite for every algorithm: what each must do for each problem, and how each must refuse.
//!
//! Data and exact results of a problem are made once, for all algorithms and instruction sets that compute it, and of the
//! plans, which take most of the time, each is made once and serves all checks that it can.

use std::cmp::Reverse;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use conv_core::Algorithm;
use conv_simd::Isa;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::case::sums_products;
use crate::error::Failure;

mod cases;
mod checks;
mod problems;

pub use cases::Cases;
pub use problems::{problems, wide_problems};

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What fits between two changes: of the parameters that an algorithm suggests for a problem two, others for each
    /// problem, and [`wide_problems`] only by algorithms that need not transform their filters.
    Usual,
    /// All problems, with six of the parameters for each: some ten times as long.
    Long,
}

/// How many problems an algorithm computed and how many it refused, on all instruction sets together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Computed, correctly in every respect.
    pub computed: usize,
    /// Refused with a typed reason.
    pub refused: usize,
}

/// What an algorithm rightly did with a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Computed it, correctly in every respect.
    Computed,
    /// Refused it with a typed reason.
    Refused,
}

/// Runs the whole suite, problems side by side on all of this machine's cores: [`check_problem`] for each problem, algorithm
/// and instruction set. Returns what each of `algorithms` did.
///
/// # Errors
/// Every failure found, each with the line that shows it again.
pub fn check_algorithms(
    algorithms: &[&dyn Algorithm],
    isas: &[Isa],
    extent: Extent,
) -> Result<Vec<Counts>, Vec<Failure>> {
    let wide = wide_problems().into_iter().map(|problem| (problem, true));
    let all = problems().into_iter().map(|problem| (problem, false)).chain(wide);
    let mut tasks: Vec<_> = (0_u64..).zip(all).collect();
    // Those with the most filters to transform take longest, and come first, so that no core waits for another's last one.
    tasks.sort_by_key(|(_, (problem, _))| {
        Reverse(problem.in_channels() * problem.group_out_channels().next_multiple_of(8))
    });
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = || {
        while let Some((seed, (problem, wide))) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let computes = |algorithm: &dyn Algorithm| !wide || extent == Extent::Long || sums_products(algorithm);
            if !algorithms.iter().any(|algorithm| computes(*algorithm)) {
                continue;
            }
            let cases = Cases::new(problem, *seed);
            for (index, &algorithm) in algorithms.iter().enumerate().filter(|(_, algorithm)| computes(**algorithm)) {
                for &isa in isas {
                    let result = check_problem(algorithm, &cases, isa, extent);
                    results.lock().expect("no check panics while it holds the lock").push((index, *seed, result));
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(tasks.len());
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner().expect("a panic has ended the scope");
    results.sort_by_key(|(index, seed, _)| (*index, *seed));
    let mut counts = vec![Counts::default(); algorithms.len()];
    let mut failures = Vec::new();
    for (index, _, result) in results {
        match result {
            Ok(Verdict::Computed) => counts[index].computed += 1,
            Ok(Verdict::Refused) => counts[index].refused += 1,
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(counts) } else { Err(failures) }
}

/// [`check_algorithms`] for tests, on every instruction set of this machine.
///
/// # Panics
/// With every failure, or if an algorithm refused the whole suite.
pub fn assert_conform(algorithms: &[&dyn Algorithm], extent: Extent) -> Vec<Counts> {
    match check_algorithms(algorithms, &Isa::available(), extent) {
        Ok(all) => {
            for (algorithm, counts) in algorithms.iter().zip(&all) {
                assert!(counts.computed > 0, "{} computes no problem of the suite", algorithm.name());
            }
            all
        }
        Err(failures) => {
            let report: Vec<_> = failures.iter().map(ToString::to_string).collect();
            panic!("{} failures:\n{}", failures.len(), report.join("\n"));
        }
    }
}

/// Everything that must hold for one problem: exact or within the bound on five kinds of data, with and without bias and
/// ReLU; the same bits with any scratch contents, workers, parameters and alignment; nothing touched outside the buffers;
/// wrong buffers, filters and too little memory refused. Or, if the algorithm does not support it, that it says so twice.
///
/// # Errors
/// The first failure found.
pub fn check_problem(algorithm: &dyn Algorithm, cases: &Cases, isa: Isa, extent: Extent) -> Result<Verdict, Failure> {
    thread_local! {
        static POOL: ThreadPool =
            ThreadPoolBuilder::new().num_threads(checks::WORKERS).build().expect("a few threads");
    }
    POOL.with(|pool| pool.install(|| checks::check(algorithm, cases, isa, extent)))
}
