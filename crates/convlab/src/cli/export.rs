//! `convlab export`: a network as other programs read it.

use std::path::{Path, PathBuf};

use conv_net::{Network, Synthetic, Weights};

use crate::cli::{CliError, Exit, print};

/// Write a network with synthetic weights as an ONNX model: the ones that `forward` uses with the same seed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab export --network paper --onnx paper.onnx
  convlab export --network owt --seed 7 --batch 16 --onnx owt.onnx")]
pub struct Args {
    /// The network: paper or owt.
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
}

/// Writes the model.
///
/// # Errors
/// [`CliError::Input`] if there is no such network, it cannot have this batch, or the file cannot be written.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let network = Network::by_name(&args.network, args.batch.unwrap_or(1)).map_err(CliError::input)?;
    let mut weights = Synthetic::new(&network, args.seed);
    write(&args.onnx, &network, args.batch.is_none(), &mut weights)?;
    print(format_args!(
        "{}: {} with {} parameters of seed {}",
        args.onnx.display(),
        network.name(),
        network.parameter_count(),
        args.seed
    ))?;
    Ok(Exit::Done)
}

/// In the place of `conv_net::onnx::write`, of the same arguments, until that is there.
fn write(path: &Path, _: &Network, _: bool, _: &mut dyn Weights) -> Result<(), CliError> {
    Err(CliError::input(format_args!("cannot write {}: models are not written yet", path.display())))
}
