//! Tables of single convolutions by convlab and by other engines, from the records of `scripts/peers/run --problems`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Query, Setting, Table, by_name, caption, number, time, times_as_fast};
use crate::family::family_rank;
use crate::ranking::{fastest, marked};
use crate::record::{Clock, Kind, Record};

/// What other engines' records are called before the slash.
const PEER: &str = "peer";

/// How convlab's own choice is called.
const AUTO: &str = "auto";

/// The convolutions of one setting, each with its records.
struct Layers<'a> {
    caption: String,
    rows: Vec<(&'a str, Vec<&'a Record>)>,
    /// Convlab's families and `auto`, then the other engines.
    columns: Vec<&'a str>,
}

/// Three tables for each processor, instruction set, number of threads and batch among the records of single convolutions
/// that `query` takes: convlab's best beside the best of the others, all times, all distances from the f64 oracle.
pub(super) fn tables(records: &[Record], query: &Query) -> Vec<Table> {
    let mut settings: BTreeMap<Setting<'_>, Vec<&Record>> = BTreeMap::new();
    let takes = |record: &&Record| {
        record.kind == Kind::Conv && record.clock == Some(Clock::Peers) && query.takes(record) //
    };
    for record in records.iter().filter(takes) {
        let setting = Setting {
            cpu: &record.cpu,
            isa: &record.isa,
            threads: record.threads,
            batch: record.batch.unwrap_or(1),
            clock: Clock::Peers,
        };
        settings.entry(setting).or_default().push(record);
    }
    let three = |(setting, members): (&Setting<'_>, &Vec<&Record>)| {
        let layers = Layers::new(caption(setting, members), members);
        let error = |record: &Record| record.max_rel_error.map_or(String::new(), |error| format!("{error:.1e}"));
        [
            layers.best(),
            layers.each("microseconds, medians", microseconds),
            layers.each("largest distance from the exact result over its largest magnitude", error),
        ]
    };
    settings.iter().flat_map(three).collect()
}

impl<'a> Layers<'a> {
    fn new(caption: String, members: &[&'a Record]) -> Self {
        let columns: BTreeSet<_> = members.iter().map(|record| (is_peer(record), rank(record), who(record))).collect();
        Layers { caption, rows: by_name(members), columns: columns.into_iter().map(|(.., who)| who).collect() }
    }

    /// Convlab's best beside the others' best, and in words what follows from that.
    fn best(&self) -> Table {
        let header = ["layer", "convlab us", "by", "auto us", "others us", "by", "x convlab", "x auto"];
        let row = |(name, records): &(&str, Vec<&Record>)| {
            let (own, auto, peer) = (best_own(records), timed(records, AUTO), best_peer(records));
            let ratio = |own: Option<&Record>| {
                own.zip(peer).map_or(String::new(), |(own, peer)| times_as_fast(own, peer)) //
            };
            vec![
                (*name).to_owned(),
                own.map_or(String::new(), microseconds),
                own.and_then(|record| record.algorithm.clone()).unwrap_or_default(),
                auto.map_or(String::new(), microseconds),
                peer.map_or(String::new(), microseconds),
                peer.map_or(String::new(), |record| who(record).to_owned()),
                ratio(own),
                ratio(auto),
            ]
        };
        Table {
            caption: format!("{}: convlab's best and auto beside the fastest of the others", self.caption),
            header: header.map(Into::into).into(),
            rows: self.rows.iter().map(row).collect(),
            notes: self.notes(),
        }
    }

    /// Geometric means of how many times as long others take, and where they take less.
    fn notes(&self) -> Vec<String> {
        let means = |peer: &dyn Fn(&[&'a Record]) -> Option<&'a Record>| {
            let of = |own: fn(&[&'a Record]) -> Option<&'a Record>| {
                mean(self.rows.iter().filter_map(|(_, records)| ratio(own(records), peer(records))))
            };
            let (best, count) = of(best_own)?;
            let auto = of(|records| timed(records, AUTO)).map_or(String::new(), |(auto, _)| format!("{auto:.2}"));
            Some(vec![count.to_string(), format!("{best:.2}"), auto])
        };
        let peers = self.columns.iter().filter(|column| column.starts_with(PEER));
        let lines = peers.filter_map(|&peer| {
            let [count, best, auto] = &means(&|records| timed(records, peer))?[..] else { return None };
            Some(format!("{peer}: {best} times as long as convlab's best, {auto} as auto ({count} layers)"))
        });
        let mut notes: Vec<String> = Vec::new();
        if let Some([count, best, auto]) = means(&best_peer).as_deref() {
            notes.push(format!(
                "Geometric means: the fastest of the others takes {best} times as long as convlab's best and {auto} times as \
                 long as auto ({count} layers)."
            ));
        }
        notes.extend(Some(lines.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty()));
        let lost = self.rows.iter().filter_map(|(name, records)| {
            let peer = best_peer(records);
            let ratio = ratio(best_own(records), peer).filter(|ratio| *ratio < 1.0)?;
            Some((ratio, format!("{name} ({ratio:.2}, {})", peer.map_or("", who))))
        });
        let mut lost: Vec<_> = lost.collect();
        lost.sort_by(|a, b| a.0.total_cmp(&b.0));
        let lost: Vec<String> = lost.into_iter().map(|(_, text)| text).collect();
        let lost = if lost.is_empty() { "none".into() } else { lost.join(", ") };
        notes.push(format!("Others are faster than convlab's best in: {lost}"));
        notes
    }

    fn each(&self, what: &str, cell: impl Fn(&Record) -> String) -> Table {
        let row = |(name, records): &(&str, Vec<&Record>)| {
            let find = |column: &&str| records.iter().find(|record| who(record) == *column);
            let cells = self.columns.iter().map(|column| find(column).map_or(String::new(), |record| cell(record)));
            [(*name).to_owned()].into_iter().chain(cells).collect()
        };
        Table {
            caption: format!("{}: {what}", self.caption),
            header: ["layer"].iter().chain(&self.columns).map(ToString::to_string).collect(),
            rows: self.rows.iter().map(row).collect(),
            notes: Vec::new(),
        }
    }
}

/// Who computed: another engine, or of convlab a family or `auto`.
fn who(record: &Record) -> &str {
    let chooser = record.chosen_by.first().map(String::as_str);
    chooser.or(record.algorithm.as_deref()).unwrap_or_default()
}

fn rank(record: &Record) -> usize {
    family_rank(who(record))
}

fn is_peer(record: &Record) -> bool {
    super::family(record) == PEER
}

fn microseconds(record: &Record) -> String {
    if record.failure.is_some() {
        return "failed".into();
    }
    marked(number(record.median_ns.map(|time| time * 1e-3), 1), &[record])
}

fn timed<'a>(records: &[&'a Record], name: &str) -> Option<&'a Record> {
    records.iter().copied().find(|record| who(record) == name && record.median_ns.is_some())
}

fn best_own<'a>(records: &[&'a Record]) -> Option<&'a Record> {
    best(records.iter().copied().filter(|record| !is_peer(record)))
}

