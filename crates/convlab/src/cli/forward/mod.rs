//! `convlab forward`: a whole network on pictures.

mod args;
mod given;
mod report;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use conv_core::PlanOptions;
use conv_measure::memory;
use conv_measure::{BANDWIDTH_BYTES, Limits, pool};
use conv_net::npy;
use conv_net::{Network, Shape};

pub use self::args::Args;

use self::given::{Given, Inputs, matrix};
use self::report::{Output, Report, announcement, classes};
use crate::cli::check::progress;
use crate::cli::plan::{Asked, Setting, covers};
use crate::cli::selection::shape_arguments;
use crate::cli::{CliError, Exit, print};
use crate::conv::transpose;
use crate::forward::{TimedPass, slices};

/// Samples of the time at most, and time after which no other one begins.
const MAX_SAMPLES: usize = 11;
const SAMPLING: Duration = Duration::from_millis(500);

/// The longest file of labels.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// Reads the input, prepares, runs and reports.
///
/// # Errors
/// [`CliError::Input`] for names that nothing has, files that cannot be read or written, inputs that do not fit the
/// network or each other, or too little memory.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let asked = Asked { isa: args.isa.as_deref(), threads: args.threads };
    let (setting, plan) = match &args.plan {
        Some(path) => Setting::planned(path, asked).map(|(setting, plan)| (setting, Some((path, plan))))?,
        None => (Setting::named(&args.algorithm, asked)?, None),
    };
    let Setting { chooser, isa, threads } = setting;
    let given = Given::read(args)?;
    let (network, mut weights) = given.load(args)?;
    if let Some(path) = &args.output
        && path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        return Err(CliError::input(format_args!("--output {}: there is no such folder", path.display())));
    }
    let labels = args.labels.as_deref().map(|path| read_labels(path, &network)).transpose()?;
    let inputs = given.inputs(args, &network)?;
    let mut files = output_files(args, &network);
    files.extend(args.dump.iter().map(|dump| Some(dump.file.clone())));
    let layers: Vec<&str> = args.dump.iter().map(|dump| dump.layer.as_str()).collect();
    let network = network.with_outputs(&layers).map_err(CliError::input)?;
    if let Some((path, plan)) = plan {
        let model = |model: &PathBuf| model.display().to_string() + &shape_arguments(&args.shape);
        let named = args.model.as_ref().map_or_else(|| network.name().into(), model);
        covers(&plan, path, &network.problems(), &named)?;
    }
    let pool = pool(threads).map_err(CliError::input)?;
    let (pass, outputs) = pool.install(|| {
        let options = PlanOptions::new(threads).isa(isa);
        let options = options.memory_limit(memory::available_bytes().min(options.memory_limit));
        let pass = TimedPass::new(&network, &mut *weights, &chooser, &options);
        let mut pass = pass.map_err(CliError::input)?;
        if !args.json {
            print(announcement(args, &network, &pass))?;
        }
        let outputs = measure(files, &network, &mut pass, &inputs)?;
        Ok::<_, CliError>((pass, outputs))
    })?;
    // The most that was resident is the pass's own: measuring the limits needs memory, too.
    let peak_resident_bytes = memory::peak_resident_bytes();
    for output in &outputs {
        let write = |path: &PathBuf| npy::write(path, output.shape.sizes(), &output.data);
        output.file.as_ref().map_or(Ok(()), write).map_err(CliError::input)?;
    }
    let room = memory::admit("reading memory for its bandwidth", BANDWIDTH_BYTES as u128);
    let limits = room.ok().and_then(|()| Limits::measure(&pool, isa).ok());
    let names = inputs.names;
    let report = Report { args, network, pass, limits, threads, names, labels, peak_resident_bytes, outputs: &outputs };
    if args.json {
        print(format_args!("{:#}", report.json()?))?;
    } else {
        print(report.text())?;
    }
    Ok(Exit::Done)
}

/// The names of the classes that the first output of `network` has.
fn read_labels(path: &Path, network: &Network) -> Result<Vec<String>, CliError> {
    let shown = path.display();
    let Some(classes) = first_output(network).and_then(|shape| classes(shape, network.batch())) else {
        let shape = first_output(network).map_or_else(|| "?".into(), ToString::to_string);
        return Err(CliError::input(format_args!(
            "--labels {shown}: the output of {} is {shape}, which is no classes of images; leave --labels out",
            network.name()
        )));
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_LABEL_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| CliError::input(format_args!("cannot read the labels {shown}: {error}")))?;
    if text.len() as u64 > MAX_LABEL_BYTES {
        return Err(CliError::input(format_args!(
            "--labels {shown} is longer than {MAX_LABEL_BYTES} bytes: give a file of a name a line"
        )));
    }
    let labels: Vec<String> = text.lines().map(|line| line.trim().replace(char::is_control, " ")).collect();
    if labels.len() < classes {
        return Err(CliError::input(format_args!(
            "--labels {shown} has {} lines; {} has {classes} classes, each needs one",
            labels.len(),
            network.name()
        )));
    }
    Ok(labels)
}

fn first_output(network: &Network) -> Option<&Shape> {
    network.outputs().first().and_then(|&output| network.shape(output).ok())
}

/// Computes once for the result, and then against the clock.
fn measure(
    files: Vec<Option<PathBuf>>,
    network: &Network,
    pass: &mut TimedPass,
    inputs: &Inputs,
) -> Result<Vec<Output>, CliError> {
    let bar = progress(MAX_SAMPLES as u64).with_message("passes");
    let given = slices(&inputs.data);
    pass.run(&given).map_err(CliError::input)?;
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
    while pass.samples().count() == 0 || pass.samples().count() < MAX_SAMPLES && Instant::now() < end {
        pass.sample(&given).map_err(CliError::input)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(outputs)
}

/// Where the outputs go: a single one to the file asked for, several beside it, each with its name.
fn output_files(args: &Args, network: &Network) -> Vec<Option<PathBuf>> {
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
