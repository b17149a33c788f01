//! The forward pass: plans made once, memory planned ahead, runs that allocate nothing.

use conv_core::{
    Algorithm, Epilogue, Footprint, Method, Plan, PlanError, PlanOptions, Problem, RunError, Scratch, StreamedFilter,
};
use conv_simd::{AlignedBuffer, AllocationError};

use crate::layers;
use crate::memory::{LayerMemory, MemoryPlan};
use crate::network::{AveragePool, LayerKind, Lrn, Network, NetworkError, Pool, Shape, ShapedLayer};
use crate::weights::{Weights, WeightsError};
use crate::work::LayerWork;

/// Says which algorithm, with which parameters, computes a convolution or fully connected layer; see
/// [`ShapedLayer::problem`].
pub type Chooser<'a> = dyn (Fn(&Problem) -> Method) + 'a;

/// Told where a run is, so that a harness can time layers; nothing here has a clock. `()` listens to nothing.
///
/// `layer` is an index into [`MemoryPlan::layers`].
pub trait LayerObserver {
    /// `layer` begins.
    fn begin(&mut self, layer: usize);
    /// `layer` is done; `output` is what it computed, `[batch][height][width][channels]`.
    fn end(&mut self, layer: usize, output: &[f32]);
}

impl LayerObserver for () {
    fn begin(&mut self, _: usize) {}
    fn end(&mut self, _: usize, _: &[f32]) {}
}

/// Why a forward pass could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// The layers do not fit together.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// An algorithm that could not be prepared, also because there are no weights for the layer.
    #[error("{layer} by {algorithm}: {source}")]
    Plan {
        /// `network/layer`.
        layer: String,
        /// The algorithm chosen for it.
        algorithm: &'static str,
        /// Why.
        source: PlanError,
    },
    /// More memory than allowed.
    #[error(
        "up to {layer} the forward pass needs {needed} bytes for activations, prepared weights and scratch; the limit is \
         {limit}: raise it, take a smaller batch or an algorithm that needs less"
    )]
    Memory {
        /// `network/layer`.
        layer: String,
        /// Bytes needed so far.
        needed: u128,
        /// Bytes allowed.
        limit: usize,
    },
    /// Memory that the system would not give.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
}

/// A network ready to run on a fixed number of images: prepared weights, two activation buffers, one scratch.
pub struct ForwardPass {
    options: PlanOptions,
    batch: usize,
    input: Shape,
    steps: Vec<Step>,
    activations: [AlignedBuffer; 2],
    scratch: Scratch,
    memory: MemoryPlan,
    work: Vec<LayerWork>,
}

impl ForwardPass {
    /// Prepares `network` with `weights` for `batch` images, each convolution and fully connected layer by the algorithm
    /// that `choose` names for it.
    ///
    /// `options.memory_limit` is for everything in the [`MemoryPlan`] together, `options.workers` for every layer. Weights
    /// are asked for layer by layer, and not kept beside those prepared from them: at its largest, what is in memory on
    /// the way is within 5% of the plan, if no convolution's weights are more than that.
    ///
    /// # Errors
    /// [`ForwardError`] if the layers do not fit together, weights are missing or of the wrong size, an algorithm does not
    /// compute what it was chosen for, or memory does not suffice.
    pub fn new(
        network: &Network,
        weights: &mut dyn Weights,
        batch: usize,
        choose: &Chooser<'_>,
        options: &PlanOptions,
    ) -> Result<Self, ForwardError> {
        let shaped = network.infer(batch)?;
        let stages = stages(&shaped);
        let floats = buffer_floats(&stages, batch);
        let activation_bytes = 4 * (floats[0] + floats[1]);
        let memory = MemoryPlan { layers: Vec::new(), prepared_bytes: 0, scratch_bytes: 0, activation_bytes };
        let mut planner = Planner { network, weights, options, memory };
        let (mut steps, mut work) = (Vec::new(), Vec::new());
        for stage in &stages {
            let Stage { layer, pool, output } = stage;
            let mut algorithm = None;
            let operation = match (&layer.problem, layer.layer.kind) {
                (Some(problem), _) => {
                    let chosen = choose(problem);
                    algorithm = Some(chosen.algorithm.name());
                    Operation::Plan(planner.plan(layer, problem, chosen)?)
                }
                (None, LayerKind::Lrn(lrn)) => Operation::Lrn(lrn, pool.map(|(_, pool)| pool)),
                (None, LayerKind::MaxPool(pool)) => Operation::MaxPool(pool),
                (None, LayerKind::AveragePool(pool)) => Operation::AveragePool(pool),
                (None, LayerKind::Relu) => Operation::Relu,
                (None, LayerKind::Softmax) => Operation::Softmax,
                // Dropout, the identity, is no stage.
                (None, _) => continue,
            };
            let step = Step { operation, input: layer.input, output_len: batch * output.floats() };
            planner.admit(&stage.name(), algorithm, &step)?;
            steps.push(step);
            work.push(stage.work(batch));
        }
        let memory = planner.memory;
        let activations = [AlignedBuffer::zeroed(floats[0])?, AlignedBuffer::zeroed(floats[1])?];
        let scratch = Scratch::with_bytes(memory.scratch_bytes)?;
        Ok(ForwardPass { options: *options, batch, input: network.input, steps, activations, scratch, memory, work })
    }

