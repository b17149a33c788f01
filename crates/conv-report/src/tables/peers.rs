//! Tables of whole passes by convlab and by other inference engines, from the records of `scripts/peers`.

use std::collections::{BTreeMap, BTreeSet};

use conv_core::format_bytes;

use super::{Query, Table, family, number, origin, times_as_fast};
use crate::ranking::{fastest, marked};
use crate::record::{Clock, Kind, Record};

/// The families of other engines: computing in f32, and in bf16.
const F32: &str = "peer";
const BF16: &str = "peer-bf16";

/// One comparison: network, batch, threads.
type Row<'a> = (&'a str, usize, usize);

/// The comparisons on one processor and instruction set.
struct Group<'a> {
    caption: String,
    rows: BTreeMap<Row<'a>, Vec<&'a Record>>,
    /// Convlab's own passes, then the engines in f32, then those in bf16.
    columns: [BTreeSet<&'a str>; 3],
}

/// Times, distances from the exact output and memory, three tables for each processor and instruction set among the records of
/// `scripts/peers` that `query` takes. Each has a row for each network, batch and number of threads, and a column for each
/// engine.
pub(super) fn tables(records: &[Record], query: &Query) -> Vec<Table> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Record>> = BTreeMap::new();
    let takes = |record: &&Record| {
        record.kind == Kind::Forward && record.clock == Some(Clock::Peers) && query.takes(record) //
    };
    for record in records.iter().filter(takes) {
        groups.entry((&record.cpu, &record.isa)).or_default().push(record);
    }
    let three = |((cpu, isa), members): (&(&str, &str), &Vec<&Record>)| {
        let group = Group::new(format!("{cpu}, {isa}; {}", origin(members)), members);
        [vec![group.times()], group.differences(), vec![group.memory()]].concat()
    };
    groups.iter().flat_map(three).collect()
}

