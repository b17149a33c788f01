//! Tables from records: for every layer, the best variant of each family. Nothing is measured here.

mod peers;

use std::collections::{BTreeMap, BTreeSet};

use crate::plot::format_bytes;
use crate::record::{Cache, Clock, Kind, Model, Record};
use crate::registry::{families, matches};

pub use peers::peer_tables;

/// The columns of a table of algorithms. `ms` and `cold ms` are medians, `x peak` is the effective rate over the multiply-add peak,
/// `% of peak` the operations really executed over it.
const HEADER: [&str; 10] =
    ["layer", "algorithm", "ms", "cold ms", "GFLOP/s", "x peak", "% of peak", "scratch", "prepared", "max error"];

/// Which records go into tables; `None` takes all.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// A pattern of names, for example `paper/*`.
    pub name: Option<String>,
    /// Images.
    pub batch: Option<usize>,
    /// Threads.
    pub threads: Option<usize>,
    /// Instruction set.
    pub isa: Option<String>,
    /// Every variant instead of the best of each family.
    pub every_variant: bool,
}

impl Query {
    fn takes(&self, record: &Record) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, value: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == value)
        }
        self.name.as_deref().is_none_or(|pattern| matches(pattern, &record.name))
            && is(self.batch.as_ref(), &record.batch.unwrap_or(1))
            && is(self.threads.as_ref(), &record.threads)
            && is(self.isa.as_ref(), &record.isa)
    }
}

/// A table made from records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it is of, in which setting, and what was built when.
    pub caption: String,
    /// The names of its columns.
    pub header: Vec<String>,
    /// Its cells.
    pub rows: Vec<Vec<String>>,
}

/// Processor, instruction set, threads, batch, and who measured.
type Setting<'a> = (&'a str, &'a str, usize, usize, Clock);

/// A table for each setting among the records that `query` takes: a row for each layer and family (or variant), families
/// in the registry's order.
pub fn tables(records: &[Record], query: &Query) -> Vec<Table> {
    let mut settings: BTreeMap<Setting<'_>, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind != Kind::Machine && query.takes(record)) {
        let clock = record.clock.unwrap_or_default();
        let setting = (record.cpu.as_str(), record.isa.as_str(), record.threads, record.batch.unwrap_or(1), clock);
        settings.entry(setting).or_default().push(record);
    }
    let table = |(setting, members): (&Setting<'_>, &Vec<&Record>)| {
        let rows = rows(members, query.every_variant);
        let header = HEADER.map(String::from).to_vec();
        (!rows.is_empty()).then(|| Table { caption: caption(setting, members), header, rows })
    };
    settings.iter().filter_map(table).collect()
}

fn rows(members: &[&Record], every_variant: bool) -> Vec<Vec<String>> {
    let is_warm_run = |record: &&&Record| {
        record.model != Some(Model::Prepare)
            && record.cache != Some(Cache::Cold)
            && record.algorithm.is_some()
            && record.median_ns.is_some()
    };
    let warm: Vec<&Record> = members.iter().filter(is_warm_run).copied().collect();
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    for name in warm.iter().map(|record| record.name.as_str()).filter(|name| seen.insert(*name)) {
        let mut of_layer: Vec<&Record> = warm.iter().filter(|record| record.name == name).copied().collect();
        of_layer.sort_by(|a, b| (rank(a).cmp(&rank(b))).then(time(a).total_cmp(&time(b))));
        if !every_variant {
            of_layer.dedup_by_key(|record| family(record));
        }
        rows.extend(of_layer.into_iter().map(|record| row(record, members)));
    }
    rows
}

fn time(record: &Record) -> f64 {
    record.median_ns.unwrap_or(f64::INFINITY)
}

fn family(record: &Record) -> &str {
    let algorithm = record.algorithm.as_deref().unwrap_or_default();
    algorithm.split_once('/').map_or(algorithm, |(family, _)| family)
}

/// Families as the registry has them, then whatever else there is (`auto`), by name.
fn rank(record: &Record) -> (usize, &str) {
    let families = families();
    let known = families.iter().position(|known| *known == family(record));
    (known.unwrap_or(families.len()), family(record))
}

/// A cell with `digits` after the point, empty if there is no value.
fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| format!("{value:.digits$}"))
}

fn row(record: &Record, members: &[&Record]) -> Vec<String> {
    let is_cold = |other: &&&Record| {
        other.cache == Some(Cache::Cold) && (&other.name, &other.algorithm) == (&record.name, &record.algorithm)
    };
    let milliseconds = |record: &Record| number(record.median_ns.map(|time| time * 1e-6), 3);
    let bytes = |value: Option<usize>| value.map_or(String::new(), |value| format_bytes(value as f64));
    let multiples = record.gflops_effective.zip(record.peak_gflops).map(|(rate, peak)| rate / peak);
    vec![
        record.name.clone(),
        record.algorithm.clone().unwrap_or_default(),
        milliseconds(record),
        members.iter().find(is_cold).map_or(String::new(), |cold| milliseconds(cold)),
        number(record.gflops_effective, 1),
        number(multiples, 2),
        number(record.peak_fraction.map(|fraction| 100.0 * fraction), 0),
        bytes(record.scratch_bytes),
        bytes(record.prepared_bytes),
        record.max_rel_error.map_or(String::new(), |error| format!("{error:.1e}")),
    ]
}

