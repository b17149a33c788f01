//! `convlab tune`: the fastest plan on this machine.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conv_core::{Problem, format_bytes};
use conv_measure::{MAX_THREADS, Machine, MeasureError, hardware_threads, pool};
use conv_report::{Record, narrow, record};
use conv_simd::Isa;
use conv_tune::{
    Choices, Constants, CostModel, Group, Limits, MAX_ERROR, Origin, PlanError, PlannedLayer, Search, Tuned, TunedPlan,
    cache,
};
use serde::{Deserialize, Serialize};

use crate::cli::bench::Shard;
use crate::cli::check::progress;
use crate::cli::explain::explain as explain_layer;
use crate::cli::quantity::{bytes, duration, error};
use crate::cli::selection::Selection;
use crate::cli::{CliError, Exit, Named, Output, interrupt, results_in, tell, writable};
use crate::ranks::{Ranks, lines, program};
use crate::records;
use crate::suite::is_model;

/// Find the fastest plan on this machine: for each layer an algorithm and its parameters.
///
/// Every method that the cost model does not rule out is verified and measured as it would run in a network: its weights
/// from memory, its input in the caches. Of those that differ by less than their samples scatter, the one that needs the
/// least memory is chosen. The plan is kept for this user, and `--algorithm auto` uses it; with limits of memory it is
/// only written where -o says. Limits are for the convolutions of one network and batch together: its fully connected
/// layers are not tuned, and what they need comes on top.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab tune paper --batch 16 -o plan.toml
  convlab tune --model vgg16.onnx -o plan.toml
  convlab tune paper/conv2 --workspace-limit 1MiB --max-error 1e-6
  convlab tune --explain paper/conv3
  convlab tune paper --batch 16 --workspace-limit 0,1MiB,4MiB,16MiB --records results/local
  mpirun -n 8 convlab tune benches/problems/convbench.txt --shard problems -o plan.toml")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// An ONNX model: all its convolutions.
    #[arg(long, value_name = "FILE.onnx", conflicts_with = "problems")]
    model: Option<PathBuf>,
    /// Scratch that all layers share, for example 64MiB; with several, separated by commas, what each costs in time.
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_delimiter = ',', value_parser = bytes)]
    workspace_limit: Vec<usize>,
    /// Prepared weights of all layers together, for example 32MiB.
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = bytes)]
    weights_limit: Option<usize>,
    /// Largest error of a layer over its largest output.
    #[arg(long, value_name = "E", allow_negative_numbers = true, default_value_t = MAX_ERROR, value_parser = error)]
    max_error: f64,
    /// How long to measure, for example 60s or 5m. If it is too short, fewer methods are measured, and the output says so.
    #[arg(long, value_name = "T", allow_negative_numbers = true, default_value = "60s", value_parser = duration)]
    time: Duration,
    /// Threads [default: all of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_THREADS as u64))]
    threads: Option<u64>,
    /// Instruction set: avx512, avx2 or portable [default: the best of this machine].
    #[arg(long)]
    isa: Option<String>,
    /// Show all that was measured of this layer, and why it was or was not chosen.
    #[arg(long, value_name = "LAYER")]
    explain: Option<String>,
    /// Where the plan goes.
    #[arg(short, long, value_name = "PLAN.toml")]
    output: Option<PathBuf>,
    /// Folder for records of everything measured.
    #[arg(long, value_name = "DIR")]
    records: Option<PathBuf>,
    /// Measure only the layers that the plan of -o, or without -o the one that is kept, does not have from this very program
    /// (commit), and add them to it.
    #[arg(long, conflicts_with_all = ["weights_limit", "workspace_limit", "explain"])]
    resume: bool,
    /// Of several processes that `mpirun -n N` started each tunes some of the layers; what all of them chose is one plan. Their
    /// machines must be alike. Records go to a folder of each process in that of --records.
    #[arg(long, value_enum, conflicts_with_all = ["weights_limit", "workspace_limit", "explain", "resume"])]
    shard: Option<Shard>,
    /// As JSON, a record a line: of each network what was chosen, and everything measured; all else goes to standard error.
    #[arg(long, conflicts_with = "explain")]
    json: bool,
}

