//! `convlab bench`: how fast is every algorithm, what does it cost in memory?

mod args;
mod text;

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::slice;
use std::time::Instant;

use conv_core::{Method, PlanOptions, Problem};
use conv_measure::{Candidate, Effort, Machine, MeasureError, Stop, hardware_threads, pool};
use conv_net::Network;
use conv_report::narrow;
use conv_report::record::{Cache, Kind, Record};
use conv_report::tables::{Query, Topic, tables};
use conv_simd::Isa;
use conv_tune::{Chooser, TUNED};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

pub use self::args::{Args, Shard};

use crate::cli::check::progress;
use crate::cli::plan::{Asked, Setting, covers};
use crate::cli::selection::{each_once, isas, refusals};
use crate::cli::{CliError, Exit, Output, interrupt, results_in, tell};
use crate::measure::{Bench, ForwardMeasureError};
use crate::ranks::{Agreement, Ranks, lines, program};
use crate::results::{Results, holds, holds_passes, is_of};
use crate::suite::{Case, ModelProblems};

/// What is said before a build that checks every sum and index measures anything.
const SLOW_BUILD: &str = "\
convlab: this build checks overflows and debug assertions, so its figures are worth nothing;
convlab: measure with `cargo run --release -- bench`";

/// Measures and prints, keeps records as they are made, and at the end writes charts and tables.
///
/// # Errors
/// [`CliError`] for arguments that name nothing, problems that nobody computes, no memory for any of them, or a folder that
/// cannot be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    if cfg!(debug_assertions) {
        // Nothing is lost if stderr is closed.
        let _ = writeln!(io::stderr(), "{SLOW_BUILD}");
    }
    let ranks = args.shard.map(|_| Ranks::join()).transpose().map_err(CliError::input)?;
    let made = Run::new(args, ranks.as_ref());
    let Some(ranks) = ranks else {
        let (_, run) = made?;
        let (tally, interrupted) = run.all()?;
        return run.conclude(&tally, interrupted);
    };
    let run = ranks.agree(made)?;
    let (tally, interrupted) = ranks.or_abort(run.all());
    let mut records = ranks.or_abort(run.results.records().map_err(CliError::input));
    records.retain(|record| run.asks_for(record));
    let told = ranks.or_abort(serde_json::to_string(&Part { tally, interrupted, records }).map_err(CliError::input));
    let parts = ranks.all_texts(&told);
    if ranks.rank() > 0 { Ok(Exit::Done) } else { run.put_together(&args.out, &parts) }
}

/// What is to be measured, and how.
struct Run {
    cases: Vec<Case>,
    networks: Vec<Network>,
    models: Vec<ModelProblems>,
    isas: Vec<Isa>,
    choosers: Vec<Chooser>,
    /// Whether a plan is held against other choices.
    planned: bool,
    output: Output,
    effort: Effort,
    memory_limit: usize,
    machine: Machine,
    /// What is there already.
    held: Vec<Record>,
    /// Whether of that only what was disturbed is to be measured, and nothing else.
    retry: bool,
    threads: Vec<usize>,
    /// What stands before this command to start it: `mpirun -n 2`.
    started_by: String,
    results: Results,
    stop: Stop,
}

/// What one of several processes measured.
#[derive(Serialize, Deserialize)]
struct Part {
    tally: Tally,
    interrupted: bool,
    records: Vec<Record>,
}

/// What came of a run so far.
#[derive(Default, Serialize, Deserialize)]
struct Tally {
    /// What was measured.
    names: Vec<String>,
    /// Problems and passes that were there already.
    held: usize,
    /// Whether any result was wrong.
    failed: bool,
}

/// Why a run ended early.
enum Ended {
    Stopped,
    Error(CliError),
}

impl<E: Into<CliError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Ended::Error(error.into())
    }
}

