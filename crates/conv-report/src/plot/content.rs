//! What charts of bars show: from groups of records to panels, bars and words.

use std::collections::HashMap;

use conv_core::{Problem, format_bytes, format_value};
use plotters::style::RGBColor;

use super::bars::{Bar, BarChart, Panel};
use super::frame::{Entry, Frame, LABEL, PALETTE, Sample, family_colour, shorten};
use super::scale::Scale;
use super::select::Group;
use super::stack::{Pass, StackChart};
use crate::family::family;
use crate::ranking::{MEANING, fastest, marked};
use crate::record::{Cache, Record};

/// Colours of fully connected layers, which come after the palette's convolutions; on each of them dark or white text reads well.
const CONNECTED: [RGBColor; 3] = [RGBColor(0x4d, 0x4d, 0x4d), RGBColor(0x8a, 0x8a, 0x8a), RGBColor(0xa6, 0xa6, 0xa6)];
/// Colour of everything else.
const REST: RGBColor = RGBColor(0xd9, 0xd9, 0xd9);

const THROUGHPUT_CAPTION: &str = "\
    Effective GFLOP/s: the operations of direct convolution, padding included, over the median time, whatever an \
    algorithm really executes. FFT and Winograd execute fewer multiplications, and direct kernels skip the taps \
    in the padding: so they may pass the peak. Bold: the fastest of the layer.";

const MEMORY_CAPTION: &str = "\
    Bars: scratch that a run borrows (all threads together) and weights as the algorithm keeps them; input, \
    output and the weights as given are not in it. The scale is logarithmic from 1 KiB on; zero is drawn at its \
    start. Bold: the least of the layer.";

const PHASES_CAPTION: &str = "\
    Bars: shares of the phases, in the order in which a run comes to them first, averaged over the threads and measured in \
    runs of their own. Beside them the median time of the runs that were timed. Bold: the fastest of the layer.";

/// What records call the phases, what people call them, and their colours, in the order in which they are run.
const PHASES: [(&str, &str, RGBColor); 5] = [
    ("lower", "lower (im2col)", PALETTE[1]),
    ("transform_input", "transform the input", PALETTE[2]),
    ("multiply", "multiply", PALETTE[0]),
    ("transform_output", "transform the output", PALETTE[4]),
    ("reshape", "reshape, add up", PALETTE[3]),
];

const FORWARD_CAPTION: &str = "\
    Median time of a whole pass, cut by layer. A layer that an algorithm does not support is computed by \
    direct/nhwc. Bold: the fastest of the network.";

const WORKSPACE_CAPTION: &str = "\
    Sum of the layers' median times, each by the fastest method that works with so much scratch. As in a network: \
    weights come from memory, everything else is in the caches. Bold: the fastest of the network.";

/// Effective GFLOP/s of each layer by each algorithm, with the multiply-add peak.
pub(super) fn throughput(group: &Group<'_>) -> BarChart {
    let value = |record: &Record| record.gflops_effective.unwrap_or(0.0);
    let largest = group.records.iter().map(|record| value(record)).chain(group.peak).fold(0.0, f64::max);
    let panels = panels(group, |records| {
        let fastest = fastest(&records.iter().flatten().copied().collect::<Vec<_>>());
        let bar = |record: &Record| Bar {
            segments: vec![(value(record), colour(record))],
            label: marked(format_value(value(record)), &[record]),
            marker: None,
            emphasised: fastest == Some(record),
        };
        let reference = group.peak.map(|peak| (peak, format!("peak {}", format_value(peak))));
        (records.iter().map(|record| record.map(bar)).collect(), reference)
    });
    let mut legend = families(group);
    legend.extend(group.peak.map(|peak| {
        let threads = threads(group.setting.threads);
        (Sample::Dashes, format!("measured FMA peak of {threads}: {} GFLOP/s", format_value(peak)))
    }));
    legend.extend(missing(&panels));
    BarChart {
        frame: Frame {
            title: "Throughput by layer and algorithm".into(),
            subtitle: subtitle(group),
            legend,
            caption: caption(THROUGHPUT_CAPTION, group),
        },
        rows: rows(group),
        groups: panels,
        scale: Scale::linear(largest),
        axis: "effective GFLOP/s".into(),
    }
}

