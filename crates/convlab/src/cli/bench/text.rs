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

/// A table with a line for each algorithm, fastest first.
pub(super) fn layer(records: &[Record]) -> String {
    let with = |model, cache| records.iter().filter(move |r| r.model == Some(model) && r.cache == cache);
    let mut warm: Vec<&Record> = with(Model::Run, Some(Cache::Warm)).filter(|r| r.failure.is_none()).collect();
    warm.sort_by(|a, b| a.median_ns.unwrap_or(f64::NAN).total_cmp(&b.median_ns.unwrap_or(f64::NAN)));
    let time = |record: Option<&Record>| record.and_then(|record| record.median_ns).map_or(String::new(), milliseconds);
    let rows: Vec<Vec<String>> = warm
        .into_iter()
        .map(|record| {
            let same = |other: &&Record| {
                (&other.algorithm, &other.parameters, &other.isa)
                    == (&record.algorithm, &record.parameters, &record.isa)
            };
            let number = |value: Option<f64>, digits| value.map_or(String::new(), |value| format!("{value:.digits$}"));
            let bytes = |value: Option<usize>| value.map_or(String::new(), |value| format_bytes(value as f64));
            vec![
                format!(
                    "  {} {}",
                    record.algorithm.as_deref().unwrap_or_default(),
                    record.parameters.as_deref().unwrap_or_default()
                ),
                record.isa.clone(),
                time(Some(record)) + if record.disturbed.is_some() { " ~" } else { "" },
                number(record.mad_ns.map(|mad| mad * 1e-6), 3),
                number(record.gflops_effective, 1),
                number(record.peak_fraction.map(|fraction| 100.0 * fraction), 0),
                time(with(Model::Run, Some(Cache::Cold)).find(same)),
                time(with(Model::Prepare, None).find(same)),
                bytes(record.scratch_bytes),
                bytes(record.prepared_bytes),
                record.max_rel_error.map_or(String::new(), |error| format!("{error:.1e}")),
            ]
        })
        .collect();
    let header = [
        "  algorithm",
        "isa",
        "ms",
        "±",
        "GFLOP/s",
        "% peak",
        "cold ms",
        "prepare ms",
        "scratch",
        "weights",
        "max error",
    ];
    table(&header, &rows)
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
