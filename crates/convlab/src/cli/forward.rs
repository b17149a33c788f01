//! `convlab forward`: a whole network on pictures.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use conv_core::PlanOptions;
use conv_core::{format_bytes, format_value};
use conv_measure::memory;
use conv_measure::{BANDWIDTH_BYTES, Limits, MAX_THREADS, Machine, pool};
use conv_net::npy::{self, Array};
use conv_net::onnx::{InputShape, Model};
use conv_net::{Network, Operator, Safetensors, Shape, Synthetic, Weights, read_image};
use conv_report::record::Record;
use conv_report::table;
use conv_simd::AlignedBuffer;
use serde_json::{Value, json};

use crate::cli::check::progress;
use crate::cli::plan::{Asked, Setting, covers};
use crate::cli::selection::shape_arguments;
use crate::cli::{CliError, Exit, print};
use crate::conv::transpose;
use crate::forward::{TimedPass, random_inputs, slices, top};
use crate::records;

/// Samples of the time at most, and time after which no other one begins.
const MAX_SAMPLES: usize = 11;
const SAMPLING: Duration = Duration::from_millis(500);

/// The longest file of labels.
const MAX_LABEL_BYTES: u64 = 16 << 20;

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
  convlab forward --model resnet50.onnx --image photo.jpg --labels imagenet.txt
  convlab forward --model detector.onnx --shape 1x3x320x320 --output found.npy
  convlab forward --model pair.onnx --input left=a.npy --input right=b.npy --output y.npy
  convlab forward --network paper --algorithm im2col/faer --batch 16 --threads 1 --json
  convlab forward --network paper --plan plan.toml
  convlab forward --network paper --input x.npy --output probabilities.npy
  convlab forward --network resnet50 --dump layer1.0.add=sum.npy")]
