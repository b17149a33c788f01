//! Which records belong into one chart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use conv_simd::Isa;

use super::PlotError;
use crate::family::{family, family_rank};
use crate::record::{Cache, Kind, Model, Record};
use crate::roof::{Level, caches, credible};

/// What runs must have in common to be compared in one chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Setting<'a> {
    pub cpu: &'a str,
    pub batch: usize,
    /// Zero where a chart compares several numbers of them.
    pub threads: usize,
    /// Strongest first; a name from elsewhere comes last.
    isa_rank: usize,
    pub isa: &'a str,
    pub cold: bool,
}

/// The runs of one setting.
#[derive(Debug, Clone)]
pub(super) struct Group<'a> {
    pub setting: Setting<'a>,
    /// The end of the charts' file names, `b1-t2-avx2-cold`.
    pub suffix: String,
    /// At least one, each with an algorithm and, unless it is of a pass that ranks share, a median.
    pub records: Vec<&'a Record>,
    /// The last record of each name and algorithm.
    by_name: HashMap<(&'a str, &'a str), &'a Record>,
    /// The multiply-add peak of these threads, GFLOP/s.
    pub peak: Option<f64>,
    /// The same of other instruction sets of this processor, by their names.
    pub other_peaks: BTreeMap<&'a str, f64>,
    /// The caches of this processor, as far as it is known how fast they are.
    pub caches: Vec<Level>,
}

impl<'a> Setting<'a> {
    fn of(record: &'a Record) -> Setting<'a> {
        Setting {
            cpu: &record.cpu,
            batch: record.batch.unwrap_or(1),
            threads: record.threads,
            isa_rank: Isa::NAMES.iter().position(|name| *name == record.isa).unwrap_or(Isa::NAMES.len()),
            isa: &record.isa,
            cold: record.cache == Some(Cache::Cold),
        }
    }

    /// `start`, and whatever differs from the best instruction set of the newest processor with warm caches.
    fn suffix(&self, start: String, best: Option<(usize, &str)>, newest_cpu: &str) -> String {
        let mut suffix = start;
        if best != Some((self.isa_rank, self.isa)) {
            suffix += &format!("-{}", file_name_part(self.isa));
        }
        if self.cold {
            suffix += "-cold";
        }
        if self.cpu != newest_cpu {
            suffix += &format!("-{}", file_name_part(self.cpu));
        }
        suffix
    }
}

/// Checks that the values of `records` can be drawn.
pub(crate) fn check(records: &[Record], path: &Path) -> Result<(), PlotError> {
    for record in records {
        let bytes = |bytes: Option<usize>| bytes.map(|bytes| bytes as f64);
        let values = [
            ("median_ns", record.median_ns),
            ("predicted_ns", record.predicted_ns),
            ("link_gbit_s", record.link_gbit_s),
            ("gflops_effective", record.gflops_effective),
            ("peak_gflops", record.peak_gflops),
            ("scratch_bytes", bytes(record.scratch_bytes)),
            ("prepared_bytes", bytes(record.prepared_bytes)),
            ("weight_bytes", bytes(record.weight_bytes)),
        ];
        let values = values.into_iter().filter_map(|(field, value)| Some((field, value?)));
        let phases = record.phases.values().map(|&time| ("phase's time", time));
        let layers = record.layers.iter().map(|layer| ("layer's median_ns", layer.median_ns));
        if let Some((field, value)) =
            values.chain(layers).chain(phases).find(|(_, value)| !(0.0..=1e15).contains(value))
        {
            let (name, algorithm) = (record.name.clone(), record.algorithm.clone().unwrap_or_else(|| "none".into()));
            return Err(PlotError::Value { path: path.into(), name, algorithm, field, value });
        }
    }
    Ok(())
}

/// The groups of one kind, ordered by processor, batch, threads, instruction set (best first) and cache.
pub(super) fn groups<'a>(records: &'a [Record], kind: Kind) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<_, Vec<&Record>> = BTreeMap::new();
    let drawable = |record: &&Record| {
        record.kind == kind
            && record.model != Some(Model::Prepare)
            && (kind != Kind::Conv || record.cache != Some(Cache::Network))
            && record.algorithm.is_some()
            && record.median_ns.is_some()
    };
    for record in records.iter().filter(drawable) {
        groups.entry(Setting::of(record)).or_default().push(record);
    }
    let settings: Vec<Setting<'_>> = groups.keys().copied().collect();
    let newest_cpu = newest_cpu(records);
    let group = |(setting, mut members): (Setting<'a>, Vec<&'a Record>)| {
        // Convlab's interleaved clock is the better one to compare by; the others' stand in.
        let clock = |record: &Record| record.clock.unwrap_or_default();
        let best = members.iter().map(|record| clock(record)).min();
        members.retain(|record| Some(clock(record)) == best);
        let start = format!("b{}-t{}", setting.batch, setting.threads);
        let suffix = setting.suffix(start, best_isa(&settings, &setting), newest_cpu);
        let by_name = members.iter().filter_map(|r| Some(((r.name.as_str(), r.algorithm.as_deref()?), *r))).collect();
        let peak = peak(records, &members, &setting);
        let (other_peaks, caches) = (other_peaks(records, &setting), caches(records, members[0]));
        Group { setting, suffix, records: members, by_name, peak, other_peaks, caches }
    };
    groups.into_iter().map(group).collect()
}