    /// Images of a run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Floats of a run's input, `[batch][height][width][channels]`.
    pub fn input_len(&self) -> usize {
        self.batch * self.input.floats()
    }

    /// Bytes of a run's input, which its caller holds.
    pub fn input_bytes(&self) -> usize {
        size_of::<f32>() * self.input_len()
    }

    /// What it keeps in memory, layer by layer.
    pub fn memory(&self) -> &MemoryPlan {
        &self.memory
    }

    /// What each layer of [`ForwardPass::memory`] has to do.
    pub fn work(&self) -> &[LayerWork] {
        &self.work
    }

    /// Computes the network's output, for a classifier `[batch][classes]`, from `input`,
    /// `[batch][height][width][channels]`.
    ///
    /// Runs on the current rayon pool, and allocates nothing if it is called from inside it
    /// ([`rayon::ThreadPool::install`]).
    ///
    /// # Errors
    /// [`RunError::Length`] if `input` has not [`ForwardPass::input_len`] floats.
    pub fn run(&mut self, input: &[f32], observer: &mut dyn LayerObserver) -> Result<&[f32], RunError> {
        if input.len() != self.input_len() {
            return Err(RunError::Length { buffer: "input", got: input.len(), expected: self.input_len() });
        }
        let [write, read] = &mut self.activations;
        let (mut write, mut read) = (write, read);
        let mut len = 0;
        for (index, step) in self.steps.iter().enumerate() {
            let source = if index == 0 { input } else { &read[..len] };
            len = step.output_len;
            let output = &mut write[..len];
            observer.begin(index);
            step.run(source, output, &mut self.scratch, &self.options)?;
            observer.end(index, output);
            std::mem::swap(&mut write, &mut read);
        }
        Ok(&read[..len])
    }
}

/// What is executed at once: a layer, or a normalisation and the pooling after it.
struct Stage<'a> {
    layer: &'a ShapedLayer<'a>,
    /// The pooling that follows a normalisation, with its name.
    pool: Option<(&'a str, Pool)>,
    /// What it writes, one image.
    output: Shape,
}

impl Stage<'_> {
    /// The layer's name, or both, as in `lrn1+pool1`.
    fn name(&self) -> String {
        let name = &self.layer.layer.name;
        self.pool.map_or_else(|| name.clone(), |(pool, _)| format!("{name}+{pool}"))
    }

    fn work(&self, batch: usize) -> LayerWork {
        LayerWork::new(self.layer, self.pool.as_ref().map(|(_, pool)| (pool, self.output.floats())), batch)
    }

    fn fusible(&self) -> bool {
        matches!(self.layer.layer.kind, LayerKind::Lrn(_)) && self.pool.is_none()
    }
}

