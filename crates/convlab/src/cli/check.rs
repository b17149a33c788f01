//! `convlab check`: is every algorithm right, and how exact is it?

use conv_check::Kind;
use conv_simd::Isa;
use indicatif::{ProgressBar, ProgressStyle};

use crate::check::{Report, check};
use crate::cli::selection::{Selection, isas, refusals};
use crate::cli::{CliError, Exit, print, table};
use crate::machine::{hardware_threads, pool};
use crate::memory::refused;
use crate::suite::label;

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
  convlab check paper --algorithm direct,winograd --data adversarial
  convlab check 'g2mb3ic96ih27oc256kh5ph2' --algorithm 'direct/*,im2col/*'
  convlab check benches/problems/vgg16.txt")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Instruction sets, separated by commas: avx512, avx2, portable [default: all that this machine has].
    #[arg(long, value_name = "ISA", value_delimiter = ',')]
    isa: Vec<String>,
    /// What inputs and weights are like.
    #[arg(long, value_enum, default_value_t = Data::Relu)]
    data: Data,
}

/// The data of a check.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Data {
    /// Inputs as after a ReLU, weights of both signs.
    Relu,
    /// Inputs of both signs.
    Signed,
    /// Alternating signs and magnitudes over six decades.
    Adversarial,
}

impl From<Data> for Kind {
    fn from(data: Data) -> Kind {
        match data {
            Data::Relu => Kind::ReluLike,
            Data::Signed => Kind::Signed,
            Data::Adversarial => Kind::Adversarial,
        }
    }
}

/// Checks and prints a table for each problem.
///
/// # Errors
/// [`CliError`] for arguments that name nothing, or problems that nobody computes or that do not fit into memory.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let cases = args.selection.cases(&isas(&args.isa, Isa::available())?)?;
    let pool = pool(hardware_threads()).map_err(CliError::input)?;
    let bar = progress(cases.iter().map(|case| case.candidates.len() as u64).sum());
    let (mut checked, mut failed) = (0, 0);
    for case in cases.iter().filter(|case| !case.candidates.is_empty()) {
        bar.set_message(label(&case.problem));
        let report = check(case, args.data.into(), &pool, || bar.inc(1)).map_err(CliError::input)?;
        let failures = || report.results.iter().filter_map(|(_, result)| result.as_ref().err());
        let unplanned = failures().filter(|failure| refused(failure)).count();
        checked += report.results.len() - unplanned;
        failed += failures().count() - unplanned;
        bar.suspend(|| print(describe(&label(&case.problem), &case.problem.to_string(), &report)))?;
        if let Some(line) = refusals(case) {
            bar.suspend(|| print(format_args!("  {line}")))?;
        }
    }
    bar.finish_and_clear();
    if checked == 0 {
        return Err(CliError::input("nothing was checked: every plan needs more memory than is available"));
    }
    print(format_args!("{checked} checks, {failed} failed"))?;
    Ok(if failed == 0 { Exit::Done } else { Exit::CheckFailed })
}

fn describe(label: &str, descriptor: &str, report: &Report) -> String {
    let cells = |errors: [f64; 3]| errors.map(|error| format!("{error:.1e}"));
    let rows: Vec<Vec<String>> = report
        .results
        .iter()
        .map(|(candidate, result)| {
            let names = [format!("  {}", candidate.method), candidate.isa.to_string()];
            let figures = match result {
                Ok(exact) => cells([exact.errors.max_rel, exact.errors.l2_rel, exact.bound_fraction]),
                Err(_) => [String::from("FAILED"), String::new(), String::new()],
            };
            names.into_iter().chain(figures).collect()
        })
        .collect();
    let mut text = format!("{label}  {descriptor}\n");
    text += &table(&["  algorithm", "isa", "max error", "L2 error", "of bound"], &rows);
    for failure in report.results.iter().filter_map(|(_, result)| result.as_ref().err()) {
        text += &format!("\n  {}: {failure}", failure.algorithm);
    }
    text + &format!("\n  largest difference between two of them: {:.1e}", report.spread)
}

/// A bar on stderr, invisible where that is no terminal.
pub(super) fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    let bar = ProgressBar::new(steps);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
