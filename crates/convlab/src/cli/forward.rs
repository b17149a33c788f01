//! `convlab forward`: a whole network on pictures.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use conv_core::PlanOptions;
use conv_core::{format_bytes, format_value};
use conv_measure::memory;
use conv_measure::{BANDWIDTH_BYTES, Limits, MAX_THREADS, Machine, pool};
use conv_net::onnx::Model;
use conv_net::{LayerKind, Network, Safetensors, Shape, Synthetic, Weights, npy, read_image};
use conv_report::record::Record;
use conv_report::table;
use serde_json::{Value, json};

use crate::cli::check::progress;
use crate::cli::plan::{Asked, Setting, covers};
use crate::cli::{CliError, Exit, print};
use crate::conv::transpose;
use crate::forward::{TimedPass, random_input, top};
use crate::records;

/// Samples of the time at most, and time after which no other one begins.
const MAX_SAMPLES: usize = 11;
const SAMPLING: Duration = Duration::from_millis(500);

/// Run a whole network on pictures: probabilities, time and memory of each layer.
///
/// Beside each layer's time stands its bound, the larger of two times: the direct method's operations (taps in the padding
/// not counted) at the multiply-add peak, and the bytes that must come from memory at its read bandwidth, both measured in
/// this run. Those bytes are the weights, unless all of the network's fit in the last-level cache, and input and output,
/// unless both together do. Winograd and FFT execute fewer operations and may pass 100%.
///
/// Without pictures the input is random. Without --model or --weights the weights are synthetic: they show what a pass
/// costs, not what is in a picture.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab forward --network paper --image photo.jpg
  convlab forward --network owt --algorithm winograd --image a.jpg b.png --top 3
  convlab forward --network owt --weights alexnet.safetensors --image photo.jpg
  convlab forward --model vgg16.onnx --image photo.jpg
  convlab forward --network paper --algorithm im2col/faer --batch 16 --threads 1 --json
  convlab forward --network paper --plan plan.toml
  convlab forward --network paper --input x.npy --output probabilities.npy")]
pub struct Args {
    /// The network: paper or owt.
    #[arg(long, value_name = "NAME", required_unless_present = "model")]
    network: Option<String>,
    /// An ONNX model: network and weights. It must be a chain of layers of f32, f16 or bf16.
    #[arg(long, value_name = "FILE.onnx", conflicts_with_all = ["network", "weights"])]
    model: Option<PathBuf>,
    /// For the convolutions: an algorithm (winograd/f4x3), a family (winograd: its best variant for each layer) or auto.
    /// A layer that it does not support is computed by direct/nhwc, and the output says so.
    #[arg(long, value_name = "NAME|FAMILY|auto", default_value = "auto")]
    algorithm: String,
    /// What `convlab tune` wrote: algorithms and parameters for the convolutions, its instruction set and threads.
    #[arg(long, value_name = "PLAN.toml", conflicts_with = "algorithm")]
    plan: Option<PathBuf>,
    /// JPEG or PNG pictures, one for each image of the batch: shorter side to 256, centre cut out, normalised.
    #[arg(long, value_name = "F", num_args = 1.., conflicts_with = "input")]
    image: Vec<PathBuf>,
    /// Prepared input, [n, c, h, w] or one image [c, h, w]: a .npy file, or an array in an archive as x.npz:NAME, of floats,
    /// integers or bool.
    #[arg(long, value_name = "X.npy")]
    input: Option<PathBuf>,
    /// Trained weights, f32, f16 or bf16, under torchvision's names (features.0.weight, classifier.6.bias) or the layers'
    /// own (conv1.weight).
    #[arg(long, value_name = "FILE.safetensors")]
    weights: Option<PathBuf>,
    /// Images [default: as many as are given, or 1].
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Seed of the synthetic weights, and of the input if none is given.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Where the output goes, 32-bit floats, [n, classes], or [n, c, h, w] if it is a map.
    #[arg(long, value_name = "Y.npy")]
    output: Option<PathBuf>,
    /// Most probable classes to print for each image.
    #[arg(long, value_name = "K", default_value_t = 5)]
    top: usize,
    /// Threads [default: all of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_THREADS as u64))]
    threads: Option<u64>,
    /// Instruction set: avx512, avx2 or portable [default: the best of this machine].
    #[arg(long)]
    isa: Option<String>,
    /// As one JSON object, with the fields of a record.
    #[arg(long)]
    json: bool,
}

/// The images of a batch.
struct Input {
    /// What each is called.
    names: Vec<String>,
    /// `[n][h][w][c]`.
    data: Vec<f32>,
}