/// Measures, chooses, writes and prints.
///
/// # Errors
/// [`CliError`] for arguments that name nothing, limits that nothing keeps to, problems that do not fit into memory, or
/// files that cannot be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let ranks = args.shard.map(|_| Ranks::join()).transpose().map_err(CliError::input)?;
    let threads = ranks.as_ref().map_or_else(hardware_threads, Ranks::threads);
    let threads = args.threads.map_or(threads, |count| count as usize);
    let Some(ranks) = ranks else {
        let (isa, problems) = asked_for(args)?;
        return tune(args, isa, threads, problems, None);
    };
    let asked = asked_for(args).map(|(isa, problems)| {
        let machine = format!("{} with {isa} on {threads} threads", Machine::detect().cpu);
        let agreement = vec![program(), ("the machine", machine), ("the list of problems", lines(&problems))];
        (agreement, (isa, problems))
    });
    let (isa, problems) = ranks.agree(asked)?;
    Ok(ranks.or_abort(tune(args, isa, threads, problems, Some(&ranks))))
}

/// The instruction set and the problems.
fn asked_for(args: &Args) -> Result<(Isa, Vec<Problem>), CliError> {
    let isa = args.isa.as_deref().map_or(Ok(Isa::best()), Isa::by_name).map_err(CliError::input)?;
    Ok((isa, problems(args, isa)?))
}

/// Tunes `problems`, with `ranks` this one's part of them.
fn tune(
    args: &Args,
    isa: Isa,
    threads: usize,
    mut problems: Vec<Problem>,
    ranks: Option<&Ranks>,
) -> Result<Exit, CliError> {
    let end = Instant::now() + args.time;
    if args.output.is_some() && args.workspace_limit.len() > 1 {
        return Err(CliError::input("-o takes one plan: give one --workspace-limit"));
    }
    check_output(args)?;
    let order: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let mut folder = args.records.clone();
    if let Some(ranks) = ranks {
        problems = ranks.deal(problems);
        folder = folder.map(|folder| folder.join(ranks.folder()));
    }
    let results = folder.as_deref().map(results_in).transpose()?;
    let output = Output::new(args.json);
    let machine = Machine::detect();
    let older = if args.resume { older_plan(args, &machine, isa, threads)? } else { None };
    if let Some(older) = &older {
        let all = problems.len();
        problems.retain(|problem| older.method(problem).is_none());
        output.say(format_args!("{} of {all} layers were tuned already", all - problems.len()));
        if problems.is_empty() {
            return output.ended(Exit::Done);
        }
    }
    let stop = interrupt::listen()?;
    let pool = pool(threads).map_err(CliError::input)?;
    let constants = Constants::measure(&pool, isa, &machine).map_err(CliError::input)?;
    let limits = Limits {
        workspace_bytes: args.workspace_limit.iter().max().copied(),
        weights_bytes: args.weights_limit,
        error: args.max_error,
    };
    let model = CostModel::new(constants, args.max_error);
    let search = Search::new(args.selection.algorithms()?, isa, model, limits, stop).map_err(CliError::input)?;
    let measured = pool.install(|| measure(&search, &problems, end, &output));
    let Measured { groups, mut failed, mut interrupted, mut failure } = measured;
    if groups.is_empty() && !interrupted && ranks.is_none() {
        return Err(failure.error().unwrap_or_else(nothing));
    }
    if let (Some(layer), false) = (&args.explain, interrupted) {
        output.say(explain(&groups, layer, &limits)?);
        return output.ended(done(failed));
    }
    let started_by = ranks.map_or_else(String::new, Ranks::started_by);
    let origin = Origin {
        command: started_by.clone() + &interrupt::command_again(""),
        processor: machine.cpu.clone(),
        isa: isa.name().into(),
        threads,
        commit: conv_tune::COMMIT.into(),
        date: machine.date.clone(),
    };
    let base = Record {
        isa: isa.name().into(),
        threads,
        peak_gflops: Some(constants.peak_gflops),
        bandwidth_gb_s: Some(constants.memory_gb_s),
        ..records::origin(&machine)
    };
    let each =
        if args.workspace_limit.is_empty() { vec![None] } else { args.workspace_limit.iter().map(Some).collect() };
    let mut layers = Vec::new();
    for workspace in each {
        let limits = Limits { workspace_bytes: workspace.copied(), ..limits };
        for group in &groups {
            let Some(choices) = failure.of(group.choose(&limits)) else { continue };
            let mut records = vec![records::tuned(group, &choices, &limits, &base)];
            if limits.workspace_bytes == search.limits().workspace_bytes {
                records.extend(records::trials(group, &choices, &base));
                layers.extend(group.planned(&choices));
            }
            if let Some(results) = &results {
                failure.of(results.keep(&records));
            }
            output.give(describe(group, &choices, &limits), &records);
        }
    }
    let took =
        args.time + Instant::now().saturating_duration_since(end) - end.saturating_duration_since(Instant::now());
    output.say(format_args!("\nTook {:.1} s of {:.1} s.", took.as_secs_f64(), args.time.as_secs_f64()));
    if let Some(ranks) = ranks {
        let part = Part { layers, failed, interrupted, failure };
        let told = serde_json::to_string(&part).map_err(CliError::input)?;
        (layers, failure) = (Vec::new(), Failure::default());
        for told in ranks.all_texts(&told) {
            let part: Part = serde_json::from_str(&told).map_err(CliError::input)?;
            layers.extend(part.layers);
            failed |= part.failed;
            interrupted |= part.interrupted;
            failure.of(part.failure.0.map_or(Ok(()), Err));
        }
        layers.sort_by_key(|layer| order.iter().position(|problem| *problem == layer.problem));
        if ranks.rank() > 0 {
            return results
                .map_or(Ok(()), |results| results.finish().map(drop))
                .map_err(CliError::input)
                .map(|()| Exit::Done);
        }
    }
    if layers.is_empty() && !interrupted {
        return Err(failure.error().unwrap_or_else(nothing));
    }
    let plan = TunedPlan::new(origin, limits, constants, layers).map_err(CliError::input)?;
    let plan = if let Some(older) = older { plan.merged_with(older) } else { plan };
    let mut kept = true;
    if !plan.layers().is_empty() {
        let whole = !interrupted && failure.0.is_none();
        kept = failure.of(write(args, &machine, &plan, whole, &output)).unwrap_or(false);
        keep(args, &machine, &plan, &output);
    }
    if let Some(places) = results.as_ref().and_then(|results| failure.of(results.finish())) {
        output.say(places);
    }
    if let Some(error) = failure.error() {
        return Err(error);
    }
    if interrupted {
        let resumes = ranks.is_none()
            && args.workspace_limit.is_empty()
            && args.weights_limit.is_none()
            && args.explain.is_none();
        let again = started_by + &interrupt::command_again(if resumes { "--resume" } else { "" });
        let what = if kept { "the plan has the layers that were finished" } else { "-o has none of the layers" };
        output.say(format_args!("\ninterrupted; {what}; go on with\n  {again}"));
        return output.ended(Exit::Interrupted);
    }
    output.ended(done(failed))
}

