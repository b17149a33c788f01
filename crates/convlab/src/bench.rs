//! What `convlab bench` and the criterion benches share: where results go, and how they are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use conv_measure::Samples;
use conv_report::record::{self, Record, RecordError};
use conv_report::{self, PlotError};

/// Where records and charts go unless told otherwise, in the current folder.
pub const LOCAL_RESULTS: &str = "results/local";

/// The same in the workspace's folder: cargo runs benches in the folder of their package.
pub const LOCAL_RESULTS_OF_WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../results/local");

/// Results that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Records that could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Charts that could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// Writes `records` into `folder` beside those that are there ([`record::merge_into`]), and all charts anew. Returns the
/// files written.
///
/// # Errors
/// [`KeepError`] if the folder cannot be written or what is there cannot be read.
pub fn keep(folder: &Path, records: &[Record]) -> Result<Vec<PathBuf>, KeepError> {
    let path = record::merge_into(folder, records)?;
    let mut files = conv_report::charts(&path, folder)?;
    files.insert(0, path);
    Ok(files)
}

/// Whether this process is a bench that is to be measured: `cargo bench` says so, and neither lists nor only tests it.
pub fn is_measuring() -> bool {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    given("--bench") && !["--test", "--list", "--help", "-h", "--version"].into_iter().any(given)
}

/// The calls that criterion makes to be timed, for a record of them.
#[derive(Debug, Default)]
pub struct Calls(Vec<(u64, Duration)>);

impl Calls {
    /// Remembers a call that ran `runs` times in `took`, which is returned.
    pub fn add(&mut self, runs: u64, took: Duration) -> Duration {
        self.0.push((runs, took));
        took
    }

    /// The samples. In criterion's flat mode they all have the same number of runs; the calls before, to warm up, have
    /// other numbers, doubling.
    pub fn samples(&self) -> Samples {
        let runs = self.0.last().map_or(0, |last| last.0);
        let mut samples = Samples::default();
        for (_, took) in self.0.iter().filter(|call| call.0 == runs) {
            samples.push(took.as_nanos() as f64 / runs as f64);
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warming_up_is_no_sample() {
        let mut calls = Calls::default();
        for (runs, microseconds) in [(1, 90), (2, 100), (4, 160), (10, 300), (10, 310), (10, 290)] {
            calls.add(runs, Duration::from_micros(microseconds));
        }
        let samples = calls.samples();
        assert_eq!((samples.count(), samples.min(), samples.median()), (3, 29e3, 30e3));
        assert_eq!(Calls::default().samples().count(), 0);
    }
}
