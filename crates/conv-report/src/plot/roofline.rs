//! Each family beneath the machine's two roofs: what a layer executes for each byte that it cannot do without, and how fast.

use super::content::{caption, families, subtitle};
use super::frame::{Frame, INK, Sample};
use super::points::{Join, Named, Panel, Point, PointChart, Series};
use super::scale::Scale;
use super::select::Group;
use crate::family::{family, family_of};
use crate::ranking::marked;
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
    let roof = Series::line(INK, vec![(start, start * bandwidth), (ridge, peak), (last, peak)], Join::Lines);
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
            caption: caption(CAPTION, group),
        },
        // Two beside two, so that families are told apart at a glance.
        groups: panels.chunks(2).map(<[Panel]>::to_vec).collect(),
        axes: ["executed operations a byte".into(), "executed GFLOP/s".into()],
    })
}

fn layers(members: &[&(&Record, Point)]) -> usize {
    members.iter().map(|(record, _)| record.name.as_str()).collect::<std::collections::BTreeSet<_>>().len()
}
