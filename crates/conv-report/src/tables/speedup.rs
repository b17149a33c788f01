//! How many times as fast as direct convolution the best variant of each other family is.

use super::{
    Table, algorithm, best_of_families, by_name, family, milliseconds, time, times_as_fast, untitled, warm_runs,
};
use crate::record::Record;

/// What reads as 1.00 is as fast.
const SLOWER: f64 = 0.995;

pub(super) fn table(members: &[&Record]) -> Table {
    let runs = warm_runs(members);
    let others = others(&runs);
    let mut rows = Vec::new();
    // Of each other family the layers that it is slower in, and how many decide nothing.
    let mut verdicts = vec![(Vec::new(), 0); others.len()];
    for (name, of_layer) in by_name(&runs) {
        let best = best_of_families(&of_layer);
        // A layer that only direct computes has nothing to compare.
        let Some(direct) = best.iter().find(|record| family(record) == "direct").filter(|_| best.len() > 1) else {
            continue;
        };
        let mut row = vec![name.to_owned(), milliseconds(direct)];
        for (other, (slower, disturbed)) in others.iter().zip(&mut verdicts) {
            let Some(record) = best.iter().find(|record| family(record) == *other) else {
                row.extend([String::new(), String::new()]);
                continue;
            };
            let times = time(direct) / time(record);
            if record.disturbed.is_some() || direct.disturbed.is_some() {
                *disturbed += 1;
            } else if times < SLOWER {
                slower.push(format!("{name} ({times:.2})"));
            }
            row.extend([algorithm(record), times_as_fast(record, direct)]);
        }
        rows.push(row);
    }
    let names = others.iter().flat_map(|other| [other, "x direct"]);
    let header: Vec<&str> = ["layer", "direct ms"].into_iter().chain(names).collect();
    let notes = others.iter().zip(&verdicts).map(|(other, (slower, disturbed))| {
        let said = match slower.as_slice() {
            [] => format!("No layer here is slower by {other} than by direct"),
            slower => format!("Slower by {other} than by direct: {}", slower.join(", ")),
        };
        if *disturbed > 0 { format!("{said}; undecided because disturbed: {disturbed}.") } else { said + "." }
    });
    Table { notes: notes.collect(), ..untitled(&header, rows) }
}

/// The families other than direct, in the registry's order.
fn others<'a>(runs: &[&'a Record]) -> Vec<&'a str> {
    best_of_families(runs).into_iter().map(family).filter(|family| *family != "direct").collect()
}
