//! A worker's passes, phase by phase, and the exchanges between them.

use std::ops::Range;

use conv_core::{PlanOptions, RunError};
use rayon::ThreadPool;

use super::cut::{Arrival, Feed, Towers};
use super::peers::{PeerError, Peers};
use super::share::Share;
use crate::pass::{Chooser, ForwardError, ForwardPass, LayerObserver, LayerOutput};
use crate::weights::Weights;

/// Why a run of a cut network ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TowerRunError {
    /// The worker's own computation.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Another worker.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// What one worker prepared: a pass for each phase, and what comes from others.
pub struct TowerPass {
    towers: Towers,
    worker: usize,
    passes: Vec<ForwardPass>,
    /// Of each arrival the channels that this worker needs, of all images.
    arrived: Vec<Vec<f32>>,
    /// To and from each worker.
    sends: Vec<Vec<f32>>,
    receives: Vec<Vec<f32>>,
}

/// A run of a phase's pass.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Task {
    phase: usize,
    chunk: usize,
    chunks: usize,
}

impl Task {
    /// Whether it needs nothing of what `before`, the one before it, puts out.
    fn is_apart_from(self, before: Task) -> bool {
        self.chunks == before.chunks && self.chunk != before.chunk
    }
}

impl TowerPass {
    /// Prepares what `worker` computes of `towers`: its share of the weights, each layer by the method that `choose` names for
    /// the *worker's* problem, which has the name of the whole layer's.
    ///
    /// `options.memory_limit` is for all phases together.
    ///
    /// # Errors
    /// As [`ForwardPass::new`].
    pub fn new(
        towers: Towers,
        worker: usize,
        weights: &mut dyn Weights,
        choose: &Chooser<'_>,
        options: &PlanOptions,
    ) -> Result<Self, ForwardError> {
        let floats = |arrival: &Arrival| arrival.pixels * arrival.needs[worker].len();
        let each_way = [
            buffers(&towers, |arrival, peer| arrival.crossing(worker, peer)),
            buffers(&towers, |arrival, peer| arrival.crossing(peer, worker)),
        ];
        let exchanged = towers.arrivals.iter().map(floats).chain(each_way.iter().flatten().copied());
        let exchanged = size_of::<f32>() * exchanged.sum::<usize>();
        let limit = options.memory_limit;
        if exchanged > limit {
            let layer = format!("{}: what workers send each other", towers.network.name());
            return Err(ForwardError::Memory { layer, needed: exchanged as u128, limit });
        }
        let mut passes: Vec<ForwardPass> = Vec::new();
        for phase in &towers.phases {
            let kept = exchanged + passes.iter().map(|pass| pass.memory().total_bytes()).sum::<usize>();
            let options = options.memory_limit(options.memory_limit.saturating_sub(kept));
            let mut share = Share { network: &towers.network, weights, first: &towers.first[worker] };
            passes.push(ForwardPass::new(&phase.networks[worker], &mut share, choose, &options)?);
        }
        let arrived = towers.arrivals.iter().map(|arrival| vec![0.0; floats(arrival)]).collect();
        // As large as they will be: a run allocates nothing.
        let [sends, receives] = each_way.map(|floats| floats.into_iter().map(Vec::with_capacity).collect());
        Ok(TowerPass { towers, worker, passes, arrived, sends, receives })
    }

    /// The cut that it is of.
    pub fn towers(&self) -> &Towers {
        &self.towers
    }

    /// The passes of the phases.
    pub fn passes(&self) -> &[ForwardPass] {
        &self.passes
    }

    /// Bytes of everything that it keeps: prepared weights, scratch and activations of all phases, and what arrives and is sent.
    pub fn total_bytes(&self) -> usize {
        let passes: usize = self.passes.iter().map(|pass| pass.memory().total_bytes()).sum();
        let exchanged = self.arrived.iter().chain(&self.sends).chain(&self.receives);
        passes + size_of::<f32>() * exchanged.map(Vec::capacity).sum::<usize>()
    }

