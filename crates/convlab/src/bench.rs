//! `convlab bench` without its printing: measure cases on one number of threads after another, and keep what came of it.

use std::path::{Path, PathBuf};

use crate::plot::{self, PlotError};
use crate::record::{self, Record, RecordError};

/// Where records and charts go unless told otherwise, in the current folder.
pub const LOCAL_RESULTS: &str = "results/local";

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
    let mut files = plot::charts(&path, folder)?;
    files.insert(0, path);
    Ok(files)
}
