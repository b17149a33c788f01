//! Where the time of a run goes: the share of each phase.

use super::{Table, algorithm, by_name, milliseconds, untitled, warm_runs};
use crate::record::Record;

/// As records call them, in the order in which they are run.
const PHASES: [&str; 5] = ["lower", "transform_input", "multiply", "transform_output", "reshape"];

const HEADER: [&str; 8] =
    ["layer", "algorithm", "ms", "lower %", "transform input %", "multiply %", "transform output %", "reshape %"];

pub(super) fn table(members: &[&Record]) -> Table {
    let runs: Vec<&Record> = warm_runs(members).into_iter().filter(|record| !record.phases.is_empty()).collect();
    let rows = by_name(&runs).into_iter().flat_map(|(_, of_layer)| of_layer.into_iter().map(row).collect::<Vec<_>>());
    untitled(&HEADER, rows.collect())
}

fn row(record: &Record) -> Vec<String> {
    let whole = record.phases.values().sum::<f64>().max(f64::MIN_POSITIVE);
    let share = |phase: &str| {
        record.phases.get(phase).map_or(String::new(), |time| format!("{:.1}", 100.0 * time / whole)) //
    };
    [record.name.clone(), algorithm(record), milliseconds(record)].into_iter().chain(PHASES.map(share)).collect()
}
