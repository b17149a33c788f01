//! `convlab describe`: a walk through a network.

use conv_net::Network;

use crate::cli::{CliError, Exit, print};
use crate::describe::describe;
use crate::suite;

/// Walk through a network: shapes, parameters, operations and bytes of each layer, im2col's matrices, the two halves.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab describe paper         the AlexNet of 2012, split over two GPUs
  convlab describe owt           the single-tower AlexNet that torchvision has
  convlab describe vgg16.onnx    a model's layers
  convlab list networks          what there is to describe")]
pub struct Args {
    /// The network: paper, owt, or an ONNX model, file.onnx.
    network: String,
}

/// Prints the description.
///
/// # Errors
/// [`CliError`] if there is no such network.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let network = match suite::model(&args.network) {
        Some(network) => network.map_err(CliError::input)?,
        None => Network::by_name(&args.network).map_err(CliError::input)?,
    };
    print(describe(&network).map_err(CliError::input)?)?;
    Ok(Exit::Done)
}
