//! What each algorithm executes for a byte that must move, how fast, and how near that is to the machine's roof.

use super::{Table, algorithm, by_name, number, untitled, warm_runs};
use crate::ranking::marked;
use crate::record::Record;
use crate::roof::Intensity;

const HEADER: [&str; 5] = ["layer", "algorithm", "operations a byte", "executed GFLOP/s", "% of roof"];

pub(super) fn table(members: &[&Record]) -> Table {
    let rows = by_name(&warm_runs(members)).into_iter().flat_map(|(_, of_layer)| {
        of_layer.into_iter().filter_map(|record| Some(row(record, Intensity::of(record)?))).collect::<Vec<_>>()
    });
    untitled(&HEADER, rows.collect())
}

fn row(record: &Record, Intensity { operations_a_byte, gflops }: Intensity) -> Vec<String> {
    let limits = record.peak_gflops.zip(record.bandwidth_gb_s);
    let roof = limits.map(|(peak, bandwidth)| peak.min(operations_a_byte * bandwidth));
    vec![
        record.name.clone(),
        algorithm(record),
        format!("{operations_a_byte:.1}"),
        marked(format!("{gflops:.1}"), &[record]),
        marked(number(roof.filter(|&roof| roof > 0.0).map(|roof| 100.0 * gflops / roof), 0), &[record]),
    ]
}
