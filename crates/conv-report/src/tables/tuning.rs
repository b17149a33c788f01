//! Tables of tuning, from records alone: choices against each other, the cost model's regret, and how choices of several
//! runs agree.

use std::collections::{BTreeMap, BTreeSet};

use super::{Table, milliseconds, number, untitled};
use crate::family::{FAMILIES, TUNED};
use crate::ranking::marked;
use crate::record::{Cache, Kind, Record};
use crate::text::clean;

/// One layer in one setting: name, batch, threads, instruction set.
type Layer<'a> = (&'a str, usize, usize, &'a str);

fn layer(record: &Record) -> Layer<'_> {
    (&record.name, record.batch.unwrap_or(1), record.threads, &record.isa)
}

/// Layers in the records' order, each with its records as in a network.
fn layers(records: &[Record]) -> Vec<(Layer<'_>, Vec<&Record>)> {
    let mut layers: Vec<(Layer<'_>, Vec<&Record>)> = Vec::new();
    let measured = |record: &&Record| {
        record.kind == Kind::Conv && record.cache == Some(Cache::Network) && record.median_ns.is_some()
    };
    for record in records.iter().filter(measured) {
        match layers.iter_mut().find(|(known, _)| *known == layer(record)) {
            Some((_, members)) => members.push(record),
            None => layers.push((layer(record), vec![record])),
        }
    }
    layers
}

fn time(record: &Record) -> f64 {
    record.median_ns.unwrap_or(f64::NAN)
}

/// Those that were not disturbed.
fn quiet<'a>(members: &[&'a Record]) -> Vec<&'a Record> {
    members.iter().filter(|record| record.disturbed.is_none()).copied().collect()
}

/// That some of `members` were disturbed, if they were.
fn left_out(members: &[&Record]) -> Vec<String> {
    let count = members.len() - quiet(members).len();
    if count == 0 { Vec::new() } else { vec![format!("{count} disturbed measurements are left out.")] }
}

/// `algorithm parameters`.
fn method(record: &Record) -> String {
    let algorithm = record.algorithm.clone().unwrap_or_default();
    record.parameters.as_ref().map_or(algorithm.clone(), |parameters| format!("{algorithm} {parameters}"))
}

fn chosen<'a>(members: &[&'a Record], by: &str) -> Option<&'a Record> {
    members.iter().find(|record| record.chosen_by.iter().any(|name| name == by)).copied()
}

fn caption(records: &[&Record]) -> String {
    let each = |of: fn(&Record) -> String| {
        let values: BTreeSet<String> = records.iter().map(|record| of(record)).collect();
        values.into_iter().collect::<Vec<_>>().join(", ")
    };
    format!(
        "{}, {}, threads {}; commit {}, rustc {}, {}",
        each(|record| record.cpu.clone()),
        each(|record| record.isa.clone()),
        each(|record| record.threads.to_string()),
        each(|record| record.commit.clone()),
        each(|record| record.rustc.clone()),
        each(|record| record.date.split('T').next().unwrap_or_default().into()),
    )
}

/// Tuned against `auto` against each family, milliseconds, layer by layer and for whole passes. `over best` is tuned's
/// time over the best family's, `noise` the sum of the two's scatter over the same.
pub fn choices(records: &[Record]) -> Option<Table> {
    let names = || [TUNED, "auto"].into_iter().chain(FAMILIES);
    let row = |what: &str, batch: usize, method: String, of: &dyn Fn(&str) -> Option<Record>| {
        let tuned = of(TUNED)?;
        let best = FAMILIES.iter().filter_map(|family| of(family)).min_by(|a, b| time(a).total_cmp(&time(b)))?;
        let noise = (tuned.mad_ns.unwrap_or(0.0) + best.mad_ns.unwrap_or(0.0)) / time(&best);
        let times = names().map(|name| of(name).map_or(String::new(), |record| milliseconds(&record)));
        let over_best = marked(format!("{:.3}", time(&tuned) / time(&best)), &[&tuned, &best]);
        let verdict = [over_best, format!("{noise:.3}")];
        Some([what.into(), batch.to_string(), method].into_iter().chain(times).chain(verdict).collect::<Vec<_>>())
    };
    let layers = layers(records);
    let mut rows: Vec<Vec<String>> = layers
        .iter()
        .filter_map(|((name, batch, ..), members)| {
            let tuned = chosen(members, TUNED)?;
            row(name, *batch, method(tuned), &|by| chosen(members, by).cloned())
        })
        .collect();
    let passes: Vec<&Record> = records.iter().filter(|record| record.kind == Kind::Forward).collect();
    let networks: BTreeSet<_> = passes.iter().map(|record| layer(record)).collect();
    rows.extend(networks.iter().filter_map(|network| {
        let of = |by: &str| {
            let is = |record: &&&Record| layer(record) == *network && record.algorithm.as_deref() == Some(by);
            passes.iter().find(is).map(|record| (*record).clone())
        };
        row(network.0, network.1, "whole pass".into(), &of)
    }));
    let members: Vec<&Record> = layers.iter().flat_map(|(_, members)| members.iter().copied()).collect();
    let header: Vec<&str> =
        ["layer", "batch", "tuned is"].into_iter().chain(names()).chain(["over best", "noise"]).collect();
    (!rows.is_empty()).then(|| Table { caption: caption(&members), ..untitled(&header, rows) })
}

