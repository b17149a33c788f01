//! Networks, weights and inputs as they are given.

use std::path::{Path, PathBuf};

use conv_measure::memory;
use conv_net::npy::{self, Array};
use conv_net::onnx::Model;
use conv_net::{Map, Network, Safetensors, Shape, Synthetic, Weights, read_image};

use super::args::Args;
use crate::cli::{CliError, Named};
use crate::conv::transpose;
use crate::forward::random_inputs;

/// What a run is given.
pub(super) struct Inputs {
    /// What each image is called.
    pub names: Vec<String>,
    /// Of each input of the network, channels last.
    pub data: Vec<Vec<f32>>,
}

/// The arrays and pictures that are given.
pub(super) struct Given<'a> {
    images: &'a [PathBuf],
    /// The input's name, if there is one, the file, and what it holds.
    arrays: Vec<(Option<&'a str>, &'a str, Array)>,
}

impl<'a> Given<'a> {
    /// Reads the arrays.
    pub(super) fn read(args: &'a Args) -> Result<Self, CliError> {
        let read = |text: &'a String| {
            let (name, path) = named(text);
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
    pub(super) fn load(&self, args: &Args) -> Result<(Network, Box<dyn Weights>), CliError> {
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
    pub(super) fn inputs(self, args: &Args, network: &Network) -> Result<Inputs, CliError> {
        network.check_computed().map_err(CliError::input)?;
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
        let map = picture(network, self.images.len())?;
        let images = self.images.iter().map(|path| read_image(path, map).map_err(CliError::input));
        let data = images.collect::<Result<Vec<_>, _>>()?.concat();
        Ok(Inputs { names: self.images.iter().map(|path| path.display().to_string()).collect(), data: vec![data] })
    }
}

/// The name of the input that `text` is for, if it has one, and the array.
fn named(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, path)) if !Path::new(text).exists() => (Some(name), path),
        _ => (None, text),
    }
}

/// The files that are read.
pub(super) fn files(args: &Args) -> Vec<Named<'_>> {
    let single =
        [("--model", &args.model), ("--weights", &args.weights), ("--plan", &args.plan), ("--labels", &args.labels)];
    let single = single.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
    let images = args.image.iter().map(|path| ("--image", path.as_path()));
    let arrays = args.input.iter().map(|text| ("--input", Path::new(named(text).1)));
    single.chain(images).chain(arrays).collect()
}

/// What `network` reads, if that is `images` pictures: the map of one.
pub(super) fn picture(network: &Network, images: usize) -> Result<Map, CliError> {
    let [input] = network.inputs() else {
        return Err(CliError::input(format_args!(
            "--image: {} has {} inputs; give each as --input NAME=FILE.npy",
            network.name(),
            network.inputs().len()
        )));
    };
    let shape = network.shape(*input).map_err(CliError::input)?;
    shape.map().filter(|_| shape.rank() == 4 && shape.batch() == images).ok_or_else(|| {
        CliError::input(format_args!(
            "--image: {} reads {shape}, which is not {images} pictures; give it as --input FILE.npy",
            network.name()
        ))
    })
}

/// The network for so many images, and where its weights come from.
pub(super) fn load(args: &Args, batch: Option<usize>) -> Result<(Network, Box<dyn Weights>), CliError> {
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

/// One image of `shape` as frameworks write it: channels by pixels. Two dimensions and fewer are in the same order in memory.
pub(super) fn matrix(shape: &Shape) -> [usize; 2] {
    match shape.sizes() {
        [_, channels, map @ ..] if !map.is_empty() => [*channels, map.iter().product()],
        _ => [1, shape.floats()],
    }
}
