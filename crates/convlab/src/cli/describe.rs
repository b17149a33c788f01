//! `convlab describe`: a walk through a network.

use std::path::Path;

use conv_net::Network;
use conv_net::onnx::InputShape;

use crate::cli::{CliError, Exit, print};
use crate::describe::{describe, json};
use crate::suite::{is_model, model};

/// Walk through a network: shapes, parameters, operations and bytes of each node; of a chain of layers also im2col's
/// matrices and what two halves exchange.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab describe paper         the AlexNet of 2012, split over two GPUs
  convlab describe owt           the single-tower AlexNet that torchvision has
  convlab describe vgg16.onnx    a model's nodes, and which of them are not computed
  convlab describe detector.onnx --shape 1x3x320x320
  convlab describe resnet50.onnx --json | jq '.nodes[].problem'
  convlab list networks          what there is to describe")]
pub struct Args {
    /// The network, of `convlab list networks`, or an ONNX model, file.onnx.
    network: String,
    /// The shape of an input that a model leaves open, for example 1x3x320x320; of several inputs each with its name.
    #[arg(long, value_name = "[NAME:]SIZES")]
    shape: Vec<InputShape>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints the description.
///
/// # Errors
/// [`CliError`] if there is no such network.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let network = if is_model(Path::new(&args.network)) {
        model(&args.network, None, &args.shape).map_err(CliError::input)?
    } else if args.shape.is_empty() {
        Network::by_name(&args.network, 1).map_err(CliError::input)?
    } else {
        return Err(CliError::input("--shape is for the inputs of models; name one, file.onnx, or leave it out"));
    };
    if args.json {
        print(format_args!("{:#}", json(&network)))?;
    } else {
        print(describe(&network))?;
    }
    Ok(Exit::Done)
}
