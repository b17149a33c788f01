//! One problem with its data, and the algorithms that are ready to run on it.

use std::time::{Duration, Instant};

use conv_check::{Case, Failure, Flaw, Kind};
use conv_core::{Epilogue, Footprint, Method, Plan, PlanError, PlanOptions, Probe, Problem, RunError, Scratch};
use conv_simd::{AlignedBuffer, AllocationError, Isa};

use crate::limits::Stream;
use crate::memory::{self, TooLittleMemory, counted};
use crate::samples::sample;
use crate::stop::Stopped;

/// Runs that are counted at most, until one takes no more memory than its plan declares: a plan that takes more does so in
/// each of them.
const COUNTED_RUNS: usize = 4;

/// Seed of the data that is measured on: every run computes on the same numbers.
const SEED: u64 = 1;

/// Bytes of other memory that are read between two cold runs: the fully connected weights of AlexNet in f32, which pass
/// through the caches between two visits of a convolution.
pub const COLD_BYTES: usize = 4 * (9216 * 4096 + 4096 * 4096 + 4096 * 1000);

/// How often a method is prepared anew while its runs in a network's conditions are sampled: its time depends on where its
/// weights and scratch come to lie, by up to several percent.
pub const PREPARATIONS: usize = 3;

/// One algorithm on one instruction set.
#[derive(Clone, Copy)]
pub struct Candidate {
    /// The algorithm and its parameters.
    pub method: Method,
    /// Its instruction set.
    pub isa: Isa,
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
    /// An end that was asked for.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A problem, its data and what should come out.
///
/// Data is as after a ReLU. The oracle computes one or two images; the others repeat them, so that every image of a
/// batch is verified while the oracle stays affordable.
pub struct Workload {
    problem: Problem,
    case: Case,
    input: AlignedBuffer,
    output: AlignedBuffer,
}

impl Workload {
    /// Generates the data of `problem` and computes the exact result, on the current pool.
    ///
    /// # Errors
    /// [`MeasureError`] if the memory for it is not available.
    pub fn new(problem: &Problem) -> Result<Self, MeasureError> {
        let images = if problem.batch().is_multiple_of(2) { 2 } else { 1 };
        // A smaller batch of a valid problem is valid.
        let sample = problem.with_batch(images).unwrap_or_else(|_| problem.clone());
        // The data, its oracle in f64, and weights in f64 beside those in f32.
        memory::admit(&format!("measuring {}", problem.label()), problem.bytes() + 3 * sample.bytes())?;
        let case = Case::new(&sample, Kind::ReluLike, SEED, Epilogue::default());
        let mut input = AlignedBuffer::zeroed(problem.input_len())?;
        for images in input.chunks_exact_mut(sample.input_len()) {
            images.copy_from_slice(case.input());
        }
        let output = AlignedBuffer::zeroed(problem.output_len())?;
        Ok(Workload { problem: problem.clone(), case, input, output })
    }

    /// What is computed.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Plans `candidate` for the current pool with at most `memory_limit` bytes.
    ///
    /// # Errors
    /// [`PlanError`], also if the plan needs more.
    pub fn plan(&self, candidate: Candidate, memory_limit: usize) -> Result<Box<dyn Plan>, PlanError> {
        let options = PlanOptions::new(rayon::current_num_threads())
            .isa(candidate.isa)
            .memory_limit(memory_limit)
            .parameters(candidate.method.parameters);
        candidate.method.algorithm.plan(&self.problem, self.case.filter(), Epilogue::default(), &options)
    }

    /// Holds the output of the last run against the oracle. Returns the largest and the L2 relative error.
    fn verify(&self, candidate: Candidate) -> Result<[f64; 2], Failure> {
        let mut errors = [0.0_f64; 2];
        for images in self.output.chunks_exact(self.case.problem().output_len()) {
            let outcome =
                self.case.judge(candidate.method.algorithm, images).map_err(|flaw| self.failure(candidate, flaw))?;
            errors = [errors[0].max(outcome.errors.max_rel), errors[1].max(outcome.errors.l2_rel)];
        }
        Ok(errors)
    }