pub struct Args {
    /// The network: paper or owt.
    #[arg(long, value_name = "NAME", required_unless_present = "model")]
    network: Option<String>,
    /// An ONNX model: network and weights. `convlab describe` says which of its nodes are not computed.
    #[arg(long, value_name = "FILE.onnx", conflicts_with_all = ["network", "weights"])]
    model: Option<PathBuf>,
    /// The shape of an input that the model leaves open, for example 1x3x320x320; of several inputs each with its name.
    #[arg(long, value_name = "[NAME:]SIZES", conflicts_with = "network")]
    shape: Vec<InputShape>,
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
    /// integers or bool. A network of several inputs takes one for each, with its name.
    #[arg(long, value_name = "[NAME=]X.npy")]
    input: Vec<String>,
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
    /// Where the output goes, 32-bit floats, [n, classes], or [n, c, h, w] if it is a map. Of a network of several outputs
    /// each goes to a file of its own beside it, Y-NAME.npy.
    #[arg(long, value_name = "Y.npy")]
    output: Option<PathBuf>,
    /// What a layer computes, as its network would without fusing it with what follows, in the order that frameworks write:
    /// for whoever looks for where two engines differ. May be given several times.
    #[arg(long, value_name = "LAYER=Y.npy", value_parser = dump)]
    dump: Vec<Dump>,
    /// What the classes are called, a name a line.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
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

/// A layer whose result goes to a file.
#[derive(Debug, Clone)]
struct Dump {
    layer: String,
    file: PathBuf,
}

/// `LAYER=Y.npy`; names may have an equals sign, files rather not.
fn dump(text: &str) -> Result<Dump, String> {
    match text.rsplit_once('=') {
        Some((layer, file)) if !layer.is_empty() && !file.is_empty() => {
            Ok(Dump { layer: layer.into(), file: file.into() })
        }
        _ => Err("write a layer and a file, as conv2=conv2.npy".into()),
    }
}

/// What a run is given.
struct Inputs {
    /// What each image is called.
    names: Vec<String>,
    /// Of each input of the network, channels last.
    data: Vec<Vec<f32>>,
}

/// What a run computed: an output in the order in which frameworks write.
struct Output {
    name: String,
    shape: Shape,
    data: AlignedBuffer,
    /// Where it is to go.
    file: Option<PathBuf>,
}

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

/// The network for so many images, and where its weights come from.
fn load(args: &Args, batch: Option<usize>) -> Result<(Network, Box<dyn Weights>), CliError> {
    if let Some(path) = &args.model {
        let model = Model::open(path, batch, &args.shape).map_err(CliError::input)?;
        return Ok((model.network().clone(), Box::new(model)));
    }
    // Without a model there is a network, or the arguments are refused.
    let name = args.network.as_deref().unwrap_or_default();
    let network = Network::by_name(name, batch.unwrap_or(1)).map_err(CliError::input)?;
    let weights: Box<dyn Weights> = match &args.weights {
        Some(path) => Box::new(Safetensors::open(path, &network).map_err(CliError::input)?),
        None => Box::new(Synthetic::new(&network, args.seed)),
    };
    Ok((network, weights))
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

/// How many classes an output of this shape tells apart, if it is of `images` images' classes.
fn classes(shape: &Shape, images: usize) -> Option<usize> {
    match *shape.sizes() {
        [batch, classes] | [batch, classes, 1, 1] if batch == images => Some(classes),
        _ => None,
    }
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
        network.name(),
        plural(images),
        pass.asked_for(),
    )
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

/// One image of `shape` as frameworks write it: channels by pixels. Two dimensions and fewer are in the same order in memory.
fn matrix(shape: &Shape) -> [usize; 2] {
    match shape.sizes() {
        [_, channels, map @ ..] if !map.is_empty() => [*channels, map.iter().product()],
        _ => [1, shape.floats()],
    }
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

/// The arrays and pictures that are given.
struct Given<'a> {
    images: &'a [PathBuf],
    /// The input's name, if there is one, the file, and what it holds.
    arrays: Vec<(Option<&'a str>, &'a str, Array)>,
}

impl<'a> Given<'a> {
    /// Reads the arrays.
    fn read(args: &'a Args) -> Result<Self, CliError> {
        let read = |text: &'a String| {
            let (name, path) = match text.split_once('=') {
                Some((name, path)) if !Path::new(text).exists() => (Some(name), path),
                _ => (None, text.as_str()),
            };
            let array = npy::read(Path::new(path), memory::available_bytes()).map_err(CliError::input)?;
            Ok((name, path, array))
        };
        let arrays = args.input.iter().map(read).collect::<Result<Vec<_>, CliError>>()?;
        if args.image.is_empty() || args.batch.is_none_or(|batch| batch == args.image.len()) {
            return Ok(Given { images: &args.image, arrays });
        }
        Err(other_batch(args, args.image.len(), "--image"))
    }

    /// The network for the images that are given, or asked for.
    fn load(&self, args: &Args) -> Result<(Network, Box<dyn Weights>), CliError> {
        let images = (!self.images.is_empty()).then_some(self.images.len());
        let (network, weights) = load(args, images.or(args.batch))?;
        let Some((name, path, array)) = self.arrays.first() else { return Ok((network, weights)) };
        let input = network.inputs().iter().find(|&&input| name.is_none_or(|name| network.value(input).name == name));
        let shape = input.and_then(|&input| network.shape(input).ok());
        let images = match (shape.map(Shape::sizes), &array.shape[..]) {
            // One that fits but for its images; what does not fit at all is told when it is read in.
            (Some([batch, image @ ..]), [images, own @ ..]) if own == image && batch != images => *images,
            (Some([batch, image @ ..]), own) if own == image && *batch != 1 => 1,
            _ => return Ok((network, weights)),
        };
        if args.batch.is_some() {
            return Err(other_batch(args, images, path));
        }
        load(args, Some(images))
    }

    /// The data of every input of `network`.
    fn inputs(self, args: &Args, network: &Network) -> Result<Inputs, CliError> {
        let (batch, mut bytes) = (network.batch(), 0);
        for &input in network.inputs() {
            bytes += network.shape(input).map_err(CliError::input)?.bytes() as u128;
        }
        memory::admit(&format!("an input of {batch} images"), 2 * bytes).map_err(CliError::input)?;
        if !self.images.is_empty() {
            return self.pictures(network);
        }
        let named = |name: fn(usize) -> String| (0..batch).map(name).collect::<Vec<_>>();
        let Some((_, path, _)) = self.arrays.first() else {
            let data = random_inputs(network, args.seed).map_err(CliError::input)?;
            return Ok(Inputs { names: named(|image| format!("random image {image}")), data });
        };
        let names = (0..batch).map(|image| format!("{path}[{image}]")).collect();
        let known: Vec<&str> = network.inputs().iter().map(|&input| network.value(input).name.as_str()).collect();
        let inputs = || known.join(", ");
        let single = known.len() == 1;
        for (name, path, _) in &self.arrays {
            match name {
                None if !single => {
                    return Err(CliError::input(format_args!(
                        "--input {path}: {} has the inputs {}; give each as --input NAME=FILE.npy",
                        network.name(),
                        inputs()
                    )));
                }
                Some(name) if !known.contains(name) => {
                    return Err(CliError::input(format_args!(
                        "--input {name}={path}: {} has no input {name}; it has {}",
                        network.name(),
                        inputs()
                    )));
                }
                _ => {}
            }
        }
        let mut data = Vec::new();
        for (&input, known) in network.inputs().iter().zip(&known) {
            let shape = network.shape(input).map_err(CliError::input)?;
            let mut given = self.arrays.iter().filter(|(name, ..)| name.is_none_or(|name| name == *known));
            let Some((_, path, array)) = given.next() else {
                return Err(CliError::input(format_args!(
                    "{} has the inputs {}; add --input {known}=FILE.npy",
                    network.name(),
                    inputs()
                )));
            };
            if given.next().is_some() {
                return Err(CliError::input(format_args!("--input gives {known} twice; leave one out")));
            }
            data.push(arranged(network, shape, path, array)?);
        }
        Ok(Inputs { names, data })
    }

    /// Pictures as the only input of `network`.
    fn pictures(&self, network: &Network) -> Result<Inputs, CliError> {
        let [input] = network.inputs() else {
            return Err(CliError::input(format_args!(
                "--image: {} has {} inputs; give each as --input NAME=FILE.npy",
                network.name(),
                network.inputs().len()
            )));
        };
        let shape = network.shape(*input).map_err(CliError::input)?;
        let map = shape.map().filter(|_| shape.rank() == 4 && shape.batch() == self.images.len()).ok_or_else(|| {
            CliError::input(format_args!(
                "--image: {} reads {shape}, which is not {} pictures; give it as --input FILE.npy",
                network.name(),
                self.images.len()
            ))
        })?;
        let images = self.images.iter().map(|path| read_image(path, map).map_err(CliError::input));
        let data = images.collect::<Result<Vec<_>, _>>()?.concat();
        Ok(Inputs { names: self.images.iter().map(|path| path.display().to_string()).collect(), data: vec![data] })
    }
}

fn other_batch(args: &Args, images: usize, given: &str) -> CliError {
    let batch = args.batch.unwrap_or(1);
    CliError::input(format_args!("--batch {batch}, but there are {images} images in {given}; leave --batch out"))
}

/// An array in the order in which `shape` is in memory.
fn arranged(network: &Network, shape: &Shape, path: &str, array: &Array) -> Result<Vec<f32>, CliError> {
    let sizes = shape.sizes();
    let one_image = sizes.len() > 2 && sizes[0] == 1 && array.shape == sizes[1..];
    if array.shape != sizes && !one_image {
        let others: Vec<String> = sizes.iter().skip(1).map(|size| format!(", {size}")).collect();
        let (others, or) = (others.concat(), if sizes.len() > 2 { ", or one image without n" } else { "" });
        return Err(CliError::input(format_args!(
            "{path} has the shape {:?}; {} needs [n{others}]{or}",
            array.shape,
            network.name()
        )));
    }
    Ok(transpose(&array.data, matrix(shape)).map_err(CliError::input)?.to_vec())
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
    /// What the classes are called.
    labels: Option<Vec<String>>,
    peak_resident_bytes: Option<usize>,
    /// The first is of probabilities if the network ends with a softmax.
    outputs: &'a [Output],
}

impl Report<'_> {
    /// The most probable classes by image, if the first output is classes.
    fn images(&self) -> Option<impl Iterator<Item = (&String, Vec<(usize, f32)>)>> {
        let output = self.outputs.first()?;
        let classes = classes(&output.shape, self.names.len())?;
        Some(self.names.iter().zip(output.data.chunks_exact(classes).map(|image| top(image, self.args.top))))
    }