fn caption(&(cpu, isa, threads, batch, clock): &Setting<'_>, members: &[&Record]) -> String {
    let mut caption = format!("{cpu}, {isa}, {threads} thread{}, batch {batch}", if threads == 1 { "" } else { "s" });
    for (what, of, unit) in [
        ("peak", (|record| record.peak_gflops) as fn(&Record) -> Option<f64>, "GFLOP/s"),
        ("read bandwidth", |record| record.bandwidth_gb_s, "GB/s"),
    ] {
        // Each run measures its own: those of several runs differ a little.
        let values = || members.iter().filter_map(|record| of(record)).map(|value| format!("{value:.1}"));
        let values: BTreeSet<String> = values().collect();
        match (values.first(), values.last()) {
            (Some(first), Some(last)) if first != last => caption += &format!("; {what} {first} to {last} {unit}"),
            (Some(only), _) => caption += &format!("; {what} {only} {unit}"),
            _ => {}
        }
    }
    caption += &clock.timed_by().map_or(String::new(), |by| format!("; {by}"));
    format!("{caption}; {}", origin(members))
}

/// What was built when.
fn origin(members: &[&Record]) -> String {
    let each = |of: fn(&Record) -> String| {
        members.iter().map(|record| of(record)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
    };
    let days = each(|record| record.date.split('T').next().unwrap_or_default().into());
    format!("commit {}, rustc {}, {days}", each(|r| r.commit.clone()), each(|r| r.rustc.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, algorithm: &str, milliseconds: f64) -> Record {
        Record {
            name: name.into(),
            algorithm: Some(algorithm.into()),
            isa: "avx512".into(),
            batch: Some(1),
            threads: 1,
            model: Some(Model::Run),
            cache: Some(Cache::Warm),
            median_ns: Some(milliseconds * 1e6),
            gflops_effective: Some(150.0),
            peak_gflops: Some(100.0),
            peak_fraction: Some(0.5),
            scratch_bytes: Some(0),
            prepared_bytes: Some(2048),
            max_rel_error: Some(1.2e-7),
            cpu: "Model 7".into(),
            date: "2026-01-31T12:00:00Z".into(),
            ..Record::default()
        }
    }

    fn first_cells(table: &Table) -> Vec<String> {
        table.rows.iter().map(|row| row[..4].join(" ").trim_end().to_owned()).collect()
    }

    #[test]
    fn the_best_of_each_family_in_the_registrys_order() {
        let records = [
            record("paper/conv3", "winograd/f2x3", 2.0),
            record("paper/conv3", "auto", 1.0),
            record("paper/conv3", "winograd/f4x3", 1.0),
            record("paper/conv3", "direct/nhwc", 3.0),
            Record { cache: Some(Cache::Cold), ..record("paper/conv3", "winograd/f4x3", 1.5) },
            Record { model: Some(Model::Prepare), cache: None, ..record("paper/conv3", "winograd/f4x3", 0.1) },
            record("paper/conv1", "direct/nhwc", 4.0),
            record("owt/conv1", "direct/nhwc", 5.0),
            Record { kind: Kind::Machine, ..record("paper/machine", "direct/nhwc", 1.0) },
        ];
        let query = Query { name: Some("paper/*".into()), ..Query::default() };
        let made = tables(&records, &query);
        assert_eq!(made.len(), 1);
        let expected = [
            "paper/conv3 direct/nhwc 3.000",
            "paper/conv3 winograd/f4x3 1.000 1.500",
            "paper/conv3 auto 1.000",
            "paper/conv1 direct/nhwc 4.000",
        ];
        assert_eq!(first_cells(&made[0]), expected);
        assert_eq!(made[0].rows[0][4..], ["150.0", "1.50", "50", "0", "2 KiB", "1.2e-7"]);
        let every = tables(&records, &Query { every_variant: true, ..query });
        assert_eq!(
            first_cells(&every[0])[1..3],
            expected[1..2]
                .iter()
                .map(ToString::to_string)
                .chain(["paper/conv3 winograd/f2x3 2.000".into()])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn settings_are_kept_apart() {
        let base = record("paper/conv1", "direct/nhwc", 4.0);
        let records = [
            base.clone(),
            Record { threads: 2, peak_gflops: Some(200.0), ..base.clone() },
            Record { threads: 2, peak_gflops: Some(210.0), name: "paper/conv2".into(), ..base.clone() },
            Record { batch: Some(16), ..base.clone() },
            Record { clock: Some(Clock::Criterion), ..base.clone() },
        ];
        let made = tables(&records, &Query::default());
        let captions: Vec<&str> = made.iter().map(|table| table.caption.as_str()).collect();
        assert_eq!(captions.len(), 4);
        assert_eq!(captions[0], "Model 7, avx512, 1 thread, batch 1; peak 100.0 GFLOP/s; commit , rustc , 2026-01-31");
        assert!(captions[1].contains("timed by criterion"));
        assert!(captions[3].starts_with("Model 7, avx512, 2 threads, batch 1; peak 200.0 to 210.0 GFLOP/s"));
        let query = Query { threads: Some(2), batch: Some(1), ..Query::default() };
        assert_eq!(tables(&records, &query), made[3..]);
        assert!(tables(&records, &Query { isa: Some("avx2".into()), ..Query::default() }).is_empty());
        assert!(tables(&[], &Query::default()).is_empty());
    }
}
