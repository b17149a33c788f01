//! `--towers`: a network that several workers compute, each its share of the channels.

use std::panic::resume_unwind;
use std::thread;

use conv_core::PlanOptions;
use conv_measure::{Machine, Samples, memory, pool};
use conv_net::{Network, Peers, Threads, TowerRunError, Towers, Weights};
use conv_report::record::{Kind, Record, TowerTime};
use rayon::ThreadPool;

use super::args::Args;
use super::classes::Classes;
use super::given::{Given, Inputs};
use super::output_files;
use super::prepare::setting;
use super::several::{Several, agreement, outputs};
use super::shard::threads;
use crate::cli::plan::Setting;
use crate::cli::{CliError, Exit, writable};
use crate::forward::slices;
use crate::ranks::{Agreement, Ranks};
use crate::records;
use crate::towers::{Methods, TimedTower};

/// What all workers have in common.
struct Common {
    setting: Setting,
    network: Network,
    towers: Towers,
    methods: Methods,
    inputs: Inputs,
    classes: Option<Classes>,
}

/// What one worker computed: its outputs, its times, and what there is to tell of it.
struct Worked {
    outputs: Vec<Vec<f32>>,
    samples: Samples,
    figures: TowerTime,
}

/// By `workers` of this process.
///
/// # Errors
/// [`CliError::Input`] as of a single pass, and for a network that cannot be cut like that.
pub(super) fn in_threads(args: &Args, workers: usize) -> Result<Exit, CliError> {
    args.output.iter().try_for_each(|path| writable("--output", path))?;
    let (common, _) = common(args, workers)?;
    let threads = (common.setting.threads / workers).max(1);
    let memory_limit = memory::available_bytes() / workers;
    let work = |mut peers: Threads| {
        let (pool, mut tower) = prepare(&common, weights(args, &common)?, peers.worker(), threads, memory_limit)?;
        let worked = work(&common, &pool, &mut tower, &mut peers, None);
        worked.map_err(Failure::from)
    };
    let results: Vec<Result<Worked, Failure>> = thread::scope(|scope| {
        let start = |peers: Threads| scope.spawn(|| work(peers));
        let workers: Vec<_> = Threads::of(workers).into_iter().map(start).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    // Who waited for another is not to blame.
    let mut failures = results.iter().filter_map(|result| result.as_ref().err());
    if let Some(failure) = failures.clone().find(|failure| !failure.waited).or(failures.next()) {
        return Err(CliError::input(&failure.told));
    }
    let worked = results.into_iter().flatten().collect();
    report(args, &common, "memory", threads * workers, worked)
}

/// By the processes that `mpirun` started.
///
/// # Errors
/// [`CliError::Input`] as of a single pass, and if the processes do not agree; [`CliError::Told`] with all but the first.
pub(super) fn over_mpi(args: &Args) -> Result<Exit, CliError> {
    let mut ranks = Ranks::join().map_err(CliError::input)?;
    let (rank, workers) = (ranks.rank(), ranks.count());
    let (common, pool, mut tower) = ranks.agree(prepare_rank(args, &ranks))?;
    let worked = work(&common, &pool, &mut tower, &mut ranks, memory::peak_resident_bytes());
    let worked = ranks.or_abort(worked.map_err(CliError::input));
    let told = serde_json::to_string(&worked.figures).map_err(CliError::input);
    let figures = ranks.all_texts(&ranks.or_abort(told));
    if rank > 0 {
        return Ok(Exit::Done);
    }
    let figures = figures.iter().map(|told| serde_json::from_str(told).map_err(CliError::input));
    let figures: Vec<TowerTime> = ranks.or_abort(figures.collect());
    let threads = pool.current_num_threads() * workers;
    let Worked { outputs, samples, .. } = worked;
    let first = |figures| Worked { outputs: Vec::new(), samples: Samples::default(), figures };
    let mut all: Vec<Worked> = figures.into_iter().map(first).collect();
    (all[0].outputs, all[0].samples) = (outputs, samples);
    report(args, &common, "mpi", threads, all)
}

/// Why a worker ended, and whether that was another's fault.
struct Failure {
    told: String,
    waited: bool,
}

impl From<TowerRunError> for Failure {
    fn from(error: TowerRunError) -> Self {
        Failure { told: error.to_string(), waited: matches!(error, TowerRunError::Peer(_)) }
    }
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Failure { told: error.to_string(), waited: false }
    }
}

/// Everything of a rank up to its first exchange.
fn prepare_rank(args: &Args, ranks: &Ranks) -> Result<(Agreement, (Common, ThreadPool, TimedTower)), CliError> {
    let (rank, workers) = (ranks.rank(), ranks.count());
    if rank == 0 {
        args.output.iter().try_for_each(|path| writable("--output", path))?;
    }
    let (common, mut weights) = common(args, workers)?;
    let threads = threads(args, ranks);
    let agreement = agreement(&common.network, &mut *weights, &common.methods.lines(), &common.inputs)?;
    let limit = memory::available_bytes() / ranks.neighbours();
    let (pool, tower) = prepare(&common, weights, rank, threads, limit)?;
    Ok((agreement, (common, pool, tower)))
}

/// What does not depend on the worker, and weights.
fn common(args: &Args, workers: usize) -> Result<(Common, Box<dyn Weights>), CliError> {
    let setting = setting(args)?;
    let given = Given::read(args)?;
    let (network, weights) = given.load(args)?;
    let classes = Classes::of(&network, args)?;
    let towers = Towers::new(&network, workers, args.split.into(), args.chunks).map_err(CliError::input)?;
    let inputs = given.inputs(args, &network)?;
    let options = PlanOptions::new(setting.threads).isa(setting.isa);
    let methods = Methods::of(&network, &setting.chooser, &options);
    Ok((Common { setting, network, towers, methods, inputs, classes }, weights))
}

/// The weights once more, for another worker.
fn weights(args: &Args, common: &Common) -> Result<Box<dyn Weights>, CliError> {
    super::given::load(args, Some(common.network.batch())).map(|(_, weights)| weights)
}

/// A worker's share, ready to run, and the threads to run it on.
fn prepare(
    common: &Common,
    mut weights: Box<dyn Weights>,
    worker: usize,
    threads: usize,
    memory_limit: usize,
) -> Result<(ThreadPool, TimedTower), CliError> {
    let pool = pool(threads).map_err(CliError::input)?;
    let options = PlanOptions::new(threads).isa(common.setting.isa);
    let options = options.memory_limit(memory_limit.min(options.memory_limit));
    let towers = common.towers.clone();
    let tower = pool.install(|| TimedTower::new(towers, worker, &mut *weights, &common.methods, &options));
    Ok((pool, tower.map_err(CliError::input)?))
}

/// Runs a worker's share, until all samples are taken.
fn work(
    common: &Common,
    pool: &ThreadPool,
    tower: &mut TimedTower,
    peers: &mut dyn Peers,
    peak_resident_bytes: Option<usize>,
) -> Result<Worked, TowerRunError> {
    let inputs = slices(&common.inputs.data);
    tower.measure(pool, &inputs, peers)?;
    let given = |output| common.network.inputs().iter().position(|&input| input == output);
    let outputs = common.network.outputs().iter().enumerate().map(|(index, &output)| {
        let kept = tower.pass().output(index).or_else(|| Some(inputs[given(output)?]));
        kept.unwrap_or_default().to_vec()
    });
    let figures = tower.figures(peak_resident_bytes);
    Ok(Worked { outputs: outputs.collect(), samples: tower.samples().clone(), figures })
}

/// Tells what came of it.
fn report(
    args: &Args,
    common: &Common,
    transport: &'static str,
    threads: usize,
    worked: Vec<Worked>,
) -> Result<Exit, CliError> {
    let network = &common.network;
    let (figures, mut rest): (Vec<TowerTime>, Vec<_>) =
        worked.into_iter().map(|worked| (worked.figures, (worked.outputs, worked.samples))).unzip();
    let (stored, samples) = rest.swap_remove(0);
    let outputs = outputs(network, &stored, output_files(args, network))?;
    let record = Record {
        kind: Kind::Forward,
        name: network.name().into(),
        algorithm: Some(common.setting.chooser.name().into()),
        isa: common.setting.isa.name().into(),
        batch: Some(network.batch()),
        threads,
        shard: Some(args.split.name().into()),
        transport: Some(transport.into()),
        towers: figures,
        prepared_bytes: None,
        ..records::origin(&Machine::detect())
    };
    let record = records::times(&samples, record);
    let crossings = common.towers.crossings();
    let several = Several { args, names: &common.inputs.names, classes: common.classes.as_ref(), outputs: &outputs };
    several.report(&record, "tower", &crossings)?;
    Ok(Exit::Done)
}
