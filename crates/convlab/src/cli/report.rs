//! `convlab report`: tables from records.

use std::path::PathBuf;

use conv_simd::Isa;

use crate::cli::table::markdown;
use crate::cli::{CliError, Exit, print, table};
use crate::record;
use crate::report::{Query, peer_tables, tables};
use crate::tune;

/// Make tables from records alone: for every layer the best variant of each family.
///
/// A table for each processor, instruction set, number of threads and batch in the records. Times are medians in
/// milliseconds, warm and cold. "GFLOP/s" counts the operations of the direct method, and "x peak" is that over the
/// multiply-add peak; "% of peak" counts the operations really executed. Nothing is measured.
///
/// With --peers whole passes against the other inference engines of scripts/peers, a row for each network, batch and number
/// of threads: times, distances from ONNX Runtime's probabilities, and memory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab report results/local                        the records.jsonl of that folder
  convlab report results/local --name 'paper/*' --all
  convlab report results/local --batch 1 --threads 1 --markdown
  convlab report results/local/peers --peers
  convlab report results/local/tune --regret")]
pub struct Args {
    /// File of records, or the folder of a `records.jsonl`; with --stability one for each run.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// What `convlab bench --plan` measured: tuned against auto against each family.
    #[arg(long, group = "tuning")]
    choices: bool,
    /// What `convlab tune` measured: time of the cost model's choice over the best found.
    #[arg(long, group = "tuning")]
    regret: bool,
    /// What several runs of `convlab tune` chose, and what the differences cost.
    #[arg(long, group = "tuning")]
    stability: bool,
    /// Only what is called so; `*` stands for any characters, `?` for one.
    #[arg(long, value_name = "GLOB")]
    name: Option<String>,
    /// Only this number of images.
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Only this number of threads.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Only this instruction set.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Isa::NAMES))]
    isa: Option<String>,
    /// Every variant, not only the best of each family.
    #[arg(long, conflicts_with = "peers")]
    all: bool,
    /// Whole passes against other inference engines.
    #[arg(long)]
    peers: bool,
    /// As Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Prints the tables.
///
/// # Errors
/// [`CliError`] if the records cannot be read or hold nothing that was asked for.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let files: Vec<PathBuf> = args.records.iter().map(|path| record::file(path)).collect();
    let mut runs =
        files.iter().map(|path| record::read(path).map_err(CliError::input)).collect::<Result<Vec<_>, _>>()?;
    if args.stability {
        return tuning(tune::report::stability(&runs), args.markdown);
    }
    let (Some(records), [path]) = (runs.pop(), &files[..]) else {
        return Err(CliError::input("several records make a table only with --stability"));
    };
    if args.choices || args.regret {
        let made = if args.choices { tune::report::choices(&records) } else { tune::report::regret(&records) };
        return tuning(made, args.markdown);
    }
    let query = Query {
        name: args.name.clone(),
        batch: args.batch,
        threads: args.threads,
        isa: args.isa.clone(),
        every_variant: args.all,
    };
    let tables = if args.peers { peer_tables(&records, &query) } else { tables(&records, &query) };
    if tables.is_empty() {
        return Err(CliError::input(format_args!(
            "{}: no such measurements in these records; make some with `{}`",
            path.display(),
            if args.peers { "scripts/peers/run" } else { "convlab bench" }
        )));
    }
    let draw = if args.markdown { markdown } else { table };
    let text = tables.iter().map(|made| format!("{}\n\n{}", made.caption, draw(&made.header, &made.rows)));
    print(text.collect::<Vec<_>>().join("\n\n"))?;
    Ok(Exit::Done)
}

/// Prints a table about tuning.
fn tuning(made: Option<tune::report::Table>, as_markdown: bool) -> Result<Exit, CliError> {
    let draw = if as_markdown { markdown } else { table };
    let made = made.ok_or_else(|| {
        CliError::input(
            "no such measurements in these records; make some with `convlab tune --records` or `bench --plan`",
        )
    })?;
    print(format_args!("{}\n\n{}", made.caption, draw(&made.header, &made.rows)))?;
    Ok(Exit::Done)
}
