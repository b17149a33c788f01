//! `convlab forward`: a whole network on pictures.

mod args;
mod bulk;
mod classes;
mod given;
mod prepare;
mod report;
mod several;
mod shard;
mod towers;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use conv_measure::memory::{self, Counts, counted};
use conv_measure::{BANDWIDTH_BYTES, Limits, Stop};
use conv_net::Network;
use conv_net::npy;

pub use self::args::{Args, Split};
use self::args::{Shard, Workers};

use self::classes::Classes;
use self::given::{Given, Inputs, matrix};
use self::prepare::{prepare, setting};
use self::report::{Computed, Output, Report, announcement};
use crate::cli::check::progress;
use crate::cli::{self, CliError, Exit, interrupt, tell, writable};
use crate::conv::transpose;
use crate::forward::{TimedPass, slices};

/// Samples of the time at most, and time after which no other one begins.
const MAX_SAMPLES: usize = 11;
const SAMPLING: Duration = Duration::from_millis(500);

/// Reads the input, prepares, runs and reports.
///
/// # Errors
/// [`CliError::Input`] for names that nothing has, files that cannot be read or written, inputs that do not fit the
/// network or each other, or too little memory.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    match (args.towers, args.shard) {
        (Some(_), _) if bulk::folder(args)?.is_some() => {
            return Err(CliError::input(
                "--towers is for pictures that are given one by one; --shard batch takes a folder",
            ));
        }
        (Some(Workers::Threads(workers)), _) => return towers::in_threads(args, workers),
        (Some(Workers::Mpi), _) => return towers::over_mpi(args),
        (None, Some(Shard::Batch)) => return shard::run(args),
        (None, None) => {}
    }
    if let Some(folder) = bulk::folder(args)? {
        return bulk::run(args, folder);
    }
    let setting = setting(args)?;
    let given = Given::read(args)?;
    let (network, mut weights) = given.load(args)?;
    let files = output_files(args, &network)?;
    let classes = Classes::of(&network, args)?;
    let inputs = given.inputs(args, &network)?;
    let layers: Vec<&str> = args.dump.iter().map(|dump| dump.layer.as_str()).collect();
    let network = network.with_outputs(&layers).map_err(CliError::input)?;
    let stop = interrupt::listen()?;
    let (pool, mut pass, kept) = prepare(args, &setting, &network, &mut *weights)?;
    let output = cli::Output::new(args.json);
    if !args.json {
        output.say(announcement(args, &network, &pass));
    }
    if stop.check().is_err() {
        return interrupted("nothing was computed");
    }
    let (outputs, run) = pool.install(|| measure(files, &network, &mut pass, &inputs, &stop))?;
    // The most that was resident is the pass's own: measuring the limits needs memory, too.
    let peak_resident_bytes = memory::peak_resident_bytes();
    let counts = kept.zip(run);
    for output in &outputs {
        let write = |path: &PathBuf| npy::write(path, output.shape.sizes(), &output.data);
        output.file.as_ref().map_or(Ok(()), write).map_err(CliError::input)?;
    }
    if stop.check().is_err() {
        return interrupted("the output is computed and written where that was asked for, and not timed");
    }
    let room = memory::admit("reading memory for its bandwidth", BANDWIDTH_BYTES as u128);
    let limits = room.ok().and_then(|()| Limits::measure(&pool, setting.isa).ok());
    let computed = Computed { names: &inputs.names, classes: classes.as_ref(), outputs: &outputs };
    let report = Report { args, pass, limits, threads: setting.threads, computed, peak_resident_bytes, counts };
    output.give_text(if args.json { format!("{:#}", report.json()?) } else { report.text() });
    output.ended(Exit::Done)
}

/// How a pass ends that was interrupted, of which there is `what`.
fn interrupted(what: &str) -> Result<Exit, CliError> {
    tell(format_args!("interrupted; {what}"));
    Ok(Exit::Interrupted)
}

/// Computes once for the result, and then against the clock.
fn measure(
    files: Vec<Option<PathBuf>>,
    network: &Network,
    pass: &mut TimedPass,
    inputs: &Inputs,
    stop: &Stop,
) -> Result<(Vec<Output>, Option<Counts>), CliError> {
    let bar = progress(MAX_SAMPLES as u64).with_message("passes");
    let given = slices(&inputs.data);
    pass.run(&given).map_err(CliError::input)?;
    let (again, counts) = counted(|| pass.run(&given));
    again.map_err(CliError::input)?;
    let mut outputs = Vec::new();
    for ((index, &value), file) in network.outputs().iter().enumerate().zip(files) {
        let shape = network.shape(value).map_err(CliError::input)?;
        // What is an input, too, is not kept.
        let input = || Some(given[network.inputs().iter().position(|&input| input == value)?]);
        let stored = pass.pass().output(index).or_else(input).unwrap_or_default();
        let [channels, pixels] = matrix(shape);
        let data = transpose(stored, [pixels, channels]).map_err(CliError::input)?;
        outputs.push(Output { name: network.value(value).name.clone(), shape: shape.clone(), data, file });
    }
    let end = Instant::now() + SAMPLING;
    let enough = |count| count > 0 && (count >= MAX_SAMPLES || Instant::now() >= end);
    while !enough(pass.samples().count()) && stop.check().is_ok() {
        pass.sample(&given).map_err(CliError::input)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((outputs, counts))
}

/// Where the outputs and what is dumped go. All of it can be written, and nothing takes the place of what is read.
///
/// # Errors
/// [`CliError::Input`] if not.
fn output_files(args: &Args, network: &Network) -> Result<Vec<Option<PathBuf>>, CliError> {
    let mut files = files_of_outputs(args, network);
    let dumped = args.dump.iter().map(|dump| ("--dump", dump.file.as_path()));
    let written = files.iter().flatten().map(|path| ("--output", path.as_path())).chain(dumped);
    writable(&written.collect::<Vec<_>>(), &given::files(args))?;
    files.extend(args.dump.iter().map(|dump| Some(dump.file.clone())));
    Ok(files)
}

/// Where the outputs go: a single one to the file asked for, several beside it, each with its name.
fn files_of_outputs(args: &Args, network: &Network) -> Vec<Option<PathBuf>> {
    let Some(path) = &args.output else { return vec![None; network.outputs().len()] };
    if network.outputs().len() == 1 {
        return vec![Some(path.clone())];
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut taken = HashSet::new();
    let file = |&output| {
        let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let name: String = network.value(output).name.chars().map(plain).collect();
        let same = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name}-{n}") });
        let name = same.into_iter().find(|name| taken.insert(name.clone())).unwrap_or(name.clone());
        Some(path.with_file_name(format!("{stem}-{name}.npy")))
    };
    network.outputs().iter().map(file).collect()
}