/// Scratch and prepared weights of each layer by each algorithm.
pub(super) fn memory(group: &Group<'_>) -> BarChart {
    let scratch = |record: &Record| record.scratch_bytes.unwrap_or(0) as f64;
    let total = |record: &Record| scratch(record) + record.prepared_bytes.unwrap_or(0) as f64;
    let weights = |record: &Record| record.weight_bytes.unwrap_or(0) as f64;
    let largest = group.records.iter().map(|record| total(record).max(weights(record))).fold(0.0, f64::max);
    let panels = panels(group, |records| {
        let least = records.iter().flatten().map(|record| total(record)).fold(f64::INFINITY, f64::min);
        let bar = |record: &Record| Bar {
            segments: vec![(total(record), colour(record))],
            label: format_bytes(total(record)),
            marker: Some(scratch(record)),
            emphasised: total(record) <= least,
        };
        let given = records.iter().flatten().map(|record| weights(record)).fold(0.0, f64::max);
        let reference = (given > 0.0).then(|| (given, format!("weights {}", format_bytes(given))));
        (records.iter().map(|record| record.map(bar)).collect(), reference)
    });
    let mut legend = families(group);
    legend.push((Sample::Diamond, "scratch alone".into()));
    legend.push((Sample::Dashes, "the weights as given".into()));
    legend.extend(missing(&panels));
    BarChart {
        frame: Frame {
            title: "Memory overhead by layer and algorithm".into(),
            subtitle: subtitle(group),
            legend,
            caption: MEMORY_CAPTION.into(),
        },
        rows: rows(group),
        groups: panels,
        scale: Scale::bytes(largest),
        axis: "scratch + prepared, bytes (K = 1024)".into(),
    }
}

/// Where the time of each layer goes by each algorithm.
pub(super) fn phases(group: &Group<'_>) -> BarChart {
    let ms = |record: &Record| record.median_ns.unwrap_or(0.0) / 1e6;
    let panels = panels(group, |records| {
        let fastest = fastest(&records.iter().flatten().copied().collect::<Vec<_>>());
        let bar = |record: &Record| {
            let whole = record.phases.values().sum::<f64>().max(f64::MIN_POSITIVE);
            let share = |key| Some(100.0 * record.phases.get(key)? / whole);
            Bar {
                segments: PHASES.iter().filter_map(|(key, _, colour)| Some((share(*key)?, *colour))).collect(),
                label: marked(format!("{} ms", format_value(ms(record))), &[record]),
                marker: None,
                emphasised: fastest == Some(record),
            }
        };
        (records.iter().map(|record| record.map(bar)).collect(), None)
    });
    let used = PHASES.iter().filter(|(key, ..)| group.records.iter().any(|record| record.phases.contains_key(*key)));
    let mut legend: Vec<Entry> = used.map(|(_, name, colour)| (Sample::Swatch(*colour), (*name).into())).collect();
    legend.extend(missing(&panels));
    BarChart {
        frame: Frame {
            title: "Where the time goes by layer and algorithm".into(),
            subtitle: subtitle(group),
            legend,
            caption: caption(PHASES_CAPTION, group),
        },
        rows: rows(group),
        groups: panels,
        scale: Scale::linear(100.0),
        axis: "% of the time of a run".into(),
    }
}

