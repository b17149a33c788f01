//! Scratch and prepared weights of each algorithm: the formula, what the plan declares, what the allocator counted.

use conv_core::{Problem, thousands};

use super::formula::{Formula, LEGEND};
use super::{Table, algorithm, by_name, milliseconds, untitled, warm_runs};
use crate::record::Record;

/// Bytes exactly, so that what is declared can be compared with what was counted.
const HEADER: [&str; 11] = [
    "layer",
    "algorithm",
    "ms",
    "scratch, bytes",
    "declared",
    "counted",
    "x input",
    "prepared, bytes",
    "declared",
    "counted",
    "x weights",
];

pub(super) fn table(members: &[&Record]) -> Table {
    let layers = by_name(&warm_runs(members));
    let rows = layers.into_iter().flat_map(|(_, of_layer)| of_layer.into_iter().map(row).collect::<Vec<_>>());
    Table { notes: vec![LEGEND.into()], ..untitled(&HEADER, rows.collect()) }
}

fn row(record: &Record) -> Vec<String> {
    let name = algorithm(record);
    let formula = Formula::of(&name);
    let input = record.problem.as_deref().and_then(|descriptor| descriptor.parse::<Problem>().ok());
    let input = input.map(|problem| 4 * problem.input_len());
    let exact = |bytes: Option<usize>| bytes.map_or(String::new(), thousands);
    let times = |bytes: Option<usize>, of: Option<usize>| {
        let quotient = bytes.zip(of).map(|(bytes, of)| bytes as f64 / of as f64);
        quotient.map_or(String::new(), |times| format!("{times:.2}"))
    };
    vec![
        record.name.clone(),
        name,
        milliseconds(record),
        formula.scratch,
        exact(record.scratch_bytes),
        exact(record.scratch_counted_bytes),
        times(record.scratch_bytes, input),
        formula.prepared,
        exact(record.prepared_bytes),
        exact(record.prepared_counted_bytes),
        times(record.prepared_bytes, record.weight_bytes),
    ]
}