/// The cost model's regret: its choice's time over the best found, for each network or file and batch.
pub fn regret(records: &[Record]) -> Option<Table> {
    let mut sets: BTreeMap<(String, usize), Vec<(f64, &Record)>> = BTreeMap::new();
    let layers = layers(records);
    for ((name, batch, ..), members) in &layers {
        let members = quiet(members);
        let best = members.iter().map(|record| time(record)).fold(f64::INFINITY, f64::min);
        if let (Some(auto), Some((set, _))) = (chosen(&members, "auto"), name.split_once('/')) {
            sets.entry((set.into(), *batch)).or_default().push((time(auto) / best - 1.0, auto));
        }
    }
    let all: Vec<(f64, &Record)> = sets.values().flatten().copied().collect();
    let named = sets.into_iter().map(|((set, batch), regrets)| (set, batch.to_string(), regrets));
    let row = |(set, batch, mut regrets): (String, String, Vec<(f64, &Record)>)| {
        regrets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (middle, (worst, record)) = (regrets.len() / 2, regrets.last().copied()?);
        let median = (regrets[middle].0 + regrets[(regrets.len() - 1) / 2].0) / 2.0;
        let percent = |share: f64| format!("{:.1}", 100.0 * share);
        let where_ = format!("{}, batch {}: {}", record.name, record.batch.unwrap_or(1), method(record));
        Some(vec![set, batch, regrets.len().to_string(), percent(median), percent(worst), where_])
    };
    let rows: Vec<_> = named.chain([("all".into(), String::new(), all)]).filter_map(row).collect();
    let members: Vec<&Record> = layers.iter().flat_map(|(_, members)| members.iter().copied()).collect();
    let header = ["layers of", "batch", "layers", "median regret %", "worst %", "of the choice for"];
    let notes = left_out(&members);
    (!members.is_empty()).then(|| Table { caption: caption(&members), notes, ..untitled(&header, rows) })
}

