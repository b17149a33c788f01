//! What `convlab forward` is told.

use std::path::PathBuf;
use std::str::FromStr;

use conv_measure::MAX_THREADS;
use conv_net::onnx::InputShape;

/// Run a whole network on pictures: probabilities, time and memory of each layer.
///
/// Beside each layer's time stands its bound, the larger of two times: the direct method's operations (taps in the padding
/// not counted) at the multiply-add peak, and the bytes that must come from memory at its read bandwidth, both measured in
/// this run. Those bytes are the weights, unless all of the network's fit in the last-level cache, and input and output,
/// unless both together do. Winograd and FFT execute fewer operations and may pass 100%.
///
/// A folder of pictures is read while it is computed, batch by batch: standard output has a line for each picture, in the order
/// of their names, and nothing else. What cannot be read is told and skipped, and the exit code is 1 at the end.
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
  convlab forward --model resnet50.onnx --image photos --batch 16 --top 1
  convlab forward --model resnet50.onnx --image photos --json > classes.jsonl
  convlab forward --model detector.onnx --shape 1x3x320x320 --output found.npy
  convlab forward --model pair.onnx --input left=a.npy --input right=b.npy --output y.npy
  convlab forward --network paper --algorithm im2col/faer --batch 16 --threads 1 --json
  convlab forward --network paper --plan plan.toml
  convlab forward --network paper --input x.npy --output probabilities.npy
  convlab forward --network resnet50 --dump layer1.0.add=sum.npy
  convlab forward --network paper --towers 2
  convlab forward --network vgg16 --towers 2 --split channels
  mpirun -n 2 convlab forward --network paper --towers mpi
  mpirun -n 2 convlab forward --network paper --image photos --batch 16 --shard batch")]
pub struct Args {
    /// The network, of `convlab list networks`: paper, owt, resnet50, …; or give --model.
    #[arg(long, value_name = "NAME", required_unless_present = "model")]
    pub network: Option<String>,
    /// An ONNX model: network and weights. `convlab describe` says which of its nodes are not computed.
    #[arg(long, value_name = "FILE.onnx", conflicts_with_all = ["network", "weights"])]
    pub model: Option<PathBuf>,
    /// The shape of an input that the model leaves open, for example 1x3x320x320; of several inputs each with its name.
    #[arg(long, value_name = "[NAME:]SIZES", conflicts_with = "network")]
    pub shape: Vec<InputShape>,
    /// For the convolutions: an algorithm (winograd/f4x3), a family (winograd: its best variant for each layer) or auto.
    /// A layer that it does not support is computed by direct/nhwc, and the output says so.
    #[arg(long, value_name = "NAME|FAMILY|auto", default_value = "auto")]
    pub algorithm: String,
    /// What `convlab tune` wrote: algorithms and parameters for the convolutions, its instruction set and threads.
    #[arg(long, value_name = "PLAN.toml", conflicts_with = "algorithm")]
    pub plan: Option<PathBuf>,
    /// JPEG or PNG pictures, one for each image of the batch: shorter side to 256, centre cut out, normalised. Or one folder of
    /// such, .jpg, .jpeg or .png; its subfolders are not entered.
    #[arg(long, value_name = "F", num_args = 1.., conflicts_with = "input")]
    pub image: Vec<PathBuf>,
    /// Prepared input, [n, c, h, w] or one image [c, h, w]: a .npy file, or an array in an archive as x.npz:NAME, of floats,
    /// integers or bool. A network of several inputs takes one for each, with its name.
    #[arg(long, value_name = "[NAME=]X.npy")]
    pub input: Vec<String>,
    /// Trained weights, f32, f16 or bf16, under torchvision's names (features.0.weight, classifier.6.bias) or the layers'
    /// own (conv1.weight).
    #[arg(long, value_name = "FILE.safetensors")]
    pub weights: Option<PathBuf>,
    /// Images [default: as many as are given, or 1]. Of a folder, so many at once [default: 1, or what the model states].
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Seed of the synthetic weights, and of the input if none is given.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Where the output goes, 32-bit floats, [n, classes], or [n, c, h, w] if it is a map. Of a network of several outputs
    /// each goes to a file of its own beside it, Y-NAME.npy.
    #[arg(long, value_name = "Y.npy")]
    pub output: Option<PathBuf>,
    /// What a layer computes, as its network would without fusing it with what follows, in the order that frameworks write:
    /// for whoever looks for where two engines differ. May be given several times.
    #[arg(long, value_name = "LAYER=Y.npy", value_parser = dump)]
    pub dump: Vec<Dump>,
    /// What the classes are called, a name a line.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Most probable classes to print for each image.
    #[arg(long, value_name = "K", default_value_t = 5)]
    pub top: usize,
    /// Threads [default: all of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_THREADS as u64))]
    pub threads: Option<u64>,
    /// Compute in towers, as the paper did on two devices: each worker its share of the channels, with its share of the weights
    /// and of the threads. N workers of this process; or mpi: the processes that `mpirun -n N` started.
    #[arg(long, value_name = "N|mpi", conflicts_with_all = ["dump", "shard"])]
    pub towers: Option<Workers>,
    /// Which layers the towers cut: those of a network with groups, so that between groups nothing crosses; or of any network the
    /// fully connected layers' channels.
    #[arg(long, value_enum, default_value_t = Split::Groups, requires = "towers")]
    pub split: Split,
    /// Parts of a batch that towers compute one after the other up to the first fully connected layer, so that what one part sends
    /// crosses while the next is computed. It pays where crossing takes long: weights are read once for each part.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "towers")]
    pub chunks: usize,
    /// Of several processes that `mpirun -n N` started each computes images of its own.
    #[arg(long, value_enum, conflicts_with = "dump")]
    pub shard: Option<Shard>,
    /// Instruction set: avx512, avx2 or portable [default: the best of this machine].
    #[arg(long)]
    pub isa: Option<String>,
    /// As one JSON object, with the fields of a record; of a folder one object for each picture, a line each.
    #[arg(long)]
    pub json: bool,
}

/// Who the towers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// So many of this process.
    Threads(usize),
    /// One for each process that `mpirun` started.
    Mpi,
}

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mpi" => Ok(Workers::Mpi),
            _ => text.parse().map(Workers::Threads).map_err(|_| "write how many workers, as 2, or mpi".into()),
        }
    }
}

/// Which layers towers cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// Convolutions and fully connected layers of a network with groups.
    Groups,
    /// Fully connected layers alone.
    Channels,
}

impl Split {
    /// What `--split` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Split::Groups => "groups",
            Split::Channels => "channels",
        }
    }
}

impl From<Split> for conv_net::Split {
    fn from(split: Split) -> Self {
        match split {
            Split::Groups => conv_net::Split::Groups,
            Split::Channels => conv_net::Split::Channels,
        }
    }
}

/// What several processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shard {
    /// The images.
    Batch,
}

/// A layer whose result goes to a file.
#[derive(Debug, Clone)]
pub struct Dump {
    pub layer: String,
    pub file: PathBuf,
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
