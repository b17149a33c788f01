//! What an algorithm offers: a name, a typed refusal or a plan, and runs that allocate nothing.

use std::ops::Range;

use conv_simd::{AlignedBuffer, AllocationError, Bounds, Isa};

use crate::memory::{Footprint, RunError, Scratch};
use crate::problem::{Axis, MAX_TENSOR_BYTES, Problem};
use crate::tuning::{Parameter, Parameters, Work};

/// A way to compute convolutions.
pub trait Algorithm: Send + Sync {
    /// `family/variant`, for example `winograd/f4x3`.
    fn name(&self) -> &'static str;

    /// Whether this algorithm computes `problem`.
    ///
    /// # Errors
    /// The reason why it does not.
    fn supports(&self, problem: &Problem) -> Result<(), Unsupported>;

    /// Prepares weights and everything else that need not be done at each run.
    ///
    /// # Errors
    /// [`PlanError`] if the problem is not supported, the filter's arrays do not fit it, or the plan would need more
    /// memory than [`PlanOptions::memory_limit`] or the system allow.
    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError>;

    /// [`Algorithm::plan`] with weights that come a few output channels at a time. Unless an algorithm has its own way, all
    /// of them are in memory while it prepares them.
    ///
    /// # Errors
    /// As [`Algorithm::plan`], and [`PlanError::Weights`] if they cannot be had.
    fn plan_streamed(
        &self,
        problem: &Problem,
        mut filter: StreamedFilter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        self.supports(problem)?;
        let weights = filter.collect(problem, options)?;
        self.plan(problem, Filter { weights: &weights, bias: filter.bias }, epilogue, options)
    }

    /// Whether the plans for `problem` give plans of its rows: [`Plan::on_rows`].
    fn plans_rows(&self, _problem: &Problem) -> bool {
        false
    }

    /// A bound of the rounding error: for every output element
    /// `|computed − exact| ≤ error_growth · ε/2 · max|x| · max over output channels of (Σ|w| + |bias| / max|x|)`, with
    /// ε = 2⁻²³ ([`f32::EPSILON`]). Rigorous to first order in ε; each implementation says how it is derived.
    fn error_growth(&self, problem: &Problem) -> f64;

    /// What may be tuned; none unless it says otherwise.
    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    /// Values of [`Algorithm::parameters`] that are worth measuring for `problem`, beside the algorithm's own choice. Of
    /// `options` counts all but its parameters.
    fn tunings(&self, _problem: &Problem, _options: &PlanOptions) -> Vec<Parameters> {
        Vec::new()
    }

    /// What a run of the plan that [`Algorithm::plan`] would make does. `None` where the algorithm does not compute
    /// `problem`, or cannot tell: then it must execute no less than the direct method, a cost model never chooses it, and a
    /// tuner has to measure it.
    fn work(&self, _problem: &Problem, _options: &PlanOptions) -> Option<Work> {
        None
    }
}

/// Weights `[oc][ic/groups][kh][kw]` and an optional bias `[oc]`.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    /// Weights, OIHW.
    pub weights: &'a [f32],
    /// One float an output channel.
    pub bias: Option<&'a [f32]>,
}

impl Filter<'_> {
    /// Checks both lengths against `problem`.
    ///
    /// # Errors
    /// [`PlanError::Length`].
    pub fn check(&self, problem: &Problem) -> Result<(), PlanError> {
        let lengths = [
            ("weights", self.weights.len(), problem.weight_len()),
            ("bias", self.bias.map_or(problem.out_channels(), <[f32]>::len), problem.out_channels()),
        ];
        match lengths.into_iter().find(|(_, got, expected)| got != expected) {
            Some((array, got, expected)) => Err(PlanError::Length { array, got, expected }),
            None => Ok(()),
        }
    }
}

/// Writes the weights of some output channels, `[channels][ic/groups][kh][kw]`, to a slice that has room for them.
pub type ReadWeights<'a> = dyn FnMut(Range<usize>, &mut [f32]) -> Result<(), PlanError> + 'a;

/// A [`Filter`] whose weights need not be in memory all at once.
pub struct StreamedFilter<'a> {
    /// Asked for all output channels once, in order.
    pub weights: &'a mut ReadWeights<'a>,
    /// One float an output channel.
    pub bias: Option<&'a [f32]>,
}

impl StreamedFilter<'_> {
    /// All weights at once.
    ///
    /// # Errors
    /// [`PlanError`] if they cannot be had, or would need more than the memory limit.
    pub fn collect(&mut self, problem: &Problem, options: &PlanOptions) -> Result<AlignedBuffer, PlanError> {
        options.admit(4 * problem.weight_len() as u128, 0)?;
        let mut weights = AlignedBuffer::zeroed(problem.weight_len())?;
        (self.weights)(0..problem.out_channels(), &mut weights)?;
        Ok(weights)
    }
}

