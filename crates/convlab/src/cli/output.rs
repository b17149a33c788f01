//! Where a command's words go, and where its results; and what it tells of the records that it reads.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use conv_report::record::{self, Record};
use serde::Serialize;
use serde_json::Value;

use super::{CliError, Exit};
use crate::results::Results;

/// What a command prints whose work does not end with standard output: what it measures is kept, and what it checks has a verdict,
/// also where nobody reads about it.
#[derive(Debug)]
pub struct Output {
    /// Results alone, as JSON, a line each, and words to standard error; or else everything as text for people.
    json: bool,
    /// Why standard output takes no more.
    lost: Mutex<Option<CliError>>,
}

impl Output {
    /// As `--json` asks.
    pub fn new(json: bool) -> Self {
        Output { json, lost: Mutex::new(None) }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Says what is no result.
    pub fn say(&self, text: impl Display) {
        if self.json {
            tell(text.to_string().trim_start());
        } else {
            self.print(|| print(text));
        }
    }

    /// Gives a result: as `text`, or as its `records`.
    pub fn give(&self, text: impl Display, records: &[Record]) {
        self.print(|| if self.json { records.iter().try_for_each(print_json) } else { print(text) });
    }

    /// Gives a result that is text in either form.
    pub fn give_text(&self, text: impl Display) {
        self.print(|| print(text));
    }

    /// Gives a result that is JSON.
    pub fn give_json(&self, value: &impl Serialize) {
        self.print(|| print_json(value));
    }

    fn print(&self, printed: impl FnOnce() -> Result<(), CliError>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_none() {
            *lost = printed().err();
        }
    }

    /// How a command ends that did its work and would end with `exit`.
    ///
    /// # Errors
    /// What befell standard output, unless it is only that its reader has gone.
    pub fn ended(&self, exit: Exit) -> Result<Exit, CliError> {
        match self.lost.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None | Some(CliError::ReaderGone) => Ok(exit),
            Some(error) => Err(error),
        }
    }
}

/// The records of a file. Tells if its last line is cut.
///
/// # Errors
/// [`CliError::Input`] as [`record::read`].
pub fn records_of(path: &Path) -> Result<Vec<Record>, CliError> {
    let (records, cut) = record::read_telling(path).map_err(CliError::input)?;
    cut.iter().for_each(tell);
    Ok(records)
}

/// A folder for results. Tells if the last line of its records is cut.
///
/// # Errors
/// [`CliError::Input`] as [`Results::open`].
pub fn results_in(folder: &Path) -> Result<Results, CliError> {
    let results = Results::open(folder).map_err(CliError::input)?;
    results.cut().into_iter().for_each(tell);
    Ok(results)
}

/// Prints `text` and a newline. Unlike `println!` it does not panic when the reader is gone.
///
/// # Errors
/// [`CliError::ReaderGone`] then, [`CliError::Input`] if standard output cannot be written for another reason.
pub fn print(text: impl Display) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::ReaderGone,
        _ => CliError::input(format_args!("standard output: {error}")),
    })
}

/// Prints `value` as JSON in a line.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    print(serde_json::to_string(value).map_err(CliError::input)?)
}

/// A table's row as an object, cells that are numbers as such.
pub fn row_json(header: &[String], row: &[String]) -> Value {
    let value = |cell: &String| match cell.parse::<f64>() {
        Ok(number) if number.is_finite() => Value::from(number),
        _ => Value::from(cell.as_str()),
    };
    header.iter().zip(row).map(|(name, cell)| (name.clone(), value(cell))).collect()
}

/// Tells on standard error what is beside the result.
pub fn tell(text: impl Display) {
    // Nothing is lost if stderr is closed.
    let _ = writeln!(io::stderr(), "convlab: {text}");
}
