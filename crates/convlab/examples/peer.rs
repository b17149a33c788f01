//! Convlab's own part in `scripts/peers`: one whole pass, planned once, run when it is asked for.
//!
//! It says `ready` when it has computed once, answers every line of standard input, a number, with the time of so many runs
//! in nanoseconds, one run before them not timed, and at the end of input prints what it knows of itself as a record. The
//! other engines' workers, `scripts/peers/peers/worker.py`, keep the same protocol.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use conv_core::PlanOptions;
use conv_measure::memory::{available_bytes, counted};
use conv_measure::{Machine, pool};
use conv_net::onnx::Model;
use conv_net::{Shape, npy};
use conv_report::record::Record;
use conv_simd::Isa;
use conv_tune::Chooser;
use convlab::conv::transpose;
use convlab::forward::TimedPass;

#[global_allocator]
static ALLOCATOR: conv_measure::memory::CountingAllocator = conv_measure::memory::CountingAllocator;

#[derive(Debug, Parser)]
struct Args {
    /// The ONNX model, of one input.
    model: PathBuf,
    /// The input, in the shape that the model states.
    input: PathBuf,
    /// Where the first output goes.
    output: PathBuf,
    /// Threads.
    #[arg(long)]
    threads: usize,
    /// What computes the convolutions: a family, an algorithm, or `auto`.
    #[arg(long, default_value = "auto")]
    algorithm: String,
    /// The instruction set; default: the best.
    #[arg(long)]
    isa: Option<String>,
}

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = pool(args.threads).map_err(Failure::from).and_then(|pool| pool.install(|| work(&args)));
    done.map_or_else(
        |error| {
            eprintln!("peer: {error}");
            ExitCode::from(2)
        },
        |()| ExitCode::SUCCESS,
    )
}

fn work(args: &Args) -> Result<(), Failure> {
    let mut model = Model::open(&args.model, None, &[])?;
    let network = model.network().clone();
    let (&[input], &[output, ..]) = (network.inputs(), network.outputs()) else {
        return Err("the model has not one input".into());
    };
    let (from, to) = (network.shape(input)?, network.shape(output)?);
    let array = npy::read(&args.input, available_bytes())?;
    if array.shape != from.sizes() {
        return Err(format!("the input is {:?}, not {from}", array.shape).into());
    }
    let input = transpose(&array.data, matrix(from))?;
    drop(array);
    let chooser = Chooser::by_name(&args.algorithm)?;
    let isa = args.isa.as_deref().map_or(Ok(Isa::best()), Isa::by_name)?;
    let options = PlanOptions::new(args.threads).isa(isa);
    let mut pass = TimedPass::new(&network, &mut model, &chooser, &options)?;
    if let Some((layer, reason)) = pass.fallbacks().first() {
        return Err(format!("{layer}: {reason}").into());
    }
    pass.run(&[&input])?;
    let [channels, pixels] = matrix(to);
    let computed = transpose(pass.pass().output(0).unwrap_or(&input), [pixels, channels])?;
    npy::write(&args.output, to.sizes(), &computed)?;
    drop(computed);
    let (_, counts) = counted(|| pass.run(&[&input]));

    say("ready")?;
    for line in io::stdin().lines() {
        let runs: usize = line?.parse()?;
        pass.run(&[&input])?;
        let start = Instant::now();
        for _ in 0..runs {
            pass.sample(&[&input])?;
        }
        say(&start.elapsed().as_nanos().to_string())?;
    }
    let record = Record {
        threads: args.threads,
        allocations: counts.map(|counts| counts.allocations),
        ..convlab::records::origin(&Machine::detect())
    };
    say(&serde_json::to_string(&pass.record(record, None))?)
}

/// One image of `shape` as frameworks write it: channels by pixels. Of two dimensions and fewer the order is the same.
fn matrix(shape: &Shape) -> [usize; 2] {
    match shape.sizes() {
        [_, channels, map @ ..] if !map.is_empty() => [*channels, map.iter().product()],
        sizes => [1, sizes.iter().product()],
    }
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(writeln!(out, "{line}").and_then(|()| out.flush())?)
}
