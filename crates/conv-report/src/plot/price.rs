//! What speed costs in memory: every variant of every family, and those that no other one beats at both.

use conv_core::Problem;

use super::content::{by_network, caption, families, row_name, shape, subtitle};
use super::frame::{Frame, GREY, Sample};
use super::points::{Join, Named, Panel, Point, PointChart, SMALL_PLOT, Series};
use super::scale::Scale;
use super::select::Group;
use crate::family::family;
use crate::ranking::{candidates, marked};
use crate::record::Record;

const CAPTION: &str = "\
    Memory: scratch that a run borrows (all threads together), and what the algorithm keeps of the weights beyond the \
    weights and bias as given. The scale is logarithmic from 1 KiB on; zero is drawn at its start. Effective GFLOP/s as \
    in the chart of throughput. The line is the Pareto front: no variant on it is beaten in both. Named are the fastest and, \
    where there is room, those on the front and the fastest of each family.";

/// Effective GFLOP/s of each layer against memory; `None` where no layer has two algorithms to compare.
pub(super) fn price(group: &Group<'_>) -> Option<PointChart> {
    let largest = |of: fn(Point) -> f64| group.records.iter().map(|record| of(point(record))).fold(0.0, f64::max);
    // Room for a name above the fastest.
    let scales = [Scale::bytes(largest(|(bytes, _)| bytes)), Scale::linear(1.12 * largest(|(_, rate)| rate))];
    let algorithms = group.algorithms();
    let panel = |name: &str| {
        let records: Vec<_> = algorithms.iter().filter_map(|algorithm| group.find(name, algorithm)).collect();
        if records.len() < 2 {
            return None;
        }
        let (front, labels) = front(&candidates(&records));
        let steps = Series::line(GREY, front, Join::Steps);
        let one = |record: &&Record| Series::of_record(record, point(record));
        Some(Panel {
            name: name.into(),
            detail: records.iter().find_map(|record| record.problem.as_deref()).map_or_else(String::new, shape),
            series: std::iter::once(steps).chain(records.iter().map(one)).collect(),
            reference: None,
            labels,
            line_names: Vec::new(),
            scales: scales.clone(),
        })
    };
    let mut groups: Vec<Vec<Panel>> =
        by_network(group, panel).into_iter().map(|panels| panels.into_iter().flatten().collect()).collect();
    groups.retain(|panels| !panels.is_empty());
    let mut legend = families(group);
    legend.push((Sample::Line(GREY), "Pareto front".into()));
    (!groups.is_empty()).then(|| PointChart {
        frame: Frame {
            title: "What speed costs in memory".into(),
            subtitle: subtitle(group),
            legend,
            caption: caption(CAPTION, group),
        },
        groups,
        axes: ["scratch + prepared beyond the given weights, bytes (K = 1024)".into(), "effective GFLOP/s".into()],
        plot: SMALL_PLOT,
    })
}

/// Bytes beside input, output and the weights as given, and effective GFLOP/s.
fn point(record: &Record) -> Point {
    let problem = record.problem.as_deref().and_then(|descriptor| descriptor.parse::<Problem>().ok());
    let bias = problem.map_or(0, |problem| 4 * problem.out_channels());
    let given = record.weight_bytes.unwrap_or(0).saturating_add(bias);
    let prepared = record.prepared_bytes.unwrap_or(0).saturating_sub(given);
    (record.scratch_bytes.unwrap_or(0) as f64 + prepared as f64, record.gflops_effective.unwrap_or(0.0))
}

/// The points that nobody beats in both, from the least memory to the fastest; and the names of the fastest, of the others of
/// the front and of each family's fastest.
fn front(records: &[&Record]) -> (Vec<Point>, Vec<Named>) {
    let name = |record: &Record| marked(row_name(record.algorithm.as_deref().unwrap_or_default()), &[record]);
    let mut sorted: Vec<_> = records.iter().map(|record| (point(record), name(record))).collect();
    sorted.sort_by(|((a, fast), _), ((b, faster), _)| a.total_cmp(b).then(faster.total_cmp(fast)));
    let mut named: Vec<Named> = Vec::new();
    for (point, name) in &sorted {
        if named.last().is_none_or(|(last, _)| point.1 > last.1) {
            named.push((*point, name.clone()));
        }
    }
    let points = named.iter().map(|(point, _)| *point).collect();
    if let Some(fastest) = named.pop() {
        named.insert(0, fastest);
    }
    sorted.sort_by(|((_, a), _), ((_, b), _)| b.total_cmp(a));
    let mut families = Vec::new();
    for (point, name) in sorted {
        if !families.contains(&family(&name).to_owned()) {
            families.push(family(&name).to_owned());
            if !named.iter().any(|(_, known)| *known == name) {
                named.push((point, name));
            }
        }
    }
    (points, named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_beaten_by_nobody() {
        let record = |algorithm: &str, scratch, prepared, rate| Record {
            problem: Some("mb1ic16ih9oc16kh1".into()),
            algorithm: Some(algorithm.into()),
            scratch_bytes: Some(scratch),
            prepared_bytes: Some(prepared),
            weight_bytes: Some(1024),
            gflops_effective: Some(rate),
            ..Record::default()
        };
        let records = [
            record("direct/nhwc", 0, 1088, 100.0),
            record("im2col/faer", 5000, 1088, 90.0),
            record("im2col/mec", 2000, 1088, 80.0),
            record("winograd/f2x3", 3000, 2088, 150.0),
            record("winograd/f4x3", 3000, 4088, 140.0),
        ];
        let (points, named) = front(&records.each_ref());
        assert_eq!(points, [(0.0, 100.0), (4000.0, 150.0)]);
        let names: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["winograd/f2x3", "direct/nhwc", "im2col/faer"]);
        let loud = records.map(|record| Record { disturbed: Some("a neighbour".into()), ..record });
        assert_eq!(front(&loud.each_ref()).1[0].1, "winograd/f2x3 ~");
    }
}
