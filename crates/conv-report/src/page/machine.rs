//! The machines that measured, and the builds: what every figure of the page hangs on.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use conv_core::format_bytes;

use super::grid::grid;
use crate::record::Record;
use crate::tables::Table;

const HEADER: [&str; 10] = [
    "processor",
    "instruction set",
    "threads",
    "peak GFLOP/s",
    "read GB/s",
    "core to core ns",
    "caches of a core",
    "commit",
    "rustc",
    "measured on",
];

/// A row for each processor, instruction set and number of threads.
pub(super) fn machine(records: &[Record]) -> String {
    let mut machines: BTreeMap<(&str, &str, usize), Vec<&Record>> = BTreeMap::new();
    for record in records {
        machines.entry((&record.cpu, &record.isa, record.threads)).or_default().push(record);
    }
    let row = |((cpu, isa, threads), members): ((&str, &str, usize), Vec<&Record>)| {
        let caches = members.iter().rev().find(|record| !record.caches.is_empty()).map_or(Vec::new(), |record| {
            let speeds = record.cache_gb_s.iter().map(|gb_s| format!(" at {gb_s:.1} GB/s"));
            let sizes = record.caches.iter().map(|&bytes| format_bytes(bytes as f64));
            sizes.zip(speeds.chain(iter::repeat(String::new()))).map(|(size, speed)| size + &speed).collect()
        });
        vec![
            cpu.to_owned(),
            isa.to_owned(),
            threads.to_string(),
            range(&members, |record| record.peak_gflops),
            range(&members, |record| record.bandwidth_gb_s),
            range(&members, |record| record.core_to_core_ns),
            caches.join(", "),
            each(&members, |record| &record.commit),
            each(&members, |record| &record.rustc),
            each(&members, |record| record.date.split('T').next().unwrap_or_default()),
        ]
    };
    let rows = machines.into_iter().map(row).collect();
    grid(&Table {
        caption: "Peak and bandwidth are measured in every run: several runs differ a little".into(),
        header: HEADER.map(Into::into).into(),
        rows,
        notes: Vec::new(),
    })
}

/// `116.4 to 117.8`.
fn range(members: &[&Record], of: fn(&Record) -> Option<f64>) -> String {
    let values = || members.iter().filter_map(|record| of(record));
    let ends = values().min_by(f64::total_cmp).zip(values().max_by(f64::total_cmp));
    let ends = ends.map(|(least, most)| [format!("{least:.1}"), format!("{most:.1}")]);
    ends.map_or(String::new(), |[least, most]| if least == most { least } else { format!("{least} to {most}") })
}

fn each<'a>(members: &[&'a Record], of: fn(&'a Record) -> &'a str) -> String {
    members.iter().map(|record| of(record)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}