/// The layers that are executed: all but dropout. A normalisation takes the pooling along that follows it, so that what
/// it computes never goes to memory.
fn stages<'a>(layers: &'a [ShapedLayer<'a>]) -> Vec<Stage<'a>> {
    let mut stages: Vec<Stage<'a>> = Vec::new();
    for layer in layers.iter().filter(|shaped| shaped.layer.kind != LayerKind::Dropout) {
        match (stages.last_mut(), layer.layer.kind) {
            (Some(before), LayerKind::MaxPool(pool)) if before.fusible() => {
                before.pool = Some((&layer.layer.name, pool));
                before.output = layer.output;
            }
            _ => stages.push(Stage { layer, pool: None, output: layer.output }),
        }
    }
    stages
}

/// Floats of the two activation buffers: the stages write to one and the other in turn.
fn buffer_floats(stages: &[Stage<'_>], batch: usize) -> [usize; 2] {
    let mut floats = [0; 2];
    for (index, stage) in stages.iter().enumerate() {
        let buffer = &mut floats[index % 2];
        *buffer = (*buffer).max(batch * stage.output.floats());
    }
    floats
}

/// What the preparation of one layer needs to know of the others.
struct Planner<'a> {
    network: &'a Network,
    weights: &'a mut dyn Weights,
    options: &'a PlanOptions,
    memory: MemoryPlan,
}

impl Planner<'_> {
    /// Prepares a layer that has weights.
    fn plan(
        &mut self,
        shaped: &ShapedLayer<'_>,
        problem: &Problem,
        Method { algorithm, parameters }: Method,
    ) -> Result<Box<dyn Plan>, ForwardError> {
        let name = &shaped.layer.name;
        let kept = self.memory.activation_bytes + self.memory.prepared_bytes;
        let left = self.options.memory_limit(self.options.memory_limit.saturating_sub(kept)).parameters(parameters);
        self.stream(shaped, problem, algorithm, &left).map_err(|source| match source {
            PlanError::Memory { needed, .. } => self.too_much(name, needed.saturating_add(kept as u128)),
            source => ForwardError::Plan { layer: self.network.qualified(name), algorithm: algorithm.name(), source },
        })
    }

    /// Prepares it from weights that come a few output channels at a time.
    fn stream(
        &mut self,
        shaped: &ShapedLayer<'_>,
        problem: &Problem,
        algorithm: &'static dyn Algorithm,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        // Before the bias, however long it is, is allocated.
        options.admit(4 * problem.out_channels() as u128, 0)?;
        let unavailable = |error: WeightsError| PlanError::Weights { message: error.to_string() };
        let mut bias = AlignedBuffer::zeroed(problem.out_channels())?;
        self.weights.bias(shaped, &mut bias).map_err(unavailable)?;
        let mut read =
            |channels, values: &mut [f32]| self.weights.weights(shaped, channels, values).map_err(unavailable);
        let filter = StreamedFilter { weights: &mut read, bias: Some(&bias) };
        let epilogue = Epilogue { relu: shaped.layer.kind.relu() };
        algorithm.plan_streamed(problem, filter, epilogue, options)
    }

    /// Enters a prepared stage into the memory plan.
    fn admit(&mut self, name: &str, algorithm: Option<&'static str>, step: &Step) -> Result<(), ForwardError> {
        let Footprint { prepared_bytes, scratch_bytes } = step.footprint(self.options.workers);
        let activation_bytes = 4 * step.output_len;
        let layer = LayerMemory { name: name.into(), algorithm, prepared_bytes, scratch_bytes, activation_bytes };
        self.memory.push(layer);
        let needed = self.memory.total_bytes();
        if needed > self.options.memory_limit { Err(self.too_much(name, needed as u128)) } else { Ok(()) }
    }

    fn too_much(&self, layer: &str, needed: u128) -> ForwardError {
        ForwardError::Memory { layer: self.network.qualified(layer), needed, limit: self.options.memory_limit }
    }
}

/// One executed layer.
struct Step {
    operation: Operation,
    /// What it reads, one image.
    input: Shape,
    /// Floats it writes, all images.
    output_len: usize,
}

enum Operation {
    Plan(Box<dyn Plan>),
    /// With the pooling that follows, if any does.
    Lrn(Lrn, Option<Pool>),
    MaxPool(Pool),
    AveragePool(AveragePool),
    Relu,
    Softmax,
}

impl Step {
    fn footprint(&self, workers: usize) -> Footprint {
        match &self.operation {
            Operation::Plan(plan) => plan.footprint(),
            Operation::Lrn(_, Some(_)) => {
                Footprint { prepared_bytes: 0, scratch_bytes: 4 * layers::scratch_floats(workers, self.input) }
            }
            _ => Footprint::default(),
        }
    }

    fn run(
        &self,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut Scratch,
        options: &PlanOptions,
    ) -> Result<(), RunError> {
        let PlanOptions { isa, workers, .. } = *options;
        let channels = self.input.channels;
        match &self.operation {
            Operation::Plan(plan) => plan.run(input, output, scratch)?,
            Operation::Lrn(lrn, None) => layers::normalise(isa, workers, lrn, channels, input, output),
            Operation::Lrn(lrn, Some(pool)) => {
                let scratch = scratch.lend(self.footprint(workers).scratch_bytes)?;
                layers::normalise_and_pool(options, (lrn, pool), self.input, (input, output), scratch);
            }
            Operation::MaxPool(pool) => {
                layers::pool(options, pool, layers::Reduce::Max, self.input, (input, output));
            }
            Operation::AveragePool(AveragePool { pool, count_padding }) => {
                let mean = layers::Reduce::Mean { count_padding: *count_padding };
                layers::pool(options, pool, mean, self.input, (input, output));
            }
            Operation::Relu => layers::relu(isa, workers, input, output),
            Operation::Softmax => layers::softmax(workers, channels, input, output),
        }
        Ok(())
    }
}