    fn failure(&self, candidate: Candidate, flaw: impl Into<Flaw>) -> Failure {
        let (algorithm, isa) = (candidate.method.algorithm.name(), candidate.isa.name());
        Failure { flaw: Box::new(flaw.into()), problem: self.problem.to_string(), algorithm, isa }
    }
}

/// A candidate whose plan was made and whose result was verified.
pub struct Subject {
    candidate: Candidate,
    plan: Box<dyn Plan>,
    scratch: Scratch,
    planned_in: Duration,
    errors: [f64; 2],
    counted: Option<Footprint>,
}

impl Subject {
    /// Plans `candidate`, reserves its scratch, both with at most `memory_limit` bytes, runs it once and verifies the result.
    /// Must be called inside the pool that it will run on.
    ///
    /// # Errors
    /// [`Failure`] if there is no plan or its result is wrong.
    pub fn new(candidate: Candidate, workload: &mut Workload, memory_limit: usize) -> Result<Self, Failure> {
        let start = Instant::now();
        let (plan, planned) = counted(|| workload.plan(candidate, memory_limit));
        let planned_in = start.elapsed();
        let plan = plan.map_err(|error| workload.failure(candidate, error))?;
        let (scratch, reserved) = counted(|| Scratch::with_bytes(plan.footprint().scratch_bytes));
        let mut scratch = scratch.map_err(|error| workload.failure(candidate, PlanError::from(error)))?;
        let mut run = |workload: &mut Workload| {
            // Not the first run is counted: in a thread's first product faer allocates a buffer that the thread keeps.
            // One thread may have done all of it, and the other's first product be in a run that is counted.
            plan.run(&workload.input, &mut workload.output, &mut scratch)?;
            scratch.fill(f32::NAN);
            workload.output.fill(f32::NAN);
            Ok(counted(|| plan.run(&workload.input, &mut workload.output, &mut scratch)))
        };
        let declared = plan.footprint().scratch_bytes;
        let mut counted: Option<Footprint> = None;
        for _ in 0..COUNTED_RUNS {
            let (ran, running) = run(workload).map_err(|error: RunError| workload.failure(candidate, error))?;
            ran.map_err(|error| workload.failure(candidate, error))?;
            let now = planned.zip(reserved).zip(running).map(|((planned, reserved), running)| Footprint {
                prepared_bytes: planned.retained_bytes.max(0).cast_unsigned(),
                scratch_bytes: reserved.peak_bytes + running.peak_bytes,
            });
            counted = counted.into_iter().chain(now).min_by_key(|footprint| footprint.scratch_bytes);
            if counted.is_none_or(|footprint| footprint.scratch_bytes <= declared) {
                break;
            }
        }
        let errors = workload.verify(candidate)?;
        Ok(Subject { candidate, plan, scratch, planned_in, errors, counted })
    }

    /// Plans and verifies it anew. The old plan is dropped after the new one is made, so that weights and scratch come to
    /// lie elsewhere.
    ///
    /// # Errors
    /// As [`Subject::new`]; it stays as it was then.
    pub fn prepare_anew(&mut self, workload: &mut Workload) -> Result<(), Failure> {
        *self = Subject::new(self.candidate, workload, memory::plannable_bytes())?;
        Ok(())
    }

    /// Computes once.
    ///
    /// # Errors
    /// [`RunError`] if `workload` is not the one that it was made for.
    pub fn run(&mut self, workload: &mut Workload) -> Result<(), RunError> {
        self.plan.run(&workload.input, &mut workload.output, &mut self.scratch)
    }

    /// Brings scratch, output and input into the caches, the input last, as the layers before do in a network: of what a run
    /// reads, only the prepared weights stay where they were.
    pub fn refresh(&mut self, workload: &mut Workload) {
        self.scratch.fill(0.0);
        workload.output.fill(0.0);
        let images = workload.case.input();
        workload.input.chunks_exact_mut(images.len()).for_each(|chunk| chunk.copy_from_slice(images));
    }

    /// Computes once and tells `probe` the phases.
    ///
    /// # Errors
    /// As [`Subject::run`].
    pub fn run_probed(&mut self, workload: &mut Workload, probe: &dyn Probe) -> Result<(), RunError> {
        self.plan.run_probed(&workload.input, &mut workload.output, &mut self.scratch, probe)
    }

    /// How long making its plan took.
    pub fn planned_in(&self) -> Duration {
        self.planned_in
    }

    /// The largest and the L2 relative error of its result.
    pub fn errors(&self) -> [f64; 2] {
        self.errors
    }

    /// Who computes, on which instruction set.
    pub fn candidate(&self) -> Candidate {
        self.candidate
    }

    /// Its plan.
    pub fn plan(&self) -> &dyn Plan {
        &*self.plan
    }

    /// What the plan declares.
    pub fn footprint(&self) -> Footprint {
        self.plan.footprint()
    }

    /// The same as the counting allocator saw it: what planning left allocated, and the scratch with whatever a run
    /// allocates beside it. `None` where that is not the global allocator.
    pub fn counted(&self) -> Option<Footprint> {
        self.counted
    }
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
