//! Which records belong into one chart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use conv_simd::Isa;

use super::PlotError;
use super::frame::family_rank;
use crate::record::{Cache, Clock, Kind, Model, Record};

/// Runs of one batch, threads, instruction set and cache state: the bars that are compared.
#[derive(Debug, Clone)]
pub(super) struct Group<'a> {
    /// The end of the charts' file names, `b1-t2-avx2-cold`.
    pub suffix: String,
    pub batch: usize,
    pub threads: usize,
    pub isa: &'a str,
    pub cold: bool,
    /// At least one, each with an algorithm and a median.
    pub records: Vec<&'a Record>,
    /// The last record of each name and algorithm.
    by_name: HashMap<(&'a str, &'a str), &'a Record>,
    /// The multiply-add peak of these threads, GFLOP/s.
    pub peak: Option<f64>,
}

/// Checks that `records` are of one processor and their values can be drawn.
pub(super) fn check(records: &[Record], path: &Path) -> Result<(), PlotError> {
    let measured = || records.iter().filter(|record| record.kind != Kind::Machine);
    if let Some(first) = measured().next()
        && let Some(second) = measured().find(|record| record.cpu != first.cpu)
    {
        let (first, second) = (first.cpu.clone(), second.cpu.clone());
        return Err(PlotError::Processors { path: path.into(), first, second });
    }
    for record in records {
        let bytes = |bytes: Option<usize>| bytes.map(|bytes| bytes as f64);
        let values = [
            ("median_ns", record.median_ns),
            ("gflops_effective", record.gflops_effective),
            ("peak_gflops", record.peak_gflops),
            ("scratch_bytes", bytes(record.scratch_bytes)),
            ("prepared_bytes", bytes(record.prepared_bytes)),
            ("weight_bytes", bytes(record.weight_bytes)),
        ];
        let values = values.into_iter().filter_map(|(field, value)| Some((field, value?)));
        let layers = record.layers.iter().map(|layer| ("layer's median_ns", layer.median_ns));
        if let Some((field, value)) = values.chain(layers).find(|(_, value)| !(0.0..=1e15).contains(value)) {
            let (name, algorithm) = (record.name.clone(), record.algorithm.clone().unwrap_or_else(|| "none".into()));
            return Err(PlotError::Value { path: path.into(), name, algorithm, field, value });
        }
    }
    Ok(())
}

/// The groups of one kind, ordered by batch, threads, instruction set (best first) and cache.
pub(super) fn groups(records: &[Record], kind: Kind) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<_, Vec<&Record>> = BTreeMap::new();
    let drawable = |record: &&Record| {
        record.kind == kind
            && record.model != Some(Model::Prepare)
            && record.algorithm.is_some()
            && record.median_ns.is_some()
    };
    for record in records.iter().filter(drawable) {
        let cold = record.cache == Some(Cache::Cold);
        let key = (record.batch.unwrap_or(1), record.threads, isa_rank(&record.isa), record.isa.as_str(), cold);
        groups.entry(key).or_default().push(record);
    }
    let best = groups.keys().map(|key| (key.2, key.3)).min();
    groups
        .into_iter()
        .map(|((batch, threads, rank, isa, cold), mut members)| {
            // Convlab's interleaved clock is the better one to compare by; criterion's stands in.
            if members.iter().any(|record| record.clock != Some(Clock::Criterion)) {
                members.retain(|record| record.clock != Some(Clock::Criterion));
            }
            let mut suffix = format!("b{batch}-t{threads}");
            if best != Some((rank, isa)) {
                suffix += &format!("-{}", file_name_part(isa));
            }
            if cold {
                suffix += "-cold";
            }
            let peak = peak(records, &members, threads, isa);
            let by_name =
                members.iter().filter_map(|r| Some(((r.name.as_str(), r.algorithm.as_deref()?), *r))).collect();
            Group { suffix, batch, threads, isa, cold, records: members, by_name, peak }
        })
        .collect()
}

/// The peak that the records carry themselves, or else the machine's.
fn peak(records: &[Record], members: &[&Record], threads: usize, isa: &str) -> Option<f64> {
    let of_machine = || {
        let mut machine = records.iter().filter(|record| record.kind == Kind::Machine);
        machine.find(|record| record.threads == threads && record.isa == isa)?.peak_gflops
    };
    members.iter().rev().find_map(|record| record.peak_gflops).or_else(of_machine).filter(|&peak| peak > 0.0)
}

/// Strongest first; a name from elsewhere comes last.
fn isa_rank(isa: &str) -> usize {
    Isa::NAMES.iter().position(|name| *name == isa).unwrap_or(Isa::NAMES.len())
}

/// Letters and digits of `text`: records come from outside, and this goes into a file name.
fn file_name_part(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}

impl<'a> Group<'a> {
    /// Algorithms by family and name.
    pub fn algorithms(&self) -> Vec<&'a str> {
        let mut names: Vec<_> = self.records.iter().filter_map(|record| record.algorithm.as_deref()).collect();
        names.sort_by_key(|name| (family_rank(name), *name));
        names.dedup();
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