/// Makes sure that the plan can be written, and takes the place of nothing that is read.
fn check_output(args: &Args) -> Result<(), CliError> {
    let (problems, records) = (args.selection.paths(), args.records.iter().map(|folder| record::file_in(folder)));
    let options = ["--model", "the problems", "--records"];
    let paths: [Vec<PathBuf>; 3] = [args.model.iter().cloned().collect(), problems.collect(), records.collect()];
    let others =
        options.into_iter().zip(&paths).flat_map(|(option, paths)| paths.iter().map(move |path| (option, &**path)));
    let output: Vec<Named<'_>> = args.output.iter().map(|path| ("-o", path.as_path())).collect();
    writable(&output, &others.collect::<Vec<_>>())
}

/// Why not everything was done: the first reason. What else there is to do is done and kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Failure(Option<String>);

impl Failure {
    /// What came of something, or nothing if it failed.
    fn of<T>(&mut self, result: Result<T, impl Display>) -> Option<T> {
        match result {
            Ok(made) => Some(made),
            Err(error) => {
                self.0.get_or_insert_with(|| error.to_string());
                None
            }
        }
    }

    fn error(&mut self) -> Option<CliError> {
        self.0.take().map(CliError::Input)
    }
}

/// What an interrupted run of this very program left: the plan of `-o`, or the one that is kept.
fn older_plan(args: &Args, machine: &Machine, isa: Isa, threads: usize) -> Result<Option<TunedPlan>, CliError> {
    let read = match &args.output {
        Some(path) if path.exists() => TunedPlan::read(path).map(Some),
        Some(_) => Ok(None),
        None => cache::read(machine, isa.name(), threads),
    };
    let plan = match read {
        Err(PlanError::Version { .. }) => None,
        read => read.map_err(CliError::input)?,
    };
    Ok(plan.filter(|plan| plan.foreign(machine, isa.name(), threads).is_none()))
}

