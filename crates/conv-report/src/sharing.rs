//! How ranks share a forward pass: in words, and in the order in which the ways are listed.

use std::cmp::Reverse;

use crate::record::Record;

/// As records name them, in the order in which they are listed. What is not among them comes after, by name.
const SHARDS: [&str; 3] = ["groups", "channels", "batch"];

/// How a pass is shared and over what: towers before images apart, one machine before networks, the fastest of these first.
pub(crate) type Way<'a> = (usize, &'a str, Option<Reverse<u64>>);

/// That of `record`.
pub(crate) fn way(record: &Record) -> Way<'_> {
    let shard = record.shard.as_deref().unwrap_or_default();
    // The bits of positive numbers are ordered as they are.
    (shard_rank(record), shard, record.link_gbit_s.map(|rate| Reverse(rate.to_bits())))
}

/// Sorts ways of sharing.
pub(crate) fn shard_rank(record: &Record) -> usize {
    SHARDS.iter().position(|known| record.shard.as_deref() == Some(known)).unwrap_or(SHARDS.len())
}

/// `towers (groups)`, `images apart`.
pub(crate) fn shard_words(record: &Record) -> String {
    match record.shard.as_deref() {
        Some("batch") => "images apart".into(),
        Some(cut) => format!("towers ({cut})"),
        None => String::new(),
    }
}

/// `10 Gbit/s`, or `one machine`.
pub(crate) fn link_words(record: &Record) -> String {
    record.link_gbit_s.map_or_else(|| "one machine".into(), |rate| format!("{rate} Gbit/s"))
}
