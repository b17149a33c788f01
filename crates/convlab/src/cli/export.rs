//! `convlab export`: a network as other programs read it.

use std::path::PathBuf;

use conv_net::{Network, Synthetic, onnx};
use serde_json::json;

use crate::cli::{CliError, Exit, print, print_json, writable};

/// Write a network with synthetic weights as an ONNX model: the ones that `forward` uses with the same seed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab export --network paper --onnx paper.onnx
  convlab export --network owt --seed 7 --batch 16 --onnx owt.onnx")]
pub struct Args {
    /// The network: paper, owt, or another that is built in.
    #[arg(long, value_name = "NAME")]
    network: String,
    /// Where the model goes: input and output are f32, NCHW, operators of opset 13.
    #[arg(long, value_name = "FILE.onnx")]
    onnx: PathBuf,
    /// Seed of the weights.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Images that the model takes [default: any number].
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Writes the model.
///
/// # Errors
/// [`CliError::Input`] if there is no such network, it cannot have this batch, or the file cannot be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    writable(&[("--onnx", &args.onnx)], &[])?;
    let network = Network::by_name(&args.network, args.batch.unwrap_or(1)).map_err(CliError::input)?;
    let mut weights = Synthetic::new(&network, args.seed);
    onnx::write(&args.onnx, &network, args.batch.is_none(), &mut weights).map_err(CliError::input)?;
    if args.json {
        print_json(&json!({
            "model": args.onnx,
            "network": network.name(),
            "parameters": network.parameter_count(),
            "seed": args.seed,
        }))?;
        return Ok(Exit::Done);
    }
    print(format_args!(
        "{}: {} with {} parameters of seed {}",
        args.onnx.display(),
        network.name(),
        network.parameter_count(),
        args.seed
    ))?;
    Ok(Exit::Done)
}
