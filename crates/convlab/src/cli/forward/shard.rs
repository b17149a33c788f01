//! `--shard batch`: processes that `mpirun` started compute images of their own.

use std::ops::Range;
use std::time::{Duration, Instant};

use conv_measure::{Machine, Samples, memory};
use conv_net::{Network, NetworkError, Shape};
use conv_report::record::{Kind, Record, TowerTime};
use rayon::ThreadPool;

use super::args::Args;
use super::classes::Classes;
use super::given::{Given, Inputs, load};
use super::prepare::{prepare, setting};
use super::report::Computed;
use super::several::{self, agreed, outputs, part, threads};
use super::{bulk, files_of_outputs, output_files};
use crate::cli::plan::Setting;
use crate::cli::{CliError, Exit, tell};
use crate::forward::{TimedPass, slices};
use crate::ranks::{Agreement, Ranks, program};
use crate::records;

/// Samples of the time at most, and about how long they take together.
const MAX_SAMPLES: usize = 11;
const SAMPLING: Duration = Duration::from_secs(1);

/// What a rank prepared.
struct Prepared {
    setting: Setting,
    /// Of all images.
    network: Network,
    classes: Option<Classes>,
    inputs: Inputs,
    /// The images that are this rank's.
    own: Range<usize>,
    pool: ThreadPool,
    pass: TimedPass,
}

/// Computes, gathers and reports.
///
/// # Errors
/// [`CliError::Input`] as of a single pass, if there are fewer images than processes, or if these do not agree;
/// [`CliError::Told`] with all but the first.
pub(super) fn run(args: &Args) -> Result<Exit, CliError> {
    let ranks = Ranks::join().map_err(CliError::input)?;
    let folder = ranks.agree(bulk::folder(args).map(|folder| (vec![program()], folder)))?;
    if let Some(folder) = folder {
        return bulk::run_shared(args, folder, &ranks);
    }
    let mut prepared = ranks.agree(Prepared::new(args, &ranks))?;
    let measured = prepared.measure(&ranks);
    let (stored, samples, figures) = ranks.or_abort(measured);
    let told = serde_json::to_string(&figures).map_err(CliError::input);
    let figures = ranks.all_texts(&ranks.or_abort(told));
    if ranks.rank() > 0 {
        return Ok(Exit::Done);
    }
    let figures = figures.iter().map(|told| serde_json::from_str(told).map_err(CliError::input));
    let figures: Vec<TowerTime> = ranks.or_abort(figures.collect());
    let Prepared { setting, network, classes, inputs, pool, pass, .. } = &prepared;
    for (layer, reason) in pass.fallbacks() {
        tell(format_args!("{layer} by direct/nhwc: {reason}"));
    }
    let outputs = outputs(network, &stored, files_of_outputs(args, network))?;
    let record = Record {
        kind: Kind::Forward,
        name: network.name().into(),
        algorithm: Some(setting.chooser.name().into()),
        isa: setting.isa.name().into(),
        batch: Some(network.batch()),
        threads: pool.current_num_threads() * ranks.count(),
        shard: Some("batch".into()),
        transport: Some("mpi".into()),
        towers: figures,
        ..records::origin(&Machine::detect())
    };
    let record = records::times(&samples, record);
    let computed = Computed { names: &inputs.names, classes: classes.as_ref(), outputs: &outputs };
    several::report(args.json, &computed, &record, "rank", &[])?;
    Ok(Exit::Done)
}

