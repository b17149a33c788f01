//! Measurement: candidates verified first, then timed interleaved within one run.
//!
//! A shared host drifts by more than algorithms differ. So the candidates of a problem take turns: in each round every
//! one gives one sample, in an order that is shuffled anew, and what is compared is their medians. A sample lasts at least
//! [`MIN_SAMPLE`]; the run before it is not timed, so that "warm" means this algorithm's own data in the caches.
//!
//! The multiply-add peak takes its turns with them: the clock of a shared host drifts by several percent within seconds,
//! and a share of the peak is one median over another of the same rounds.

mod forward;
mod phases;
mod samples;
mod subject;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use conv_check::Failure;
use conv_core::{PlanError, RunError};
use conv_simd::{AllocationError, Isa};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use rayon::ThreadPool;

use crate::machine::{Limits, Machine, PeakProbe, Stream, core_to_core_ns};
use crate::memory::TooLittleMemory;
use crate::record::{Cache, Clock, Model, Record};
use crate::suite::Case;

pub use forward::{ForwardMeasureError, ForwardWorkload};
pub use phases::PhaseClock;
pub use samples::{Samples, sample};
pub use subject::{Subject, Workload};

/// Shortest sample of a warm run: clocks and interrupts weigh less than a thousandth of it.
pub const MIN_SAMPLE: Duration = Duration::from_millis(1);

/// Length of one sample of the multiply-add peak. Of samples of 1 ms, on a Zen 4, most met none of the interruptions that a
/// longer run meets, and one thread's median was 1% above that of 5 to 30 ms; two threads' was 3% below, because they do not
/// start at the same instant.
const PEAK_SAMPLE: Duration = Duration::from_millis(10);

/// Bytes of other memory that are read between two cold runs: the fully connected weights of AlexNet in f32, which pass
/// through the caches between two visits of a convolution.
pub const COLD_BYTES: usize = 4 * (9216 * 4096 + 4096 * 4096 + 4096 * 1000);

/// How often a method is prepared anew while its runs in a network's conditions are sampled: its time depends on where its
/// weights and scratch come to lie, by up to several percent.
pub const PREPARATIONS: usize = 3;

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Samples that are taken at most.
    pub samples: usize,
    /// Samples that are taken however long they last.
    pub min_samples: usize,
    /// Time a candidate and a kind of measurement (warm, cold, prepare), after which no round begins.
    pub budget: Duration,
    /// Whether cold caches are measured too.
    pub cold: bool,
    /// Whether runs as in a network are measured too: weights from memory, everything else in the caches.
    pub network: bool,
}

impl Effort {
    /// For figures that are kept.
    pub const FULL: Effort =
        Effort { samples: 41, min_samples: 5, budget: Duration::from_millis(300), cold: true, network: false };
    /// For a first look.
    pub const QUICK: Effort =
        Effort { samples: 11, min_samples: 3, budget: Duration::from_millis(40), cold: false, network: false };
    /// For comparing choices.
    pub const NETWORK: Effort = Effort { cold: false, network: true, ..Effort::FULL };
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// Not enough memory.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    /// Memory that the system would not give.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// A plan that could be made once and no longer.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A run that was refused.
    #[error(transparent)]
    Run(#[from] RunError),
}

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

/// One run as in a network: other memory was read since the last one, but not since the layer before, so that of what it
/// reads only the weights come from memory.
///
/// # Errors
/// [`MeasureError::Run`] if `workload` is not the subject's.
pub fn sample_in_network(subject: &mut Subject, workload: &mut Workload, others: &Stream) -> Result<f64, MeasureError> {
    others.sweep(subject.candidate().isa);
    subject.refresh(workload);
    Ok(sample(Duration::ZERO, &mut 1, || subject.run(workload))?)
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
        self.limits.iter().map(|(probe, limits)| limits.record(&self.machine, probe.isa(), threads)).collect()
    }

    /// A record of everything about `subject` but times.
    pub fn record(&self, subject: &Subject) -> Record {
        let isa = subject.candidate().isa;
        let limits = self.limits.iter().find(|(probe, _)| probe.isa() == isa).map(|(_, limits)| limits);
        Record {
            threads: self.pool.current_num_threads(),
            peak_gflops: limits.map(|limits| limits.peak_gflops),
            bandwidth_gb_s: limits.map(|limits| limits.bandwidth_gb_s),
            ..subject.record(self.machine.record())
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
        let mut records = vec![Record { phases, ..subject.timed(run(Cache::Warm), &entry.warm) }];
        if entry.cold.count() > 0 {
            records.push(subject.timed(run(Cache::Cold), &entry.cold));
        }
        if entry.network.count() > 0 {
            records.push(subject.timed(run(Cache::Network), &entry.network));
        }
        records.push(entry.prepare.record(Record { model: Some(Model::Prepare), ..base }));
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

/// Lets every entry give one sample a round, after `begin_round`.
fn rounds<T, E>(
    effort: Effort,
    entries: &mut [T],
    mut begin_round: impl FnMut(),
    mut give_sample: impl FnMut(&mut T) -> Result<(), E>,
) -> Result<(), E> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let end = Instant::now() + effort.budget * entries.len() as u32;
    for round in 0..effort.samples {
        if round >= effort.min_samples && Instant::now() >= end {
            break;
        }
        begin_round();
        order.shuffle(&mut rng);
        for &index in &order {
            give_sample(&mut entries[index])?;
        }
    }
    Ok(())
}
