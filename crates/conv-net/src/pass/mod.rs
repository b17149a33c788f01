//! The forward pass: plans made once, memory planned ahead, runs that allocate nothing.

mod arena;
mod bands;
mod chains;
mod memory;
mod operation;
mod parameters;
mod places;
mod stage;
mod stages;
mod step;
mod work;

use std::ops::Range;

use conv_core::{Footprint, Method, PlanError, PlanOptions, Problem, RunError, Scratch, keep_awake};
use conv_simd::{AlignedBuffer, AllocationError};

pub use memory::{LayerMemory, MemoryPlan};
pub use stage::Stage;
pub use work::LayerWork;

use self::arena::{Arena, Lifetime};
use self::chains::{Chains, Near};
use self::operation::Operation;
use self::parameters::Planner;
use self::stages::Stages;
use self::step::{Executed, Step};
use crate::network::{Network, NetworkError, ValueId};
use crate::operators::Operator;
use crate::shape::Shape;
use crate::weights::Weights;

/// Says which algorithm, with which parameters, computes a convolution or fully connected layer; see
/// [`Node::problem`](crate::Node::problem).
pub type Chooser<'a> = dyn (Fn(&Problem) -> Method) + 'a;

/// Told where a run is, so that a harness can time layers; nothing here has a clock. `()` listens to nothing.
///
/// `layer` is an index into [`MemoryPlan::layers`].
pub trait LayerObserver: Send {
    /// `layer` begins.
    fn begin(&mut self, layer: usize);
    /// `layer` is done.
    fn end(&mut self, layer: usize, output: LayerOutput<'_>);
}

impl LayerObserver for () {
    fn begin(&mut self, _: usize) {}
    fn end(&mut self, _: usize, _: LayerOutput<'_>) {}
}

/// What a layer computed, channels last: a tensor, or some channels of one of which other layers compute the others.
#[derive(Debug, Clone, Copy)]
pub struct LayerOutput<'a> {
    floats: &'a [f32],
    channels: usize,
    pitch: usize,
}

impl<'a> LayerOutput<'a> {
    /// Its floats, one after the other.
    pub fn floats(self) -> impl Iterator<Item = &'a f32> {
        self.floats.chunks(self.pitch).flat_map(move |pixel| &pixel[..self.channels])
    }
}