/// Reads the input, prepares, runs and reports.
///
/// # Errors
/// [`CliError::Input`] for names that nothing has, files that cannot be read or written, inputs that do not fit the
/// network or each other, or too little memory.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let (network, mut weights) = load(args)?;
    let asked = Asked { isa: args.isa.as_deref(), threads: args.threads };
    let (setting, plan) = match &args.plan {
        Some(path) => Setting::planned(path, asked).map(|(setting, plan)| (setting, Some((path, plan))))?,
        None => (Setting::named(&args.algorithm, asked)?, None),
    };
    let Setting { chooser, isa, threads } = setting;
    if let Some(path) = &args.output
        && path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        return Err(CliError::input(format_args!("--output {}: there is no such folder", path.display())));
    }
    let input = read_input(args, &network)?;
    if let Some((path, plan)) = plan {
        let problems = network.problems(input.names.len()).map_err(CliError::input)?;
        let named = args.model.as_ref().map_or_else(|| network.name.clone(), |model| model.display().to_string());
        covers(&plan, path, &problems, &named)?;
    }
    let pool = pool(threads).map_err(CliError::input)?;
    let (pass, result) = pool.install(|| {
        let options = PlanOptions::new(threads).isa(isa);
        let options = options.memory_limit(memory::available_bytes().min(options.memory_limit));
        let pass = TimedPass::new(&network, &mut *weights, input.names.len(), &chooser, &options);
        let mut pass = pass.map_err(CliError::input)?;
        if !args.json {
            print(announcement(args, &network, &pass))?;
        }
        let result = measure(&mut pass, &input.data)?;
        Ok::<_, CliError>((pass, result))
    })?;
    // The most that was resident is the pass's own: measuring the limits needs memory, too.
    let peak_resident_bytes = memory::peak_resident_bytes();
    let output = network.infer(1).map_err(CliError::input)?.last().map_or(network.input, |layer| layer.output);
    let pixels = output.height * output.width;
    // To NCHW, in which a map is flattened too.
    let output_data = transpose(&result, [pixels, output.channels]).map_err(CliError::input)?;
    if let Some(path) = &args.output {
        let images = input.names.len();
        let map = [images, output.channels, output.height, output.width];
        npy::write(path, if pixels == 1 { &map[..2] } else { &map }, &output_data).map_err(CliError::input)?;
    }
    let room = memory::admit("reading memory for its bandwidth", BANDWIDTH_BYTES as u128);
    let limits = room.ok().and_then(|()| Limits::measure(&pool, isa).ok());
    let report =
        Report { args, network, pass, limits, threads, names: input.names, peak_resident_bytes, output: &output_data };
    if args.json {
        print(format_args!("{:#}", report.json()?))?;
    } else {
        print(report.text())?;
    }
    Ok(Exit::Done)
}

/// The network, and where its weights come from.
fn load(args: &Args) -> Result<(Network, Box<dyn Weights>), CliError> {
    if let Some(path) = &args.model {
        let model = Model::open(path).map_err(CliError::input)?;
        return Ok((model.network().clone(), Box::new(model)));
    }
    // Without a model there is a network, or the arguments are refused.
    let network = Network::by_name(args.network.as_deref().unwrap_or_default()).map_err(CliError::input)?;
    let weights: Box<dyn Weights> = match &args.weights {
        Some(path) => Box::new(Safetensors::open(path, &network).map_err(CliError::input)?),
        None => Box::new(Synthetic::new(&network, args.seed).map_err(CliError::input)?),
    };
    Ok((network, weights))
}

/// Bytes of the pass and its input.
fn total_bytes(pass: &TimedPass) -> usize {
    pass.pass().memory().total_bytes() + pass.pass().input_bytes()
}

/// What will run, and what it takes in memory.
fn announcement(args: &Args, network: &Network, pass: &TimedPass) -> String {
    let (memory, images) = (pass.pass().memory(), pass.pass().batch());
    let file = args.model.as_ref().or(args.weights.as_ref());
    let synthetic = || format!("synthetic weights of seed {} (so classes have no names)", args.seed);
    let origin = file.map_or_else(synthetic, |path| format!("weights of {}", path.display()));
    let parts = [
        memory.prepared_bytes,
        memory.scratch_bytes,
        memory.activation_bytes,
        pass.pass().input_bytes(),
        total_bytes(pass),
    ];
    let [prepared, scratch, activations, input, total] = parts.map(|bytes| format_bytes(bytes as f64));
    format!(
        "{}, {images} image{}, {}, {origin}\nMemory: {prepared} of prepared weights, {scratch} of scratch that all layers \
         share, {activations} of activations, {input} of input; {total} in all.\n",
        network.name,
        plural(images),
        pass.asked_for(),
    )
}