fn done(failed: bool) -> Exit {
    if failed { Exit::CheckFailed } else { Exit::Done }
}

/// The problems asked for: of a model, of what is named, or, if nothing is, what is only to be explained.
fn problems(args: &Args, isa: Isa) -> Result<Vec<Problem>, CliError> {
    if let Some(model) = args.selection.model() {
        return Err(CliError::input(format_args!("{model}: give a model as --model {model}")));
    }
    let explained = args.explain.as_deref().filter(|_| args.selection.is_empty());
    let cases = match (&args.model, explained) {
        (Some(path), _) if !is_model(path) => {
            return Err(CliError::input(format_args!("--model {}: a model's name ends in .onnx", path.display())));
        }
        (Some(path), _) => args.selection.of(&path.display().to_string()).cases(&[isa])?,
        (None, Some(layer)) => args.selection.of(layer).cases(&[isa])?,
        (None, None) => args.selection.cases(&[isa])?,
    };
    Ok(cases.into_iter().filter(|case| !case.candidates.is_empty()).map(|case| case.problem).collect())
}

fn nothing() -> CliError {
    CliError::Nothing("nothing was tuned: no layer's data fits into the memory that is available".into())
}

/// What one of several processes tuned.
#[derive(Serialize, Deserialize)]
struct Part {
    layers: Vec<PlannedLayer>,
    failed: bool,
    interrupted: bool,
    failure: Failure,
}

/// What was tuned.
struct Measured {
    groups: Vec<Group>,
    /// Whether any result was wrong.
    failed: bool,
    /// Whether it is not all that was asked for.
    interrupted: bool,
    failure: Failure,
}

/// Tunes every problem, in what is left of the time in equal parts: the shortest first, and what they leave over is for the
/// long ones.
fn measure(search: &Search, problems: &[Problem], end: Instant, output: &Output) -> Measured {
    let bar = progress(problems.len() as u64);
    let (mut failed, mut interrupted, mut failure) = (false, false, Failure::default());
    let mut order: Vec<usize> = (0..problems.len()).collect();
    order.sort_by_key(|&index| problems[index].flops());
    let mut measured = Vec::new();
    for (done, &index) in order.iter().enumerate() {
        let name = problems[index].label();
        bar.set_message(name.clone());
        let left = end.saturating_duration_since(Instant::now()) / (order.len() - done) as u32;
        let (tuned, failures) = match search.tune(&problems[index], Instant::now() + left) {
            Ok(tuned) => tuned,
            Err(MeasureError::Stopped(_)) => {
                interrupted = true;
                break;
            }
            Err(error @ (MeasureError::Memory(_) | MeasureError::Allocation(_))) => {
                bar.suspend(|| output.say(format_args!("{name} left out: {error}")));
                continue;
            }
            Err(error) => {
                failure.of(Err::<(), _>(error));
                continue;
            }
        };
        bar.inc(1);
        for failure in &failures {
            bar.suspend(|| output.say(format_args!("{name}: {failure}")));
        }
        failed |= !failures.is_empty();
        measured.push((index, tuned));
    }
    bar.finish_and_clear();
    measured.sort_by_key(|(index, _)| *index);
    let mut groups: Vec<Group> = Vec::new();
    for (_, tuned) in measured {
        let (name, batch) = (Group::name_of(&tuned.problem), tuned.problem.batch());
        match groups.iter_mut().find(|group| group.name == name && group.batch == batch) {
            Some(group) => group.layers.push(tuned),
            None => groups.push(Group { name, batch, layers: vec![tuned] }),
        }
    }
    Measured { groups, failed, interrupted, failure }
}

/// Writes the plan where it was asked for, if that is anywhere. One that is not `whole` takes the place of none that has more
/// layers: these come into it if they can, and if not, what is there stays. Returns whether it was written.
fn write(args: &Args, machine: &Machine, plan: &TunedPlan, whole: bool, output: &Output) -> Result<bool, PlanError> {
    let Some(path) = &args.output else { return Ok(true) };
    if whole || !path.exists() {
        plan.write(path)?;
    } else if let Some(older) = TunedPlan::read(path).ok().filter(|older| goes_with(older, plan, machine)) {
        plan.clone().merged_with(older).write(path)?;
    } else {
        tell(format_args!(
            "{} is left as it was: it is no plan for the same machine, version and limits; move it away, or finish",
            path.display()
        ));
        return Ok(false);
    }
    output.say(path.display());
    Ok(true)
}

