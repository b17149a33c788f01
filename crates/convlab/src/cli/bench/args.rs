//! What `convlab bench` is told.

use std::path::PathBuf;

use conv_measure::MAX_THREADS;

use crate::cli::quantity::bytes;
use crate::cli::selection::Selection;
use crate::results::LOCAL_RESULTS;

/// Measure algorithms: verify, time interleaved, record, draw charts.
///
/// Of a network that is named as a whole, its forward passes are measured too, by each family and by auto, and each once
/// more in a process of its own for the most memory that is resident. Of a model, equal convolutions are measured once, as
/// the first layer that has them, and at the end stands what all of its layers take together.
///
/// It starts with the machine itself: the multiply-add peak of its cores and the read bandwidth of its memory. Every
/// result is verified against an exact one before it is timed, and the records of each problem are kept before the next is
/// measured: Ctrl-C loses nothing that is finished. "cold" is the time after 234 MB of other memory were read;
/// "prepare" the time to transform or pack the weights, once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab bench                                       AlexNet's layers, all algorithms, all threads
  convlab bench paper/conv3 --algorithm direct,winograd --threads 1,2
  convlab bench owt --batch 1,16 --out results/owt
  convlab bench mb1ic64ih56oc64kh3ph1 --quick
  convlab bench detector.onnx --shape 1x3x320x320     a model whose input's size is open
  convlab bench benches/problems/convbench.txt --resume    after an interruption
  convlab bench paper --batch 16 --plan plan.toml
  mpirun -n 8 convlab bench benches/problems/convbench.txt --shard problems")]
pub struct Args {
    #[command(flatten)]
    pub selection: Selection,
    /// Instruction sets, separated by commas: avx512, avx2, portable [default: the best of this machine].
    #[arg(long, value_name = "ISA", value_delimiter = ',')]
    pub isa: Vec<String>,
    /// Numbers of threads, separated by commas [default: all of this machine].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=MAX_THREADS as u64))]
    pub threads: Vec<u64>,
    /// Folder for records.jsonl and charts.
    #[arg(long, value_name = "DIR", default_value = LOCAL_RESULTS)]
    pub out: PathBuf,
    /// What `convlab tune` wrote: compares its choices, as tuned, with those of auto without a plan and of each family,
    /// layer by layer in a network's conditions and in whole passes.
    #[arg(long, value_name = "PLAN.toml", conflicts_with_all = ["algorithm", "quick", "threads", "isa"])]
    pub plan: Option<PathBuf>,
    /// Few samples, warm caches only: a first look.
    #[arg(long)]
    pub quick: bool,
    /// Measure only what the folder does not hold yet, measured by this very program (commit) in this setting.
    #[arg(long)]
    pub resume: bool,
    /// Of what the folder holds, measure again only what was disturbed by others on this machine.
    #[arg(long, conflicts_with = "resume")]
    pub retry: bool,
    /// Memory for the plans that are there at once, for example 4GiB [default: all that is available]. What does not fit side
    /// by side is measured in waves, each beside the problem's first algorithm.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory_limit: Option<usize>,
    /// Of several processes that `mpirun -n N` started each measures some of the problems, into a folder of its own in that of --out;
    /// then all that was measured is put together. Whole passes are measured by the first.
    #[arg(long, value_enum, conflicts_with = "plan")]
    pub shard: Option<Shard>,
    /// As JSON, a record a line, when it is measured; everything else goes to standard error.
    #[arg(long)]
    pub json: bool,
}

/// What several processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shard {
    /// The problems.
    Problems,
}
