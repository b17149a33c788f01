//! What to take: for every layer and pass the fastest, or the fastest of each family, with what it costs.

use super::{
    Table, algorithm, best_of_families, by_name, bytes, family, milliseconds, time, times_as_fast, untitled, warm_runs,
};
use crate::ranking::{fastest, marked};
use crate::record::Record;

/// `memory` is scratch and prepared weights together.
const HEADER: [&str; 6] = ["layer", "algorithm", "ms", "x direct", "memory", "max error"];

/// Of each layer the fastest.
pub(super) fn table(members: &[&Record]) -> Table {
    let layers = by_name(&warm_runs(members));
    let rows = layers.iter().filter_map(|(_, of_layer)| Some(row(fastest(of_layer)?, of_layer)));
    untitled(&HEADER, rows.collect())
}

/// Of each layer the fastest of each family.
pub(super) fn families(members: &[&Record]) -> Table {
    let rows = by_name(&warm_runs(members)).into_iter().flat_map(|(_, of_layer)| {
        best_of_families(&of_layer).into_iter().map(|record| row(record, &of_layer)).collect::<Vec<_>>()
    });
    untitled(&HEADER, rows.collect())
}

fn row(record: &Record, of_layer: &[&Record]) -> Vec<String> {
    let direct: Vec<&Record> = of_layer.iter().filter(|other| family(other) == "direct").copied().collect();
    let times = fastest(&direct).map(|direct| match record.reference_ns {
        // What was measured in a later wave is held against the same rounds' direct convolution.
        Some(reference) => marked(format!("{:.2}", reference / time(record)), &[record]),
        None => times_as_fast(record, direct),
    });
    let memory =
        record.scratch_bytes.zip(record.prepared_bytes).map(|(scratch, prepared)| scratch.saturating_add(prepared));
    vec![
        record.name.clone(),
        algorithm(record),
        milliseconds(record),
        times.unwrap_or_default(),
        bytes(memory),
        record.max_rel_error.map_or(String::new(), |error| format!("{error:.1e}")),
    ]
}
