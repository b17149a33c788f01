//! Measurement: candidates verified first, then timed interleaved within one run.
//!
//! A shared host drifts by more than algorithms differ. So the candidates of a problem take turns: in each round every
//! one gives one sample, in an order that is shuffled anew, and what is compared is their medians. A sample lasts at least
//! [`MIN_SAMPLE`]; the run before it is not timed, so that "warm" means this algorithm's own data in the caches.
//!
//! The multiply-add peak takes its turns with them: the clock of a shared host drifts by several percent within seconds,
//! and a share of the peak is one median over another of the same rounds.

mod forward;

use std::collections::BTreeMap;
use std::time::Duration;

use conv_check::Failure;
use conv_measure::{
    COLD_BYTES, Effort, Limits, MIN_SAMPLE, Machine, MeasureError, PREPARATIONS, PeakProbe, PhaseClock, Samples,
    Stream, Subject, Workload, core_to_core_ns, rounds, sample, sample_in_network,
};
use conv_report::record::{Cache, Clock, Model, Record};
use conv_simd::{AllocationError, Isa};
use rayon::ThreadPool;

use crate::records;
use crate::suite::Case;

pub use forward::{ForwardMeasureError, ForwardWorkload};

/// Length of one sample of the multiply-add peak. Of samples of 1 ms, on a Zen 4, most met none of the interruptions that a
/// longer run meets, and one thread's median was 1% above that of 5 to 30 ms; two threads' was 3% below, because they do not
/// start at the same instant.
const PEAK_SAMPLE: Duration = Duration::from_millis(10);

/// One pool of threads with its limits, and how long to measure on it.
pub struct Bench {
    machine: Machine,
    pool: ThreadPool,
    limits: Vec<(PeakProbe, Limits)>,
    effort: Effort,
}

/// What came of one problem.
#[derive(Debug, Default)]
pub struct Measured {
    /// Records of every candidate that computes correctly: `run` warm and cold, `prepare`.
    pub records: Vec<Record>,
    /// The others, which were not timed.
    pub failures: Vec<Failure>,
}

/// A subject and its samples.
struct Entry {
    subject: Subject,
    runs: u32,
    warm: Samples,
    cold: Samples,
    network: Samples,
    prepare: Samples,
}

/// What begins a round that needs no preparation.
fn nothing() {}

/// The state of the machine as sampled in the rounds of one problem.
struct Conditions {
    /// The peak of each instruction set, GFLOP/s.
    peaks: Vec<(Isa, Samples)>,
    /// From one core to another, nanoseconds; none on one thread.
    core_to_core: Samples,
}

impl Bench {
    /// A bench on `pool`, whose peak and bandwidth are measured here and now for each of `isas`.
    ///
    /// # Errors
    /// [`MeasureError::Allocation`] if there is no memory to read for the bandwidth.
    pub fn new(machine: &Machine, pool: ThreadPool, isas: &[Isa], effort: Effort) -> Result<Self, MeasureError> {
        let limits =
            isas.iter().map(|&isa| Ok((PeakProbe::new(&pool, isa, PEAK_SAMPLE), Limits::measure(&pool, isa)?)));
        let limits = limits.collect::<Result<_, AllocationError>>()?;
        Ok(Bench { machine: machine.clone(), pool, limits, effort })
    }

    /// Its pool.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// A record of kind `machine` for each instruction set.
    pub fn machine_records(&self) -> Vec<Record> {
        let threads = self.pool.current_num_threads();
        self.limits.iter().map(|(probe, limits)| records::limits(limits, &self.machine, probe.isa(), threads)).collect()
    }

    /// A record of everything about `subject` but times.
    pub fn record(&self, subject: &Subject) -> Record {
        let isa = subject.candidate().isa;
        let limits = self.limits.iter().find(|(probe, _)| probe.isa() == isa).map(|(_, limits)| limits);
        Record {
            threads: self.pool.current_num_threads(),
            peak_gflops: limits.map(|limits| limits.peak_gflops),
            bandwidth_gb_s: limits.map(|limits| limits.bandwidth_gb_s),
            ..records::subject(subject, records::origin(&self.machine))
        }
    }

    /// Verifies and times every candidate of `case`.
    ///
    /// # Errors
    /// [`MeasureError`] if the problem's data does not fit into memory.
    pub fn measure(&self, case: &Case) -> Result<Measured, MeasureError> {
        // All of it inside the pool: a run that is started from outside pays for waking it up, and allocates.
        self.pool.install(|| self.measure_inside(case))
    }

