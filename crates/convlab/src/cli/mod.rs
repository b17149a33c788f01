//! The commands, one file each: an `Args` struct and `run(args)`.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use conv_core::{DescriptorError, PlanError, Unsupported, file};

use crate::suite::SuiteError;

mod bench;
mod check;
mod compare;
mod completions;
mod conv;
mod describe;
mod explain;
mod export;
mod forward;
mod interrupt;
mod list;
mod manual;
mod output;
mod plan;
mod plot;
mod quantity;
mod report;
mod scale;
mod selection;
mod tune;
mod turn;

pub use output::{Output, print, print_json, records_of, results_in, tell};

/// Which way of computing this convolution is fastest here, what does it cost in memory, how exact is it?
#[derive(Debug, Parser)]
#[command(name = "convlab", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Describe(describe::Args),
    Export(export::Args),
    Check(check::Args),
    Bench(bench::Args),
    Forward(forward::Args),
    Conv(conv::Args),
    Plot(plot::Args),
    Report(report::Args),
    Compare(compare::Args),
    Tune(tune::Args),
    Scale(scale::Args),
    Completions(completions::Args),
    Manual(manual::Args),
    Turn(turn::Args),
}

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Exit code 0.
    Done,
    /// Exit code 1: a check failed, and its report was printed.
    CheckFailed,
    /// Exit code 1: some pictures of a folder could not be read, and which was told.
    Skipped,
    /// Exit code 1: something became slower, and what was printed.
    Slower,
    /// Exit code 130: interrupted, and what was finished is kept.
    Interrupted,
}

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Exit code 2: bad usage or bad input.
    #[error("{0}")]
    Input(String),
    /// Exit code 3: the algorithm does not compute this problem.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Exit code 3: there is nothing here to compute, or no memory for any of it.
    #[error("{0}")]
    Nothing(String),
    /// Exit code 2: what the first of several processes tells, or has told, is not told by each.
    #[error("told by another process")]
    Told,
    /// Standard output was closed by its reader, who has seen enough (`convlab list problems | head`): exit code 0.
    #[error("standard output is closed")]
    ReaderGone,
}

impl CliError {
    /// Bad input, told by `error`.
    pub fn input(error: impl Display) -> Self {
        CliError::Input(error.to_string())
    }
}

impl From<SuiteError> for CliError {
    fn from(error: SuiteError) -> Self {
        match error {
            SuiteError::Problem(DescriptorError::Unrepresentable { .. }) => CliError::Nothing(error.to_string()),
            other => CliError::input(other),
        }
    }
}

impl From<PlanError> for CliError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Unsupported(reason) => reason.into(),
            other => CliError::input(other),
        }
    }
}

/// A path, and the option that gave it.
pub type Named<'a> = (&'a str, &'a Path);

/// Makes sure, before anything is computed, that a file can be written at each of `outputs`, that none of them is one of
/// `inputs`, which it would take the place of, and no two of them are one.
///
/// # Errors
/// [`CliError::Input`] if not.
pub fn writable(outputs: &[Named<'_>], inputs: &[Named<'_>]) -> Result<(), CliError> {
    for (i, (option, path)) in outputs.iter().enumerate() {
        file::writable(path).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "there is no such folder".into(),
                _ => error.to_string(),
            };
            CliError::input(format_args!("{option}: cannot write {}: {why}; choose another place", path.display()))
        })?;
        let others = inputs.iter().chain(&outputs[..i]);
        if let Some((other, _)) = others.into_iter().find(|(_, other)| file::same(&file_of(other), path)) {
            return Err(CliError::input(format_args!(
                "{other} and {option} are one file, {}: choose another place for {option}",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The file of what is given as `path`, which may be an array of an archive, `arrays.npz:x`.
fn file_of(path: &Path) -> PathBuf {
    match path.to_str().and_then(|text| text.rsplit_once(':')) {
        Some((archive, _)) if !path.exists() => archive.into(),
        _ => path.into(),
    }
}

/// Parses the arguments, runs the command, reports its error on stderr.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::List(args) => list::run(&args),
        Command::Describe(args) => describe::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Forward(args) => forward::run(&args),
        Command::Conv(args) => conv::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Scale(args) => scale::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Manual(args) => manual::run(&args),
        Command::Turn(args) => turn::run(&args),
    };
    match result {
        Ok(Exit::Done) | Err(CliError::ReaderGone) => ExitCode::SUCCESS,
        Ok(Exit::CheckFailed | Exit::Skipped | Exit::Slower) => ExitCode::from(1),
        Ok(Exit::Interrupted) => ExitCode::from(interrupt::EXIT_CODE),
        Err(CliError::Told) => ExitCode::from(2),
        Err(error) => {
            tell(&error);
            ExitCode::from(if matches!(error, CliError::Unsupported(_) | CliError::Nothing(_)) { 3 } else { 2 })
        }
    }
}
