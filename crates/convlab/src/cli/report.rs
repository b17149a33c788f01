//! `convlab report`: tables from records, as text or CSV, or one page of them and of charts.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use conv_core::file;
use conv_report::record;
use conv_report::tables::{Query, Table, Topic, stability, tables};
use conv_report::{Record, csv, markdown, narrow, page};
use conv_simd::Isa;
use serde_json::{Value, json};

use crate::cli::output::row_json;
use crate::cli::{CliError, Exit, Named, print, print_json, records_of, writable};

/// Make tables, or one page with charts, from records alone.
///
/// A table for each processor, instruction set, number of threads and batch in the records. Times are medians in
/// milliseconds, warm and cold. "GFLOP/s" counts the operations of the direct method, and "x peak" is that over the
/// multiply-add peak; "% of peak" counts the operations really executed. "x direct" says how many times as fast as direct
/// convolution, of an error how many times as large. What is wider than 80 columns loses the middle of long names and goes on
/// below; Markdown and CSV have all of it. Nothing is measured.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab report results/local                        the records.jsonl of that folder
  convlab report results/local -o report.html         one page: the answer, charts, tables, the machine
  convlab report results/local --csv -o tables        every table, a file each
  convlab report results/local --name 'paper/*' --all
  convlab report results/local --table memory --algorithm im2col --batch 1
  convlab report results/local --batch 1 --threads 1 --markdown
  convlab report results/local/peers --table peers
  convlab report results/local/peers --table peer-layers --batch 1
  convlab report results/local/tune --table regret")]
pub struct Args {
    /// Files of records, or the folders of a `records.jsonl`. Of several the later ones' take the place of the same
    /// measurements in the earlier ones; for the table of stability one for each run.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// What about [default: summary; of CSV everything].
    #[arg(long, value_enum, value_name = "TOPIC")]
    table: Option<Topic>,
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
    /// As CSV (RFC 4180): every table there is, or those of --table; each below its caption, or with -o in a file of its own.
    #[arg(long, conflicts_with = "markdown")]
    csv: bool,
    /// As JSON, a table a line: topic, caption, and rows by the names of columns.
    #[arg(long, conflicts_with_all = ["markdown", "csv", "output"])]
    json: bool,
    /// One page of HTML that answers first, with charts and tables; with --csv the folder of the files.
    #[arg(short, long, value_name = "PAGE.html|DIR", conflicts_with_all = ["markdown", "all"])]
    output: Option<PathBuf>,
}

/// Prints the tables, or writes them or the page.
///
/// # Errors
/// [`CliError`] if the records cannot be read or hold nothing that was asked for, or nothing can be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let files: Vec<PathBuf> = args.records.iter().map(|path| record::file(path)).collect();
    let read: Vec<Named<'_>> = files.iter().map(|path| ("the records", path.as_path())).collect();
    if let (Some(path), false) = (&args.output, args.csv) {
        writable(&[("-o", path)], &read)?;
    }
    let runs = files.iter().map(|path| records_of(path)).collect::<Result<Vec<_>, _>>()?;
    let query = Query {
        name: args.name.clone(),
        names: Vec::new(),
        algorithms: args.algorithm.clone(),
        batch: args.batch,
        threads: args.threads,
        isa: args.isa.clone(),
        every_variant: args.all || args.csv || args.json,
    };
    if let (Some(path), false) = (&args.output, args.csv) {
        if args.table.is_some() {
            return Err(CliError::input("--table is for tables; a page has all of them"));
        }
        return write_page(&together(runs), &query, &files[0], path);
    }
    let topics = match args.table {
        Some(topic) => vec![topic],
        None if args.csv || args.json => Topic::value_variants().to_vec(),
        None => vec![Topic::default()],
    };
    let mut made: Vec<(Topic, Table)> = Vec::new();
    for &topic in &topics {
        let of_topic = match (topic, &runs[..]) {
            (Topic::Stability, [_]) if args.csv || args.json => Vec::new(),
            (Topic::Stability, runs) => stability(runs).into_iter().collect(),
            (topic, [records]) => tables(records, topic, &query),
            (topic, runs) if args.csv || args.json => tables(&together(runs.to_vec()), topic, &query),
            _ => return Err(CliError::input("several records make a table only with --table stability")),
        };
        made.extend(of_topic.into_iter().map(|table| (topic, table)));
    }
    if made.is_empty() {
        return Err(CliError::input(format_args!(
            "{}: no such measurements in these records; make some with `{}`",
            files[0].display(),
            topics[0].source()
        )));
    }
    match &args.output {
        Some(folder) => write_tables(&made, folder, &read)?,
        None if args.json => made.iter().try_for_each(|(topic, made)| print_json(&object(*topic, made)))?,
        None if args.csv => print(made.iter().map(|(_, made)| below_caption(made)).collect::<Vec<_>>().join("\r\n"))?,
        None => {
            let draw = if args.markdown { markdown } else { narrow };
            let parts = made.iter().flat_map(|(_, made)| {
                [made.caption.clone(), draw(&made.header, &made.rows)].into_iter().chain(made.notes.clone()) //
            });
            print(parts.collect::<Vec<_>>().join("\n\n"))?;
        }
    }
    Ok(Exit::Done)
}