/// Time of whole forward passes by algorithm, cut by layer.
pub(super) fn forward(group: &Group<'_>) -> StackChart {
    let layers = StackLayers::of(&group.records);
    let pass = |record: &Record| {
        let mut segments: Vec<_> = layers.names.iter().enumerate().map(|(i, _)| (i, 0.0)).collect();
        for layer in &record.layers {
            segments[layers.index(&layer.name)].1 += layer.median_ns / 1e6;
        }
        let total_ms = record.median_ns.unwrap_or(0.0) / 1e6;
        // What lies between the layers belongs to the pass too.
        segments[layers.rest()].1 += (total_ms - segments.iter().map(|(_, ms)| ms).sum::<f64>()).max(0.0);
        segments.retain(|(_, ms)| *ms > 0.0);
        let algorithm = row_name(record.algorithm.as_deref().unwrap_or_default());
        Pass { algorithm, total_ms, disturbed: record.disturbed.is_some(), segments }
    };
    let algorithms = group.algorithms();
    let passes = |network| algorithms.iter().filter_map(|algorithm| group.find(network, algorithm)).map(pass).collect();
    let blocks = group.names().into_iter().map(|network| (network.to_owned(), passes(network))).collect();
    StackChart {
        frame: Frame {
            title: "Time of a forward pass by algorithm".into(),
            subtitle: subtitle(group),
            legend: layers.legend(),
            caption: caption(FORWARD_CAPTION, group),
        },
        axis: "time of a forward pass, ms",
        colours: layers.colours,
        blocks,
    }
}

/// Time of a network's convolutions as tuned within each limit of the workspace, cut by layer; `None` if there are no
/// limits.
pub(super) fn workspace(group: &Group<'_>) -> Option<StackChart> {
    let mut limited: Vec<&Record> = group.records.clone();
    limited.retain(|record| record.workspace_limit_bytes.is_some());
    limited.sort_by_key(|record| record.workspace_limit_bytes);
    let layers = StackLayers::of(&limited);
    let pass = |record: &&Record| {
        let segments = record.layers.iter().map(|layer| (layers.index(&layer.name), layer.median_ns / 1e6));
        let limit = format_bytes(record.workspace_limit_bytes.unwrap_or(0) as f64);
        let total_ms = record.median_ns.unwrap_or(0.0) / 1e6;
        Pass { algorithm: limit, total_ms, disturbed: record.disturbed.is_some(), segments: segments.collect() }
    };
    let blocks = group.names().into_iter().map(|network| {
        let of_network = limited.iter().filter(|record| record.name == network);
        (network.to_owned(), of_network.map(pass).collect::<Vec<_>>())
    });
    let blocks: Vec<_> = blocks.filter(|(_, passes)| !passes.is_empty()).collect();
    (!blocks.is_empty()).then(|| StackChart {
        frame: Frame {
            title: "Time of the convolutions by limit of the workspace".into(),
            subtitle: subtitle(group),
            legend: layers.legend(),
            caption: caption(WORKSPACE_CAPTION, group),
        },
        axis: "time of the convolutions, ms",
        colours: layers.colours.clone(),
        blocks,
    })
}

/// The layers that have a colour of their own; everything else is one segment.
struct StackLayers {
    names: Vec<String>,
    colours: Vec<RGBColor>,
    /// Where each name stands.
    places: HashMap<String, usize>,
}

impl StackLayers {
    fn of(records: &[&Record]) -> StackLayers {
        let (mut names, mut colours, mut places) = (Vec::new(), Vec::new(), HashMap::new());
        let mut counts = [0; 2];
        for layer in records.iter().flat_map(|record| &record.layers) {
            let (kind, palette) = match (&layer.algorithm, layer.name.starts_with("fc")) {
                (_, true) => (1, &CONNECTED[..]),
                (Some(_), false) => (0, &PALETTE[..]),
                (None, false) => continue,
            };
            if !places.contains_key(&layer.name) {
                places.insert(layer.name.clone(), names.len());
                names.push(layer.name.clone());
                colours.push(palette[counts[kind] % palette.len()]);
                counts[kind] += 1;
            }
        }
        names.push("everything else".into());
        colours.push(REST);
        StackLayers { names, colours, places }
    }

    fn rest(&self) -> usize {
        self.names.len() - 1
    }

    fn index(&self, name: &str) -> usize {
        self.places.get(name).copied().unwrap_or(self.rest())
    }

    fn legend(&self) -> Vec<Entry> {
        self.colours.iter().zip(&self.names).map(|(colour, name)| (Sample::Swatch(*colour), row_name(name))).collect()
    }
}