impl Run {
    /// What `args` ask for, with `ranks` this one's part, after what all of them must have in common.
    fn new(args: &Args, ranks: Option<&Ranks>) -> Result<(Agreement, Self), CliError> {
        let planned = args.plan.as_deref().map(|path| Setting::planned(path, Asked { isa: None, threads: None }));
        let planned = planned.transpose()?;
        let isas = isas(&args.isa, vec![planned.as_ref().map_or(Isa::best(), |(setting, _)| setting.isa)])?;
        let (mut cases, models) = args.selection.cases_and_models(&isas)?;
        let mut networks = args.selection.networks();
        let problems = cases.iter().map(|case| &case.problem);
        let agreement = vec![program(), ("the list of problems", lines(problems))];
        let mut out = args.out.clone();
        if let Some(ranks) = ranks {
            out.push(ranks.folder());
            cases = ranks.deal(cases);
            networks.truncate(if ranks.rank() == 0 { networks.len() } else { 0 });
        }
        let results = results_in(&out)?;
        let mut threads = each_once(args.threads.iter().map(|&count| count as usize).collect());
        if threads.is_empty() {
            threads.push(ranks.map_or_else(hardware_threads, Ranks::threads));
        }
        let mut effort = if args.quick { Effort::QUICK } else { Effort::FULL };
        let mut choosers = args.selection.choosers();
        if let (Some((setting, plan)), Some(path)) = (planned, &args.plan) {
            let problems: Vec<Problem> = cases.iter().map(|case| case.problem.clone()).collect();
            covers(&plan, path, &problems, &args.selection.text())?;
            choosers.push(setting.chooser);
            threads = vec![setting.threads];
            effort = Effort::NETWORK;
            keep_chosen(&mut cases, &choosers, &PlanOptions::new(setting.threads).isa(setting.isa));
        }
        let run = Run {
            networks,
            models,
            planned: args.plan.is_some(),
            memory_limit: args.memory_limit.unwrap_or(usize::MAX),
            output: Output::new(args.json),
            held: if args.resume || args.retry { results.records().map_err(CliError::input)? } else { Vec::new() },
            retry: args.retry,
            machine: Machine::detect(),
            stop: interrupt::listen()?,
            cases,
            isas,
            effort,
            choosers,
            threads,
            started_by: ranks.map_or_else(String::new, Ranks::started_by),
            results,
        };
        Ok((agreement, run))
    }

    /// Whether a record is of what is to be measured, by this program: the folder may hold others of earlier runs.
    fn asks_for(&self, record: &Record) -> bool {
        let case = |case: &Case| record.problem.as_deref() == Some(&case.problem.to_string());
        let network = |network: &Network| record.kind == Kind::Forward && record.name == network.name();
        let asked = self.cases.iter().any(case) || self.networks.iter().any(network);
        record.commit == conv_tune::COMMIT && (asked || record.kind == Kind::Machine)
    }

    /// Measures all of it. What came of it, and whether it was interrupted.
    fn all(&self) -> Result<(Tally, bool), CliError> {
        let mut tally = Tally::default();
        for &threads in &self.threads {
            match self.on(threads, &mut tally) {
                Ok(()) => {}
                Err(Ended::Stopped) => return Ok((tally, true)),
                Err(Ended::Error(error)) => return Err(error),
            }
        }
        Ok((tally, false))
    }

    /// Concludes for all processes, which told what their `parts` are: the records go into `out`.
    fn put_together(mut self, out: &Path, parts: &[String]) -> Result<Exit, CliError> {
        let (mut all, mut interrupted, mut records) = (Tally::default(), false, Vec::new());
        for told in parts {
            let part: Part = serde_json::from_str(told).map_err(CliError::input)?;
            all.names.extend(part.tally.names);
            all.held += part.tally.held;
            all.failed |= part.tally.failed;
            interrupted |= part.interrupted;
            records.extend(part.records);
        }
        self.results = results_in(out)?;
        self.results.keep(&records).map_err(CliError::input)?;
        self.conclude(&all, interrupted)
    }

