//! What passes that several share have in common: what they must agree on, and what is told of them.

use std::ops::Range;
use std::path::PathBuf;

use conv_core::{PlanOptions, format_bytes, format_value};
use conv_net::{Crossing, Network, Weights, npy};
use conv_report::narrow;
use conv_report::record::{LayerTime, Record};
use crc32fast::Hasher;

use super::args::Args;
use super::given::{Inputs, matrix};
use super::report::{Computed, Output, plural};
use crate::cli::plan::Setting;
use crate::cli::{CliError, print};
use crate::conv::transpose;
use crate::describe;
use crate::ranks::{Agreement, Ranks, lines, program};
use crate::towers::Methods;

/// Floats whose digest is computed at once.
const CHUNK: usize = 1 << 18;

/// What the ranks of a pass have in common, where they read their files themselves.
///
/// # Errors
/// [`CliError::Input`] if weights cannot be read.
pub(super) fn agreement(
    network: &Network,
    weights: &mut dyn Weights,
    methods: &[String],
    inputs: &Inputs,
) -> Result<Agreement, CliError> {
    let (mut digest, mut values) = (Digest::default(), vec![0.0; CHUNK]);
    for node in network.nodes() {
        for (index, parameter) in node.parameters.iter().enumerate() {
            for first in (0..parameter.len()).step_by(CHUNK) {
                let values = &mut values[..CHUNK.min(parameter.len() - first)];
                weights.read(node, index, first, values).map_err(CliError::input)?;
                digest.add(values);
            }
        }
    }
    let mut structure = Hasher::new();
    structure.update(format!("{network:?}").as_bytes());
    let (name, batch) = (network.name(), network.batch());
    let mut given = Digest::default();
    inputs.data.iter().for_each(|input| given.add(input));
    Ok(vec![
        program(),
        ("the network", format!("{name} of {batch} image{} ({:08x})", plural(batch), structure.finalize())),
        ("the digest of the weights", digest.text()),
        ("the digest of the input", given.text()),
        ("the plan", lines(methods)),
    ])
}

/// The part of `count` that is a rank's.
pub(super) fn part(count: usize, ranks: &Ranks) -> Range<usize> {
    ranks.rank() * count / ranks.count()..(ranks.rank() + 1) * count / ranks.count()
}

/// The threads of a rank: as asked for, or its part of what its machine lets it have.
pub(super) fn threads(args: &Args, ranks: &Ranks) -> usize {
    args.threads.map_or_else(|| ranks.threads(), |threads| threads as usize)
}

/// The methods for the network of a whole batch and the weights, in common.
pub(super) fn agreed(
    network: &Network,
    weights: &mut dyn Weights,
    setting: &Setting,
    inputs: &Inputs,
) -> Result<Agreement, CliError> {
    let options = PlanOptions::new(setting.threads).isa(setting.isa);
    let methods = Methods::of(network, &setting.chooser, &options);
    agreement(network, weights, &methods.lines(), inputs)
}

/// A checksum of floats.
#[derive(Default)]
struct Digest(Hasher);

impl Digest {
    fn add(&mut self, values: &[f32]) {
        for values in values.chunks(CHUNK) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.0.update(&bytes);
        }
    }

    fn text(self) -> String {
        format!("{:08x}", self.0.finalize())
    }
}

/// Outputs as they are `stored`, channels last, in the order in which frameworks write, in their files.
///
/// # Errors
/// [`CliError::Input`] if one cannot be written.
pub(super) fn outputs(
    network: &Network,
    stored: &[Vec<f32>],
    files: Vec<Option<PathBuf>>,
) -> Result<Vec<Output>, CliError> {
    let mut outputs = Vec::new();
    for ((&value, stored), file) in network.outputs().iter().zip(stored).zip(files) {
        let shape = network.shape(value).map_err(CliError::input)?.clone();
        let [channels, pixels] = matrix(&shape);
        let data = transpose(stored, [pixels, channels]).map_err(CliError::input)?;
        if let Some(path) = &file {
            npy::write(path, shape.sizes(), &data).map_err(CliError::input)?;
        }
        outputs.push(Output { name: network.value(value).name.clone(), shape, data, file });
    }
    Ok(outputs)
}

/// Tells what came of a pass: images, outputs, and what `record` has of each of those who computed, who are called `one`.
///
/// # Errors
/// As [`print()`].
pub(super) fn report(
    json: bool,
    computed: &Computed<'_>,
    record: &Record,
    one: &str,
    crossings: &[Crossing],
) -> Result<(), CliError> {
    if !json {
        return print(text(computed, record, one, crossings));
    }
    let mut value = serde_json::to_value(record).map_err(CliError::input)?;
    computed.tell(&mut value);
    value["crossings"] = crossings.iter().map(describe::crossing_json).collect();
    print(format_args!("{value:#}"))
}

fn text(computed: &Computed<'_>, record: &Record, one: &str, crossings: &[Crossing]) -> String {
    let mut lines = computed.lines();
    if !record.layers.is_empty() {
        lines.push(format!("\n{}", layers(record, one)));
    }
    let rows: Vec<Vec<String>> = record
        .towers
        .iter()
        .enumerate()
        .map(|(index, tower)| {
            let [computing, waiting] = [tower.computing_ns, tower.waiting_ns].map(|ns| format!("{:.3}", ns / 1e6));
            let bytes = [tower.sent_bytes, tower.prepared_bytes, tower.memory_bytes];
            let [sent, prepared, memory] = bytes.map(|bytes| format_bytes(bytes as f64));
            let resident = tower.peak_resident_bytes.map_or(String::new(), |bytes| format_bytes(bytes as f64));
            vec![index.to_string(), computing, waiting, sent, prepared, memory, resident]
        })
        .collect();
    let header = [one, "computes ms", "waits ms", "sends", "weights", "memory", "resident"];
    lines.push(format!("\n{}\n", narrow(&header, &rows)));
    if !crossings.is_empty() {
        lines.push(format!("{}\n", describe::crossings(crossings)));
    }
    let median = record.median_ns.unwrap_or(f64::NAN);
    lines.push(format!(
        "Time: {} ms, the median of {} passes by {} {one}s of {} thread{} each, by way of {}; {} images/s.",
        format_value(median / 1e6),
        record.samples.unwrap_or(0),
        record.towers.len(),
        record.threads / record.towers.len().max(1),
        plural(record.threads / record.towers.len().max(1)),
        record.transport.as_deref().unwrap_or_default(),
        format_value(record.batch.unwrap_or(1) as f64 * 1e9 / median),
    ));
    lines.join("\n")
}

/// What the first of those who share a pass spends on each layer.
fn layers(record: &Record, one: &str) -> String {
    let row = |layer: &LayerTime| {
        let algorithm = layer.algorithm.clone().unwrap_or_default();
        vec![layer.name.clone(), algorithm, format!("{:.3}", layer.median_ns / 1e6)]
    };
    let rows: Vec<Vec<String>> = record.layers.iter().map(row).collect();
    narrow(&["layer", &format!("{one} 0 computes by"), "ms"], &rows)
}
