//! Measurement: candidates verified first, then timed interleaved within one run.
//!
//! A shared host drifts by more than algorithms differ. So the candidates of a problem take turns: in each round every
//! one gives one sample, in an order that is shuffled anew, and what is compared is their medians. A sample lasts at least
//! [`MIN_SAMPLE`]; the run before it is not timed, so that "warm" means this algorithm's own data in the caches.
//!
//! The multiply-add peak takes its turns with them: the clock of a shared host drifts by several percent within seconds,
//! and a share of the peak is one median over another of the same rounds. By it rounds are told apart in which a neighbour
//! computed ([`Watch`]): they do not count where enough others are quiet, and the record says so where not.

mod forward;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Mutex;
use std::time::Duration;

use conv_check::Failure;
use conv_core::PlanError;
use conv_measure::{
    COLD_BYTES, Candidate, Effort, Limits, MIN_SAMPLE, Machine, MeasureError, PREPARATIONS, PeakProbe, PhaseClock,
    Samples, Stop, Stream, Subject, Watch, Workload, cache_gb_s, memory, rounds, sample, sample_in_network,
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

/// One pool of threads with its limits, and how to measure on it.
pub struct Bench {
    machine: Machine,
    pool: ThreadPool,
    limits: Vec<(PeakProbe, Limits)>,
    effort: Effort,
    stop: Stop,
    memory_limit: usize,
    /// The best peak that each instruction set showed so far, GFLOP/s.
    best_peaks: Mutex<Vec<f64>>,
}

/// What came of one problem.
#[derive(Default)]
pub struct Measured {
    /// Records of every candidate that computes correctly, `run` warm and cold, `prepare`; and of each left out, why.
    pub records: Vec<Record>,
    /// Those that compute wrongly, which were not timed.
    pub failures: Vec<Failure>,
    /// Those that need more memory than there is, and how much.
    pub left_out: Vec<(Candidate, String)>,
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

impl Entry {
    fn new(subject: Subject) -> Self {
        let mut prepare = Samples::default();
        prepare.push(subject.planned_in().as_nanos() as f64);
        let [warm, cold, network] = [const { Samples::new() }; 3];
        Entry { subject, runs: 1, warm, cold, network, prepare }
    }

    /// What its plan and scratch take.
    fn bytes(&self) -> usize {
        let footprint = self.subject.footprint();
        footprint.prepared_bytes + footprint.scratch_bytes
    }
}

/// What is said of rounds that nobody watches.
fn unwatched() -> bool {
    true
}

/// The machine in the rounds of one problem, by the state of the caches.
struct Conditions {
    warm: Watch,
    cold: Watch,
    network: Watch,
}

impl Bench {
    /// A bench on `pool`, whose peak and bandwidth are measured here and now for each of `isas`. It ends early when `stop`
    /// asks it to.
    ///
    /// # Errors
    /// [`MeasureError::Allocation`] if there is no memory to read for the bandwidth.
    pub fn new(
        machine: &Machine,
        pool: ThreadPool,
        isas: &[Isa],
        effort: Effort,
        stop: Stop,
    ) -> Result<Self, MeasureError> {
        let limits =
            isas.iter().map(|&isa| Ok((PeakProbe::new(&pool, isa, PEAK_SAMPLE), Limits::measure(&pool, isa)?)));
        let limits = limits.collect::<Result<Vec<_>, AllocationError>>()?;
        let best_peaks = Mutex::new(limits.iter().map(|(_, limits): &(_, Limits)| limits.peak_gflops).collect());
        Ok(Bench { machine: machine.clone(), pool, limits, effort, stop, memory_limit: usize::MAX, best_peaks })
    }

    /// The same with at most so many bytes for the plans that are there at once.
    pub fn memory_limit(self, memory_limit: usize) -> Self {
        Bench { memory_limit, ..self }
    }

    /// Its pool.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// A record of kind `machine` for each instruction set, with the bandwidths of the caches here and now.
    ///
    /// # Errors
    /// [`MeasureError::Allocation`] if there is no memory to read.
    pub fn machine_records(&self) -> Result<Vec<Record>, MeasureError> {
        let threads = self.pool.current_num_threads();
        let record = |(probe, limits): &(PeakProbe, Limits)| {
            let cache_gb_s = cache_gb_s(&self.pool, probe.isa(), &self.machine.caches)?;
            Ok(records::limits(limits, cache_gb_s, &self.machine, probe.isa(), threads))
        };
        self.limits.iter().map(record).collect()
    }

    /// A record of everything about `subject` but times.
    fn record(&self, subject: &Subject) -> Record {
        let isa = subject.candidate().isa;
        let limits = self.limits.iter().find(|(probe, _)| probe.isa() == isa).map(|(_, limits)| limits);
        Record {
            threads: self.pool.current_num_threads(),
            peak_gflops: limits.map(|limits| limits.peak_gflops),
            bandwidth_gb_s: limits.map(|limits| limits.bandwidth_gb_s),
            ..records::subject(subject, records::origin(&self.machine))
        }
    }

    /// Verifies and times every candidate of `case`. Those that do not fit into memory side by side are measured in waves,
    /// each beside the first candidate, so that all are compared within rounds; those that do not fit at all are left out.
    ///
    /// # Errors
    /// [`MeasureError::Stopped`] if the end was asked for; others if a plan that ran no longer does.
    pub fn measure(&self, case: &Case) -> Result<Measured, MeasureError> {
        // All of it inside the pool: a run that is started from outside pays for waking it up, and allocates.
        self.pool.install(|| self.measure_inside(case))
    }

    fn measure_inside(&self, case: &Case) -> Result<Measured, MeasureError> {
        let mut measured = Measured::default();
        let mut waiting = case.candidates.clone();
        match Workload::new(&case.problem) {
            Ok(mut workload) => {
                let mut reference = None;
                while !waiting.is_empty() {
                    let mut wave = self.plan_wave(&mut waiting, reference, &mut workload, &mut measured)?;
                    if wave.len() > usize::from(reference.is_some()) {
                        measured.records.extend(self.measure_wave(&mut wave, reference, &mut workload)?);
                        reference = reference.or(wave.first().map(|entry| entry.subject.candidate()));
                    }
                }
            }
            Err(error @ (MeasureError::Memory(_) | MeasureError::Allocation(_))) => {
                measured.left_out = waiting.into_iter().map(|candidate| (candidate, error.to_string())).collect();
            }
            Err(error) => return Err(error),
        }
        let why = |(candidate, reason): &(Candidate, String)| Record {
            threads: self.pool.current_num_threads(),
            failure: Some(reason.clone()),
            ..records::left_out(*candidate, &case.problem, records::origin(&self.machine))
        };
        let left_out: Vec<Record> = measured.left_out.iter().map(why).collect();
        measured.records.extend(left_out);
        Ok(measured)
    }

    /// As many of `waiting` as fit into memory beside `reference`, which stays out of `waiting`.
    fn plan_wave(
        &self,
        waiting: &mut Vec<Candidate>,
        reference: Option<Candidate>,
        workload: &mut Workload,
        measured: &mut Measured,
    ) -> Result<Vec<Entry>, MeasureError> {
        let mut wave: Vec<Entry> = Vec::new();
        for candidate in reference.into_iter().chain(mem::take(waiting)) {
            self.stop.check()?;
            let planned: usize = wave.iter().map(Entry::bytes).sum();
            let limit = memory::plannable_bytes().min(self.memory_limit.saturating_sub(planned));
            let beside_others = wave.len() > usize::from(reference.is_some());
            match Subject::new(candidate, workload, limit) {
                Ok(subject) => wave.push(Entry::new(subject)),
                Err(failure) if memory::refused(&failure) && beside_others => waiting.push(candidate),
                Err(failure) if memory::refused(&failure) => {
                    measured.left_out.push((candidate, failure.flaw.to_string()));
                }
                Err(failure) => measured.failures.push(failure),
            }
        }
        Ok(wave)
    }

    /// The records of a wave. Where `reference` is in it, it has its own from an earlier one.
    fn measure_wave(
        &self,
        wave: &mut [Entry],
        reference: Option<Candidate>,
        workload: &mut Workload,
    ) -> Result<Vec<Record>, MeasureError> {
        let conditions = self.sample_wave(wave, workload)?;
        let (beside, own) = wave.split_at_mut(usize::from(reference.is_some()));
        let reference_ns = beside.first().map(|entry| entry.warm.median());
        let mut records = Vec::new();
        for entry in own {
            records.extend(self.records(entry, &conditions, workload)?);
        }
        for record in &mut records {
            record.reference_ns = reference_ns;
        }
        Ok(records)
    }

    fn sample_wave(&self, wave: &mut [Entry], workload: &mut Workload) -> Result<Conditions, MeasureError> {
        let [mut warm, mut cold, mut network] = [(); 3].map(|()| self.watch());
        rounds(
            self.effort,
            wave,
            || self.sample_machine(&mut warm),
            |entry| {
                self.stop.check()?;
                entry.subject.run(workload)?;
                entry.warm.push(sample(MIN_SAMPLE, &mut entry.runs, || entry.subject.run(workload))?);
                Ok::<_, MeasureError>(())
            },
        )?;
        if self.effort.cold {
            let others = Stream::with_bytes(COLD_BYTES)?;
            rounds(
                self.effort,
                wave,
                || self.sample_machine(&mut cold),
                |entry| {
                    self.stop.check()?;
                    others.sweep(entry.subject.candidate().isa);
                    entry.cold.push(sample(Duration::ZERO, &mut 1, || entry.subject.run(workload))?);
                    Ok::<_, MeasureError>(())
                },
            )?;
        }
        if self.effort.network {
            let others = Stream::with_bytes(COLD_BYTES)?;
            let Effort { samples, budget, .. } = self.effort;
            let effort =
                Effort { samples: samples / PREPARATIONS, budget: budget / PREPARATIONS as u32, ..self.effort };
            for _ in 0..PREPARATIONS {
                for entry in &mut *wave {
                    // Where there is no room for a second plan, the first one stays.
                    let _ = entry
                        .subject
                        .prepare_anew(workload)
                        .map_err(|failure| debug_assert!(memory::refused(&failure)));
                }
                rounds(
                    effort,
                    wave,
                    || self.sample_machine(&mut network),
                    |entry| {
                        self.stop.check()?;
                        entry.network.push(sample_in_network(&mut entry.subject, workload, &others)?);
                        Ok::<_, MeasureError>(())
                    },
                )?;
                network.pause();
            }
        }
        rounds(self.effort, wave, unwatched, |entry| {
            self.stop.check()?;
            let candidate = entry.subject.candidate();
            let mut plan = Ok(None);
            let time = sample(Duration::ZERO, &mut 1, || {
                plan = workload.plan(candidate, memory::plannable_bytes()).map(Some);
                Ok::<_, MeasureError>(())
            })?;
            match plan {
                Ok(_) => entry.prepare.push(time),
                // Its first plan told how long it takes; for a second one beside it there is no room.
                Err(PlanError::Memory { .. } | PlanError::Allocation(_)) => {}
                Err(error) => return Err(error.into()),
            }
            Ok::<_, MeasureError>(())
        })?;
        Ok(Conditions { warm, cold, network })
    }

    /// Nothing seen yet.
    fn watch(&self) -> Watch {
        Watch::new(self.best_peaks.lock().expect("nobody panics while holding the lock").clone())
    }

    /// Samples the machine; whether the round before was quiet.
    fn sample_machine(&self, watch: &mut Watch) -> bool {
        let quiet = watch.sample(self.limits.iter().map(|(probe, _)| probe), &self.pool);
        self.best_peaks.lock().expect("nobody panics while holding the lock").copy_from_slice(watch.best());
        quiet
    }

    fn records(
        &self,
        entry: &mut Entry,
        conditions: &Conditions,
        workload: &mut Workload,
    ) -> Result<Vec<Record>, MeasureError> {
        let phases = self.phases(entry, workload)?;
        let subject = &entry.subject;
        let number = self.limits.iter().position(|(probe, _)| probe.isa() == subject.candidate().isa);
        let record = self.record(subject);
        let base = Record {
            clock: Some(Clock::Convlab),
            peak_gflops: number.map(|number| conditions.warm.peak(number)).or(record.peak_gflops),
            core_to_core_ns: conditions.warm.core_to_core_ns(),
            ..record
        };
        let run = |cache, samples: &Samples, watch: &Watch| {
            let (samples, disturbed) = watch.judge(samples, self.effort.min_samples);
            let record = Record { model: Some(Model::Run), cache: Some(cache), disturbed, ..base.clone() };
            records::timed(subject, &samples, record)
        };
        let mut records = vec![Record { phases, ..run(Cache::Warm, &entry.warm, &conditions.warm) }];
        for (cache, samples, watch) in
            [(Cache::Cold, &entry.cold, &conditions.cold), (Cache::Network, &entry.network, &conditions.network)]
        {
            if samples.count() > 0 {
                records.push(run(cache, samples, watch));
            }
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
