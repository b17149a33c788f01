//! `convlab compare`: what became faster or slower.

mod revision;
mod turns;

use std::path::PathBuf;
use std::str::FromStr;

use conv_measure::{MAX_THREADS, Stop, hardware_threads};
use conv_report::compare::{Mean, Row, Verdict, means, means_table, of_records, rows_table, summary};
use conv_report::{markdown, narrow, record};
use conv_simd::Isa;
use serde_json::{Value, json};

use crate::cli::selection::{Selection, isas};
use crate::cli::{CliError, Exit, Output, interrupt, records_of, tell};

/// Hold two measurements against each other: faster, slower or undecided, with intervals.
///
/// OLD and NEW are folders of records, or files of them. A row is called faster or slower when its ratio is beyond the threshold
/// and the interval of that ratio, of 95% confidence, does not hold 1; it is as wide as all rows scatter from one run to the other,
/// and rows that were disturbed decide nothing. Geometric means of families and networks are called likewise, and tell less than a
/// row can. Exit code 1 if a row or a mean became slower.
///
/// On a shared machine two runs cannot tell ten percent of one row apart. With --build, that revision of this repository is checked out
/// and built, and both programs are timed in turn, within one run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab compare results/before results/local
  convlab compare old.jsonl new.jsonl --threshold 5% --markdown
  convlab compare --build HEAD~1 paper owt --threads 1
  convlab compare --build v0.1 paper/conv3 --algorithm winograd")]
pub struct Args {
    /// The folder or file of older records, and that of newer ones; with --build what to compute, as for `convlab bench`.
    #[arg(value_name = "OLD NEW")]
    arguments: Vec<String>,
    /// The revision to build and to time in turn with this program: a commit, branch or tag.
    #[arg(long, value_name = "REV")]
    build: Option<String>,
    /// What a row must differ by to be called, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "3%")]
    threshold: Percent,
    /// With --build, names, families or patterns of algorithms, separated by commas [default: all].
    #[arg(long, value_name = "GLOB", value_delimiter = ',', requires = "build")]
    algorithm: Vec<String>,
    /// With --build, threads [default: all of this machine].
    #[arg(long, value_name = "N", requires = "build", value_parser = clap::value_parser!(u64).range(1..=MAX_THREADS as u64))]
    threads: Option<u64>,
    /// With --build, the instruction set [default: the best of this machine].
    #[arg(long, value_name = "ISA", requires = "build")]
    isa: Option<String>,
    /// Undecided rows, too.
    #[arg(long)]
    all: bool,
    /// As Markdown, for a pull request.
    #[arg(long)]
    markdown: bool,
    /// As JSON, every row and mean in a line; the summary goes to standard error.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
}

/// A share in percent, `3%` or `3`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Percent(f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim_end_matches('%').parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
        number.map(|number| Percent(number / 100.0)).ok_or_else(|| format!("'{text}' is no percentage from 0% to 100%"))
    }
}

/// Prints the comparison.
///
/// # Errors
/// [`CliError`] for records that cannot be read or have nothing in common, a revision that cannot be built, or a program that
/// ends early.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let rows = match &args.build {
        Some(revision) => {
            let stop = interrupt::listen()?;
            let rows = in_turn(args, revision, &stop);
            // A signal ends what was started too, and that is no error then.
            if stop.check().is_err() {
                tell("interrupted; nothing of it is kept");
                return Ok(Exit::Interrupted);
            }
            rows?
        }
        None => of_files(args)?,
    };
    let Percent(threshold) = args.threshold;
    let means = means(&rows);
    let verdicts =
        || rows.iter().map(|row| row.verdict(threshold)).chain(means.iter().map(|mean| mean.verdict(threshold)));
    let exit = if verdicts().any(|verdict| verdict == Verdict::Slower) { Exit::Slower } else { Exit::Done };
    let output = Output::new(args.json);
    if args.json {
        rows.iter().for_each(|row| output.give_json(&object(row, threshold)));
        for mean in &means {
            let verdict = mean.verdict(threshold).name();
            let Mean { of, rows, ratio, interval } = mean;
            output.give_json(
                &json!({ "kind": "mean", "name": of, "rows": rows, "ratio": ratio, "interval": interval, "verdict": verdict }),
            );
        }
        output.say(summary(&rows, threshold));
        return output.ended(exit);
    }
    let draw = |(header, cells): (&[&str], Vec<Vec<String>>)| {
        if args.markdown { markdown(header, &cells) } else { narrow(header, &cells) }
    };
    let (header, cells) = rows_table(&rows, threshold, args.all);
    if !cells.is_empty() {
        output.say(format_args!("{}\n", draw((&header, cells))));
    }
    let (header, cells) = means_table(&means, threshold);
    output.say(format_args!("{}\n\n{}", draw((&header, cells)), summary(&rows, threshold)));
    output.ended(exit)
}

/// A row as an object.
fn object(row: &Row, threshold: f64) -> Value {
    let Row { setting, medians: [old, new], ratio, interval, disturbed, machine: _ } = row;
    json!({
        "kind": setting.kind,
        "name": setting.name,
        "algorithm": setting.method,
        "isa": setting.isa,
        "threads": setting.threads,
        "batch": setting.batch,
        "model": setting.model,
        "cache": setting.cache,
        "clock": setting.clock,
        "old_ns": old,
        "new_ns": new,
        "ratio": ratio,
        "interval": interval,
        "disturbed": disturbed,
        "verdict": row.verdict(threshold).name(),
    })
}

fn of_files(args: &Args) -> Result<Vec<Row>, CliError> {
    let [old, new] = &args.arguments[..] else {
        return Err(CliError::input("give two folders of records, the older one first, or --build REV"));
    };
    let read = |path: &String| records_of(&record::file(&PathBuf::from(path)));
    let (rows, [old_alone, new_alone]) = of_records(&read(old)?, &read(new)?);
    if rows.is_empty() {
        return Err(CliError::input(format_args!("{old} and {new} have no measurement in common")));
    }
    if old_alone + new_alone > 0 {
        tell(format_args!("{old_alone} measurements are in {old} alone, {new_alone} in {new} alone"));
    }
    Ok(rows)
}

fn in_turn(args: &Args, revision: &str, stop: &Stop) -> Result<Vec<Row>, CliError> {
    let threads = args.threads.map_or_else(hardware_threads, |threads| threads as usize);
    let isa = isas(args.isa.as_slice(), vec![Isa::best()])?[0];
    // What is asked for is looked at before half an hour of building and timing.
    let selection = Selection::by(args.arguments.clone(), args.algorithm.clone());
    let cases = selection.cases(&[isa])?.len();
    let old = revision::built(revision)?;
    let new = std::env::current_exe().map_err(CliError::input)?;
    let words = selection.words();
    turns::timed([&old, &new], &words, (isa, threads), (cases, stop))
}