/// Why a forward pass could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// A network with nodes that are not computed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// An algorithm that could not be prepared, also because there are no weights for the layer.
    #[error("{layer} by {algorithm}: {source}")]
    Plan {
        /// `network/layer`.
        layer: String,
        /// The algorithm chosen for it, or the operator.
        algorithm: String,
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

/// A network ready to run: prepared weights, one arena of activations, one scratch.
pub struct ForwardPass {
    options: PlanOptions,
    /// Shapes of inputs and outputs, in the network's order.
    inputs: Vec<Shape>,
    outputs: Vec<(Shape, Slot)>,
    steps: Vec<Step>,
    constants: Vec<AlignedBuffer>,
    arena: AlignedBuffer,
    scratch: Scratch,
    memory: MemoryPlan,
    work: Vec<LayerWork>,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    /// With the caller.
    Input(usize),
    Constant(usize),
    Arena(Range<usize>),
}

impl ForwardPass {
    /// Prepares `network` with `weights`, each convolution and fully connected layer by the algorithm that `choose` names
    /// for it.
    ///
    /// `options.memory_limit` is for everything in the [`MemoryPlan`] together, `options.workers` for every layer. Weights
    /// are asked for layer by layer, and not kept beside those prepared from them: at its largest, what is in memory on
    /// the way is within 5% of the plan, if no convolution's weights are more than that.
    ///
    /// # Errors
    /// [`ForwardError`] if a node is not computed here, weights are missing or of the wrong size, an algorithm does not
    /// compute what it was chosen for, or memory does not suffice.
    pub fn new(
        network: &Network,
        weights: &mut dyn Weights,
        choose: &Chooser<'_>,
        options: &PlanOptions,
    ) -> Result<Self, ForwardError> {
        let chained = Self::keeping(network, weights, choose, options, Near::of(options.workers).tensor);
        // A chain's buffers are for each worker, and what it adds to is copied.
        let too_large = |error: &ForwardError| matches!(error, ForwardError::Memory { .. });
        match chained {
            Err(error) if too_large(&error) => Self::keeping(network, weights, choose, options, usize::MAX),
            chained => chained,
        }
    }

    /// [`ForwardPass::new`] with tensors between layers that are whole up to so many bytes for each worker: with
    /// [`usize::MAX`] each layer is a step of its own.
    ///
    /// # Errors
    /// As [`ForwardPass::new`].
    pub fn keeping(
        network: &Network,
        weights: &mut dyn Weights,
        choose: &Chooser<'_>,
        options: &PlanOptions,
        far: usize,
    ) -> Result<Self, ForwardError> {
        let shapes = |values: &[ValueId]| {
            values.iter().map(|&value| network.shape(value).cloned()).collect::<Result<Vec<_>, _>>()
        };
        network.check_computed()?;
        let methods: Vec<Option<Method>> =
            network.nodes().iter().map(|node| node.problem.as_ref().map(choose)).collect();
        let uses = &network.uses();
        let near = Near { tensor: far, ..Near::of(options.workers) };
        let chains = Chains { network, methods: &methods, uses, workers: options.workers, near };
        let stages = Stages::of(&chains);
        let layout = Layout::of(network, &stages)?;
        let memory = MemoryPlan {
            layers: Vec::new(),
            prepared_bytes: 0,
            scratch_bytes: 0,
            activation_bytes: size_of::<f32>() * layout.arena.floats,
            least_activation_bytes: size_of::<f32>() * layout.arena.lower_bound,
        };
        let mut planner = Planner { network, places: &stages.places, weights, options, memory };
        let (mut steps, mut work, mut constants) = (Vec::new(), Vec::new(), Vec::new());
        for step in stages.steps() {
            let (first, last) = (&step[0], &step[step.len() - 1]);
            let node = &network.nodes()[first.node];
            if let Operator::Constant(shape) = &node.operator {
                constants.push(planner.constant(node, shape)?);
                continue;
            }
            let executed = match (step, methods[first.node]) {
                ([stage], Some(method)) => Executed::Layer(Operation::Plan(planner.plan(stage, method)?)),
                ([stage], None) => Executed::Layer(planner.operation(stage)?),
                (stages, _) => Executed::Chain(planner.chain(stages, &chains)?),
            };
            let inputs = node.inputs.iter().map(|&input| layout.slot(input)).collect();
            let Slot::Arena(output) = layout.slot(last.output) else {
                unreachable!("what a step writes lies in the arena")
            };
            let Footprint { prepared_bytes, scratch_bytes } = executed.footprint(options.workers);
            planner.admit(LayerMemory {
                name: stage::name(network, step),
                layers: step.iter().map(|stage| stage.name(network)).collect(),
                output: last.output,
                algorithm: step.iter().find_map(|stage| methods[stage.node]).map(|method| method.algorithm.name()),
                prepared_bytes,
                scratch_bytes,
                activation_bytes: network.shape(last.output)?.bytes(),
                alive_bytes: size_of::<f32>() * layout.alive[steps.len()],
            })?;
            let channels = network.shape(last.output)?.sizes().get(1).copied().unwrap_or(1);
            let pitch = stages.places[last.output].pitch.unwrap_or(channels);
            steps.push(Step { executed, inputs, output, channels, pitch });
            work.push(LayerWork::new(network, step)?);
        }
        let memory = planner.memory;
        let outputs = network.outputs().iter().map(|&output| layout.slot(output));
        Ok(ForwardPass {
            options: *options,
            inputs: shapes(network.inputs())?,
            outputs: shapes(network.outputs())?.into_iter().zip(outputs).collect(),
            steps,
            constants,
            arena: AlignedBuffer::zeroed(layout.arena.floats)?,
            scratch: Scratch::with_bytes(memory.scratch_bytes)?,
            memory,
            work,
        })
    }

    /// Images of a run.
    pub fn batch(&self) -> usize {
        self.inputs.first().map_or(1, Shape::batch)
    }

    /// The shapes of a run's inputs.
    pub fn inputs(&self) -> &[Shape] {
        &self.inputs
    }

    /// Bytes of a run's inputs, which its caller holds.
    pub fn input_bytes(&self) -> usize {
        self.inputs.iter().map(Shape::bytes).sum()
    }

    /// The shapes of a run's outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &Shape> {
        self.outputs.iter().map(|(shape, _)| shape)
    }

    /// What it keeps in memory, layer by layer.
    pub fn memory(&self) -> &MemoryPlan {
        &self.memory
    }

    /// What each layer of [`ForwardPass::memory`] has to do.
    pub fn work(&self) -> &[LayerWork] {
        &self.work
    }

    /// Computes the network's outputs from `inputs`, in the network's order and channels last.
    ///
    /// Runs on the current rayon pool, and allocates nothing if it is called from inside it
    /// ([`rayon::ThreadPool::install`]).
    ///
    /// # Errors
    /// [`RunError::Length`] if an input has not as many floats as its shape.
    pub fn run(&mut self, inputs: &[&[f32]], observer: &mut dyn LayerObserver) -> Result<(), RunError> {
        let expected = self.inputs.iter().map(Shape::floats);
        if inputs.len() != self.inputs.len() {
            return Err(RunError::Length { buffer: "inputs", got: inputs.len(), expected: self.inputs.len() });
        }
        if let Some((input, expected)) = inputs.iter().zip(expected).find(|(input, expected)| input.len() != *expected)
        {
            return Err(RunError::Length { buffer: "input", got: input.len(), expected });
        }
        // Of one step there is no next one to be awake for.
        let workers = if self.steps.len() > 1 { self.options.workers } else { 1 };
        keep_awake(workers, || self.run_steps(inputs, observer))
    }

    fn run_steps(&mut self, inputs: &[&[f32]], observer: &mut dyn LayerObserver) -> Result<(), RunError> {
        for (index, step) in self.steps.iter().enumerate() {
            let (before, rest) = self.arena.split_at_mut(step.output.start);
            let (output, after) = rest.split_at_mut(step.output.len());
            let end = step.output.end;
            // Whatever is alive beside the output lies before or behind it.
            let read = |operand: usize| match &step.inputs[operand] {
                Slot::Input(input) => inputs[*input],
                Slot::Constant(constant) => &self.constants[*constant],
                Slot::Arena(range) if range.start >= end => &after[range.start - end..range.end - end],
                Slot::Arena(range) => &before[range.clone()],
            };
            observer.begin(index);
            step.executed.run(&read, output, &mut self.scratch, &self.options)?;
            observer.end(index, LayerOutput { floats: output, channels: step.channels, pitch: step.pitch });
        }
        Ok(())
    }

    /// What the last run computed, channels last: the network's output number `index`. An output that is an input or a
    /// constant is not kept here: `None`.
    pub fn output(&self, index: usize) -> Option<&[f32]> {
        match &self.outputs.get(index)?.1 {
            Slot::Arena(range) => Some(&self.arena[range.clone()]),
            Slot::Constant(constant) => Some(&self.constants[*constant]),
            Slot::Input(_) => None,
        }
    }
}