/// Computes once for the result, and then against the clock.
fn measure(pass: &mut TimedPass, input: &[f32]) -> Result<Vec<f32>, CliError> {
    let bar = progress(MAX_SAMPLES as u64).with_message("passes");
    let result = pass.run(input).map_err(CliError::input)?.to_vec();
    let end = Instant::now() + SAMPLING;
    while pass.samples().count() == 0 || pass.samples().count() < MAX_SAMPLES && Instant::now() < end {
        pass.sample(input).map_err(CliError::input)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(result)
}

fn read_input(args: &Args, network: &Network) -> Result<Input, CliError> {
    let expected = |images: usize, given: &str| match args.batch {
        Some(batch) if batch != images => Err(CliError::input(format_args!(
            "--batch {batch}, but there are {images} images in {given}; leave --batch out"
        ))),
        _ => Ok(()),
    };
    // Refuses a batch that is no size before anything of that size is made.
    let admit = |images: usize| {
        network.infer(images).map_err(CliError::input)?;
        let bytes = 4 * images as u128 * network.input.floats() as u128;
        memory::admit(&format!("an input of {images} images"), 2 * bytes).map_err(CliError::input)
    };
    if !args.image.is_empty() {
        expected(args.image.len(), "--image")?;
        admit(args.image.len())?;
        let images = args.image.iter().map(|path| read_image(path, network.input).map_err(CliError::input));
        let data = images.collect::<Result<Vec<_>, _>>()?.concat();
        return Ok(Input { names: args.image.iter().map(|path| path.display().to_string()).collect(), data });
    }
    if let Some(path) = &args.input {
        let array = npy::read(path, memory::available_bytes()).map_err(CliError::input)?;
        let Shape { height, width, channels } = network.input;
        let images = match array.shape[..] {
            [c, h, w] if [c, h, w] == [channels, height, width] => 1,
            [n, c, h, w] if [c, h, w] == [channels, height, width] => n,
            _ => {
                let (path, shape) = (path.display(), &array.shape);
                return Err(CliError::input(format_args!(
                    "{path} has the shape {shape:?}; {} needs [n, {channels}, {height}, {width}], or one image without n",
                    network.name
                )));
            }
        };
        expected(images, &path.display().to_string())?;
        admit(images)?;
        let data = transpose(&array.data, [channels, height * width]).map_err(CliError::input)?.to_vec();
        return Ok(Input { names: (0..images).map(|i| format!("{}[{i}]", path.display())).collect(), data });
    }
    let images = args.batch.unwrap_or(1);
    admit(images)?;
    let data = random_input(network, images, args.seed);
    Ok(Input { names: (0..images).map(|i| format!("random image {i}")).collect(), data })
}

/// What is told at the end.
struct Report<'a> {
    args: &'a Args,
    network: Network,
    pass: TimedPass,
    /// `None` where there was no memory to measure them.
    limits: Option<Limits>,
    threads: usize,
    names: Vec<String>,
    peak_resident_bytes: Option<usize>,
    /// `[n][classes]`, or `[n][c][h][w]`: probabilities if the network ends with a softmax.
    output: &'a [f32],
}