    /// Charts, tables, and how to go on.
    fn conclude(&self, tally: &Tally, interrupted: bool) -> Result<Exit, CliError> {
        let places = self.results.finish().map_err(CliError::input)?;
        let measured = Query { names: tally.names.clone(), ..Query::default() };
        let records = self.results.records().map_err(CliError::input)?;
        for made in tables(&records, Topic::Best, &measured) {
            let parts = [made.caption, narrow(&made.header, &made.rows)].into_iter().chain(made.notes);
            self.output.give(format_args!("\n{}", parts.collect::<Vec<_>>().join("\n\n")), &[]);
        }
        for model in &self.models {
            for &threads in &self.threads {
                self.output.say(format_args!("\n{}", self.sum(model, threads, &records)));
            }
        }
        self.output.say(format_args!("\n{places}"));
        if interrupted {
            let again = self.started_by.clone() + &interrupt::command_again("--resume");
            self.output.say(format_args!("\ninterrupted; what is finished is kept; go on with\n  {again}"));
            return self.output.ended(Exit::Interrupted);
        }
        if tally.held > 0 {
            let held = tally.held;
            self.output.say(format_args!("{held} problems were there already, measured by this program"));
        }
        if tally.names.is_empty() && tally.held == 0 && !tally.failed {
            return Err(CliError::Nothing(
                "nothing was measured: every plan needs more memory than there is for it, as the lines above say"
                    .into(),
            ));
        }
        self.output.ended(if tally.failed { Exit::CheckFailed } else { Exit::Done })
    }

    /// Measures everything on so many threads that is not there already.
    fn on(&self, threads: usize, tally: &mut Tally) -> Result<(), Ended> {
        let cache = if self.effort.cold && !self.effort.network { Cache::Cold } else { self.cache() };
        let (held, cases): (Vec<&Case>, Vec<&Case>) =
            self.cases.iter().partition(|case| self.is_done(case, threads, cache));
        let (held_passes, networks): (Vec<_>, Vec<_>) =
            self.networks.iter().partition(|network| self.has_passes(network, threads));
        tally.held += held.len() + held_passes.len();
        if cases.is_empty() && networks.is_empty() {
            return Ok(());
        }
        let pool = pool(threads).map_err(CliError::input)?;
        let bench = Bench::new(&self.machine, pool, &self.isas, self.effort, self.stop.clone());
        let bench = bench.map_err(CliError::input)?.memory_limit(self.memory_limit);
        let machine = bench.machine_records().map_err(CliError::input)?;
        self.results.keep(&machine).map_err(CliError::input)?;
        for record in &machine {
            self.output.give(text::machine(record), slice::from_ref(record));
        }
        self.measure(&bench, &cases, tally)?;
        for network in networks {
            self.measure_passes(&bench, network, tally)?;
        }
        Ok(())
    }

    /// The caches that layers are compared in.
    fn cache(&self) -> Cache {
        if self.effort.network { Cache::Network } else { Cache::Warm }
    }

    /// What all layers of a model take together: of each distinct problem as often as layers have it.
    fn sum(&self, model: &ModelProblems, threads: usize, records: &[Record]) -> String {
        let times = |problem: &Problem, direct: bool| {
            let of_problem = records.iter().filter(|record| is_of(record, problem, threads));
            let compared = of_problem.filter(|record| {
                let isa = self.isas.iter().any(|isa| isa.name() == record.isa);
                let algorithm = record.algorithm.as_deref().unwrap_or_default();
                isa && record.cache == Some(self.cache()) && (!direct || algorithm.starts_with("direct/"))
            });
            compared.filter_map(|record| record.median_ns).min_by(f64::total_cmp)
        };
        let sum = |direct: bool| {
            let each = model.distinct.iter().map(|(problem, count)| Some(*count as f64 * times(problem, direct)?));
            each.sum::<Option<f64>>()
        };
        let (layers, batch) = (model.distinct.iter().map(|(_, count)| count).sum::<usize>(), model.batch);
        let of = format!("{}, batch {batch}, threads {threads}: its {layers} convolutions", model.model);
        match (sum(false), sum(true)) {
            (Some(best), Some(direct)) => {
                let [best, direct] = [best, direct].map(text::milliseconds);
                format!("{of} take {best} ms by the fastest of each, {direct} ms by direct")
            }
            (Some(best), None) => format!("{of} take {} ms by the fastest of each", text::milliseconds(best)),
            (None, _) => format!("{of} have no sum: not every one was measured"),
        }
    }