/// Where values are, and how much of them is needed at once.
struct Layout {
    slots: Vec<Option<Slot>>,
    /// Floats of the buffers that are needed during each step.
    alive: Vec<usize>,
    arena: Arena,
}

impl Layout {
    fn of(network: &Network, stages: &Stages) -> Result<Self, NetworkError> {
        let places = &stages.places;
        let values = network.values().len();
        // By the value that a buffer belongs to: where it is, and which lifetime it has in the arena.
        let mut buffers: Vec<Option<Slot>> = vec![None; values];
        for (index, input) in network.inputs().iter().enumerate() {
            buffers[input.index()] = Some(Slot::Input(index));
        }
        let constant = |step: &&[Stage]| matches!(network.nodes()[step[0].node].operator, Operator::Constant(_));
        for (index, step) in stages.steps().filter(constant).enumerate() {
            buffers[step[0].output.index()] = Some(Slot::Constant(index));
        }
        let executed: Vec<&[Stage]> = stages.steps().filter(|step| !constant(step)).collect();
        let (mut roots, mut lifetimes, mut of) = (Vec::new(), Vec::<Lifetime>::new(), vec![None; values]);
        for (step, stages) in executed.iter().enumerate() {
            let root = places[stages[stages.len() - 1].output].root;
            let lifetime = *of[root.index()].get_or_insert(roots.len());
            if lifetime == roots.len() {
                roots.push(root);
                lifetimes.push(Lifetime { floats: network.shape(root)?.floats(), steps: step..step + 1 });
            }
            let inputs = &network.nodes()[stages[0].node].inputs;
            let read = inputs.iter().filter_map(|&input| of[places[input].root.index()]);
            for lifetime in read.chain([lifetime]) {
                lifetimes[lifetime].steps.end = step + 1;
            }
        }
        for &output in network.outputs() {
            if let Some(lifetime) = of[places[output].root.index()] {
                lifetimes[lifetime].steps.end = executed.len();
            }
        }
        let arena = Arena::of(&lifetimes);
        for (root, place) in roots.iter().zip(&arena.places) {
            buffers[root.index()] = Some(Slot::Arena(place.clone()));
        }
        let slot = |value: ValueId| match buffers[places[value].root.index()].clone()? {
            Slot::Arena(buffer) => {
                let start = buffer.start + places[value].start;
                Some(Slot::Arena(start..start + places.view(value, network.shape(value).ok()?).span()))
            }
            slot => Some(slot),
        };
        let slots = (0..values).map(|index| slot(ValueId::at(index))).collect();
        Ok(Layout { slots, alive: arena::alive(&lifetimes, executed.len()), arena })
    }

    fn slot(&self, value: ValueId) -> Slot {
        self.slots[value.index()].clone().expect("a value is an input, a constant, or computed by a stage")
    }
}
