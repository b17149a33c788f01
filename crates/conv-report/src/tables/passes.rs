//! Whole forward passes: time, what their plans declare, and what the system counted.

use super::{Table, algorithm, by_name, bytes, family, milliseconds, times_as_fast, untitled, warm_runs};
use crate::record::Record;

const HEADER: [&str; 8] =
    ["network", "algorithm", "ms", "x direct", "scratch", "prepared", "peak resident", "peak above direct"];

pub(super) fn table(members: &[&Record]) -> Table {
    let mut rows = Vec::new();
    for (name, passes) in by_name(&warm_runs(members)) {
        let direct = passes.iter().find(|record| family(record) == "direct");
        for record in &passes {
            let peaks = record.peak_resident_bytes.zip(direct.and_then(|direct| direct.peak_resident_bytes));
            rows.push(vec![
                name.to_owned(),
                algorithm(record),
                milliseconds(record),
                direct.map_or(String::new(), |direct| times_as_fast(record, direct)),
                bytes(record.scratch_bytes),
                bytes(record.prepared_bytes),
                bytes(record.peak_resident_bytes),
                peaks.map_or(String::new(), |(peak, direct)| difference(peak, direct)),
            ]);
        }
    }
    untitled(&HEADER, rows)
}

/// `12 MiB`, `-3 MiB`.
fn difference(peak: usize, other: usize) -> String {
    format!("{}{}", if peak < other { "-" } else { "" }, bytes(Some(peak.abs_diff(other))))
}