impl Report<'_> {
    /// The most probable classes by image.
    fn images(&self) -> impl Iterator<Item = (&String, Vec<(usize, f32)>)> {
        let images = self.output.chunks_exact(self.output.len() / self.names.len());
        self.names.iter().zip(images.map(|image| top(image, self.args.top)))
    }

    /// Whether the output is probabilities.
    fn probable(&self) -> bool {
        let computing = self.network.layers.iter().rfind(|layer| layer.kind != LayerKind::Dropout);
        computing.is_some_and(|layer| layer.kind == LayerKind::Softmax)
    }

    /// A record of the pass, and beside it the images, memory and whatever else there is to tell.
    fn json(&self) -> Result<Value, CliError> {
        let record = Record { threads: self.threads, ..records::origin(&Machine::detect()) };
        let record = self.pass.record(record, self.limits.as_ref());
        let mut value = serde_json::to_value(record).map_err(CliError::input)?;
        let memory = self.pass.pass().memory();
        for (layer, planned) in value["layers"].as_array_mut().into_iter().flatten().zip(&memory.layers) {
            let fallback = self.pass.fallbacks().iter().find(|(name, _)| *name == planned.name);
            layer["prepared_bytes"] = json!(planned.prepared_bytes);
            layer["activation_bytes"] = json!(planned.activation_bytes);
            layer["fallback"] = json!(fallback.map(|(_, reason)| reason.to_string()));
        }
        let score = if self.probable() { "probability" } else { "score" };
        let class = |(class, value): (usize, f32)| json!({ "class": class, score: value });
        let image = |(name, top): (&String, Vec<_>)| {
            let top: Vec<Value> = top.into_iter().map(class).collect();
            json!({ "name": name, "top": top })
        };
        value["images"] = self.images().map(image).collect();
        let file = self.args.model.as_ref().or(self.args.weights.as_ref()).map(|path| path.display().to_string());
        value["weights"] = json!(file.unwrap_or_else(|| format!("synthetic, seed {}", self.args.seed)));
        value["prepare_ns"] = json!(self.pass.prepared_in().as_nanos() as f64);
        value["total_bytes"] = json!(total_bytes(&self.pass));
        value["peak_resident_bytes"] = json!(self.peak_resident_bytes);
        Ok(value)
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for (name, top) in self.images() {
            lines.push(name.clone());
            let probable = self.probable();
            lines.extend(top.into_iter().map(|(class, value)| match probable {
                true => format!("  class {class:<4} {:8.4}%", 100.0 * value),
                false => format!("  class {class:<4} {value:8.4}"),
            }));
        }
        lines.push(format!("\n{}\n", self.layers()));
        for (layer, reason) in self.pass.fallbacks() {
            lines.push(format!("* {layer} by direct/nhwc: {reason}"));
        }
        let samples = self.pass.samples();
        lines.push(format!(
            "Time: median of {} pass{} on {} thread{} after one to warm up; weights prepared in {} ms.",
            samples.count(),
            if samples.count() == 1 { "" } else { "es" },
            self.threads,
            plural(self.threads),
            format_value(self.pass.prepared_in().as_secs_f64() * 1e3),
        ));
        lines.push(match self.limits {
            Some(limits) => format!(
                "Bound: the larger of the direct method's operations at {} GFLOP/s and the bytes from memory at {} GB/s.",
                format_value(limits.peak_gflops),
                format_value(limits.bandwidth_gb_s),
            ),
            None => "Bound: unknown, for want of memory to measure the bandwidth on.".into(),
        });
        lines.extend(self.peak_resident_bytes.map(|peak| {
            let planned = total_bytes(&self.pass);
            let more = 100.0 * (peak as f64 / planned as f64 - 1.0);
            let [peak, planned] = [peak, planned].map(|bytes| format_bytes(bytes as f64));
            format!("Memory: at most {peak} were resident, {more:+.1}% of the {planned} planned.")
        }));
        lines.join("\n")
    }

    /// The table of layers.
    fn layers(&self) -> String {
        let record = self.pass.record(Record::default(), self.limits.as_ref());
        let total = record.median_ns.unwrap_or(f64::NAN);
        let row = |time: f64, bound: Option<f64>| {
            let [ms, share] = [format!("{:.3}", time / 1e6), format!("{:.1}", 100.0 * time / total)];
            let bound_ms = bound.map_or(String::new(), |bound| format!("{:.3}", bound / 1e6));
            [ms, share, bound_ms, bound.map_or(String::new(), |bound| format!("{:.0}", 100.0 * bound / time))]
        };
        let layers = record.layers.iter().zip(&self.pass.pass().memory().layers);
        let mut rows: Vec<Vec<String>> = layers
            .map(|(timed, planned)| {
                let [ms, share, bound, reached] = row(timed.median_ns, timed.bound_ns);
                let replaced = self.pass.fallbacks().iter().any(|(name, _)| *name == timed.name);
                let algorithm = planned.algorithm.map_or(String::new(), |name| {
                    format!("{name}{}", if replaced { " *" } else { "" }) //
                });
                let bytes = [planned.prepared_bytes, planned.scratch_bytes, planned.activation_bytes];
                let [prepared, scratch, activations] = bytes.map(|bytes| format_bytes(bytes as f64));
                vec![timed.name.clone(), algorithm, ms, share, bound, reached, prepared, scratch, activations]
            })
            .collect();
        let all = row(total, record.layers.iter().map(|layer| layer.bound_ns).sum());
        rows.push(["all".into(), String::new()].into_iter().chain(all).collect());
        table(&["layer", "algorithm", "ms", "%", "bound ms", "% of bound", "prepared", "scratch", "output"], &rows)
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
