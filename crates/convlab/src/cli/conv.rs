//! `convlab conv`: one convolution on anybody's arrays.

use std::path::PathBuf;

use conv_core::PlanOptions;
use conv_measure::{memory, pool};
use conv_net::npy;
use serde_json::json;

use crate::cli::plan::{Asked, Setting};
use crate::cli::{CliError, Exit, Named, print, print_json, writable};
use crate::conv::{Arrays, ConvError, Layout, Parameters, convolve, problem};

/// Convolve NumPy's arrays and write the result as a .npy file of 32-bit floats.
///
/// Arrays are .npy files, or .npz archives: of one array, or with the name of one as in arrays.npz:w. They hold floats of
/// 16, 32 or 64 bits, integers or bool, of either byte order, in C or Fortran order, and are computed with as 32-bit floats.
///
/// As neural networks use the word: the filter is not flipped. Exit code 3 if the algorithm does not compute this
/// convolution.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab conv --input x.npy --weights w.npy --pad 1 --algorithm winograd/f4x3 --output y.npy
  convlab conv --input x.npy --weights w.npy --bias b.npy --relu --stride 4 --groups 2 --algorithm direct/nhwc --output y.npy
  convlab conv --input arrays.npz:x --weights arrays.npz:w --algorithm auto --output y.npy
  convlab conv --input nhwc.npy --layout nhwc --weights w.npy --pad 0,0,1,1 --algorithm im2col --output y.npy")]
pub struct Args {
    /// Input, [n, c, h, w] or one image [c, h, w].
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Weights, [oc, ic/groups, kh, kw].
    #[arg(long, value_name = "W.npy")]
    weights: PathBuf,
    /// Bias, [oc].
    #[arg(long, value_name = "B.npy")]
    bias: Option<PathBuf>,
    /// Vertical and horizontal stride, or one number for both.
    #[arg(long, value_name = "H,W", default_value = "1", allow_negative_numbers = true, value_parser = numbers::<2>)]
    stride: [usize; 2],
    /// Zeros at the top, left, bottom and right, or one number for all four.
    #[arg(long, value_name = "T,L,B,R", default_value = "0", allow_negative_numbers = true, value_parser = numbers::<4>)]
    pad: [usize; 4],
    /// Input elements from one tap to the next, vertical and horizontal, or one number for both; 1 is a dense filter.
    #[arg(long, value_name = "H,W", default_value = "1", allow_negative_numbers = true, value_parser = numbers::<2>)]
    dilation: [usize; 2],
    /// Groups of channels.
    #[arg(long, value_name = "G", default_value_t = 1)]
    groups: usize,
    /// Make negative results zero.
    #[arg(long)]
    relu: bool,
    /// Layout of input and output; weights are [oc, ic/groups, kh, kw] in either.
    #[arg(long, value_enum, default_value_t)]
    layout: Layout,
    /// An algorithm (winograd/f4x3), a family (winograd: its best variant that computes this) or auto.
    #[arg(long, value_name = "NAME")]
    algorithm: String,
    /// Where the result goes.
    #[arg(long, value_name = "Y.npy")]
    output: PathBuf,
    /// What was computed, how and where to, as a JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads, convolves and writes.
///
/// # Errors
/// [`CliError::Unsupported`] if the algorithm does not compute this convolution, [`CliError::Input`] for files that
/// cannot be read or written, arrays that do not fit together, or too little memory.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let inputs: [Named<'_>; 2] = [("--input", &args.input), ("--weights", &args.weights)];
    let bias = args.bias.iter().map(|path| ("--bias", path.as_path()));
    writable(&[("--output", &args.output)], &inputs.into_iter().chain(bias).collect::<Vec<_>>())?;
    let Setting { chooser, threads, isa } = Setting::named(&args.algorithm, Asked { isa: None, threads: None })?;
    let read = |path: &PathBuf| npy::read(path, memory::available_bytes()).map_err(CliError::input);
    let arrays = Arrays {
        input: read(&args.input)?,
        weights: read(&args.weights)?,
        bias: args.bias.as_ref().map(read).transpose()?,
    };
    let parameters = Parameters {
        stride: args.stride,
        pad: args.pad,
        dilation: args.dilation,
        groups: args.groups,
        relu: args.relu,
        layout: args.layout,
    };
    let problem = problem(&arrays, &parameters)?;
    let options = PlanOptions::new(threads).isa(isa);
    let choice = chooser.choose(&problem, &options);
    if let Some(reason) = choice.fallback {
        return Err(reason.into());
    }
    let pool = pool(threads).map_err(CliError::input)?;
    let output = pool.install(|| convolve(&arrays, &parameters, choice.method, &options))?;
    npy::write(&args.output, &output.shape, &output.data).map_err(CliError::input)?;
    if args.json {
        print_json(&json!({
            "algorithm": choice.method.to_string(),
            "problem": problem.to_string(),
            "isa": isa.name(),
            "threads": threads,
            "shape": output.shape,
            "output": args.output,
        }))?;
        return Ok(Exit::Done);
    }
    print(format_args!("{}: {problem} -> {:?} in {}", choice.method, output.shape, args.output.display()))?;
    Ok(Exit::Done)
}

impl From<ConvError> for CliError {
    fn from(error: ConvError) -> Self {
        match error {
            ConvError::Plan(error) => error.into(),
            other => CliError::input(other),
        }
    }
}

/// Reads `N` numbers separated by commas, or one that stands for all.
fn numbers<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let number = |part: &str| part.trim().parse().map_err(|_| format!("'{}' is no whole number", part.trim()));
    let numbers = text.split(',').map(number).collect::<Result<Vec<usize>, String>>()?;
    match numbers[..] {
        [one] => Ok([one; N]),
        _ => {
            let count = numbers.len();
            numbers.try_into().map_err(|_| format!("{count} numbers; give one for all, or {N} separated by commas"))
        }
    }
}
