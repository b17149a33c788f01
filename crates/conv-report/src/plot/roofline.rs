//! Each family beneath the machine's two roofs: what a layer executes for each byte that it cannot do without, and how fast.

use super::content::{colour, families, subtitle};
use super::frame::{Frame, INK, Sample};
use super::points::{Join, Named, Panel, Point, PointChart, Series};
use super::scale::Scale;
use super::select::Group;
use crate::family::family;
use crate::record::Record;
use crate::roof::Intensity;

const CAPTION: &str = "\
    Executed operations, products and transforms, over the bytes that must move at least once (input, output, prepared weights; \
    scratch is not counted), and over the median time. The roof is the read bandwidth of main memory on the left and the \
    multiply-add peak on the right. What warm caches hold need not come from memory: such points may lie above the slope. \
    Named is the fastest layer of each family, where there is room.";

/// Executed rate against operations a byte, a panel for each family; `None` where no record tells what it executed, or none
/// the machine's limits.
pub(super) fn roofline(group: &Group<'_>) -> Option<PointChart> {
    let peak = group.peak?;
    let bandwidth = group.records.iter().rev().find_map(|record| record.bandwidth_gb_s).filter(|&rate| rate > 0.0)?;
    let point = |record: &Record| Intensity::of(record).map(|at| (at.operations_a_byte, at.gflops));
    let points: Vec<(&Record, Point)> =
        group.records.iter().filter_map(|record| Some((*record, point(record)?))).collect();
    let range = |of: fn(&Point) -> f64, more: f64| {
        points.iter().map(|(_, point)| of(point)).fold((more, more), |(least, most), x| (least.min(x), most.max(x)))
    };
    let ridge = peak / bandwidth;
    let ((left, right), (bottom, top)) = (range(|(x, _)| *x, ridge), range(|(_, y)| *y, peak));
    // Room for a name above the roof.
    let scales = [Scale::octaves(left, right), Scale::octaves(bottom, 1.4 * top)];
    let [(first, last), (lowest, _)] = [scales[0].ends(), scales[1].ends()];
    let start = first.max(lowest / bandwidth);
    let roof = Series {
        colour: INK,
        points: vec![(start, start * bandwidth), (ridge, peak), (last, peak)],
        join: Join::Lines,
        marked: false,
    };
    let mut names: Vec<&str> = group.algorithms().into_iter().map(family).collect();
    names.dedup();
    let panel = |name: &str| {
        let mut members: Vec<_> = points.iter().filter(|(record, _)| family_of(record) == name).collect();
        members.sort_by(|(_, (_, a)), (_, (_, b))| b.total_cmp(a));
        let (fastest, at) = members.first()?;
        let series = members.iter().map(|(record, point)| Series {
            colour: colour(record),
            points: vec![*point],
            join: Join::No,
            marked: true,
        });
        let label: Named = (*at, fastest.name.clone());
        Some(Panel {
            name: name.into(),
            detail: format!("{} runs of {} layers by its variants", members.len(), layers(&members)),
            series: std::iter::once(roof.clone()).chain(series).collect(),
            reference: None,
            labels: vec![label],
            scales: scales.clone(),
        })
    };
    let panels: Vec<Panel> = names.into_iter().filter_map(panel).collect();
    let mut legend = families(group);
    legend.push((Sample::Line(INK), format!("roof: {bandwidth:.1} GB/s, {peak:.1} GFLOP/s")));
    (!panels.is_empty()).then(|| PointChart {
        frame: Frame {
            title: "Beneath the roofs of this machine".into(),
            subtitle: subtitle(group),
            legend,
            caption: CAPTION.into(),
        },
        // Two beside two, so that families are told apart at a glance.
        groups: panels.chunks(2).map(<[Panel]>::to_vec).collect(),
        axes: ["executed operations a byte".into(), "executed GFLOP/s".into()],
    })
}

fn family_of(record: &Record) -> &str {
    family(record.algorithm.as_deref().unwrap_or_default())
}

fn layers(members: &[&(&Record, Point)]) -> usize {
    members.iter().map(|(record, _)| record.name.as_str()).collect::<std::collections::BTreeSet<_>>().len()
}