    /// Computes this worker's part of the network's outputs from all of its `inputs`, as [`ForwardPass::run`] does, while the
    /// others do theirs. The `observer` is told of the layers of all passes, one after the other, once for each chunk. Computes on `pool`, and exchanges on the thread that it is called on: MPI's communicators stay with
    /// one.
    ///
    /// # Errors
    /// [`TowerRunError`].
    pub fn run(
        &mut self,
        pool: &ThreadPool,
        inputs: &[&[f32]],
        peers: &mut dyn Peers,
        observer: &mut dyn LayerObserver,
    ) -> Result<(), TowerRunError> {
        let expected = self.towers.network.inputs().len();
        if inputs.len() != expected {
            return Err(RunError::Length { buffer: "inputs", got: inputs.len(), expected }.into());
        }
        let tasks: Vec<Task> = self.tasks();
        let mut done = false;
        for (index, &task) in tasks.iter().enumerate() {
            if !done {
                pool.install(|| {
                    compute(&self.towers, self.worker, &mut self.passes, &self.arrived, inputs, task, observer)
                })?;
            }
            let next = tasks.get(index + 1).copied().filter(|next| next.is_apart_from(task));
            self.keep_own(task);
            done = self.exchange(task, next, pool, inputs, peers, observer)?;
        }
        Ok(())
    }

    /// The network's output number `index`, channels last. All of it with worker 0; of one that is cut others have their
    /// own channels. `None` of one that is an input.
    pub fn output(&self, index: usize) -> Option<&[f32]> {
        match self.towers.outputs.get(index)? {
            Feed::Arrival(arrival) => Some(&self.arrived[*arrival]),
            Feed::Input(_) => None,
        }
    }

    /// All chunks of a phase, then the next phase.
    fn tasks(&self) -> Vec<Task> {
        let chunks = |(phase, chunks): (usize, usize)| (0..chunks).map(move |chunk| Task { phase, chunk, chunks });
        self.towers.phases.iter().map(|phase| phase.chunks).enumerate().flat_map(chunks).collect()
    }

    /// Puts what `task` computed and this worker needs itself where it belongs.
    fn keep_own(&mut self, task: Task) {
        for (arrival, arrived) in self.towers.arrivals.iter().zip(&mut self.arrived) {
            if arrival.phase != task.phase {
                continue;
            }
            let (own, need) = (&arrival.owned[self.worker], &arrival.needs[self.worker]);
            let (start, end) = (own.start.max(need.start), own.end.min(need.end));
            let computed = self.passes[task.phase].output(arrival.output).unwrap_or_default();
            let pixels = arrival.pixels / task.chunks;
            let into = &mut arrived[task.chunk * pixels * need.len()..][..pixels * need.len()];
            for (from, into) in computed.chunks_exact(own.len()).zip(into.chunks_exact_mut(need.len())) {
                into[start - need.start..end - need.start].copy_from_slice(&from[start - own.start..end - own.start]);
            }
        }
    }

