//! Each family beneath the machine's roofs: what a layer executes for each byte that it cannot do without, and how fast.

use super::content::{caption, families, subtitle};
use super::frame::{Frame, GREY, INK, Sample};
use super::points::{Join, Named, Panel, Point, PointChart, SMALL_PLOT, Series};
use super::scale::Scale;
use super::select::Group;
use crate::family::{family, family_of};
use crate::ranking::marked;
use crate::record::Record;
use crate::roof::{Intensity, credible};

const CAPTION: &str = "\
    Executed operations, products and transforms, over the bytes that must move at least once (input, output, prepared weights; \
    scratch is not counted), and over the median time. The roof is the read bandwidth of main memory on the left and the \
    multiply-add peak on the right. What warm caches hold need not come from memory: such points may lie above the slope. \
    Named is the fastest layer of each family.";

const CACHES_CAPTION: &str = "\
    Grey slopes are caches, each the roof of the layers whose bytes it is the smallest to hold whole, as the table says.";

const PEAKS_CAPTION: &str = "Grey levels are the peaks of other instruction sets.";

/// Executed rate against operations a byte, a panel for each family; `None` where no record tells what it executed, or none
/// the machine's limits.
pub(super) fn roofline(group: &Group<'_>) -> Option<PointChart> {
    let peak = group.peak.filter(|&peak| credible(peak))?;
    let bandwidth =
        group.records.iter().rev().find_map(|record| record.bandwidth_gb_s).filter(|&rate| credible(rate))?;
    let point = |record: &Record| Intensity::of(record).map(|at| (at.operations_a_byte, at.gflops));
    let points: Vec<(&Record, Point)> =
        group.records.iter().filter_map(|record| Some((*record, point(record)?))).collect();
    let range = |of: fn(&Point) -> f64, more: f64| {
        points.iter().map(|(_, point)| of(point)).fold((more, more), |(least, most), x| (least.min(x), most.max(x)))
    };
    let ((left, right), (bottom, top)) = (range(|(x, _)| *x, peak / bandwidth), range(|(_, y)| *y, peak));
    // Room for the names of the slopes.
    let left = group.caches.iter().map(|level| peak / level.gb_s / 4.0).fold(left, f64::min);
    let others = || group.other_peaks.values().copied();
    let right = others().map(|other| other / bandwidth).fold(right, f64::max);
    let (bottom, top) = (others().fold(bottom, f64::min), others().fold(top, f64::max));
    // Room for a name above the roof.
    let scales = [Scale::octaves(left, right), Scale::octaves(bottom, 1.4 * top)];
    let (roofs, line_names) = roofs(group, (bandwidth, peak), &scales);
    let mut names: Vec<&str> = group.algorithms().into_iter().map(family).collect();
    names.dedup();
    let panel = |name: &str| {
        let members: Vec<_> = points.iter().filter(|(record, _)| family_of(record) == name).collect();
        let disturbed = |record: &Record| record.disturbed.is_some();
        let (fastest, at) = members.iter().min_by(|(a, (_, slow)), (b, (_, fast))| {
            disturbed(a).cmp(&disturbed(b)).then(fast.total_cmp(slow)) //
        })?;
        let series = members.iter().map(|(record, point)| Series::of_record(record, *point));
        let label: Named = (*at, marked(fastest.name.clone(), &[fastest]));
        Some(Panel {
            name: name.into(),
            detail: format!("{} runs of {} layers by its variants", members.len(), layers(&members)),
            series: roofs.iter().cloned().chain(series).collect(),
            reference: None,
            labels: vec![label],
            line_names: line_names.clone(),
            scales: scales.clone(),
        })
    };
    let panels: Vec<Panel> = names.into_iter().filter_map(panel).collect();
    let mut legend = families(group);
    legend.push((Sample::Line(INK), format!("roof: memory {bandwidth:.1} GB/s, peak {peak:.1} GFLOP/s")));
    legend.extend(group.caches.iter().map(|level| (Sample::Line(GREY), level.words())));
    let peaks = group.other_peaks.iter();
    legend.extend(peaks.map(|(isa, peak)| (Sample::Line(GREY), format!("{isa}: {peak:.1} GFLOP/s"))));
    let mut text = CAPTION.to_owned();
    for (more, any) in [(CACHES_CAPTION, !group.caches.is_empty()), (PEAKS_CAPTION, !group.other_peaks.is_empty())] {
        text += &if any { format!(" {more}") } else { String::new() };
    }
    (!panels.is_empty()).then(|| PointChart {
        frame: Frame {
            title: "Beneath the roofs of this machine".into(),
            subtitle: subtitle(group),
            legend,
            caption: caption(&text, group),
        },
        // Two beside two, so that families are told apart at a glance.
        groups: panels.chunks(2).map(<[Panel]>::to_vec).collect(),
        axes: ["executed operations a byte".into(), "executed GFLOP/s".into()],
        plot: SMALL_PLOT,
    })
}

/// The roof of main memory's bandwidth and the peak, beneath it in the drawing those of the caches and of other instruction sets,
/// and where there are such the names of all.
fn roofs(group: &Group<'_>, (bandwidth, peak): Point, scales: &[Scale; 2]) -> (Vec<Series>, Vec<Named>) {
    let [(first, last), (lowest, _)] = scales.each_ref().map(Scale::ends);
    let slope = |gb_s: f64| {
        let start = first.max(lowest / gb_s);
        [(start, start * gb_s), (peak / gb_s, peak)]
    };
    let fastest = group.caches.iter().map(|level| level.gb_s).fold(bandwidth, f64::max);
    let (mut series, mut names) = (Vec::new(), Vec::new());
    for level in &group.caches {
        let [start, ridge] = slope(level.gb_s);
        series.push(Series::line(GREY, vec![start, ridge, (peak / bandwidth, peak)], Join::Lines));
        names.push((on_slope(level.gb_s, peak), level.name.clone()));
    }
    for &other in group.other_peaks.values() {
        series.push(Series::line(GREY, vec![(first.max(other / fastest), other), (last, other)], Join::Lines));
    }
    if !group.caches.is_empty() {
        names.push((on_slope(bandwidth, peak), "memory".into()));
    }
    if !group.other_peaks.is_empty() {
        names.extend(peak_names(group, peak).into_iter().map(|(level, name)| ((last, level), name)));
    }
    let [start, ridge] = slope(bandwidth);
    series.push(Series::line(INK, vec![start, ridge, (last, peak)], Join::Lines));
    (series, names)
}

/// Names of the peaks, the highest first; those that are too near for a text each share one.
fn peak_names(group: &Group<'_>, peak: f64) -> Vec<(f64, String)> {
    let mut peaks = vec![(group.setting.isa, peak)];
    peaks.extend(group.other_peaks.iter().map(|(isa, level)| (*isa, *level)));
    peaks.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut names: Vec<(f64, String)> = Vec::new();
    for (isa, level) in peaks {
        match names.last_mut() {
            Some((above, name)) if *above < 1.5 * level => *name += &format!(", {isa}"),
            _ => names.push((level, isa.into())),
        }
    }
    names
}

/// Halfway up, where few points are.
fn on_slope(gb_s: f64, peak: f64) -> Point {
    (peak / gb_s / 2.0, peak / 2.0)
}

fn layers(members: &[&(&Record, Point)]) -> usize {
    members.iter().map(|(record, _)| record.name.as_str()).collect::<std::collections::BTreeSet<_>>().len()
}
