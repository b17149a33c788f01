//! What `convlab scale` is told.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::forward::Split;
use crate::cli::quantity::duration;
use crate::results::LOCAL_RESULTS;

/// Predict what forward passes take on 1 to 64 ranks, and hold it against what two take here.
///
/// What a rank computes is measured with nobody beside it, for each number of ranks, and so is what an exchange takes. From these
/// follow the times of towers, and of ranks that have images each, on this machine and on machines with a network between them
/// (METHODOLOGY.md, under "Scale"). Both are measured beside: by two ranks that are threads of this process; or, with --mpi, by
/// those that `mpirun -n N` started.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  convlab scale paper --batch 1,16
  convlab scale vgg16 --split channels --link 25,100 --latency 5us
  mpirun -n 2 convlab scale paper --batch 16 --mpi --out results/scale")]
pub struct Args {
    /// Of `convlab list networks`.
    pub network: String,
    /// Images, separated by commas.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1")]
    pub batch: Vec<usize>,
    /// Which layers towers cut.
    #[arg(long, value_enum, default_value_t = Split::Groups)]
    pub split: Split,
    /// Networks between machines, Gbit/s, separated by commas.
    #[arg(long, value_name = "GBIT/S", value_delimiter = ',', default_value = "10,25,100", value_parser = gbit)]
    pub link: Vec<f64>,
    /// What an exchange of nothing takes between machines.
    #[arg(long, value_name = "T", default_value = "20us", value_parser = duration)]
    pub latency: Duration,
    /// The ranks are the processes that `mpirun` started.
    #[arg(long)]
    pub mpi: bool,
    /// Threads of each rank.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    /// An algorithm, a family or auto, for the convolutions.
    #[arg(long, value_name = "NAME|FAMILY|auto", default_value = "auto")]
    pub algorithm: String,
    /// Instruction set: avx512, avx2 or portable [default: the best of this machine].
    #[arg(long)]
    pub isa: Option<String>,
    /// Folder for records.jsonl and charts.
    #[arg(long, value_name = "DIR", default_value = LOCAL_RESULTS)]
    pub out: PathBuf,
    /// As JSON, a record a line; everything else goes to standard error.
    #[arg(long)]
    pub json: bool,
}

/// Gbit/s of a network.
fn gbit(text: &str) -> Result<f64, String> {
    let gbit = text.parse().ok().filter(|gbit: &f64| (0.001..=100_000.0).contains(gbit));
    gbit.ok_or_else(|| "give Gbit/s from 0.001 to 100000, for example 25".into())
}