    /// Whether nothing is to be measured of a problem.
    fn is_done(&self, case: &Case, threads: usize, cache: Cache) -> bool {
        if self.retry {
            let what = (case.problem.label(), case.problem.batch());
            return !self.held.iter().any(|record| is_disturbed(record, &what, threads, &self.isas));
        }
        holds(&self.held, case, threads, cache)
    }

    /// Whether nothing is to be measured of a network's passes.
    fn has_passes(&self, network: &Network, threads: usize) -> bool {
        if self.retry {
            let what = (network.name().to_owned(), network.batch());
            return !self.held.iter().any(|record| is_disturbed(record, &what, threads, &self.isas));
        }
        let names: Vec<&str> = self.choosers.iter().map(Chooser::name).collect();
        self.isas.iter().all(|isa| {
            holds_passes(&self.held, (network.name(), network.batch()), (isa.name(), threads), &names) //
        })
    }

    /// Measures `cases` one after another, and keeps the records of each before the next. Those that were disturbed are then
    /// measured again, in all no longer than all took the first time.
    fn measure(&self, bench: &Bench, cases: &[&Case], tally: &mut Tally) -> Result<(), Ended> {
        let bar = progress(cases.len() as u64);
        let begun = Instant::now();
        let mut disturbed = Vec::new();
        for case in cases {
            let rows = self.measure_case(bench, case, usize::MAX, (tally, &bar))?;
            bar.inc(1);
            if rows > 0 {
                disturbed.push((case, rows));
            }
        }
        // A first look is not looked at twice.
        if self.effort.patience <= 1 {
            disturbed.clear();
        }
        let (time, again) = (begun.elapsed(), Instant::now());
        bar.set_length(disturbed.len() as u64);
        bar.set_position(0);
        for (case, rows) in disturbed.iter().take_while(|_| again.elapsed() < time) {
            self.measure_case(bench, case, *rows, (tally, &bar))?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Measures `case`, and keeps its records if fewer than `disturbed` rows were. Returns how many were.
    fn measure_case(
        &self,
        bench: &Bench,
        case: &Case,
        disturbed: usize,
        (tally, bar): (&mut Tally, &ProgressBar),
    ) -> Result<usize, Ended> {
        bar.set_message(case.problem.label());
        let mut measured = match bench.measure(case) {
            Ok(measured) => measured,
            Err(MeasureError::Stopped(_)) => {
                bar.finish_and_clear();
                return Err(Ended::Stopped);
            }
            Err(error) => return Err(CliError::input(error).into()),
        };
        let noise: Vec<&str> = measured.records.iter().filter_map(|record| record.disturbed.as_deref()).collect();
        let rows = noise.len();
        if rows >= disturbed {
            return Ok(rows);
        }
        let mut text = format!("\n{}  {}\n", case.problem.label(), case.problem);
        text += &text::layer(&measured.records);
        if let Some(noise) = noise.first() {
            text += &format!("\n  ~ disturbed: {noise}");
        }
        for failure in &measured.failures {
            text += &format!("\n  {}: {failure}", failure.algorithm);
        }
        for (candidate, reason) in &measured.left_out {
            text += &format!("\n  {} on {} left out: {reason}", candidate.method, candidate.isa);
        }
        if let Some(line) = refusals(case) {
            text += &format!("\n  {line}");
        }
        if self.planned {
            let options = PlanOptions::new(bench.pool().current_num_threads()).isa(self.isas[0]);
            say_who_chose(&mut measured.records, &self.choosers, &options);
        }
        self.results.keep(&measured.records).map_err(CliError::input)?;
        bar.suspend(|| self.output.give(text, &measured.records));
        if self.output.is_json() {
            measured.failures.iter().for_each(|failure| bar.suspend(|| tell(failure)));
        }
        tally.failed |= !measured.failures.is_empty();
        if disturbed == usize::MAX && measured.records.iter().any(|record| record.median_ns.is_some()) {
            tally.names.push(case.problem.label());
        }
        Ok(rows)
    }

    /// Measures the whole passes of one network. What cannot be made is said and left out.
    fn measure_passes(&self, bench: &Bench, network: &Network, tally: &mut Tally) -> Result<(), Ended> {
        let title = format!("\n{}, batch {}\n", network.name(), network.batch());
        if self.choosers.is_empty() {
            let why = "  no whole pass: --algorithm holds patterns only; give a name or a family";
            self.output.say(title + why);
            return Ok(());
        }
        match bench.measure_forward(network, &self.choosers) {
            Ok(mut passes) => {
                // A plan's pass has no name by which another process could make it.
                let named = passes.iter_mut().filter(|pass| pass.algorithm.as_deref() != Some(TUNED));
                let peaks = named.filter_map(|pass| add_peak_memory(pass).err());
                let complaints: Vec<_> = peaks.map(|error| format!("\n  no peak memory: {error}")).collect();
                self.results.keep(&passes).map_err(CliError::input)?;
                tally.names.push(network.name().into());
                self.output.give(title + &text::passes(&passes) + &complaints.concat(), &passes);
            }
            Err(ForwardMeasureError::Stopped(_)) => return Err(Ended::Stopped),
            Err(error) => {
                tally.failed |= matches!(error, ForwardMeasureError::Disagree { .. });
                self.output.say(format_args!("{title}  no whole pass: {error}"));
            }
        }
        Ok(())
    }
}

/// Whether a record of this name and batch was disturbed.
fn is_disturbed(record: &Record, (name, batch): &(String, usize), threads: usize, isas: &[Isa]) -> bool {
    let isa = isas.iter().any(|isa| isa.name() == record.isa);
    record.disturbed.is_some()
        && record.name == *name
        && record.batch == Some(*batch)
        && record.threads == threads
        && isa
}

/// Leaves only what some chooser chooses, each once.
fn keep_chosen(cases: &mut [Case], choosers: &[Chooser], options: &PlanOptions) {
    for case in cases {
        let choices = choosers.iter().map(|chooser| chooser.choose(&case.problem, options));
        let methods = choices.filter(|choice| choice.fallback.is_none()).map(|choice| choice.method).collect();
        case.candidates =
            each_once(methods).into_iter().map(|method: Method| Candidate { method, isa: options.isa }).collect();
        case.unsupported.clear();
    }
}

/// Enters into each record of a layer who chooses what it measured.
fn say_who_chose(records: &mut [Record], choosers: &[Chooser], options: &PlanOptions) {
    for record in records {
        let Some(Ok(problem)) = record.problem.as_deref().map(str::parse::<Problem>) else { continue };
        let chose = |chooser: &&Chooser| {
            let method = chooser.choose(&problem, options).method;
            let parameters = Some(method.parameters.to_string()).filter(|text| !text.is_empty());
            record.algorithm.as_deref() == Some(method.algorithm.name()) && record.parameters == parameters
        };
        record.chosen_by = choosers.iter().filter(chose).map(|chooser| chooser.name().into()).collect();
    }
}

/// Adds to `pass` the most memory that is resident in a process of its own that makes it: this program again.
fn add_peak_memory(pass: &mut Record) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["forward", "--json", "--network", &pass.name, "--isa", &pass.isa]);
    command.args(["--algorithm", pass.algorithm.as_deref().unwrap_or_default()]);
    command.args(["--batch", &pass.batch.unwrap_or(1).to_string(), "--threads", &pass.threads.to_string()]);
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{command:?} ended with {}: {}", output.status, said.trim())));
    }
    let told: Record = serde_json::from_slice(&output.stdout)?;
    pass.peak_resident_bytes = told.peak_resident_bytes;
    Ok(())
}
