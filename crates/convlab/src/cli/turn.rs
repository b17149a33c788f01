//! `convlab turn`: one of two programs that `convlab compare --build` times in turn.

use std::io::{self, BufRead};

use conv_measure::{MIN_SAMPLE, Subject, Workload, memory, pool, sample};
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use crate::cli::selection::{Selection, isas};
use crate::cli::{CliError, Exit, print};
use crate::suite::Case;

/// Time what is asked for on standard input, a command a line, for `compare --build`.
///
/// `next` prepares every algorithm of the next problem and answers with what there is, or `null` at the end; `prepare` prepares
/// them anew; a number times one of them and answers with nanoseconds.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Instruction set.
    #[arg(long, value_name = "ISA")]
    isa: String,
    /// Threads.
    #[arg(long, value_name = "N")]
    threads: usize,
}

/// A problem and what computes it here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// Its name.
    pub name: String,
    /// Its descriptor.
    pub problem: String,
    /// Images.
    pub batch: usize,
    /// The methods, in the order of their numbers.
    pub methods: Vec<String>,
}

/// Answers until standard input ends.
///
/// # Errors
/// [`CliError`] for arguments that name nothing, a command that is none, and a run that fails.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let isas = isas(std::slice::from_ref(&args.isa), Vec::new())?;
    let mut cases = args.selection.cases(&isas)?.into_iter();
    let pool = pool(args.threads).map_err(CliError::input)?;
    let mut prepared: Option<Prepared> = None;
    for line in io::stdin().lock().lines() {
        match line.map_err(CliError::input)?.trim() {
            "next" => {
                // The last problem's memory is given back before the next one's is taken.
                drop(prepared.take());
                prepared = cases.next().map(|case| Prepared::new(&pool, &case)).transpose()?;
                let turns = prepared.as_ref().map(Prepared::turns);
                print(serde_json::to_string(&turns).map_err(CliError::input)?)?;
            }
            "prepare" => {
                if let Some(prepared) = &mut prepared {
                    prepared.prepare_anew(&pool)?;
                }
                print("prepared")?;
            }
            number => {
                let time = prepared.as_mut().zip(number.parse().ok()).map(|(it, number)| it.time(&pool, number));
                print(time.ok_or_else(|| CliError::input(format_args!("'{number}' is no command")))??)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// A problem with its plans.
struct Prepared {
    workload: Workload,
    subjects: Vec<Subject>,
    /// How many runs filled a sample the last time, by subject.
    runs: Vec<u32>,
}

impl Prepared {
    /// What does not fit into memory beside the others is left out, and so is what computes wrongly.
    fn new(pool: &ThreadPool, case: &Case) -> Result<Self, CliError> {
        pool.install(|| {
            let mut workload = Workload::new(&case.problem).map_err(CliError::input)?;
            let subject = |candidate: &_| Subject::new(*candidate, &mut workload, memory::plannable_bytes()).ok();
            let subjects: Vec<Subject> = case.candidates.iter().filter_map(subject).collect();
            Ok(Prepared { runs: vec![1; subjects.len()], workload, subjects })
        })
    }

    fn turns(&self) -> Turns {
        let problem = self.workload.problem();
        Turns {
            name: problem.label(),
            problem: problem.to_string(),
            batch: problem.batch(),
            methods: self.subjects.iter().map(|subject| subject.candidate().method.to_string()).collect(),
        }
    }

    fn prepare_anew(&mut self, pool: &ThreadPool) -> Result<(), CliError> {
        pool.install(|| {
            self.subjects
                .iter_mut()
                .try_for_each(|subject| subject.prepare_anew(&mut self.workload))
                .map_err(CliError::input)
        })
    }

    /// Nanoseconds a run, after one that is not timed.
    fn time(&mut self, pool: &ThreadPool, number: usize) -> Result<f64, CliError> {
        let Prepared { workload, subjects, runs } = self;
        let (Some(subject), Some(runs)) = (subjects.get_mut(number), runs.get_mut(number)) else {
            return Err(CliError::input(format_args!("there is no method number {number}")));
        };
        pool.install(|| {
            subject.run(workload)?;
            sample(MIN_SAMPLE, runs, || subject.run(workload))
        })
        .map_err(CliError::input)
    }
}