/// What becomes of the sums, the bias among them, while they are still in registers, and where they go.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Epilogue {
    /// Whether what stands in the output is added: a residual.
    pub accumulate: bool,
    /// Of the results: an activation.
    pub bounds: Bounds,
    /// Floats from one output pixel to the next, all output channels unless given. With more of them, a slice of the channels
    /// of a wider tensor is written, and nothing between.
    pub pitch: Option<usize>,
}

impl Epilogue {
    /// Negative results become zero.
    pub const RELU: Epilogue = Epilogue { accumulate: false, bounds: Bounds::RELU, pitch: None };

    /// Floats from one output pixel of `problem` to the next.
    ///
    /// # Errors
    /// [`PlanError::Pitch`] if that is less than its channels, or the output would be beyond [`MAX_TENSOR_BYTES`].
    pub fn pitch_of(&self, problem: &Problem) -> Result<usize, PlanError> {
        let channels = problem.out_channels();
        let pitch = self.pitch.unwrap_or(channels);
        let pixels = problem.output_len() / channels;
        if pitch < channels || 4 * pixels as u128 * pitch as u128 > MAX_TENSOR_BYTES {
            return Err(PlanError::Pitch { pitch, channels, pixels });
        }
        Ok(pitch)
    }

    /// What of it falls to one of the parts in which a sum is made, each added to the output.
    pub fn of_part(self, first: bool, last: bool) -> Epilogue {
        let bounds = if last { self.bounds } else { Bounds::NONE };
        Epilogue { accumulate: self.accumulate || !first, bounds, ..self }
    }
}

/// How a plan is to be made.
#[derive(Debug, Clone, Copy)]
pub struct PlanOptions {
    /// Instruction set.
    pub isa: Isa,
    /// Threads that will work on a run: how many shares of scratch the plan asks for. At least 1.
    pub workers: usize,
    /// Bytes that prepared weights and scratch together may take.
    pub memory_limit: usize,
    /// Of the algorithm that plans: made for another one, they say nothing to it.
    pub parameters: Parameters,
}

impl PlanOptions {
    /// `workers` threads on this machine's best instruction set, with memory up to what a `Vec` may hold.
    pub fn new(workers: usize) -> Self {
        let (isa, memory_limit) = (Isa::best(), isize::MAX as usize);
        PlanOptions { isa, workers: workers.max(1), memory_limit, parameters: Parameters::default() }
    }

    /// The same for another instruction set.
    pub fn isa(self, isa: Isa) -> Self {
        PlanOptions { isa, ..self }
    }

    /// The same with a memory limit in bytes.
    pub fn memory_limit(self, memory_limit: usize) -> Self {
        PlanOptions { memory_limit, ..self }
    }

    /// The same with an algorithm's parameters.
    pub fn parameters(self, parameters: Parameters) -> Self {
        PlanOptions { parameters, ..self }
    }

    /// Checks a plan's memory before any of it is allocated.
    ///
    /// # Errors
    /// [`PlanError::Memory`] if it is above the limit.
    pub fn admit(&self, prepared_bytes: u128, scratch_bytes: u128) -> Result<Footprint, PlanError> {
        let needed = prepared_bytes.saturating_add(scratch_bytes);
        if needed > self.memory_limit as u128 {
            return Err(PlanError::Memory { needed, limit: self.memory_limit });
        }
        // Both fit: their sum is at most a `usize`.
        Ok(Footprint { prepared_bytes: prepared_bytes as usize, scratch_bytes: scratch_bytes as usize })
    }
}

/// A convolution ready to run: prepared weights, its instruction set, its schedule.
pub trait Plan: Send + Sync {
    /// What it computes.
    fn problem(&self) -> &Problem;

    /// What it costs in memory.
    fn footprint(&self) -> Footprint;

    /// Floats from one output pixel to the next: [`Epilogue::pitch`].
    fn output_pitch(&self) -> usize {
        self.problem().out_channels()
    }

    /// The same filter and epilogue on some rows of one image, by one worker, with the weights that were prepared for this plan
    /// and the bits that it computes. `height` is of such rows ([`Axis::band`]). `None` only where [`Algorithm::plans_rows`]
    /// says no.
    fn on_rows(&self, _height: Axis) -> Option<Box<dyn Plan>> {
        None
    }

    /// Floating-point operations that one run really executes, two a multiply-add: products and transforms, not copies.
    /// Unless a plan says otherwise, those on taps inside the image; whoever multiplies padding too, or multiplies in
    /// another domain, overrides this. "Share of the peak" means these over the time.
    fn executed_flops(&self) -> u128 {
        self.problem().flops_inside()
    }