/// A panel for each layer; `content` makes bars and reference of the records in the order of the rows.
fn panels(
    group: &Group<'_>,
    content: impl Fn(&[Option<&Record>]) -> (Vec<Option<Bar>>, Option<(f64, String)>),
) -> Vec<Vec<Panel>> {
    let algorithms = group.algorithms();
    by_network(group, |name| {
        let records: Vec<_> = algorithms.iter().map(|algorithm| group.find(name, algorithm)).collect();
        let problem = records.iter().flatten().find_map(|record| record.problem.as_deref());
        let (bars, reference) = content(&records);
        Panel { name: name.into(), detail: problem.map_or_else(String::new, shape), reference, bars }
    })
}

/// What `panel` makes of each layer, by network.
pub(super) fn by_network<T>(group: &Group<'_>, panel: impl Fn(&str) -> T) -> Vec<Vec<T>> {
    let (mut networks, mut places): (Vec<Vec<T>>, _) = (Vec::new(), HashMap::new());
    for name in group.names() {
        let network = name.split_once('/').map_or("", |(network, _)| network);
        let place = *places.entry(network).or_insert(networks.len());
        if place == networks.len() {
            networks.push(Vec::new());
        }
        networks[place].push(panel(name));
    }
    networks
}

/// `96×27×27 → 256×27×27, 5×5, g2` of a descriptor; the descriptor itself if it cannot be read.
pub(crate) fn shape(descriptor: &str) -> String {
    let Ok(problem) = descriptor.parse::<Problem>() else { return descriptor.into() };
    let (h, w, [oh, ow]) = (problem.height(), problem.width(), problem.output_size());
    let mut text = format!("{}×{}×{} → {}×{oh}×{ow}", problem.in_channels(), h.input, w.input, problem.out_channels());
    text += &format!(", {}×{}", h.kernel, w.kernel);
    for (letter, value) in [("s", h.stride.max(w.stride)), ("d", h.dilation.max(w.dilation)), ("g", problem.groups())] {
        if value > 1 {
            text += &format!(" {letter}{value}");
        }
    }
    text
}

fn rows(group: &Group<'_>) -> Vec<String> {
    group.algorithms().into_iter().map(row_name).collect()
}

/// `text`, and what the mark of disturbed measurements says, where there are any.
pub(super) fn caption(text: &str, group: &Group<'_>) -> String {
    let any = group.records.iter().any(|record| record.disturbed.is_some());
    if any { format!("{text} Marked by ~, and points hollow: {MEANING}.") } else { text.into() }
}

/// Of the record's family.
pub(super) fn colour(record: &Record) -> RGBColor {
    family_colour(record.algorithm.as_deref().unwrap_or_default())
}

/// An algorithm's name, as long as there is room for it beside the bars.
pub(super) fn row_name(algorithm: &str) -> String {
    shorten(algorithm, LABEL, 200.0)
}

pub(super) fn families(group: &Group<'_>) -> Vec<Entry> {
    let mut names: Vec<_> = group.algorithms().into_iter().map(family).collect();
    names.dedup();
    names.into_iter().map(|name| (Sample::Swatch(family_colour(name)), row_name(name))).collect()
}

fn missing(panels: &[Vec<Panel>]) -> Option<Entry> {
    let any = panels.iter().flatten().flat_map(|panel| &panel.bars).any(Option::is_none);
    any.then(|| (Sample::Dash, "not supported or not measured".into()))
}

fn threads(threads: usize) -> String {
    format!("{threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// As people write it.
pub(super) fn isa_name(isa: &str) -> &str {
    match isa {
        "avx512" => "AVX-512",
        "avx2" => "AVX2",
        other => other,
    }
}

pub(super) fn subtitle(group: &Group<'_>) -> String {
    let (setting, record) = (&group.setting, group.records[0]);
    let isa = isa_name(setting.isa);
    let caches = match (record.cache, setting.cold) {
        (Some(Cache::Network), _) => "cold weights",
        (_, true) => "cold caches",
        _ => "warm caches",
    };
    let clock = record.clock.unwrap_or_default().timed_by().map_or(String::new(), |by| format!(", {by}"));
    let (batch, threads) = (setting.batch, threads(setting.threads));
    format!("batch {batch}, {threads}, {isa}, {caches}{clock}  ·  {}  ·  {}", record.cpu, record.commit)
}