    /// What a class is called.
    fn label(&self, class: usize) -> Option<&String> {
        self.labels.as_ref()?.get(class)
    }

    /// Whether the first output is probabilities.
    fn probable(&self) -> bool {
        let mut value = self.network.outputs().first().copied();
        for node in self.network.nodes().iter().rev() {
            match (&node.operator, value) {
                (Operator::Softmax(softmax), Some(wanted)) if node.outputs.contains(&wanted) => return !softmax.log,
                // Flattened ones are the same.
                (Operator::Reshape(_), Some(wanted)) if node.outputs.contains(&wanted) => {
                    value = node.inputs.first().copied();
                }
                _ => {}
            }
        }
        false
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
        let class = |(class, value): (usize, f32)| match self.label(class) {
            Some(label) => json!({ "class": class, "label": label, score: value }),
            None => json!({ "class": class, score: value }),
        };
        let image = |(name, top): (&String, Vec<_>)| {
            let top: Vec<Value> = top.into_iter().map(class).collect();
            json!({ "name": name, "top": top })
        };
        value["images"] = match self.images() {
            Some(images) => images.map(image).collect(),
            None => self.names.iter().map(|name| json!({ "name": name })).collect(),
        };
        let output = |output: &Output| {
            let file = output.file.as_ref().map(|path| path.display().to_string());
            json!({ "name": output.name, "shape": output.shape.sizes(), "file": file })
        };
        value["outputs"] = self.outputs.iter().map(output).collect();
        let file = self.args.model.as_ref().or(self.args.weights.as_ref()).map(|path| path.display().to_string());
        value["weights"] = json!(file.unwrap_or_else(|| format!("synthetic, seed {}", self.args.seed)));
        value["prepare_ns"] = json!(self.pass.prepared_in().as_nanos() as f64);
        value["total_bytes"] = json!(total_bytes(&self.pass));
        value["peak_resident_bytes"] = json!(self.peak_resident_bytes);
        Ok(value)
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for (name, top) in self.images().into_iter().flatten() {
            lines.push(name.clone());
            let probable = self.probable();
            lines.extend(top.into_iter().map(|(class, value)| {
                let label = self.label(class).map_or_else(String::new, |label| format!("  {label}"));
                match probable {
                    true => format!("  class {class:<4} {:8.4}%{label}", 100.0 * value),
                    false => format!("  class {class:<4} {value:8.4}{label}"),
                }
            }));
        }
        if self.outputs.len() > 1 || self.images().is_none() {
            lines.extend(self.outputs.iter().map(|output| {
                let file = output.file.as_ref().map_or_else(String::new, |path| format!(" in {}", path.display()));
                format!("output {}: {}{file}", output.name, output.shape)
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