/// What several runs chose for each layer, how much more time any of those choices took than the best of each run that
/// measured it too, and how long each run took.
pub fn stability(runs: &[Vec<Record>]) -> Option<Table> {
    let measured: Vec<_> = runs.iter().map(|run| layers(run)).collect();
    let mut rows = Vec::new();
    for (name, _) in measured.first()? {
        let of_runs = measured.iter().filter_map(|run| run.iter().find(|(other, _)| other == name));
        let of_runs: Vec<Vec<&Record>> = of_runs.map(|(_, members)| members.clone()).collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for record in of_runs.iter().filter_map(|members| chosen(members, TUNED)) {
            *counts.entry(method(record)).or_default() += 1;
        }
        // Every choice of some run, where another run measured it.
        let excess = of_runs.iter().flat_map(|members| {
            let members = quiet(members);
            let best = members.iter().map(|record| time(record)).fold(f64::INFINITY, f64::min);
            let is_choice = |record: &&&Record| counts.contains_key(&method(record));
            members.iter().filter(is_choice).map(|record| time(record) / best - 1.0).collect::<Vec<_>>()
        });
        let mut excess: Vec<f64> = excess.collect();
        excess.sort_by(f64::total_cmp);
        let percent = |index: usize| number(excess.get(index).map(|excess| 100.0 * excess), 1);
        let most = counts.values().max().copied().unwrap_or(0);
        let mut named: Vec<_> = counts.into_iter().map(|(method, count)| (count, method)).collect();
        named.sort_by(|a, b| b.cmp(a));
        let named: Vec<String> = named.into_iter().map(|(count, method)| format!("{method} ({count}x)")).collect();
        rows.push(vec![
            name.0.into(),
            name.1.to_string(),
            format!("{} of {}", of_runs.len() - most, of_runs.len()),
            percent(excess.len() / 2),
            percent(excess.len().saturating_sub(1)),
            named.join(", "),
        ]);
    }
    let took = |run: &Vec<Record>| run.iter().filter_map(|record| record.tuned_in_ns).sum::<f64>() / 1e9;
    let took: Vec<String> = runs.iter().map(|run| format!("{:.1}", took(run))).collect();
    let members: Vec<&Record> = measured.iter().flatten().flat_map(|(_, members)| members.iter().copied()).collect();
    let header = ["layer", "batch", "runs that differ", "median excess %", "largest %", "choices"];
    let caption = clean(&format!("{}; the runs took {} s", caption(&members), took.join(", ")));
    let notes = left_out(&members);
    (!rows.is_empty()).then(|| Table { caption, notes, ..untitled(&header, rows) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, algorithm: &str, ns: f64, chosen_by: &[&str]) -> Record {
        Record {
            name: name.into(),
            algorithm: Some(algorithm.into()),
            chosen_by: chosen_by.iter().map(ToString::to_string).collect(),
            batch: Some(1),
            cache: Some(Cache::Network),
            median_ns: Some(ns),
            mad_ns: Some(ns / 100.0),
            ..Record::default()
        }
    }

    #[test]
    fn choices_stand_beside_each_other() {
        let records = [
            record("paper/conv1", "winograd/poly-7", 1e6, &["tuned", "winograd"]),
            record("paper/conv1", "direct/nhwc", 2e6, &["auto", "direct"]),
            Record { kind: Kind::Forward, ..record("paper", "tuned", 5e6, &[]) },
            Record { kind: Kind::Forward, ..record("paper", "direct", 6e6, &[]) },
        ];
        let table = choices(&records).unwrap();
        assert_eq!(table.header[..6], ["layer", "batch", "tuned is", "tuned", "auto", "direct"]);
        let cells =
            ["paper/conv1", "1", "winograd/poly-7", "1.000", "2.000", "2.000", "", "", "1.000", "1.000", "0.020"];
        assert_eq!(table.rows[0], cells);
        assert_eq!(table.rows[1][..6], ["paper", "1", "whole pass", "5.000", "", "6.000"]);
        assert_eq!(table.rows[1].len(), table.header.len());
        assert_eq!(choices(&[]), None);
    }

    #[test]
    fn what_was_disturbed_decides_nothing() {
        let loud = |name, algorithm, ns, by: &[&str]| {
            Record { disturbed: Some("a neighbour".into()), ..record(name, algorithm, ns, by) } //
        };
        let records = vec![
            record("paper/conv1", "winograd/a", 1e6, &["tuned"]),
            loud("paper/conv1", "winograd/b", 0.5e6, &[]),
            record("paper/conv1", "direct/nhwc", 1.5e6, &["auto", "direct"]),
            loud("paper/conv2", "direct/nhwc", 9e6, &["auto", "direct"]),
            record("paper/conv2", "winograd/a", 1e6, &["tuned"]),
        ];
        let regret = regret(&records).unwrap();
        assert_eq!(regret.rows[0][..5], ["paper", "1", "1", "50.0", "50.0"]);
        assert_eq!(regret.notes, ["2 disturbed measurements are left out."]);
        let choices = choices(&records).unwrap();
        assert_eq!([&choices.rows[1][4], &choices.rows[1][9]], ["9.000 ~", "0.111 ~"]);
        let table = stability(&[records.clone(), records]).unwrap();
        assert_eq!(table.rows[0][3..5], ["0.0", "0.0"], "against the fastest that was not disturbed");
        assert_eq!(table.notes, ["4 disturbed measurements are left out."]);
    }

    #[test]
    fn regret_is_of_the_models_choice_and_its_worst_is_named() {
        let records = [
            record("paper/conv1", "winograd/poly-7", 1e6, &["tuned"]),
            record("paper/conv1", "direct/nhwc", 1.5e6, &["auto"]),
            record("paper/conv2", "direct/nhwc", 3e6, &["tuned", "auto"]),
        ];
        let table = regret(&records).unwrap();
        assert_eq!(table.rows[0][..5], ["paper", "1", "2", "25.0", "50.0"]);
        assert!(table.rows[0][5].starts_with("paper/conv1, batch 1: direct/nhwc"));
        assert_eq!(table.rows[1][0], "all");
    }

    #[test]
    fn runs_are_compared_by_what_they_chose() {
        let run = |ns, by: [&'static [&'static str]; 2]| {
            vec![record("paper/conv1", "winograd/a", 1e6, by[0]), record("paper/conv1", "winograd/b", ns, by[1])]
        };
        let runs = [run(1.2e6, [&["tuned"], &[]]), run(0.9e6, [&[], &["tuned"]]), run(1.1e6, [&["tuned"], &[]])];
        let table = stability(&runs).unwrap();
        assert_eq!(table.rows, [["paper/conv1", "1", "1 of 3", "10.0", "20.0", "winograd/a (2x), winograd/b (1x)"]]);
        assert_eq!(stability(&[]), None);
    }
}
