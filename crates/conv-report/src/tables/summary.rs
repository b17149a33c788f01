//! For every layer and pass the best variant of each family: time, memory, error.

use super::{
    Table, algorithm, best_of_families, by_name, bytes, milliseconds, number, rank, time, untitled, warm_runs,
};
use crate::record::{Cache, Record};

/// `ms` and `cold ms` are medians, `x peak` is the effective rate over the multiply-add peak, `% of peak` the operations
/// really executed over it.
const HEADER: [&str; 10] =
    ["layer", "algorithm", "ms", "cold ms", "GFLOP/s", "x peak", "% of peak", "scratch", "prepared", "max error"];

pub(super) fn table(members: &[&Record]) -> Table {
    let best = by_name(&warm_runs(members)).into_iter().flat_map(|(_, of_layer)| best_of_families(&of_layer));
    untitled(&HEADER, best.map(|record| row(record, members)).collect())
}

/// The same with all variants, the fastest of a family first, and behind them those that were disturbed.
pub(super) fn every_variant(members: &[&Record]) -> Table {
    let mut rows = Vec::new();
    for (_, mut of_layer) in by_name(&warm_runs(members)) {
        let disturbed = |record: &Record| record.disturbed.is_some();
        of_layer.sort_by(|a, b| {
            rank(a).cmp(&rank(b)).then(disturbed(a).cmp(&disturbed(b))).then(time(a).total_cmp(&time(b)))
        });
        rows.extend(of_layer.into_iter().map(|record| row(record, members)));
    }
    untitled(&HEADER, rows)
}

fn row(record: &Record, members: &[&Record]) -> Vec<String> {
    let is_cold = |other: &&&Record| {
        other.cache == Some(Cache::Cold) && (&other.name, &other.algorithm) == (&record.name, &record.algorithm)
    };
    let multiples = record.gflops_effective.zip(record.peak_gflops).map(|(rate, peak)| rate / peak);
    vec![
        record.name.clone(),
        algorithm(record),
        milliseconds(record),
        members.iter().find(is_cold).map_or(String::new(), |cold| milliseconds(cold)),
        number(record.gflops_effective, 1),
        number(multiples, 2),
        number(record.peak_fraction.map(|fraction| 100.0 * fraction), 0),
        bytes(record.scratch_bytes),
        bytes(record.prepared_bytes),
        record.max_rel_error.map_or(String::new(), |error| format!("{error:.1e}")),
    ]
}
