//! Where a run lies beneath the machine's roofs.

use conv_core::{Problem, format_bytes};

use crate::record::{Cache, Kind, Record};

/// What is beyond is no measurement.
pub(crate) fn credible(value: f64) -> bool {
    (1e-6..=1e9).contains(&value)
}

/// What a run executed, against what it had to move and how long it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Intensity {
    /// The bytes that must move at least once: input, output, and weights as prepared.
    bytes: f64,
    /// Executed operations over these bytes.
    pub operations_a_byte: f64,
    /// Executed operations over the median time.
    pub gflops: f64,
}

/// A cache, and how fast all threads read what is in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    /// `L1`.
    pub name: String,
    /// Bytes of one core's.
    pub bytes: usize,
    pub gb_s: f64,
}

/// The lowest of the roofs above a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Roof {
    /// `peak`, or what delivers the bytes: `L2`, `memory`.
    pub by: String,
    pub gflops: f64,
}

/// The caches of the machine on which `of` was measured, first level first, as far as `records` tell how fast they are read.
pub(crate) fn caches(records: &[Record], of: &Record) -> Vec<Level> {
    let same = |record: &Record| record.cpu == of.cpu && record.isa == of.isa && record.threads == of.threads;
    let mut machines = records.iter().rev().filter(|record| record.kind == Kind::Machine && same(record));
    let Some(machine) = machines.find(|record| !record.cache_gb_s.is_empty()) else { return Vec::new() };
    let levels = machine.caches.iter().zip(&machine.cache_gb_s).zip(1..);
    let level = |((&bytes, &gb_s), number)| Level { name: format!("L{number}"), bytes, gb_s };
    levels.map(level).filter(|level| credible(level.gb_s)).collect()
}

impl Level {
    /// `L1 (32 KiB, 412.0 GB/s)`.
    pub fn words(&self) -> String {
        format!("{} ({}, {:.1} GB/s)", self.name, format_bytes(self.bytes as f64), self.gb_s)
    }
}

impl Intensity {
    /// That of `record`, if it tells what was executed; both values are positive and finite.
    pub fn of(record: &Record) -> Option<Intensity> {
        let problem: Problem = record.problem.as_deref()?.parse().ok()?;
        let weights = record.prepared_bytes.unwrap_or(0) as f64;
        let bytes = 4.0 * (problem.input_len() as f64 + problem.output_len() as f64) + weights;
        let (operations, time) = (record.executed_flops?, record.median_ns?);
        let intensity = Intensity { bytes, operations_a_byte: operations / bytes, gflops: operations / time };
        (credible(intensity.operations_a_byte) && credible(intensity.gflops)).then_some(intensity)
    }

    /// The roof above `record`, which this is of: its bytes come from the smallest of `caches` that holds all of them, if
    /// caches were warm, else from memory.
    pub fn roof(&self, record: &Record, caches: &[Level]) -> Option<Roof> {
        let peak = record.peak_gflops?;
        let held = caches.iter().find(|level| self.bytes <= level.bytes as f64 && record.cache == Some(Cache::Warm));
        let memory = || Some(("memory", record.bandwidth_gb_s?));
        let (from, gb_s) = held.map(|level| (level.name.as_str(), level.gb_s)).or_else(memory)?;
        let slope = self.operations_a_byte * gb_s;
        let (by, gflops) = if slope < peak { (from, slope) } else { ("peak", peak) };
        credible(gflops).then(|| Roof { by: by.into(), gflops })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roof_is_that_of_the_smallest_cache_that_holds_everything() {
        let machine = Record {
            kind: Kind::Machine,
            caches: vec![512, 4096, 1 << 20],
            cache_gb_s: vec![100.0, 50.0, 0.0],
            ..Record::default()
        };
        let other = Record { isa: "avx2".into(), cache_gb_s: vec![1.0], ..machine.clone() };
        let old = Record { cache_gb_s: Vec::new(), ..machine.clone() };
        // 4 * (1 + filters) bytes and as many operations as it takes for one a byte.
        let record = |filters: usize| Record {
            problem: Some(format!("mb1ic1ih1oc{filters}kh1")),
            cache: Some(Cache::Warm),
            executed_flops: Some(4.0 * (1 + filters) as f64),
            median_ns: Some(1.0),
            peak_gflops: Some(80.0),
            bandwidth_gb_s: Some(10.0),
            ..Record::default()
        };
        let levels = caches(&[machine, other, old], &record(1));
        assert_eq!(
            levels.iter().map(Level::words).collect::<Vec<_>>(),
            ["L1 (512 B, 100.0 GB/s)", "L2 (4 KiB, 50.0 GB/s)"]
        );
        let roof = |record: &Record, levels: &[Level]| {
            let roof = Intensity::of(record).unwrap().roof(record, levels).unwrap();
            (roof.by, roof.gflops)
        };
        assert_eq!(roof(&record(127), &levels), ("peak".into(), 80.0));
        assert_eq!(roof(&record(128), &levels), ("L2".into(), 50.0));
        assert_eq!(roof(&record(1023), &levels), ("L2".into(), 50.0));
        assert_eq!(roof(&record(1024), &levels), ("memory".into(), 10.0));
        assert_eq!(roof(&record(128), &[]), ("memory".into(), 10.0));
        let cold = Record { cache: Some(Cache::Cold), ..record(1) };
        assert_eq!(roof(&cold, &levels), ("memory".into(), 10.0));
    }
}