impl Prepared {
    fn new(args: &Args, ranks: &Ranks) -> Result<(Agreement, Self), CliError> {
        let setting = Setting { threads: threads(args, ranks), ..setting(args)? };
        let given = Given::read(args)?;
        let (network, mut weights) = given.load(args)?;
        if ranks.rank() == 0 {
            output_files(args, &network)?;
        }
        let classes = Classes::of(&network, args)?;
        let batch = network.batch();
        if batch < ranks.count() {
            return Err(CliError::input(format_args!(
                "--shard batch: {} ranks for a batch of {batch}; give at least as many images as ranks",
                ranks.count()
            )));
        }
        apart(&network)?;
        let inputs = given.inputs(args, &network)?;
        let agreement = agreed(&network, &mut *weights, &setting, &inputs)?;
        let own = part(batch, ranks);
        let (part, mut weights) = load(args, Some(own.len()))?;
        let (pool, pass, _) = prepare(args, &setting, &part, &mut *weights)?;
        Ok((agreement, Prepared { setting, network, classes, inputs, own, pool, pass }))
    }

    /// Computes this rank's images, as often as the first rank says, and gathers the outputs of all with that one.
    fn measure(&mut self, ranks: &Ranks) -> Result<(Vec<Vec<f32>>, Samples, TowerTime), CliError> {
        let Prepared { network, inputs, own, pool, pass, .. } = self;
        let images = network.batch();
        let given: Vec<&[f32]> = slices(&inputs.data)
            .into_iter()
            .map(|input| {
                let image = input.len() / images;
                &input[own.start * image..own.end * image]
            })
            .collect();
        let outputs = network.outputs().len();
        let mut run = |stored: &mut Vec<Vec<f32>>| {
            let start = Instant::now();
            pool.install(|| pass.run(&given)).map_err(CliError::input)?;
            let computed = start.elapsed();
            let mut sent = 0;
            for output in 0..outputs {
                let computed = pass.pass().output(output).unwrap_or_default();
                sent += size_of_val(computed);
                if let Some(gathered) = ranks.first_gathers(computed) {
                    stored.resize(outputs, Vec::new());
                    stored[output] = gathered.concat();
                }
            }
            Ok::<_, CliError>((start.elapsed(), computed, sent))
        };
        let mut stored = Vec::new();
        run(&mut stored)?;
        let (once, ..) = run(&mut stored)?;
        let runs = (SAMPLING.as_secs_f64() / once.as_secs_f64()) as usize;
        let told = ranks.all_texts(&runs.clamp(1, MAX_SAMPLES).to_string());
        let (mut whole, mut computing, mut waiting) = (Samples::default(), Samples::default(), Samples::default());
        let mut sent_bytes = 0;
        for _ in 0..told[0].parse().unwrap_or(1) {
            let (all, computed, sent) = run(&mut stored)?;
            whole.push(all.as_nanos() as f64);
            computing.push(computed.as_nanos() as f64);
            waiting.push((all - computed).as_nanos() as f64);
            // What the first rank has stays there.
            sent_bytes = if ranks.rank() == 0 { 0 } else { sent };
        }
        let memory = pass.pass().memory();
        let figures = TowerTime {
            median_ns: whole.median(),
            computing_ns: computing.median(),
            waiting_ns: waiting.median(),
            sent_bytes,
            prepared_bytes: memory.prepared_bytes,
            memory_bytes: memory.total_bytes(),
            peak_resident_bytes: memory::peak_resident_bytes(),
        };
        Ok((stored, whole, figures))
    }
}

/// Whether the images of a network's inputs and outputs are one after the other.
fn apart(network: &Network) -> Result<(), CliError> {
    let images = network.batch();
    let mut values = network.inputs().iter().chain(network.outputs()).map(|&value| network.shape(value));
    let apart = |shape: Result<&Shape, NetworkError>| shape.is_ok_and(|shape| shape.batch() == images);
    if let Some(node) = network.mixes_images() {
        return Err(CliError::input(format_args!(
            "--shard batch: {}/{} ({}) may compute one image from others; compute all by one process",
            network.name(),
            node.name,
            node.operator.name()
        )));
    }
    if values.all(apart) && !network.outputs().iter().any(|output| network.inputs().contains(output)) {
        return Ok(());
    }
    Err(CliError::input(format_args!(
        "--shard batch: {} has inputs or outputs that are not one for each image; compute it by one process",
        network.name()
    )))
}