impl<'a> Group<'a> {
    fn new(caption: String, members: &[&'a Record]) -> Self {
        let mut group = Group { caption, rows: BTreeMap::new(), columns: Default::default() };
        for &record in members {
            let row = (record.name.as_str(), record.batch.unwrap_or(1), record.threads);
            group.rows.entry(row).or_default().push(record);
            let column = [F32, BF16].iter().position(|peer| *peer == family(record)).map_or(0, |peer| peer + 1);
            group.columns[column].insert(record.algorithm.as_deref().unwrap_or_default());
        }
        group
    }

    /// Medians in milliseconds, and how many times as long as convlab the fastest engine of a precision takes.
    fn times(&self) -> Table {
        let header = [&self.columns[1], &self.columns[2]].into_iter().zip(["x best f32", "x best bf16"]);
        let header = header.flat_map(|(engines, best)| engines.iter().copied().chain([best]));
        let row = |records: &[&Record]| {
            let find = |engine: &str| records.iter().find(|record| record.algorithm.as_deref() == Some(engine));
            let cell = |engine: &&str| match find(engine) {
                Some(record) if record.failure.is_some() => "failed".into(),
                Some(record) => marked(number(record.median_ns.map(|time| time * 1e-6), 2), &[record]),
                None => String::new(),
            };
            let best = |engines: &BTreeSet<&str>| {
                let timed =
                    engines.iter().filter_map(|engine| find(engine).filter(|record| record.median_ns.is_some()));
                fastest(&timed.copied().collect::<Vec<_>>())
            };
            let own = best(&self.columns[0]);
            let ratio = |engines| {
                let pair = best(engines).zip(own);
                pair.map_or(String::new(), |(engine, own)| times_as_fast(own, engine))
            };
            let mut cells: Vec<String> = self.columns[0].iter().map(cell).collect();
            for engines in &self.columns[1..] {
                cells.extend(engines.iter().map(cell));
                cells.push(ratio(engines));
            }
            cells
        };
        self.table("milliseconds a batch, medians", self.columns[0].iter().copied().chain(header), row)
    }

    /// Distances from the exact output, and from ONNX Runtime's where records have those: of nodes that are not computed in f64,
    /// and older ones.
    fn differences(&self) -> Vec<Table> {
        let of = |what: &str, difference: fn(&Record) -> Option<f64>| {
            let any = self.rows.values().flatten().any(|record| difference(record).is_some());
            let cell = |record: &Record| difference(record).map_or(String::new(), |value| format!("{value:.1e}"));
            let columns = self.columns.iter().flatten().copied();
            any.then(|| self.table(what, columns, |records| self.each(records, cell)))
        };
        let exact =
            of("largest distance from the exact output over its largest magnitude", |record| record.max_rel_error);
        let other = of("largest difference from ONNX Runtime's output over the largest magnitude in that", |record| {
            record.max_peer_difference
        });
        exact.into_iter().chain(other).collect()
    }

    /// What convlab's plan says, what a run allocates, and the peak of each process.
    fn memory(&self) -> Table {
        let bytes = |value: Option<f64>| value.map_or(String::new(), format_bytes);
        let row = |records: &[&Record]| {
            let own = records.iter().find(|record| record.activation_bytes.is_some());
            let parts = own.map(|own| [own.prepared_bytes, own.scratch_bytes, own.activation_bytes, own.input_bytes]);
            let planned = parts.map(|parts| parts.iter().flatten().map(|&bytes| bytes as f64).sum());
            let allocations = own.and_then(|own| own.allocations).map_or(String::new(), |count| count.to_string());
            let peaks = self.each(records, |record| bytes(record.peak_resident_bytes.map(|bytes| bytes as f64)));
            [allocations, bytes(planned)].into_iter().chain(peaks).collect()
        };
        let header = ["allocations", "planned"].into_iter().chain(self.columns.iter().flatten().copied());
        self.table(
            "allocations of a run, memory as planned with the images, peak resident memory of each process",
            header,
            row,
        )
    }

    /// A cell for each engine; an empty one for those that have no record.
    fn each(&self, records: &[&Record], cell: impl Fn(&Record) -> String) -> Vec<String> {
        let find = |engine: &&str| records.iter().find(|record| record.algorithm.as_deref() == Some(engine));
        let cells = self.columns.iter().flatten().map(|engine| find(engine).map_or(String::new(), |found| cell(found)));
        cells.collect()
    }

    fn table<'h>(
        &self,
        what: &str,
        header: impl Iterator<Item = &'h str>,
        cells: impl Fn(&[&Record]) -> Vec<String>,
    ) -> Table {
        let row = |(&(network, batch, threads), records): (&Row<'_>, &Vec<&Record>)| {
            let place = [network.to_owned(), batch.to_string(), threads.to_string()];
            place.into_iter().chain(cells(records)).collect()
        };
        Table {
            caption: format!("{}: {what}", self.caption),
            header: ["network", "batch", "threads"].into_iter().chain(header).map(Into::into).collect(),
            rows: self.rows.iter().map(row).collect(),
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(algorithm: &str, milliseconds: Option<f64>) -> Record {
        Record {
            kind: Kind::Forward,
            name: "paper".into(),
            algorithm: Some(algorithm.into()),
            isa: "avx512".into(),
            batch: Some(16),
            threads: 2,
            clock: Some(Clock::Peers),
            median_ns: milliseconds.map(|ms| ms * 1e6),
            failure: milliseconds.is_none().then(|| "no such operator".into()),
            max_rel_error: Some(2e-6),
            peak_resident_bytes: Some(3 << 20),
            cpu: "Model 7".into(),
            ..Record::default()
        }
    }

    #[test]
    fn a_row_has_every_engine_and_the_best_of_each_precision() {
        let own = Record {
            prepared_bytes: Some(1 << 20),
            scratch_bytes: Some(1 << 19),
            activation_bytes: Some(1 << 18),
            input_bytes: Some(1 << 18),
            allocations: Some(0),
            ..record("auto", Some(4.0))
        };
        let elsewhere = Record { clock: Some(Clock::Convlab), ..own.clone() };
        let layer = Record { kind: Kind::Conv, name: "paper/conv1".into(), ..own.clone() };
        let older = Record {
            batch: Some(1),
            max_rel_error: None,
            max_peer_difference: Some(3e-6),
            ..record("peer/b", Some(1.0))
        };
        let others = [record("peer/b", Some(9.0)), record("peer/a", Some(6.0)), record("peer-bf16/a", Some(5.0))];
        let records: Vec<Record> =
            [elsewhere, layer, own, older, record("peer/c", None)].into_iter().chain(others).collect();
        let made = tables(&records, &Query::default());
        let [times, errors, differences, memory] = &made[..] else { panic!("{made:?}") };
        let header = "network batch threads auto peer/a peer/b peer/c x best f32 peer-bf16/a x best bf16";
        assert_eq!(times.header.join(" "), header);
        assert_eq!(times.rows[0].join(","), "paper,1,2,,,1.00,,,,");
        assert_eq!(times.rows[1].join(","), "paper,16,2,4.00,6.00,9.00,failed,1.50,5.00,1.25");
        assert_eq!(errors.rows[1].join(","), "paper,16,2,2.0e-6,2.0e-6,2.0e-6,2.0e-6,2.0e-6");
        assert_eq!(errors.rows[0].join(","), "paper,1,2,,,,,");
        assert_eq!(differences.rows[0].join(","), "paper,1,2,,,3.0e-6,,");
        assert_eq!(memory.rows[1][..5].join(","), "paper,16,2,0,2 MiB");
        assert_eq!(memory.rows[1][5..].join(","), ["3 MiB"; 5].join(","));
        assert!(tables(&records, &Query { threads: Some(1), ..Query::default() }).is_empty());
    }
}
