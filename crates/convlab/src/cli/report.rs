//! `convlab report`: tables from records.

use std::path::PathBuf;

use conv_report::markdown;
use conv_report::record;
use conv_report::table;
use conv_report::tables::{Query, Topic, stability, tables};
use conv_simd::Isa;

use crate::cli::{CliError, Exit, print};

/// Make tables from records alone.
///
/// A table for each processor, instruction set, number of threads and batch in the records. Times are medians in
/// milliseconds, warm and cold. "GFLOP/s" counts the operations of the direct method, and "x peak" is that over the
/// multiply-add peak; "% of peak" counts the operations really executed. "x direct" says how many times as fast as direct
/// convolution, of an error how many times as large. Nothing is measured.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab report results/local                        the records.jsonl of that folder
  convlab report results/local --name 'paper/*' --all
  convlab report results/local --table memory --algorithm im2col --batch 1
  convlab report results/local --batch 1 --threads 1 --markdown
  convlab report results/local/peers --table peers
  convlab report results/local/peers --table peer-layers --batch 1
  convlab report results/local/tune --table regret")]
pub struct Args {
    /// File of records, or the folder of a `records.jsonl`; for the table of stability one for each run.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// What about.
    #[arg(long, value_enum, value_name = "TOPIC", default_value_t)]
    table: Topic,
    /// Only what is called so; `*` stands for any characters, `?` for one.
    #[arg(long, value_name = "GLOB")]
    name: Option<String>,
    /// Only these names, families or patterns, separated by commas.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    algorithm: Vec<String>,
    /// Only this number of images.
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Only this number of threads.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Only this instruction set.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Isa::NAMES))]
    isa: Option<String>,
    /// In a summary, every variant, not only the best of each family.
    #[arg(long)]
    all: bool,
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
    let runs = files.iter().map(|path| record::read(path).map_err(CliError::input)).collect::<Result<Vec<_>, _>>()?;
    let query = Query {
        name: args.name.clone(),
        names: Vec::new(),
        algorithms: args.algorithm.clone(),
        batch: args.batch,
        threads: args.threads,
        isa: args.isa.clone(),
        every_variant: args.all,
    };
    let tables = match (args.table, &runs[..]) {
        (Topic::Stability, runs) => stability(runs).into_iter().collect(),
        (topic, [records]) => tables(records, topic, &query),
        _ => return Err(CliError::input("several records make a table only with --table stability")),
    };
    if tables.is_empty() {
        return Err(CliError::input(format_args!(
            "{}: no such measurements in these records; make some with `{}`",
            files[0].display(),
            args.table.source()
        )));
    }
    let draw = if args.markdown { markdown } else { table };
    let parts = tables.iter().flat_map(|made| {
        [made.caption.clone(), draw(&made.header, &made.rows)].into_iter().chain(made.notes.clone()) //
    });
    print(parts.collect::<Vec<_>>().join("\n\n"))?;
    Ok(Exit::Done)
}