fn best_peer<'a>(records: &[&'a Record]) -> Option<&'a Record> {
    best(records.iter().copied().filter(|record| is_peer(record)))
}

fn best<'a>(records: impl Iterator<Item = &'a Record>) -> Option<&'a Record> {
    fastest(&records.filter(|record| record.median_ns.is_some()).collect::<Vec<_>>())
}

/// How many times as long `peer` takes, if neither was disturbed.
fn ratio(own: Option<&Record>, peer: Option<&Record>) -> Option<f64> {
    let quiet = |record: &&Record| record.disturbed.is_none();
    Some(time(peer.filter(quiet)?) / time(own.filter(quiet)?))
}

/// The geometric mean, and of how many.
fn mean(ratios: impl Iterator<Item = f64>) -> Option<(f64, usize)> {
    let logarithms: Vec<f64> = ratios.map(f64::ln).collect();
    let count = logarithms.len();
    (count > 0).then(|| ((logarithms.iter().sum::<f64>() / count as f64).exp(), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, algorithm: &str, chosen_by: Option<&str>, microseconds: Option<f64>) -> Record {
        Record {
            name: name.into(),
            algorithm: Some(algorithm.into()),
            chosen_by: chosen_by.map(Into::into).into_iter().collect(),
            isa: "avx512".into(),
            batch: Some(1),
            threads: 2,
            clock: Some(Clock::Peers),
            median_ns: microseconds.map(|time| time * 1e3),
            failure: microseconds.is_none().then(|| "no groups".into()),
            max_rel_error: microseconds.map(|_| 2e-7),
            cpu: "Model 7".into(),
            ..Record::default()
        }
    }

    #[test]
    fn best_stands_beside_best_and_losses_are_named() {
        let records = [
            record("a", "direct/nhwc", Some("direct"), Some(20.0)),
            record("a", "winograd/f4x3", Some("winograd"), Some(10.0)),
            record("a", "direct/nhwc", Some("auto"), Some(20.0)),
            record("a", "peer/x", None, Some(40.0)),
            record("a", "peer/y", None, None),
            record("b", "direct/nhwc", Some("direct"), Some(4.0)),
            record("b", "direct/nhwc", Some("auto"), Some(4.0)),
            record("b", "peer/x", None, Some(5.0)),
            record("b", "peer/y", None, Some(1.0)),
            Record { kind: Kind::Forward, ..record("paper", "auto", None, Some(1.0)) },
        ];
        let made = tables(&records, &Query::default());
        let [best, times, errors] = &made[..] else { panic!("{made:?}") };
        assert_eq!(best.rows[0].join(","), "a,10.0,winograd/f4x3,20.0,40.0,peer/x,4.00,2.00");
        assert_eq!(best.rows[1].join(","), "b,4.0,direct/nhwc,4.0,1.0,peer/y,0.25,0.25");
        assert!(
            best.notes[0].contains("takes 1.00 times as long as convlab's best and 0.71 times"),
            "{:?}",
            best.notes
        );
        assert!(best.notes[1].contains("peer/x: 2.24 times as long as convlab's best, 1.58 as auto (2 layers)"));
        assert!(best.notes[1].contains("peer/y: 0.25 times as long as convlab's best, 0.25 as auto (1 layers)"));
        assert_eq!(best.notes[2], "Others are faster than convlab's best in: b (0.25, peer/y)");
        assert_eq!(times.header.join(" "), "layer direct winograd auto peer/x peer/y");
        assert_eq!(times.rows[0].join(","), "a,20.0,10.0,20.0,40.0,failed");
        assert_eq!(errors.rows[1].join(","), "b,2.0e-7,,2.0e-7,2.0e-7,2.0e-7");
    }
}
