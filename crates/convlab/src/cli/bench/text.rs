//! What `convlab bench` prints for people.

use std::time::Duration;

use conv_core::format_bytes;
use conv_report::record::{Cache, Model, Record};
use conv_report::table;

/// The machine's limits in a line.
pub(super) fn machine(record: &Record) -> String {
    format!(
        "{}, {} on {} thread{}: peak {:.1} GFLOP/s, read bandwidth {:.1} GB/s",
        record.cpu,
        record.isa,
        record.threads,
        if record.threads == 1 { "" } else { "s" },
        record.peak_gflops.unwrap_or(f64::NAN),
        record.bandwidth_gb_s.unwrap_or(f64::NAN),
    )
}

/// A table with a line for each algorithm, fastest first, that fits into 80 columns: of several instruction sets, which it was
/// takes the place of the time to prepare weights.
pub(super) fn layer(records: &[Record]) -> String {
    let with = |model, cache| records.iter().filter(move |r| r.model == Some(model) && r.cache == cache);
    let mut warm: Vec<&Record> = with(Model::Run, Some(Cache::Warm)).filter(|r| r.failure.is_none()).collect();
    warm.sort_by(|a, b| a.median_ns.unwrap_or(f64::NAN).total_cmp(&b.median_ns.unwrap_or(f64::NAN)));
    let time = |record: Option<&Record>| record.and_then(|record| record.median_ns).map_or(String::new(), milliseconds);
    let several = warm.iter().any(|record| record.isa != warm[0].isa);
    let row = |record: &&Record| {
        let same = |other: &&Record| {
            (&other.algorithm, &other.parameters, &other.isa) == (&record.algorithm, &record.parameters, &record.isa)
        };
        let number = |value: Option<f64>, digits| value.map_or(String::new(), |value| format!("{value:.digits$}"));
        let memory = record.scratch_bytes.zip(record.prepared_bytes).map(|(scratch, weights)| scratch + weights);
        let name = record.algorithm.as_deref().unwrap_or_default();
        vec![
            format!("  {name} {}", record.parameters.as_deref().unwrap_or_default()),
            time(Some(record)) + if record.disturbed.is_some() { " ~" } else { "" },
            number(record.mad_ns.map(|mad| mad * 1e-6), 3),
            number(record.peak_fraction.map(|fraction| 100.0 * fraction), 0),
            time(with(Model::Run, Some(Cache::Cold)).find(same)),
            if several { record.isa.clone() } else { time(with(Model::Prepare, None).find(same)) },
            memory.map_or(String::new(), |bytes| format_bytes(bytes as f64)),
            record.max_rel_error.map_or(String::new(), |error| format!("{error:.1e}")),
        ]
    };
    let sixth = if several { "isa" } else { "prep ms" };
    let header = ["  algorithm", "ms", "±", "% peak", "cold ms", sixth, "memory", "error"];
    table(&header, &warm.iter().map(row).collect::<Vec<_>>())
}

/// A table with a line for each whole pass.
pub(super) fn passes(records: &[Record]) -> String {
    let row = |record: &Record| {
        let time = |time: Option<f64>| time.map_or(String::new(), milliseconds);
        let bytes = |value: Option<usize>| value.map_or(String::new(), |value| format_bytes(value as f64));
        vec![
            format!("  {}", record.algorithm.as_deref().unwrap_or_default()),
            record.isa.clone(),
            time(record.median_ns) + if record.disturbed.is_some() { " ~" } else { "" },
            time(record.mad_ns),
            bytes(record.scratch_bytes),
            bytes(record.prepared_bytes),
            bytes(record.peak_resident_bytes),
        ]
    };
    let header = ["  forward pass by", "isa", "ms", "±", "scratch", "weights", "peak resident"];
    table(&header, &records.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn milliseconds(nanoseconds: f64) -> String {
    format!("{:.3}", Duration::from_nanos(nanoseconds as u64).as_secs_f64() * 1e3)
}
