//! `convlab check`: is every algorithm right, and how exact is it?

use std::path::PathBuf;

use clap::ValueEnum;
use conv_check::Kind;
use conv_measure::memory::refused;
use conv_measure::{Machine, hardware_threads, pool};
use conv_report::record::{Data, Record};
use conv_report::table;
use conv_simd::Isa;
use indicatif::{ProgressBar, ProgressStyle};

use crate::check::{CheckError, Report, check};
use crate::cli::selection::{Selection, each_once, isas, refusals};
use crate::cli::{CliError, Exit, Output, interrupt, results_in};
use crate::records;
use crate::results::holds_checks;
use crate::suite::Case;

/// Check algorithms against an exact result (f64) and against each other.
///
/// Every algorithm computes every problem on each instruction set of this machine. Errors are relative to the largest
/// exact output; "bound" is the share of what the algorithm's derived error bound allows. Ends with exit code 1 if a check
/// failed, and prints the command that shows it again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab check paper owt
  convlab check paper/conv3 --algorithm winograd --isa avx2
  convlab check paper --algorithm direct,winograd --data signed,adversarial
  convlab check 'g2mb3ic96ih27oc256kh5ph2' --algorithm 'direct/*,im2col/*'
  convlab check benches/problems/vgg16.txt")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Instruction sets, separated by commas: avx512, avx2, portable [default: all that this machine has].
    #[arg(long, value_name = "ISA", value_delimiter = ',')]
    isa: Vec<String>,
    /// What inputs and weights are like, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "relu")]
    data: Vec<Data>,
    /// Folder for a records.jsonl of the errors [default: none is written].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Check only what the folder does not hold yet, checked by this very program (commit).
    #[arg(long, requires = "out")]
    resume: bool,
    /// As JSON, a record a line, when it is checked; everything else goes to standard error.
    #[arg(long)]
    json: bool,
}

fn kind(data: Data) -> Kind {
    match data {
        Data::Relu => Kind::ReluLike,
        Data::Signed => Kind::Signed,
        Data::Adversarial => Kind::Adversarial,
    }
}

/// Checks and prints a table for each problem, and keeps its records before the next is checked.
///
/// # Errors
/// [`CliError`] for arguments that name nothing, problems that nobody computes, no memory for any of them, or a folder that
/// cannot be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let cases = args.selection.cases(&isas(&args.isa, Isa::available())?)?;
    let results = args.out.as_deref().map(results_in).transpose()?;
    let held = match (&results, args.resume) {
        (Some(results), true) => results.records().map_err(CliError::input)?,
        _ => Vec::new(),
    };
    let output = Output::new(args.json);
    let pool = pool(hardware_threads()).map_err(CliError::input)?;
    let stop = interrupt::listen()?;
    let base = Record { threads: pool.current_num_threads(), ..records::origin(&Machine::detect()) };
    let kinds = each_once(args.data.clone());
    let computed = cases.iter().filter(|case| !case.candidates.is_empty());
    let work: Vec<(&Case, Data)> = computed.flat_map(|case| kinds.iter().map(move |data| (case, *data))).collect();
    let (held, work): (Vec<_>, Vec<_>) = work.into_iter().partition(|(case, data)| holds_checks(&held, case, *data));
    let bar = progress(work.len() as u64);
    let (mut checked, mut failed, mut interrupted) = (0, 0, false);
    for (case, data) in work {
        bar.set_message(case.problem.label());
        let report = match check(case, kind(data), &pool, &stop) {
            Ok(report) => report,
            Err(CheckError::Stopped(_)) => {
                interrupted = true;
                break;
            }
            Err(CheckError::Memory(error)) => {
                bar.suspend(|| output.say(format_args!("{} left out: {error}", case.problem.label())));
                continue;
            }
        };
        bar.inc(1);
        let failures = || report.results.iter().filter_map(|(_, result)| result.as_ref().err());
        let unplanned = failures().filter(|failure| refused(failure)).count();
        checked += report.results.len() - unplanned;
        failed += failures().count() - unplanned;
        let records = report.records(&case.problem, &Record { data: Some(data), ..base.clone() });
        if let Some(results) = &results {
            results.keep(&records).map_err(CliError::input)?;
        }
        let title = format!("{}  {}  {}", case.problem.label(), case.problem, name(data));
        bar.suspend(|| output.give(describe(&title, &report), &records));
        if let Some(line) = refusals(case) {
            bar.suspend(|| output.say(format_args!("  {line}")));
        }
    }
    bar.finish_and_clear();
    if checked == 0 && held.is_empty() && !interrupted {
        return Err(CliError::Nothing("nothing was checked: every plan needs more memory than is available".into()));
    }
    output.say(format_args!("{checked} checks, {failed} failed"));
    if !held.is_empty() {
        output.say(format_args!("{} problems were there already, checked by this program", held.len()));
    }
    if let Some(results) = &results {
        output.say(results.finish().map_err(CliError::input)?);
    }
    if interrupted {
        let (kept, more) = if results.is_some() {
            ("what is finished is kept", "--resume")
        } else {
            ("nothing is kept without --out", "")
        };
        output.say(format_args!("\ninterrupted; {kept}; go on with\n  {}", interrupt::command_again(more)));
        return output.ended(Exit::Interrupted);
    }
    output.ended(if failed == 0 { Exit::Done } else { Exit::CheckFailed })
}

/// As it is given and recorded.
fn name(data: Data) -> String {
    data.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn describe(title: &str, report: &Report) -> String {
    let cells = |errors: [f64; 3]| errors.map(|error| format!("{error:.1e}"));
    let rows: Vec<Vec<String>> = report
        .results
        .iter()
        .map(|(candidate, result)| {
            let names = [format!("  {}", candidate.method), candidate.isa.to_string()];
            let figures = match result {
                Ok(exact) => cells([exact.errors.max_rel, exact.errors.l2_rel, exact.bound_fraction]),
                Err(failure) if refused(failure) => [String::from("left out"), String::new(), String::new()],
                Err(_) => [String::from("FAILED"), String::new(), String::new()],
            };
            names.into_iter().chain(figures).collect()
        })
        .collect();
    let mut text = format!("{title}\n");
    text += &table(&["  algorithm", "isa", "max error", "L2 error", "of bound"], &rows);
    for failure in report.results.iter().filter_map(|(_, result)| result.as_ref().err()) {
        text += &format!("\n  {}: {failure}", failure.algorithm);
    }
    text + &format!("\n  largest difference between two of them: {:.1e}", report.spread)
}

/// A bar on stderr, invisible where that is no terminal.
pub(super) fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}; {elapsed} gone, about {eta} to go");
    let bar = ProgressBar::new(steps);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
