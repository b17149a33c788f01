//! Convlab's own part in `scripts/peers`: one whole pass, planned once, run when it is asked for.
//!
//! It says `ready` when it has computed once, answers every line of standard input with the time of one run in
//! nanoseconds, one run before it not timed, and at the end of input prints what it knows of itself as a record. The other
//! engines' workers, `scripts/peers/peers/worker.py`, keep the same protocol.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use conv_core::PlanOptions;
use conv_measure::memory::{available_bytes, counted};
use conv_measure::{Machine, pool};
use conv_net::{Network, Synthetic, npy};
use conv_report::record::Record;
use conv_tune::Chooser;
use convlab::conv::transpose;
use convlab::forward::TimedPass;

#[global_allocator]
static ALLOCATOR: conv_measure::memory::CountingAllocator = conv_measure::memory::CountingAllocator;

#[derive(Debug, Parser)]
struct Args {
    /// The network: paper or owt.
    network: String,
    /// Prepared images, [n, c, h, w].
    input: PathBuf,
    /// Where the probabilities go, [n, classes].
    output: PathBuf,
    /// Threads.
    #[arg(long)]
    threads: usize,
    /// Seed of the synthetic weights.
    #[arg(long)]
    seed: u64,
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
    let array = npy::read(&args.input, available_bytes())?;
    let &[batch, channels, height, width] = &array.shape[..] else {
        return Err("the input is not [n, c, h, w]".into());
    };
    let network = Network::by_name(&args.network, batch)?;
    let input = transpose(&array.data, [channels, height * width])?;
    drop(array);
    let mut weights = Synthetic::new(&network, args.seed);
    let mut pass = TimedPass::new(&network, &mut weights, &Chooser::Auto, &PlanOptions::new(args.threads))?;
    pass.run(&[&input])?;
    let probabilities = pass.pass().output(0).unwrap_or_default();
    npy::write(&args.output, &[batch, probabilities.len() / batch], probabilities)?;
    let (_, counts) = counted(|| pass.run(&[&input]));

    say("ready")?;
    for line in io::stdin().lines() {
        line?;
        pass.run(&[&input])?;
        let start = Instant::now();
        pass.sample(&[&input])?;
        say(&start.elapsed().as_nanos().to_string())?;
    }
    let record = Record {
        threads: args.threads,
        allocations: counts.map(|counts| counts.allocations),
        ..convlab::records::origin(&Machine::detect())
    };
    say(&serde_json::to_string(&pass.record(record, None))?)
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(writeln!(out, "{line}").and_then(|()| out.flush())?)
}
