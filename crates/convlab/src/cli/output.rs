//! Where a command's words go, and where its results.

use std::fmt::Display;
use std::io::{self, Write};

use conv_report::record::Record;
use serde::Serialize;
use serde_json::Value;

use super::CliError;

/// What standard output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Everything, as text for people.
    Text,
    /// Results alone, as JSON, a line each; words go to standard error.
    Json,
}

impl Output {
    /// As `--json` asks.
    pub fn new(json: bool) -> Self {
        if json { Output::Json } else { Output::Text }
    }

    /// Says what is no result.
    ///
    /// # Errors
    /// As [`print()`].
    pub fn say(self, text: impl Display) -> Result<(), CliError> {
        match self {
            Output::Text => print(text),
            Output::Json => {
                tell(text.to_string().trim_start());
                Ok(())
            }
        }
    }

    /// Gives a result: as `text`, or as its `records`.
    ///
    /// # Errors
    /// As [`print()`].
    pub fn give(self, text: impl Display, records: &[Record]) -> Result<(), CliError> {
        match self {
            Output::Text => print(text),
            Output::Json => records.iter().try_for_each(print_json),
        }
    }
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
