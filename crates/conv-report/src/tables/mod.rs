//! Tables from records, a file for each topic. Nothing is measured here.

mod best;
mod errors;
pub mod formula;
mod isa;
mod memory;
mod passes;
mod peer_layers;
mod peers;
mod phases;
mod roofline;
mod scale;
mod speedup;
mod summary;
mod tuning;

#[cfg(test)]
mod tests;

pub use tuning::stability;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use conv_core::format_bytes;
use wildmatch::WildMatch;

use crate::family::{family_of as family, family_rank};
use crate::ranking::{MEANING, candidates, marked, time};
use crate::record::{Cache, Clock, Kind, Model, Record};
use crate::text::{clean, is_marked};

/// What a table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Topic {
    /// Time, memory and error; of each family the best variant.
    #[default]
    Summary,
    /// What to take: of each layer the fastest, with its memory and error.
    Best,
    /// The same of each family.
    Families,
    /// Scratch and prepared weights: formula, as declared, as counted.
    Memory,
    /// Times as fast as direct: of each family the best variant.
    Speedup,
    /// The same, on one instruction set against a weaker one.
    Isa,
    /// Errors by kind of data, and against direct's (records of `convlab check --out`).
    Errors,
    /// Whole forward passes: time and peak resident memory.
    Passes,
    /// Whole forward passes beside those of other inference engines (records of `scripts/peers`).
    Peers,
    /// Whole forward passes shared by ranks: time as predicted and as measured (records of `convlab scale`).
    Scale,
    /// Shares of the phases of a run (records of algorithms that tell them).
    Phases,
    /// Executed operations a byte and a second, which of the machine's roofs is the lowest, and the share of it.
    Roofline,
    /// Single convolutions beside those of other engines (records of `scripts/peers/run --problems`).
    PeerLayers,
    /// Tuned choices against `auto` without a plan and each family (records of `convlab bench --plan`).
    Choices,
    /// Time of the cost model's choice over the best found (records of `convlab tune`).
    Regret,
    /// What several runs of `convlab tune` chose, and what the differences cost.
    Stability,
}

impl Topic {
    /// The command that makes its records.
    pub fn source(self) -> &'static str {
        match self {
            Topic::Errors => "convlab check --out",
            Topic::Peers => "scripts/peers/run",
            Topic::PeerLayers => "scripts/peers/run --problems",
            Topic::Choices => "convlab bench --plan",
            Topic::Scale => "convlab scale",
            Topic::Regret | Topic::Stability => "convlab tune --records",
            Topic::Summary
            | Topic::Best
            | Topic::Families
            | Topic::Memory
            | Topic::Speedup
            | Topic::Isa
            | Topic::Passes
            | Topic::Phases
            | Topic::Roofline => "convlab bench",
        }
    }
}

/// Which records go into tables; `None` takes all, and so does an empty list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// A pattern of names, for example `paper/*`.
    pub name: Option<String>,
    /// Names.
    pub names: Vec<String>,
    /// Names, families or patterns of algorithms.
    pub algorithms: Vec<String>,
    /// Images.
    pub batch: Option<usize>,
    /// Threads.
    pub threads: Option<usize>,
    /// Instruction set.
    pub isa: Option<String>,
    /// In a summary, every variant instead of the best of each family.
    pub every_variant: bool,
}

impl Query {
    /// Whether `record` is among them.
    pub fn takes(&self, record: &Record) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, value: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == value)
        }
        let algorithm = record.algorithm.as_deref().unwrap_or_default();
        let matches = |pattern: &str, text: &str| WildMatch::new(pattern).matches(text);
        let named = |pattern: &String| matches(pattern, algorithm) || pattern == family(record);
        self.name.as_deref().is_none_or(|pattern| matches(pattern, &record.name))
            && (self.names.is_empty() || self.names.contains(&record.name))
            && (self.algorithms.is_empty() || self.algorithms.iter().any(named))
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
    /// Names of the columns.
    pub header: Vec<String>,
    /// Its cells.
    pub rows: Vec<Vec<String>>,
    /// What follows from the rows, in words.
    pub notes: Vec<String>,
}

/// What measurements must have in common to stand in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Setting<'a> {
    cpu: &'a str,
    /// Empty where a table compares several.
    isa: &'a str,
    threads: usize,
    batch: usize,
    clock: Clock,
}

/// The tables of `topic`, one for each setting among the records that `query` takes; in each, families stand in the
/// order of [`FAMILIES`](crate::FAMILIES).
///
/// Times of disturbed measurements, and what was made of them, are marked by `~`, and a note says so.
pub fn tables(records: &[Record], topic: Topic, query: &Query) -> Vec<Table> {
    made(records, topic, query).into_iter().map(noted).collect()
}

/// `table` with a note where something in it is marked. What records say is in its words a line.
fn noted(mut table: Table) -> Table {
    table.caption = clean(&table.caption);
    table.notes.iter_mut().for_each(|note| *note = clean(note));
    if table.rows.iter().flatten().any(|cell| is_marked(cell)) {
        table.notes.push(format!("~: {MEANING}."));
    }
    table
}