    fn measure_inside(&self, case: &Case) -> Result<Measured, MeasureError> {
        let mut workload = Workload::new(&case.problem)?;
        let mut measured = Measured::default();
        let mut entries = Vec::new();
        for &candidate in &case.candidates {
            match Subject::new(candidate, &mut workload) {
                Ok(subject) => entries.push(Entry {
                    subject,
                    runs: 1,
                    warm: Samples::default(),
                    cold: Samples::default(),
                    network: Samples::default(),
                    prepare: Samples::default(),
                }),
                Err(failure) => measured.failures.push(failure),
            }
        }
        let mut conditions = Conditions {
            peaks: self.limits.iter().map(|(probe, _)| (probe.isa(), Samples::default())).collect(),
            core_to_core: Samples::default(),
        };
        let sample_conditions = || {
            for ((probe, _), (_, samples)) in self.limits.iter().zip(&mut conditions.peaks) {
                samples.push(probe.gflops(&self.pool, 1));
            }
            core_to_core_ns(&self.pool).into_iter().for_each(|sample| conditions.core_to_core.push(sample));
        };
        rounds(self.effort, &mut entries, sample_conditions, |entry| {
            entry.subject.run(&mut workload)?;
            entry.warm.push(sample(MIN_SAMPLE, &mut entry.runs, || entry.subject.run(&mut workload))?);
            Ok::<_, MeasureError>(())
        })?;
        if self.effort.cold {
            let others = Stream::with_bytes(COLD_BYTES)?;
            rounds(self.effort, &mut entries, nothing, |entry| {
                others.sweep(entry.subject.candidate().isa);
                entry.cold.push(sample(Duration::ZERO, &mut 1, || entry.subject.run(&mut workload))?);
                Ok::<_, MeasureError>(())
            })?;
        }
        if self.effort.network {
            let others = Stream::with_bytes(COLD_BYTES)?;
            let Effort { samples, budget, .. } = self.effort;
            let effort =
                Effort { samples: samples / PREPARATIONS, budget: budget / PREPARATIONS as u32, ..self.effort };
            for _ in 0..PREPARATIONS {
                for entry in &mut entries {
                    measured.failures.extend(entry.subject.prepare_anew(&mut workload).err());
                }
                rounds(effort, &mut entries, nothing, |entry| {
                    entry.network.push(sample_in_network(&mut entry.subject, &mut workload, &others)?);
                    Ok::<_, MeasureError>(())
                })?;
            }
        }
        rounds(self.effort, &mut entries, nothing, |entry| {
            let candidate = entry.subject.candidate();
            let mut plan = None;
            let time = sample(Duration::ZERO, &mut 1, || workload.plan(candidate).map(|made| plan = Some(made)))?;
            entry.prepare.push(time);
            Ok::<_, MeasureError>(())
        })?;
        for entry in &mut entries {
            measured.records.extend(self.records(entry, &conditions, &mut workload)?);
        }
        Ok(measured)
    }

    fn records(
        &self,
        entry: &mut Entry,
        conditions: &Conditions,
        workload: &mut Workload,
    ) -> Result<Vec<Record>, MeasureError> {
        let phases = self.phases(entry, workload)?;
        let subject = &entry.subject;
        let Conditions { peaks, core_to_core } = conditions;
        let peak = peaks.iter().find(|(isa, _)| *isa == subject.candidate().isa).map(|(_, samples)| samples.median());
        let record = self.record(subject);
        let base = Record {
            clock: Some(Clock::Convlab),
            peak_gflops: peak.or(record.peak_gflops),
            core_to_core_ns: (core_to_core.count() > 0).then(|| core_to_core.median()),
            ..record
        };
        let run = |cache| Record { model: Some(Model::Run), cache: Some(cache), ..base.clone() };
        let mut records = vec![Record { phases, ..records::timed(subject, &entry.warm, run(Cache::Warm)) }];
        if entry.cold.count() > 0 {
            records.push(records::timed(subject, &entry.cold, run(Cache::Cold)));
        }
        if entry.network.count() > 0 {
            records.push(records::timed(subject, &entry.network, run(Cache::Network)));
        }
        records.push(records::times(&entry.prepare, Record { model: Some(Model::Prepare), ..base }));
        Ok(records)
    }

    /// Time by phase, from runs of their own: telling phases costs a little.
    fn phases(&self, entry: &mut Entry, workload: &mut Workload) -> Result<BTreeMap<String, f64>, MeasureError> {
        let clock = PhaseClock::default();
        let runs = self.effort.min_samples.max(1);
        for _ in 0..runs {
            entry.subject.run_probed(workload, &clock)?;
        }
        Ok(clock.phases(runs, self.pool.current_num_threads()))
    }
}
