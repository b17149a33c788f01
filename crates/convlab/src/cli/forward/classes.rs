//! The classes that a network tells apart, and what they are called.

use std::path::Path;

use conv_core::file;
use conv_net::{Network, Operator, Shape};
use serde_json::{Value, json};

use super::args::Args;
use crate::cli::CliError;
use crate::forward::top;

/// The longest file of labels.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// The classes of a network's first output, and how they are told.
pub(super) struct Classes {
    count: usize,
    /// Whether scores are probabilities.
    probable: bool,
    /// Classes to tell of each image.
    top: usize,
    labels: Option<Vec<String>>,
}

impl Classes {
    /// Those of `network`. `None` if its first output is something else.
    ///
    /// # Errors
    /// [`CliError::Input`] for labels that cannot be read, are too few, or have no classes to name.
    pub(super) fn of(network: &Network, args: &Args) -> Result<Option<Self>, CliError> {
        let count = first_output(network).and_then(|shape| classes(shape, network.batch()));
        let labels = match (&args.labels, count) {
            (Some(path), None) => {
                return Err(CliError::input(format_args!(
                    "--labels {}: {}; leave --labels out",
                    path.display(),
                    no_classes(network)
                )));
            }
            (Some(path), Some(count)) => Some(read_labels(path, network, count)?),
            (None, _) => None,
        };
        Ok(count.map(|count| Classes { count, probable: probable(network), top: args.top, labels }))
    }

    /// The scores of each image, of those of a batch.
    pub(super) fn by_image<'a>(&self, scores: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        scores.chunks_exact(self.count)
    }

    /// An image called `name` with its most probable classes.
    pub(super) fn json(&self, name: &str, scores: &[f32]) -> Value {
        let score = if self.probable { "probability" } else { "score" };
        let class = |(class, value): (usize, f32)| match self.label(class) {
            Some(label) => json!({ "class": class, "label": label, score: value }),
            None => json!({ "class": class, score: value }),
        };
        let top: Vec<Value> = top(scores, self.top).into_iter().map(class).collect();
        json!({ "name": name, "top": top })
    }

    /// An image's most probable classes, a text each.
    pub(super) fn texts(&self, scores: &[f32]) -> impl Iterator<Item = String> {
        top(scores, self.top).into_iter().map(|(class, value)| {
            let label = self.label(class).map_or_else(String::new, |label| format!("  {label}"));
            match self.probable {
                true => format!("class {class:<4} {:8.4}%{label}", 100.0 * value),
                false => format!("class {class:<4} {value:8.4}{label}"),
            }
        })
    }

    /// What a class is called.
    fn label(&self, class: usize) -> Option<&String> {
        self.labels.as_ref()?.get(class)
    }
}

/// Says that the first output of `network` is no classes.
pub(super) fn no_classes(network: &Network) -> String {
    let shape = first_output(network).map_or_else(|| "?".into(), ToString::to_string);
    format!("the output of {} is {shape}, which is no classes of images", network.name())
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

/// Whether the first output of `network` is probabilities.
fn probable(network: &Network) -> bool {
    let mut value = network.outputs().first().copied();
    for node in network.nodes().iter().rev() {
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

/// The names of the `classes` classes that the first output of `network` has.
fn read_labels(path: &Path, network: &Network, classes: usize) -> Result<Vec<String>, CliError> {
    let shown = path.display();
    let unread = |error| CliError::input(format_args!("cannot read the labels {shown}: {error}; give a name a line"));
    let text = file::read_to_string(path, MAX_LABEL_BYTES).map_err(unread)?;
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