    /// Sends what others need of what `task` computed, and receives theirs; computes `next` meanwhile. Whether it did.
    fn exchange(
        &mut self,
        task: Task,
        next: Option<Task>,
        pool: &ThreadPool,
        inputs: &[&[f32]],
        peers: &mut dyn Peers,
        observer: &mut dyn LayerObserver,
    ) -> Result<bool, TowerRunError> {
        let arrivals = || self.towers.arrivals.iter().filter(|arrival| arrival.phase == task.phase);
        for worker in 0..self.towers.workers {
            let (send, receive) = (&mut self.sends[worker], &mut self.receives[worker]);
            send.clear();
            let mut expected = 0;
            for arrival in arrivals() {
                let (own, out) = (&arrival.owned[self.worker], arrival.crossing(self.worker, worker));
                if !out.is_empty() {
                    let computed = self.passes[task.phase].output(arrival.output).unwrap_or_default();
                    let part = out.start - own.start..out.end - own.start;
                    send.extend(computed.chunks_exact(own.len()).flat_map(|pixel| &pixel[part.clone()]));
                }
                expected += arrival.pixels / task.chunks * arrival.crossing(worker, self.worker).len();
            }
            receive.resize(expected, 0.0);
        }
        if self.sends.iter().chain(&self.receives).all(Vec::is_empty) {
            return Ok(false);
        }
        let TowerPass { towers, worker, passes, arrived, sends, receives } = self;
        let mut computed = Ok(());
        peers.exchange(sends, receives, &mut || {
            if let Some(next) = next {
                computed = pool.install(|| compute(towers, *worker, passes, arrived, inputs, next, observer));
            }
        })?;
        computed?;
        for (from, receive) in receives.iter().enumerate() {
            let mut rest = &receive[..];
            for (arrival, arrived) in towers.arrivals.iter().zip(arrived.iter_mut()) {
                let come = arrival.crossing(from, *worker);
                if arrival.phase != task.phase || come.is_empty() {
                    continue;
                }
                let need = &arrival.needs[*worker];
                let pixels = arrival.pixels / task.chunks;
                let (these, others) = rest.split_at(pixels * come.len());
                let into = &mut arrived[task.chunk * pixels * need.len()..][..pixels * need.len()];
                for (from, into) in these.chunks_exact(come.len()).zip(into.chunks_exact_mut(need.len())) {
                    into[come.start - need.start..come.end - need.start].copy_from_slice(from);
                }
                rest = others;
            }
        }
        Ok(next.is_some())
    }
}

/// For each worker the floats of the channels that cross after a run of a phase, at most.
fn buffers(towers: &Towers, crossing: impl Fn(&Arrival, usize) -> Range<usize>) -> Vec<usize> {
    let of = |peer: usize| {
        let mut floats = vec![0; towers.phases.len()];
        for arrival in &towers.arrivals {
            let pixels = arrival.pixels / towers.phases[arrival.phase].chunks;
            floats[arrival.phase] += pixels * crossing(arrival, peer).len();
        }
        floats.into_iter().max().unwrap_or(0)
    };
    (0..towers.workers).map(of).collect()
}

/// Runs the pass of a task's phase on the images of its chunk.
fn compute(
    towers: &Towers,
    worker: usize,
    passes: &mut [ForwardPass],
    arrived: &[Vec<f32>],
    inputs: &[&[f32]],
    task: Task,
    observer: &mut dyn LayerObserver,
) -> Result<(), RunError> {
    let phase = &towers.phases[task.phase];
    let mut given = Vec::with_capacity(phase.inputs.len());
    for (feed, &local) in phase.inputs.iter().zip(phase.networks[worker].inputs()) {
        let whole: &[f32] = match feed {
            Feed::Input(input) => inputs[*input],
            Feed::Arrival(arrival) => &arrived[*arrival],
        };
        let floats = phase.networks[worker].value(local).shape.as_ref().map_or(0, crate::Shape::floats);
        let expected = floats * task.chunks;
        if whole.len() != expected {
            return Err(RunError::Length { buffer: "input", got: whole.len(), expected });
        }
        given.push(&whole[task.chunk * floats..][..floats]);
    }
    let before = passes[..task.phase].iter().map(|pass| pass.memory().layers.len()).sum();
    passes[task.phase].run(&given, &mut Behind { before, observer })
}

/// Numbers a phase's layers behind those of the phases before it.
struct Behind<'a> {
    before: usize,
    observer: &'a mut dyn LayerObserver,
}

impl LayerObserver for Behind<'_> {
    fn begin(&mut self, layer: usize) {
        self.observer.begin(self.before + layer);
    }

    fn end(&mut self, layer: usize, output: LayerOutput<'_>) {
        self.observer.end(self.before + layer, output);
    }
}
