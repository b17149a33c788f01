//! How much faster a forward pass is the more ranks share it: as predicted, and as measured.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use plotters::style::RGBColor;

use super::content::{caption, isa_name, row_name};
use super::frame::{Entry, Frame, GREY, Look, PALETTE, Sample};
use super::points::{Join, Panel, Point, PointChart, Series};
use super::scale::Scale;
use super::select::Group;
use crate::record::Record;
use crate::sharing::{Way, link_words, shard_rank, shard_words, way};

/// What is beyond is no prediction, and would leave no room for those that are.
const CREDIBLE: RangeInclusive<f64> = 1e-4..=1e4;

/// By groups, by channels, images apart, and whatever else there is.
const COLOURS: [RGBColor; 4] = [PALETTE[0], PALETTE[3], PALETTE[2], PALETTE[5]];

const PLOT: [f64; 2] = [620.0, 400.0];

const CAPTION: &str = "\
    Lines: the predicted time of one rank over that of so many that share the pass. Points: the measured time of one rank, or the \
    predicted one where it was not measured, over the measured time of so many. Both scales are logarithmic.";

/// A way of sharing: how many times as fast as one rank the pass is by the number of ranks.
struct Line<'a> {
    of: &'a Record,
    predicted: Vec<Point>,
    measured: Vec<Point>,
    /// Those of the measured that lean on a disturbed measurement.
    disturbed: Vec<Point>,
}

/// Speed against the number of ranks, a panel for each algorithm; `None` where there is nothing to compare with one rank.
pub(super) fn ranks(group: &Group<'_>) -> Option<PointChart> {
    let lines: Vec<(&str, Vec<Line<'_>>)> =
        group.algorithms().into_iter().map(|algorithm| (algorithm, lines(group, algorithm))).collect();
    let ways: BTreeMap<Way<'_>, &Record> =
        lines.iter().flat_map(|(_, lines)| lines).map(|line| (way(line.of), line.of)).collect();
    let mut links: Vec<_> = ways.keys().map(|(.., link)| *link).collect();
    links.sort_unstable();
    links.dedup();
    let style = |record: &Record| {
        let link = links.iter().position(|link| *link == way(record).2).unwrap_or(0);
        (COLOURS[shard_rank(record)], Look::ALL[link % Look::ALL.len()])
    };
    let points =
        || lines.iter().flat_map(|(_, lines)| lines).flat_map(|line| line.predicted.iter().chain(&line.measured));
    let most = points().map(|(ranks, _)| *ranks).fold(1.0, f64::max);
    let (bottom, top) =
        points().fold((1.0_f64, most), |(least, most), (_, times)| (least.min(*times), most.max(*times)));
    let panel = |(algorithm, lines): &(&str, Vec<Line<'_>>)| {
        let series = lines.iter().flat_map(|line| {
            let (colour, look) = style(line.of);
            let predicted = Series { look, ..Series::line(colour, line.predicted.clone(), Join::Lines) };
            let hollow = line.disturbed.clone();
            let measured = Series::line(colour, line.measured.clone(), Join::No);
            [predicted, Series { look, marked: true, hollow, ..measured }]
        });
        let ideal = Series::line(GREY, vec![(1.0, 1.0), (most, most)], Join::Lines);
        Panel {
            name: group.records[0].name.clone(),
            detail: (*algorithm).into(),
            series: std::iter::once(ideal).chain(series).collect(),
            reference: None,
            labels: Vec::new(),
            line_names: Vec::new(),
            scales: [Scale::octaves(1.0, most), Scale::octaves(bottom, top)],
        }
    };
    let sample = |record: &&Record| {
        let (colour, look) = style(record);
        (Sample::Marked(colour, look), row_name(&format!("{}, {}", shard_words(record), link_words(record))))
    };
    let mut legend: Vec<Entry> = ways.values().map(sample).collect();
    legend.push((Sample::Line(GREY), "as many times as ranks".into()));
    (most > 1.0).then(|| PointChart {
        frame: Frame {
            title: "Speed of a forward pass by number of ranks".into(),
            subtitle: subtitle(group),
            legend,
            caption: caption(CAPTION, group),
        },
        groups: lines.iter().filter(|(_, lines)| !lines.is_empty()).map(|lines| vec![panel(lines)]).collect(),
        axes: ["ranks".into(), "times as fast as one rank".into()],
        plot: PLOT,
    })
}

fn subtitle(group: &Group<'_>) -> String {
    let (setting, record) = (&group.setting, group.records[0]);
    let isa = isa_name(setting.isa);
    format!("{}, batch {}, {isa}  ·  {}  ·  {}", record.name, setting.batch, record.cpu, record.commit)
}

/// The lines of the ways in which passes by `algorithm` are shared, in their order.
fn lines<'a>(group: &Group<'a>, algorithm: &str) -> Vec<Line<'a>> {
    let mut ways: BTreeMap<Way<'_>, Vec<&Record>> = BTreeMap::new();
    let members = || group.records.iter().copied().filter(|record| record.algorithm.as_deref() == Some(algorithm));
    for record in members() {
        ways.entry(way(record)).or_default().push(record);
    }
    let line = |of_way: Vec<&'a Record>| {
        let of = of_way[0];
        // Over the same link first; one rank has nobody to reach.
        let alone = || of_way.iter().copied().chain(members()).filter(|r| r.ranks == Some(1) && r.shard == of.shard);
        let predicted = alone().find_map(|record| record.predicted_ns);
        let measured = alone().find(|record| record.median_ns.is_some());
        let time_alone = measured.and_then(|record| record.median_ns).or(predicted);
        let point = |record: &Record, alone: Option<f64>, time: Option<f64>| -> Option<Point> {
            let (ranks, times) = (record.ranks.filter(|&ranks| ranks > 1)?, alone? / time?);
            CREDIBLE.contains(&times).then_some((ranks as f64, times))
        };
        let mut line = Line { of, predicted: Vec::new(), measured: Vec::new(), disturbed: Vec::new() };
        line.predicted.extend(predicted.map(|_| (1.0, 1.0)));
        for &record in &of_way {
            line.predicted.extend(point(record, predicted, record.predicted_ns));
            let point = point(record, time_alone, record.median_ns);
            let disturbed = measured.into_iter().chain([record]).any(|record| record.disturbed.is_some());
            line.measured.extend(point);
            line.disturbed.extend(point.filter(|_| disturbed));
        }
        line.predicted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        line
    };
    let drawn = |line: &Line<'_>| line.predicted.len() > 1 || !line.measured.is_empty();
    ways.into_values().map(line).filter(drawn).collect()
}
