//! One problem with its data, and the algorithms that are ready to run on it.

use conv_check::{Case, Failure, Flaw, Kind};
use conv_core::{Epilogue, Footprint, Plan, PlanError, PlanOptions, Probe, Problem, RunError, Scratch};
use conv_simd::AlignedBuffer;

use crate::measure::{MeasureError, Samples};
use crate::memory::{self, counted};
use crate::record::{Kind as RecordKind, Record};
use crate::suite::{Candidate, label};

/// Seed of the data that is measured on: every run computes on the same numbers.
const SEED: u64 = 1;

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
        memory::admit(&format!("measuring {}", label(problem)), problem.bytes() + 3 * sample.bytes())?;
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

    /// Plans `candidate` for the current pool.
    ///
    /// # Errors
    /// [`PlanError`], also if the plan needs more than the memory that is available.
    pub fn plan(&self, candidate: Candidate) -> Result<Box<dyn Plan>, PlanError> {
        let options = PlanOptions::new(rayon::current_num_threads())
            .isa(candidate.isa)
            .memory_limit(memory::available_bytes().min(isize::MAX as usize))
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
    errors: [f64; 2],
    counted: Option<Footprint>,
}

impl Subject {
    /// Plans `candidate`, reserves its scratch, runs it once and verifies the result. Must be called inside the pool that
    /// it will run on.
    ///
    /// # Errors
    /// [`Failure`] if there is no plan or its result is wrong.
    pub fn new(candidate: Candidate, workload: &mut Workload) -> Result<Self, Failure> {
        let (plan, planned) = counted(|| workload.plan(candidate));
        let plan = plan.map_err(|error| workload.failure(candidate, error))?;
        let (scratch, reserved) = counted(|| Scratch::with_bytes(plan.footprint().scratch_bytes));
        let mut scratch = scratch.map_err(|error| workload.failure(candidate, PlanError::from(error)))?;
        let mut run = || {
            // Not the first run is counted: in a thread's first product faer allocates a buffer that the thread keeps.
            plan.run(&workload.input, &mut workload.output, &mut scratch)?;
            scratch.fill(f32::NAN);
            workload.output.fill(f32::NAN);
            Ok(counted(|| plan.run(&workload.input, &mut workload.output, &mut scratch)))
        };
        let (ran, running) = run().map_err(|error: RunError| workload.failure(candidate, error))?;
        ran.map_err(|error| workload.failure(candidate, error))?;
        let counted = planned.zip(reserved).zip(running).map(|((planned, reserved), running)| Footprint {
            prepared_bytes: planned.retained_bytes.max(0).cast_unsigned(),
            scratch_bytes: reserved.peak_bytes + running.peak_bytes,
        });
        let errors = workload.verify(candidate)?;
        Ok(Subject { candidate, plan, scratch, errors, counted })
    }

    /// Plans and verifies it anew. The old plan is dropped after the new one is made, so that weights and scratch come to
    /// lie elsewhere.
    ///
    /// # Errors
    /// As [`Subject::new`]; it stays as it was then.
    pub fn prepare_anew(&mut self, workload: &mut Workload) -> Result<(), Failure> {
        *self = Subject::new(self.candidate, workload)?;
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
    pub(super) fn run_probed(&mut self, workload: &mut Workload, probe: &dyn Probe) -> Result<(), RunError> {
        self.plan.run_probed(&workload.input, &mut workload.output, &mut self.scratch, probe)
    }

    /// The largest and the L2 relative error of its result.
    pub fn errors(&self) -> [f64; 2] {
        self.errors
    }

    /// Who computes, on which instruction set.
    pub fn candidate(&self) -> Candidate {
        self.candidate
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

    /// `record` with everything that is known of the plan and its result.
    pub(super) fn record(&self, record: Record) -> Record {
        let problem = self.plan.problem();
        let footprint = self.footprint();
        Record {
            kind: RecordKind::Conv,
            name: label(problem),
            problem: Some(problem.to_string()),
            algorithm: Some(self.candidate.method.algorithm.name().into()),
            parameters: Some(self.candidate.method.parameters.to_string()).filter(|text| !text.is_empty()),
            isa: self.candidate.isa.name().into(),
            batch: Some(problem.batch()),
            executed_flops: Some(self.plan.executed_flops() as f64),
            scratch_bytes: Some(footprint.scratch_bytes),
            scratch_counted_bytes: self.counted.map(|counted| counted.scratch_bytes),
            prepared_bytes: Some(footprint.prepared_bytes),
            prepared_counted_bytes: self.counted.map(|counted| counted.prepared_bytes),
            weight_bytes: Some(4 * problem.weight_len()),
            max_rel_error: Some(self.errors[0]),
            l2_rel_error: Some(self.errors[1]),
            ..record
        }
    }

    /// `record` with the times of `samples`, and the rates of computation that follow.
    pub fn timed(&self, record: Record, samples: &Samples) -> Record {
        let median = samples.median();
        let flops = self.plan.problem().flops() as f64;
        let executed = self.plan.executed_flops() as f64;
        Record {
            // Operations in a nanosecond are 10⁹ in a second.
            gflops_effective: Some(flops / median),
            peak_fraction: record.peak_gflops.map(|peak| executed / median / peak),
            ..samples.record(record)
        }
    }
}