fn made(records: &[Record], topic: Topic, query: &Query) -> Vec<Table> {
    let make: &dyn Fn(&[&Record]) -> Table = match topic {
        Topic::Summary if query.every_variant => &summary::every_variant,
        Topic::Summary => &summary::table,
        Topic::Best => &best::table,
        Topic::Families => &best::families,
        Topic::Memory => &memory::table,
        Topic::Speedup => &speedup::table,
        Topic::Isa => &isa::table,
        Topic::Errors => &errors::table,
        Topic::Passes => &passes::table,
        Topic::Phases => &phases::table,
        Topic::Roofline => &|members| roofline::table(members, records),
        Topic::Peers => return peers::tables(records, query),
        Topic::Scale => return scale::tables(records, query),
        Topic::PeerLayers => return peer_layers::tables(records, query),
        Topic::Choices => return tuning::choices(records).into_iter().collect(),
        Topic::Regret => return tuning::regret(records).into_iter().collect(),
        Topic::Stability => return Vec::new(),
    };
    let takes = |record: &&Record| match topic {
        Topic::Errors => record.kind == Kind::Check,
        Topic::Passes => record.kind == Kind::Forward && record.shard.is_none(),
        Topic::Memory | Topic::Phases | Topic::Roofline => record.kind == Kind::Conv,
        _ => {
            matches!(record.kind, Kind::Conv | Kind::Forward)
        }
    };
    let mut settings: BTreeMap<Setting<'_>, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(takes).filter(|record| record.algorithm.is_some() && query.takes(record)) {
        let setting = Setting {
            cpu: &record.cpu,
            isa: if topic == Topic::Isa { "" } else { &record.isa },
            threads: record.threads,
            batch: record.batch.unwrap_or(1),
            clock: record.clock.unwrap_or_default(),
        };
        settings.entry(setting).or_default().push(record);
    }
    let table = |(setting, members): (&Setting<'_>, &Vec<&Record>)| {
        let made = make(members);
        (!made.rows.is_empty()).then(|| Table { caption: caption(setting, members), ..made })
    };
    settings.iter().filter_map(table).collect()
}

/// A table of `rows`; its caption is still to come.
fn untitled(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let header = header.iter().map(ToString::to_string).collect();
    Table { caption: String::new(), header, rows, notes: Vec::new() }
}

/// The timed runs with warm caches.
fn warm_runs<'a>(members: &[&'a Record]) -> Vec<&'a Record> {
    let is_warm_run = |record: &&&Record| {
        record.model != Some(Model::Prepare) && record.cache != Some(Cache::Cold) && record.median_ns.is_some()
    };
    members.iter().filter(is_warm_run).copied().collect()
}

/// `records` by name, in their order; those of a name by family, in their order.
fn by_name<'a>(records: &[&'a Record]) -> Vec<(&'a str, Vec<&'a Record>)> {
    let (mut groups, mut places): (Vec<(&str, Vec<&Record>)>, _) = (Vec::new(), HashMap::new());
    for &record in records {
        let name = record.name.as_str();
        let place = *places.entry(name).or_insert(groups.len());
        if place == groups.len() {
            groups.push((name, Vec::new()));
        }
        groups[place].1.push(record);
    }
    groups.iter_mut().for_each(|(_, of_name)| of_name.sort_by(|a, b| rank(a).cmp(&rank(b))));
    groups
}

/// The fastest of each family, in the order of [`rank`]; one that was disturbed only where all of its family was.
fn best_of_families<'a>(records: &[&'a Record]) -> Vec<&'a Record> {
    let mut best = candidates(records);
    best.sort_by(|a, b| rank(a).cmp(&rank(b)).then(time(a).total_cmp(&time(b))));
    best.dedup_by_key(|record| family(record));
    best
}

/// Families in their order, then whatever else there is (`auto`), by name.
fn rank(record: &Record) -> (usize, &str) {
    (family_rank(family(record)), family(record))
}

fn algorithm(record: &Record) -> String {
    record.algorithm.clone().unwrap_or_default()
}

/// `value` with so many decimals; nothing if there is none.
fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or(String::new(), |value| format!("{value:.decimals$}"))
}

fn milliseconds(record: &Record) -> String {
    marked(number(record.median_ns.map(|time| time * 1e-6), 3), &[record])
}

/// How many times as fast as `direct` the `record` is.
fn times_as_fast(record: &Record, direct: &Record) -> String {
    marked(format!("{:.2}", time(direct) / time(record)), &[record, direct])
}

fn bytes(value: Option<usize>) -> String {
    value.map_or(String::new(), |value| format_bytes(value as f64))
}

fn caption(setting: &Setting<'_>, members: &[&Record]) -> String {
    let Setting { cpu, isa, threads, batch, clock } = *setting;
    let isa = if isa.is_empty() { each(members, |record| record.isa.clone()) } else { isa.into() };
    let mut caption = format!("{cpu}, {isa}, {threads} thread{}, batch {batch}", if threads == 1 { "" } else { "s" });
    for (what, of, unit) in [
        ("peak", (|record| record.peak_gflops) as fn(&Record) -> Option<f64>, "GFLOP/s"),
        ("read bandwidth", |record| record.bandwidth_gb_s, "GB/s"),
        ("core to core", |record| record.core_to_core_ns, "ns"),
    ] {
        // Each run measures its own: those of several runs differ a little.
        let values = || members.iter().filter_map(|record| of(record));
        if let (Some(least), Some(most)) = (values().min_by(f64::total_cmp), values().max_by(f64::total_cmp)) {
            let [least, most] = [least, most].map(|value| format!("{value:.1}"));
            let range = if least == most { least } else { format!("{least} to {most}") };
            caption += &format!("; {what} {range} {unit}");
        }
    }
    caption += &clock.timed_by().map_or(String::new(), |by| format!("; {by}"));
    format!("{caption}; {}", origin(members))
}

/// What was built when.
fn origin(members: &[&Record]) -> String {
    let days = each(members, |record| record.date.split('T').next().unwrap_or_default().into());
    format!("commit {}, rustc {}, {days}", each(members, |r| r.commit.clone()), each(members, |r| r.rustc.clone()))
}

/// What `of` gives of the records, each once.
fn each(members: &[&Record], of: fn(&Record) -> String) -> String {
    members.iter().map(|record| of(record)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}