/// Whether the layers of both can be in one plan.
fn goes_with(older: &TunedPlan, plan: &TunedPlan, machine: &Machine) -> bool {
    let alike = older.foreign(machine, &plan.origin.isa, plan.origin.threads).is_none() && older.limits == plan.limits;
    // The weights of all layers together are limited.
    alike && plan.limits.weights_bytes.is_none()
}

/// Keeps the plan where `auto` finds it.
fn keep(args: &Args, machine: &Machine, plan: &TunedPlan, output: &Output) {
    let limited = !args.workspace_limit.is_empty() || args.weights_limit.is_some() || !args.selection.is_unrestricted();
    if limited {
        return;
    }
    match cache::keep(machine, plan) {
        Ok(Some(path)) => output.say(format_args!("kept for --algorithm auto in {}", path.display())),
        Ok(None) => {}
        // What was measured is printed, and in the plan of -o.
        Err(error) => tell(format_args!("not kept for --algorithm auto: {error}")),
    }
}

const HEADER: [&str; 8] = ["layer", "method", "ms", "warm ms", "auto ms", "scratch", "prepared", "max error"];

fn describe(group: &Group, choices: &Choices<'_>, limits: &Limits) -> String {
    let ms = |ns: f64| if ns.is_nan() { String::new() } else { format!("{:.3}", ns / 1e6) };
    let auto = |layer: &Tuned| layer.model_trial().map_or(f64::NAN, |trial| trial.network.median());
    let bytes = |bytes: usize| format_bytes(bytes as f64);
    let mut rows: Vec<Vec<String>> = group
        .layers
        .iter()
        .zip(choices)
        .map(|(layer, choice)| {
            vec![
                layer.problem.label(),
                choice.method.to_string(),
                ms(choice.network.median()),
                ms(choice.warm.median()),
                ms(auto(layer)),
                bytes(choice.footprint.scratch_bytes),
                bytes(choice.footprint.prepared_bytes),
                format!("{:.1e}", choice.error),
            ]
        })
        .collect();
    let sum = |of: &dyn Fn(usize) -> f64| ms((0..choices.len()).map(of).sum());
    rows.push(vec![
        "all".into(),
        String::new(),
        sum(&|i| choices[i].network.median()),
        sum(&|i| choices[i].warm.median()),
        sum(&|i| auto(&group.layers[i])),
        bytes(choices.iter().map(|choice| choice.footprint.scratch_bytes).max().unwrap_or(0)),
        bytes(choices.iter().map(|choice| choice.footprint.prepared_bytes).sum()),
    ]);
    let counts = |of: fn(&Tuned) -> usize| group.layers.iter().map(of).sum::<usize>();
    let workspace =
        limits.workspace_bytes.map_or(String::new(), |limit| format!(", at most {} of scratch", bytes(limit)));
    let weights = limits.weights_bytes.map_or(String::new(), |limit| format!(", at most {} of weights", bytes(limit)));
    let late: usize = counts(Tuned::out_of_time);
    let late = if late > 0 { format!("; for {late} more there was no time") } else { String::new() };
    format!(
        "\n{}, batch {}{workspace}{weights}: {} methods considered, {} measured{late}\n\n{}",
        group.name,
        group.batch,
        counts(|layer| layer.considered),
        counts(|layer| layer.trials.len()),
        narrow(&HEADER, &rows)
    )
}

/// Everything measured of one layer.
fn explain(groups: &[Group], layer: &str, limits: &Limits) -> Result<String, CliError> {
    let described = layer.parse::<Problem>().ok();
    for group in groups {
        let choices = group.choose(limits).map_err(CliError::input)?;
        let is = |tuned: &Tuned| {
            let name = tuned.problem.label();
            name == layer || name.ends_with(&format!("/{layer}")) || described.as_ref() == Some(&tuned.problem)
        };
        if let Some(index) = group.layers.iter().position(is) {
            return Ok(explain_layer(&group.layers[index], choices[index], limits));
        }
    }
    let known: Vec<String> = groups.iter().flat_map(|group| &group.layers).map(|tuned| tuned.problem.label()).collect();
    Err(CliError::input(format_args!("--explain {layer}: there is no such layer; there are {}", known.join(", "))))
}
