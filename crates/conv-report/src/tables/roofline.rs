//! What each algorithm executes for a byte that must move, how fast, and how near that is to the machine's roof.

use super::{Table, algorithm, by_name, number, untitled, warm_runs};
use crate::ranking::marked;
use crate::record::Record;
use crate::roof::{Intensity, Level, caches};

const HEADER: [&str; 6] = ["layer", "algorithm", "operations a byte", "executed GFLOP/s", "bound by", "% of roof"];

/// The caches' speeds are in other `records` than the members.
pub(super) fn table(members: &[&Record], records: &[Record]) -> Table {
    let levels = members.first().map_or(Vec::new(), |record| caches(records, record));
    let rows = by_name(&warm_runs(members)).into_iter().flat_map(|(_, of_layer)| {
        let told = of_layer.into_iter().filter_map(|record| Some(row(record, Intensity::of(record)?, &levels)));
        told.collect::<Vec<_>>()
    });
    Table { notes: vec![note(&levels)], ..untitled(&HEADER, rows.collect()) }
}

fn row(record: &Record, intensity: Intensity, levels: &[Level]) -> Vec<String> {
    let Intensity { operations_a_byte, gflops, .. } = intensity;
    let roof = intensity.roof(record, levels);
    let share = number(roof.as_ref().map(|roof| 100.0 * gflops / roof.gflops), 0);
    vec![
        record.name.clone(),
        algorithm(record),
        format!("{operations_a_byte:.1}"),
        marked(format!("{gflops:.1}"), &[record]),
        roof.map_or(String::new(), |roof| roof.by),
        marked(share, &[record]),
    ]
}

fn note(levels: &[Level]) -> String {
    let from = match levels {
        [] => "main memory, as these records do not say how fast caches are: warm runs may pass it".into(),
        levels => {
            let levels: Vec<String> = levels.iter().map(Level::words).collect();
            format!("the smallest cache that holds all of them, {}, else main memory", levels.join(", "))
        }
    };
    format!(
        "The roof is the lower of the peak and of what the operations a byte need to be read: input, output and prepared weights, \
         from {from}."
    )
}
