//! `convlab describe`: a walk through a network.

use std::path::Path;

use conv_net::onnx::InputShape;
use conv_net::{Network, Towers};
use serde_json::json;

use crate::cli::forward::Split;
use crate::cli::{CliError, Exit, print};
use crate::describe::{self, crossing_json, describe, towers};
use crate::suite::{is_model, model};

/// Walk through a network: shapes, parameters, operations and bytes of each node; of a chain of layers also im2col's
/// matrices and what two towers exchange.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab describe paper         the AlexNet of 2012, split over two GPUs
  convlab describe owt           the single-tower AlexNet that torchvision has
  convlab describe vgg16.onnx    a model's nodes, and which of them are not computed
  convlab describe detector.onnx --shape 1x3x320x320
  convlab describe resnet50.onnx --json | jq '.nodes[].problem'
  convlab describe paper --towers 2 --batch 16
  convlab list networks          what there is to describe")]
pub struct Args {
    /// The network, of `convlab list networks`, or an ONNX model, file.onnx.
    network: String,
    /// The shape of an input that a model leaves open, for example 1x3x320x320; of several inputs each with its name.
    #[arg(long, value_name = "[NAME:]SIZES")]
    shape: Vec<InputShape>,
    /// Who computes what in so many towers, and what crosses between them, as `convlab forward --towers` does it.
    #[arg(long, value_name = "N")]
    towers: Option<usize>,
    /// Which layers the towers cut.
    #[arg(long, value_enum, default_value_t = Split::Groups, requires = "towers")]
    split: Split,
    /// Images.
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
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
        model(&args.network, args.batch, &args.shape).map_err(CliError::input)?
    } else if args.shape.is_empty() {
        Network::by_name(&args.network, args.batch.unwrap_or(1)).map_err(CliError::input)?
    } else {
        return Err(CliError::input("--shape is for the inputs of models; name one, file.onnx, or leave it out"));
    };
    if let Some(workers) = args.towers {
        let cut = Towers::new(&network, workers, args.split.into(), 1).map_err(CliError::input)?;
        if args.json {
            let crossings: Vec<_> = cut.crossings().iter().map(crossing_json).collect();
            print(format_args!("{:#}", json!({ "towers": workers, "phases": cut.phases(), "crossings": crossings })))?;
        } else {
            print(towers(&cut))?;
        }
        return Ok(Exit::Done);
    }
    if args.json {
        print(format_args!("{:#}", describe::json(&network)))?;
    } else {
        print(describe(&network))?;
    }
    Ok(Exit::Done)
}