/// The groups of passes that ranks share, of each network one, ordered by processor, batch, instruction set (best first) and
/// network.
pub(super) fn shared<'a>(records: &'a [Record]) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<_, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind == Kind::Scale && record.algorithm.is_some()) {
        let setting = Setting { threads: 0, ..Setting::of(record) };
        groups.entry((setting, record.name.as_str())).or_default().push(record);
    }
    let settings: Vec<Setting<'_>> = groups.keys().map(|(setting, _)| *setting).collect();
    let newest_cpu = newest_cpu(records);
    let group = |((setting, network), records): ((Setting<'a>, &str), _)| {
        let start = format!("{}-b{}", file_name_part(network), setting.batch);
        let suffix = setting.suffix(start, best_isa(&settings, &setting), newest_cpu);
        Group {
            setting,
            suffix,
            records,
            by_name: HashMap::new(),
            peak: None,
            other_peaks: BTreeMap::new(),
            caches: Vec::new(),
        }
    };
    groups.into_iter().map(group).collect()
}

/// The best instruction set of the processor of `setting` among `settings`, with its rank.
fn best_isa<'a>(settings: &[Setting<'a>], setting: &Setting<'_>) -> Option<(usize, &'a str)> {
    settings.iter().filter(|other| other.cpu == setting.cpu).map(|other| (other.isa_rank, other.isa)).min()
}

/// The processor of the last record.
fn newest_cpu(records: &[Record]) -> &str {
    records.last().map_or("", |record| &record.cpu)
}

/// The peak that the records carry themselves, or else the machine's.
fn peak(records: &[Record], members: &[&Record], setting: &Setting<'_>) -> Option<f64> {
    let of_machine = || {
        let same = |r: &&Record| r.cpu == setting.cpu && r.threads == setting.threads && r.isa == setting.isa;
        records.iter().rev().filter(|record| record.kind == Kind::Machine).find(same)?.peak_gflops
    };
    members.iter().rev().find_map(|record| record.peak_gflops).or_else(of_machine).filter(|&peak| peak > 0.0)
}

fn other_peaks<'a>(records: &'a [Record], setting: &Setting<'_>) -> BTreeMap<&'a str, f64> {
    let same = |r: &&Record| r.kind == Kind::Machine && r.cpu == setting.cpu && r.threads == setting.threads;
    let others = records.iter().filter(same).filter(|record| record.isa != setting.isa);
    others
        .filter_map(|record| Some((record.isa.as_str(), record.peak_gflops.filter(|&peak| credible(peak))?)))
        .collect()
}

/// `AMD EPYC 9R14` as `amd-epyc-9r14`: records come from outside, and this goes into a file name.
fn file_name_part(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase().chars().take(48).collect()
}

impl<'a> Group<'a> {
    /// Algorithms by family, and in each in the records' order.
    pub fn algorithms(&self) -> Vec<&'a str> {
        let mut seen = HashSet::new();
        let names = self.records.iter().filter_map(|record| record.algorithm.as_deref());
        let mut names: Vec<_> = names.filter(|name| seen.insert(*name)).collect();
        names.sort_by_key(|name| (family_rank(name), family(name)));
        names
    }

    /// Names of what was measured, in the records' order.
    pub fn names(&self) -> Vec<&'a str> {
        let mut seen = HashSet::new();
        self.records.iter().map(|record| record.name.as_str()).filter(|name| seen.insert(*name)).collect()
    }

    /// The last record of `name` by `algorithm`.
    pub fn find(&self, name: &str, algorithm: &str) -> Option<&'a Record> {
        self.by_name.get(&(name, algorithm)).copied()
    }
}