    /// The computation itself, on buffers that [`Plan::run_within`] has checked: `input` and `output` of the lengths stated there,
    /// `scratch` of exactly [`Footprint::scratch_bytes`]. Allocates nothing. Tells `probe` which phase begins.
    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe);

    /// Computes `output` (NHWC) from `input` (NHWC) on the current rayon pool. The output ends with its last pixel's last
    /// channel ([`Problem::output_span`]), whatever its pitch.
    ///
    /// # Errors
    /// [`RunError`] if a buffer has the wrong length or the scratch is smaller than the footprint says.
    fn run(&self, input: &[f32], output: &mut [f32], scratch: &mut Scratch) -> Result<(), RunError> {
        self.run_probed(input, output, scratch, &Silent)
    }

    /// [`Plan::run`], with the phases told to `probe`.
    ///
    /// # Errors
    /// As [`Plan::run`].
    fn run_probed(
        &self,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut Scratch,
        probe: &dyn Probe,
    ) -> Result<(), RunError> {
        let scratch = scratch.lend(self.footprint().scratch_bytes)?;
        self.run_within(input, output, scratch, probe)
    }

    /// [`Plan::run_probed`] with scratch of exactly [`Footprint::scratch_bytes`].
    ///
    /// # Errors
    /// [`RunError::Length`] if a buffer has another length.
    fn run_within(
        &self,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
        probe: &dyn Probe,
    ) -> Result<(), RunError> {
        let (problem, scratch_floats) = (self.problem(), self.footprint().scratch_bytes / 4);
        let lengths = [
            ("input", input.len(), problem.input_len()),
            ("output", output.len(), problem.output_span(self.output_pitch())),
            ("scratch", scratch.len(), scratch_floats),
        ];
        if let Some((buffer, got, expected)) = lengths.into_iter().find(|(_, got, expected)| got != expected) {
            return Err(RunError::Length { buffer, got, expected });
        }
        self.execute(input, output, scratch, probe);
        Ok(())
    }
}

/// A part of a run whose time is worth knowing. Kernels have no clocks; a [`Probe`] may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing of this run: before the first and after the last phase of a worker.
    Idle,
    /// Copying the input into another shape (im2col's columns).
    Lower,
    /// Transforming input tiles.
    TransformInput,
    /// Multiply-adds over channels.
    Multiply,
    /// Transforming products back.
    TransformOutput,
    /// Rearranging the result.
    Reshape,
}

/// Told by each worker which phase it enters. Called a few times a block of work, never in inner loops.
pub trait Probe: Sync {
    /// The calling thread leaves its phase and enters `phase`.
    fn enter(&self, phase: Phase);
}

/// The probe that does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Probe for Silent {
    fn enter(&self, _: Phase) {}
}

/// Why an algorithm does not compute a problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// A filter size it has no transform for.
    #[error("{algorithm} computes {supported} filters, not {kernel_h}x{kernel_w}")]
    Kernel {
        /// The algorithm.
        algorithm: &'static str,
        /// What it computes, for example `3x3`.
        supported: &'static str,
        /// Filter height.
        kernel_h: usize,
        /// Filter width.
        kernel_w: usize,
    },
    /// A stride it does not compute.
    #[error("{algorithm} computes stride 1 only, not {stride_h}x{stride_w}")]
    Stride {
        /// The algorithm.
        algorithm: &'static str,
        /// Vertical stride.
        stride_h: usize,
        /// Horizontal stride.
        stride_w: usize,
    },
    /// A dilation it does not compute.
    #[error("{algorithm} computes dense filters only, not dilation {dilation_h}x{dilation_w} (1x1 is dense)")]
    Dilation {
        /// The algorithm.
        algorithm: &'static str,
        /// Vertical dilation.
        dilation_h: usize,
        /// Horizontal dilation.
        dilation_w: usize,
    },
}

/// Why no plan could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The algorithm does not compute this problem.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Weights or bias of another length than the problem's.
    #[error("the {array} array has {got} floats; this problem needs {expected}")]
    Length {
        /// `weights` or `bias`.
        array: &'static str,
        /// Floats given.
        got: usize,
        /// Floats needed.
        expected: usize,
    },
    /// Output pixels that overlap, or an output that is too large.
    #[error(
        "an output of {pixels} pixels cannot have {pitch} floats from one pixel to the next: at least the {channels} output \
         channels, and {limit} bytes (64 GiB) in all", limit = MAX_TENSOR_BYTES
    )]
    Pitch {
        /// Floats from one pixel to the next.
        pitch: usize,
        /// Output channels.
        channels: usize,
        /// Output pixels.
        pixels: usize,
    },
    /// Weights that could not be had.
    #[error("{message}")]
    Weights {
        /// Why.
        message: String,
    },
    /// More memory than allowed.
    #[error(
        "the plan needs {needed} bytes for prepared weights and scratch; the limit is {limit}: raise it or choose an algorithm that needs less"
    )]
    Memory {
        /// Bytes needed.
        needed: u128,
        /// Bytes allowed.
        limit: usize,
    },
    /// Memory that the system would not give.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
}
