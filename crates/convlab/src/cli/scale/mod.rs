//! `convlab scale`: what a forward pass takes when several ranks share it, measured and predicted.

mod args;
mod links;
mod subject;

use std::panic::resume_unwind;
use std::thread;

use conv_measure::{BANDWIDTH_BYTES, Limits, Stop, Stream, pool};
use conv_net::{Peers, Threads};
use conv_report::narrow;
use conv_report::record::Record;
use conv_report::tables::{Query, Topic, tables};

pub use self::args::Args;

use self::links::{MemberError, link};
use self::subject::{Measured, Subject};
use crate::cli::plan::{Asked, Setting};
use crate::cli::{CliError, Exit, Output, interrupt, results_in};
use crate::ranks::{Agreement, Ranks, program};
use crate::results::Results;

/// Ranks that are threads of this process.
const THREADS: usize = 2;

/// Measures, predicts, keeps records and draws.
///
/// # Errors
/// [`CliError::Input`] for a network that cannot be cut like that, or does not fit into memory.
pub fn run(args: &Args) -> Result<Exit, CliError> {
    let open = || results_in(&args.out);
    let stop = interrupt::listen()?;
    if !args.mpi {
        let results = open()?;
        let records = by_threads(args, &stop, &results)?;
        return conclude(args, &results, &records, &stop);
    }
    let mut ranks = Ranks::join().map_err(CliError::input)?;
    let asked = format!("{:?}", (&args.network, &args.batch, args.split, args.threads, &args.algorithm, &args.isa));
    let agreement: Agreement = vec![program(), ("what is asked for", asked)];
    let results = if ranks.rank() == 0 { open().map(Some) } else { Ok(None) };
    let results = ranks.agree(results.map(|results| (agreement, results)))?;
    let measured = member(args, &mut ranks, "mpi", (&stop, results.as_ref())).map_err(CliError::input);
    let records = ranks.or_abort(measured);
    match results {
        Some(results) => conclude(args, &results, &records, &stop),
        None => Ok(Exit::Done),
    }
}

/// Draws and tells what was kept.
fn conclude(args: &Args, results: &Results, records: &[Record], stop: &Stop) -> Result<Exit, CliError> {
    let output = Output::new(args.json);
    let places = results.finish().map_err(CliError::input)?;
    for made in tables(records, Topic::Scale, &Query::default()) {
        let parts = [made.caption, narrow(&made.header, &made.rows)].into_iter().chain(made.notes);
        output.say(format_args!("\n{}", parts.collect::<Vec<_>>().join("\n\n")));
    }
    if args.json {
        records.iter().for_each(|record| output.give_json(record));
    }
    output.say(format_args!("\n{places}"));
    if stop.check().is_err() {
        output.say("\ninterrupted; the batches that were finished are kept; give those that are left with --batch");
        return output.ended(Exit::Interrupted);
    }
    output.ended(Exit::Done)
}

/// By ranks that are threads of this process.
fn by_threads(args: &Args, stop: &Stop, results: &Results) -> Result<Vec<Record>, CliError> {
    let ways = Threads::of(THREADS);
    let mut results: Vec<Result<Vec<Record>, MemberError>> = thread::scope(|scope| {
        let member = |mut way| scope.spawn(move || member(args, &mut way, "memory", (stop, Some(results))));
        let members: Vec<_> = ways.into_iter().map(member).collect();
        members.into_iter().map(|member| member.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    // Who waited for another is not to blame.
    if let Some(own) = results.iter().position(|result| matches!(result, Err(MemberError::Own(_)))) {
        results.swap(0, own);
    }
    results.swap_remove(0).map_err(CliError::input)
}

/// What one of those who measure together does. All of them make the same exchanges. The first has the records of all, and keeps
/// those of each batch as they are made. When one of them is to stop, all do.
fn member(
    args: &Args,
    peers: &mut dyn Peers,
    transport: &'static str,
    (stop, results): (&Stop, Option<&Results>),
) -> Result<Vec<Record>, MemberError> {
    let asked = Asked { isa: args.isa.as_deref(), threads: Some(args.threads as u64) };
    let setting = Setting::named(&args.algorithm, asked)?;
    let new = |&batch| Subject::new(args, &setting, batch, peers.workers());
    let subjects = args.batch.iter().map(new).collect::<Result<Vec<_>, _>>()?;
    let pool = pool(args.threads).map_err(CliError::input)?;
    let limits = Limits::measure(&pool, setting.isa).map_err(CliError::input)?;
    let stream = Stream::with_bytes(BANDWIDTH_BYTES).map_err(CliError::input)?;
    let link = link(peers)?;
    let mut records = Vec::new();
    for subject in &subjects {
        match subject.measure(peers, (&pool, stop), &stream, limits.cache_bytes)? {
            Measured::Stopped => break,
            Measured::Beside => {}
            Measured::First(times) => {
                let made = subject.records(&times, link, transport)?;
                results.map_or(Ok(()), |results| results.keep(&made)).map_err(CliError::input)?;
                records.extend(made);
            }
        }
    }
    Ok(records)
}
