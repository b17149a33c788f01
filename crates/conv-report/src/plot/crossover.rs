//! From which size of filter on another way is faster than direct convolution: for maps on which several were measured.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use conv_core::{Axis, Problem};
use plotters::style::RGBColor;

use super::content::{caption, subtitle};
use super::frame::{Entry, Frame, GREY, Look, PALETTE, Sample, family_colour};
use super::points::{Join, Panel, Point, PointChart, SMALL_PLOT, Series};
use super::scale::Scale;
use super::select::Group;
use crate::family::{family, family_rank};
use crate::ranking::{fastest, time};
use crate::record::Record;

/// So many sizes of filter make a curve.
const FEWEST_SIZES: usize = 3;

/// What is beyond is no measurement, and would leave no room for those that are.
const CREDIBLE: RangeInclusive<f64> = 1e-4..=1e4;

/// Colours of the FFT's variants, whose tiles are what the chart is about; each as many times as there are looks.
const VARIANTS: [RGBColor; 5] = [PALETTE[5], PALETTE[4], PALETTE[2], GREY, PALETTE[0]];

const CAPTION: &str = "\
    Time of direct convolution over the median time, on a logarithmic scale: above the dashed line it is faster than direct. \
    Each variant of the FFT has its own line, of the other families the best variant counts. A line ends where the variant \
    does not support the filter.";

/// What problems have in common that differ in their filters only: channels in and out, groups, and of both axes the
/// output, stride and dilation.
type Map = ([usize; 3], [[usize; 3]; 2]);

/// By filter size.
type Sizes<'a> = BTreeMap<usize, Vec<&'a Record>>;

/// By line, how many times as fast as direct it is at each filter size, and whether that leans on a disturbed measurement.
type Lines<'a> = BTreeMap<&'a str, Vec<(Point, bool)>>;

/// Speed against filter size; `None` where no map has enough sizes.
pub(super) fn crossover(group: &Group<'_>) -> Option<PointChart> {
    let maps = maps(group);
    let curves: Vec<_> = maps.iter().map(|(map, sizes)| (map, sizes, lines(sizes))).collect();
    let values = curves.iter().flat_map(|(.., lines)| lines.values().flatten().map(|((_, times), _)| *times));
    let (least, most) = values.fold((1.0_f64, 1.0_f64), |(least, most), times| (least.min(times), most.max(times)));
    let mut names: Vec<&str> = curves.iter().flat_map(|(.., lines)| lines.keys().copied()).collect();
    // By length too: fft/t8 before fft/t16.
    names.sort_by_key(|name| (family_rank(name), name.len(), *name));
    names.dedup();
    let style = |name: &str| {
        let variant = names.iter().filter(|name| name.contains('/')).position(|known| *known == name);
        let of_variant = |i: usize| (VARIANTS[i % VARIANTS.len()], Look::ALL[i / VARIANTS.len() % Look::ALL.len()]);
        variant.map_or_else(|| (family_colour(name), Look::Plain), of_variant)
    };
    let panel = |(map, sizes, lines): &(&Map, &Sizes<'_>, Lines<'_>)| {
        let ([channels, filters, _], [[height, ..], [width, ..]]) = map;
        let series = lines.iter().map(|(name, points)| {
            let (colour, look) = style(name);
            let hollow = points.iter().filter(|(_, disturbed)| *disturbed).map(|(point, _)| *point).collect();
            let points = points.iter().map(|(point, _)| *point).collect();
            Series { look, marked: true, hollow, ..Series::line(colour, points, Join::Lines) }
        });
        let sizes: Vec<usize> = sizes.keys().copied().collect();
        Panel {
            name: format!("{height}×{width} outputs"),
            detail: format!("{channels} → {filters} channels"),
            series: series.collect(),
            reference: Some(1.0),
            labels: Vec::new(),
            line_names: Vec::new(),
            scales: [Scale::marks(&sizes), Scale::octaves(least, most)],
        }
    };
    let panels: Vec<Panel> = curves.iter().map(panel).collect();
    let sample = |name: &&str| {
        let (colour, look) = style(name);
        (Sample::Marked(colour, look), best(name))
    };
    let mut legend: Vec<Entry> = names.iter().map(sample).collect();
    legend.push((Sample::Dashes, "direct/nhwc".into()));
    (!panels.is_empty()).then(|| PointChart {
        frame: Frame {
            title: "Speed by size of the filter".into(),
            subtitle: subtitle(group),
            legend,
            caption: caption(CAPTION, group),
        },
        groups: vec![panels],
        axes: ["filter, taps a side".into(), "times as fast as direct".into()],
        plot: SMALL_PLOT,
    })
}

/// `winograd, best`, but a variant's own name.
fn best(name: &str) -> String {
    if name.contains('/') { name.into() } else { format!("{name}, best") }
}

/// The maps of `group` that enough square filters were measured on.
fn maps<'a>(group: &Group<'a>) -> BTreeMap<Map, Sizes<'a>> {
    let mut maps: BTreeMap<Map, Sizes<'a>> = BTreeMap::new();
    let algorithms = group.algorithms();
    for name in group.names() {
        for record in algorithms.iter().filter_map(|algorithm| group.find(name, algorithm)) {
            let Some(problem) = record.problem.as_deref().and_then(|text| text.parse::<Problem>().ok()) else {
                continue;
            };
            let (height, width) = (problem.height(), problem.width());
            if height.kernel == width.kernel {
                let axis = |axis: &Axis| [axis.output(), axis.stride, axis.dilation];
                let map =
                    ([problem.in_channels(), problem.out_channels(), problem.groups()], [axis(height), axis(width)]);
                maps.entry(map).or_default().entry(height.kernel).or_default().push(record);
            }
        }
    }
    maps.retain(|_, sizes| sizes.len() >= FEWEST_SIZES);
    maps
}

/// A line for each variant of the FFT, and for the best of each other family.
fn lines<'a>(sizes: &Sizes<'a>) -> Lines<'a> {
    let mut lines = Lines::new();
    for (&size, records) in sizes {
        let mut members: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in records {
            let algorithm = record.algorithm.as_deref().unwrap_or_default();
            let line = if family(algorithm) == "fft" { algorithm } else { family(algorithm) };
            members.entry(line).or_default().push(record);
        }
        let Some(direct) = members.remove("direct").and_then(|direct| fastest(&direct)) else { continue };
        for (line, members) in members {
            let Some(best) = fastest(&members) else { continue };
            let times = time(direct) / time(best);
            if CREDIBLE.contains(&times) {
                let disturbed = [direct, best].iter().any(|record| record.disturbed.is_some());
                lines.entry(line).or_default().push(((size as f64, times), disturbed));
            }
        }
    }
    lines
}
