//! How many times as fast as direct convolution the best variant of each other family is.

use super::{Table, algorithm, best_of_families, by_name, family, milliseconds, time, untitled, warm_runs};
use crate::record::Record;

/// What reads as 1.00 is as fast.
const SLOWER: f64 = 0.995;

pub(super) fn table(members: &[&Record]) -> Table {
    let runs = warm_runs(members);
    let others = others(&runs);
    let mut rows = Vec::new();
    let mut slower = vec![Vec::new(); others.len()];
    for (name, of_layer) in by_name(&runs) {
        let best = best_of_families(&of_layer);
        // A layer that only direct computes has nothing to compare.
        let Some(direct) = best.iter().find(|record| family(record) == "direct").filter(|_| best.len() > 1) else {
            continue;
        };
        let mut row = vec![name.to_owned(), milliseconds(direct)];
        for (other, slower) in others.iter().zip(&mut slower) {
            let record = best.iter().find(|record| family(record) == *other);
            row.push(record.map_or(String::new(), |record| algorithm(record)));
            row.push(record.map_or(String::new(), |record| {
                let times = time(direct) / time(record);
                if times < SLOWER {
                    slower.push(format!("{name} ({times:.2})"));
                }
                format!("{times:.2}")
            }));
        }
        rows.push(row);
    }
    let names = others.iter().flat_map(|other| [other, "x direct"]);
    let header: Vec<&str> = ["layer", "direct ms"].into_iter().chain(names).collect();
    let notes = others.iter().zip(&slower).map(|(other, slower)| match slower.as_slice() {
        [] => format!("No layer here is slower by {other} than by direct."),
        slower => format!("Slower by {other} than by direct: {}.", slower.join(", ")),
    });
    Table { notes: notes.collect(), ..untitled(&header, rows) }
}

/// The families other than direct, in the registry's order.
fn others<'a>(runs: &[&'a Record]) -> Vec<&'a str> {
    best_of_families(runs).into_iter().map(family).filter(|family| *family != "direct").collect()
}
