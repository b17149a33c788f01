//! Forward passes that ranks share: what the model says that they take, and what they took.

use std::collections::BTreeMap;

use super::{Query, Table, milliseconds, number, origin, untitled};
use crate::ranking::marked;
use crate::record::{Kind, Record};
use crate::sharing::{link_words, shard_words, way};

const HEADER: [&str; 10] = [
    "network",
    "batch",
    "shard",
    "link",
    "ranks",
    "threads",
    "predicted ms",
    "measured ms",
    "predicted/measured",
    "images/s",
];

const NOTE: &str = "threads: of all ranks together. images/s: as measured, or else as predicted.";

/// A table for each processor, instruction set and algorithm among the records that `query` takes, with a row for each network,
/// batch, way of sharing, link and number of ranks.
pub(super) fn tables(records: &[Record], query: &Query) -> Vec<Table> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind == Kind::Scale && query.takes(record)) {
        if let Some(algorithm) = &record.algorithm {
            groups.entry((&record.cpu, &record.isa, algorithm)).or_default().push(record);
        }
    }
    let table = |((cpu, isa, algorithm), mut members): ((&str, &str, &str), Vec<&Record>)| {
        members.sort_by(|a, b| place(a).cmp(&place(b)));
        Table {
            caption: format!("{cpu}, {isa}, {algorithm}; {}", origin(&members)),
            notes: vec![NOTE.into()],
            ..untitled(&HEADER, members.into_iter().map(row).collect())
        }
    };
    groups.into_iter().map(table).collect()
}

/// Where the row of `record` stands.
fn place(record: &Record) -> impl Ord {
    (&record.name, record.batch, way(record), record.ranks)
}

fn row(record: &Record) -> Vec<String> {
    let (predicted, measured) = (record.predicted_ns, record.median_ns);
    let ratio = predicted.zip(measured).map(|(predicted, measured)| predicted / measured);
    let batch = record.batch.unwrap_or(1);
    let rate = measured.or(predicted).map(|time| batch as f64 / (time * 1e-9));
    vec![
        record.name.clone(),
        batch.to_string(),
        shard_words(record),
        link_words(record),
        record.ranks.map_or(String::new(), |ranks| ranks.to_string()),
        record.threads.to_string(),
        number(predicted.map(|time| time * 1e-6), 3),
        milliseconds(record),
        marked(number(ratio, 2), &[record]),
        marked(number(rate, 1), &[record]),
    ]
}