/// The records of several runs, each measurement as the last of them has it.
fn together(runs: Vec<Vec<Record>>) -> Vec<Record> {
    runs.into_iter().reduce(|all, run| record::merged(all, &run)).unwrap_or_default()
}

/// Writes one page of those `records` that `query` takes, which `source` is the first file of.
fn write_page(records: &[Record], query: &Query, source: &Path, path: &Path) -> Result<Exit, CliError> {
    let of_machine = |record: &Record| record.algorithm.is_none();
    let taken: Vec<Record> =
        records.iter().filter(|record| of_machine(record) || query.takes(record)).cloned().collect();
    let html = page(&taken, source).map_err(CliError::input)?;
    file::write(path, html.as_bytes()).map_err(|error| cannot_write(path, &error))?;
    print(path.display())?;
    Ok(Exit::Done)
}

/// As `--table` takes it.
fn name(topic: Topic) -> String {
    topic.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}

/// A file for each table, `memory-amd-epyc-avx512-1-thread-batch-1.csv`, and when all are written a line for each.
fn write_tables(made: &[(Topic, Table)], folder: &Path, read: &[Named<'_>]) -> Result<(), CliError> {
    fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    let (mut taken, mut written) = (HashSet::new(), Vec::new());
    for (topic, table) in made {
        let topic = name(*topic);
        let (setting, _) = table.caption.split_once("; ").unwrap_or((&table.caption, ""));
        let words: Vec<&str> = setting.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let stem: String = format!("{topic}-{}", words.join("-")).to_lowercase().chars().take(100).collect();
        let mut names = (1..).map(|n| if n == 1 { stem.clone() } else { format!("{stem}-{n}") });
        let name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
        let path = folder.join(format!("{name}.csv"));
        let text = csv(&table.header, &table.rows);
        writable(&[("-o", &path)], read)?;
        file::write(&path, text.as_bytes()).map_err(|error| cannot_write(&path, &error))?;
        written.push(path.display().to_string());
    }
    print(written.join("\n"))
}

/// A record of one field, the caption, and the table below it.
fn below_caption(table: &Table) -> String {
    csv(&[table.caption.as_str()], &[]) + &csv(&table.header, &table.rows)
}

/// A table as an object.
fn object(topic: Topic, table: &Table) -> Value {
    let rows: Vec<Value> = table.rows.iter().map(|row| row_json(&table.header, row)).collect();
    json!({ "topic": name(topic), "caption": table.caption, "rows": rows, "notes": table.notes })
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CliError {
    CliError::input(format_args!("cannot write {}: {error}; choose another place with -o", path.display()))
}
