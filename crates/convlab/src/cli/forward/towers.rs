//! `--towers`: a network that several workers compute, each its share of the channels.

use std::panic::resume_unwind;
use std::thread;

use conv_core::PlanOptions;
use conv_measure::{Machine, Samples, memory, pool};
use conv_net::{Network, Towers, Weights};
use conv_report::record::{Kind, LayerTime, Record, TowerTime};
use rayon::ThreadPool;

use super::args::Args;
use super::classes::Classes;
use super::given::{Given, Inputs};
use super::prepare::{covered, setting};
use super::report::Computed;
use super::several::{self, agreement, outputs, threads};
use super::{files_of_outputs, output_files};
use crate::cli::plan::Setting;
use crate::cli::{CliError, Exit, tell};
use crate::forward::slices;
use crate::ranks::{Agreement, Ranks};
use crate::records;
use crate::towers::{Methods, TimedTower, measure_together};

/// What all workers have in common.
struct Common {
    setting: Setting,
    network: Network,
    towers: Towers,
    methods: Methods,
    inputs: Inputs,
    classes: Option<Classes>,
}

/// A worker's share, ready to run, and the threads to run it on.
type Worker = (TimedTower, ThreadPool);

/// What the first worker computed, and how long that took.
struct Worked {
    outputs: Vec<Vec<f32>>,
    samples: Samples,
    layers: Vec<LayerTime>,
}

/// By `workers` of this process.
///
/// # Errors
/// [`CliError::Input`] as of a single pass, and for a network that cannot be cut like that.
pub(super) fn in_threads(args: &Args, workers: usize) -> Result<Exit, CliError> {
    let common = &common(args, workers, true)?.0;
    let threads = (common.setting.threads / workers).max(1);
    let memory_limit = memory::available_bytes() / workers;
    let mut prepared = thread::scope(|scope| {
        let prepare = |worker| move || prepare(common, weights(args, common)?, worker, threads, memory_limit);
        let workers: Vec<_> = (0..workers).map(|worker| scope.spawn(prepare(worker))).collect();
        let prepared = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        prepared.collect::<Result<Vec<_>, CliError>>()
    })?;
    measure_together(&mut prepared, &slices(&common.inputs.data)).map_err(CliError::input)?;
    let figures = prepared.iter().map(|(tower, _)| tower.figures(None)).collect();
    report(args, common, "memory", threads * workers, worked(common, &prepared[0].0), figures)
}

/// By the processes that `mpirun` started.
///
/// # Errors
/// [`CliError::Input`] as of a single pass, and if the processes do not agree; [`CliError::Told`] with all but the first.
pub(super) fn over_mpi(args: &Args) -> Result<Exit, CliError> {
    let mut ranks = Ranks::join().map_err(CliError::input)?;
    let (rank, workers) = (ranks.rank(), ranks.count());
    let (common, (mut tower, pool)) = ranks.agree(prepare_rank(args, &ranks))?;
    let measured = tower.measure(&pool, &slices(&common.inputs.data), &mut ranks);
    ranks.or_abort(measured.map_err(CliError::input));
    let told = serde_json::to_string(&tower.figures(memory::peak_resident_bytes())).map_err(CliError::input);
    let figures = ranks.all_texts(&ranks.or_abort(told));
    if rank > 0 {
        return Ok(Exit::Done);
    }
    let figures = figures.iter().map(|told| serde_json::from_str(told).map_err(CliError::input));
    let figures: Vec<TowerTime> = ranks.or_abort(figures.collect());
    let (threads, worked) = (pool.current_num_threads() * workers, worked(&common, &tower));
    report(args, &common, "mpi", threads, worked, figures)
}

/// Everything of a rank up to its first exchange.
fn prepare_rank(args: &Args, ranks: &Ranks) -> Result<(Agreement, (Common, Worker)), CliError> {
    let (rank, workers) = (ranks.rank(), ranks.count());
    let (common, mut weights) = common(args, workers, rank == 0)?;
    let threads = threads(args, ranks);
    let mut agreement = agreement(&common.network, &mut *weights, &common.methods.lines(), &common.inputs)?;
    agreement.push(("the cut", format!("{} in {} chunks on {}", args.split.name(), args.chunks, common.setting.isa)));
    let limit = memory::available_bytes();
    let prepared = prepare(&common, weights, rank, threads, limit)?;
    Ok((agreement, (common, prepared)))
}

/// What does not depend on the worker, and weights. The `first` one writes the outputs.
fn common(args: &Args, workers: usize, first: bool) -> Result<(Common, Box<dyn Weights>), CliError> {
    let setting = setting(args)?;
    let given = Given::read(args)?;
    let (network, weights) = given.load(args)?;
    if first {
        output_files(args, &network)?;
    }
    let classes = Classes::of(&network, args)?;
    let towers = Towers::new(&network, workers, args.split.into(), args.chunks).map_err(CliError::input)?;
    covered(args, &setting.chooser, &network)?;
    let inputs = given.inputs(args, &network)?;
    let options = PlanOptions::new(setting.threads).isa(setting.isa);
    let methods = Methods::of(&network, &setting.chooser, &options);
    Ok((Common { setting, network, towers, methods, inputs, classes }, weights))
}

/// The weights once more, for another worker.
fn weights(args: &Args, common: &Common) -> Result<Box<dyn Weights>, CliError> {
    super::given::load(args, Some(common.network.batch())).map(|(_, weights)| weights)
}

/// Prepares a worker's share.
fn prepare(
    common: &Common,
    mut weights: Box<dyn Weights>,
    worker: usize,
    threads: usize,
    memory_limit: usize,
) -> Result<Worker, CliError> {
    let pool = pool(threads).map_err(CliError::input)?;
    let options = PlanOptions::new(threads).isa(common.setting.isa);
    let options = options.memory_limit(memory_limit.min(options.memory_limit));
    let towers = common.towers.clone();
    let tower = pool.install(|| TimedTower::new(towers, worker, &mut *weights, &common.methods, &options));
    Ok((tower.map_err(CliError::input)?, pool))
}

/// What came of a worker's share.
fn worked(common: &Common, tower: &TimedTower) -> Worked {
    let given = |output| common.network.inputs().iter().position(|&input| input == output);
    let outputs = common.network.outputs().iter().enumerate().map(|(index, &output)| {
        let kept = tower.pass().output(index).or_else(|| Some(&common.inputs.data[given(output)?][..]));
        kept.unwrap_or_default().to_vec()
    });
    Worked { outputs: outputs.collect(), samples: tower.samples().clone(), layers: tower.layers() }
}

/// Tells what came of it.
fn report(
    args: &Args,
    common: &Common,
    transport: &'static str,
    threads: usize,
    worked: Worked,
    figures: Vec<TowerTime>,
) -> Result<Exit, CliError> {
    let network = &common.network;
    for (layer, reason) in common.methods.fallbacks(&common.towers) {
        tell(format_args!("{layer} by direct/nhwc: {reason}"));
    }
    let outputs = outputs(network, &worked.outputs, files_of_outputs(args, network))?;
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
        layers: worked.layers,
        ..records::origin(&Machine::detect())
    };
    let record = records::times(&worked.samples, record);
    let computed = Computed { names: &common.inputs.names, classes: common.classes.as_ref(), outputs: &outputs };
    several::report(args.json, &computed, &record, "tower", &common.towers.crossings())?;
    Ok(Exit::Done)
}
