//! `convlab plot`: charts from records.

use std::path::PathBuf;

use conv_report::{charts, record};
use serde_json::json;

use crate::cli::{CliError, Exit, print, print_json, records_of};

/// Draw charts from records alone.
///
/// Of each layer its throughput, its memory, one against the other (price), and its phases; of maps with three or more
/// sizes of filter the crossover; of whole forward passes their time. Each chart is written as SVG and PNG, one for each
/// batch, number of threads and instruction set in the records: throughput-b1-t1.svg, … Nothing is measured.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab plot results/local                          the records.jsonl of that folder, charts beside it
  convlab plot results/local/records.jsonl --out /tmp/charts")]
pub struct Args {
    /// File of records, or the folder of a `records.jsonl`.
    records: PathBuf,
    /// Folder for the charts [default: the records' folder].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// As JSON, every chart in a line.
    #[arg(long)]
    json: bool,
}

/// Draws the charts and prints their paths.
///
/// # Errors
/// [`CliError`] if the records cannot be read or the charts cannot be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let path = record::file(&args.records);
    let beside = || path.parent().unwrap_or(&path).to_owned();
    let out = args.out.clone().unwrap_or_else(beside);
    for file in charts(&records_of(&path)?, &path, &out).map_err(CliError::input)? {
        if args.json {
            print_json(&json!({ "chart": file }))?;
        } else {
            print(file.display())?;
        }
    }
    Ok(Exit::Done)
}
