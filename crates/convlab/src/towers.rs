//! A network in towers with a clock: what each worker computes, waits for, sends and keeps.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use conv_core::{Method, PlanOptions, Problem, Unsupported};
use conv_measure::Samples;
use conv_net::{
    ForwardError, LayerMemory, LayerObserver, LayerOutput, Network, Node, PeerError, Peers, Threads, TowerPass,
    TowerRunError, Towers, Weights,
};
use conv_report::record::{LayerTime, TowerTime};
use conv_tune::Chooser;
use rayon::ThreadPool;

use crate::forward::choices;

/// Samples of the time at most, and about how long they take together.
const MAX_SAMPLES: usize = 21;
const SAMPLING: Duration = Duration::from_millis(400);

/// The methods of a whole network's layers, by which the workers compute their parts: then sums are the same.
pub struct Methods {
    /// By `network/layer`.
    of: HashMap<String, Method>,
    fallbacks: Vec<(String, Unsupported)>,
}

impl Methods {
    /// What `chooser` says for each layer of `network`.
    pub fn of(network: &Network, chooser: &Chooser, options: &PlanOptions) -> Self {
        let (mut of, mut fallbacks) = (HashMap::new(), Vec::new());
        for (node, choice) in choices(chooser, network, options) {
            fallbacks.extend(choice.fallback.map(|reason| (node.name.clone(), reason)));
            of.insert(network.qualified(&node.name), choice.method);
        }
        Methods { of, fallbacks }
    }

    /// Layers that `direct/nhwc` computes instead of what was asked for, and why; of `towers` also where a method computes the
    /// layer and not a part of it.
    pub fn fallbacks(&self, towers: &Towers) -> Vec<(String, Unsupported)> {
        let nodes = (0..towers.workers()).flat_map(|worker| towers.networks(worker)).flat_map(Network::nodes);
        let part = |node: &Node| {
            let problem = node.problem.as_ref()?;
            let reason = self.of.get(problem.name()?)?.algorithm.supports(problem).err()?;
            Some((node.name.clone(), reason))
        };
        let mut all = self.fallbacks.clone();
        for (name, reason) in nodes.filter_map(part) {
            if all.iter().all(|(known, _)| *known != name) {
                all.push((name, reason));
            }
        }
        all
    }

    /// That of a part of a layer, which has the layer's name. One that does not compute the part gives way to
    /// `direct/nhwc`.
    fn of_part(&self, problem: &Problem, options: &PlanOptions) -> Method {
        let method = problem.name().and_then(|name| self.of.get(name)).copied();
        let computes = |method: &Method| method.algorithm.supports(problem).is_ok();
        method.filter(computes).unwrap_or_else(|| Chooser::direct().choose(problem, options).method)
    }

    /// Each layer and its method, in the order of names.
    pub fn lines(&self) -> Vec<String> {
        let line = |(name, method): (&String, &Method)| {
            format!("{name} by {} {}", method.algorithm.name(), method.parameters).trim_end().to_owned()
        };
        let mut lines: Vec<String> = self.of.iter().map(line).collect();
        lines.sort();
        lines
    }
}

/// One worker's part of a network, and how long its runs take.
pub struct TimedTower {
    pass: TowerPass,
    whole: Samples,
    computing: Samples,
    waiting: Samples,
    /// Of all phases, one after the other.
    layers: Vec<Samples>,
    sent_bytes: usize,
}

impl TimedTower {
    /// Prepares what `worker` computes of `towers`.
    ///
    /// # Errors
    /// As [`TowerPass::new`].
    pub fn new(
        towers: Towers,
        worker: usize,
        weights: &mut dyn Weights,
        methods: &Methods,
        options: &PlanOptions,
    ) -> Result<Self, ForwardError> {
        let choose = |problem: &Problem| methods.of_part(problem, options);
        let pass = TowerPass::new(towers, worker, weights, &choose, options)?;
        let samples = Samples::default;
        let layers = pass.passes().iter().flat_map(|pass| &pass.memory().layers).map(|_| samples()).collect();
        Ok(TimedTower { pass, whole: samples(), computing: samples(), waiting: samples(), layers, sent_bytes: 0 })
    }

    /// The pass itself.
    pub fn pass(&self) -> &TowerPass {
        &self.pass
    }

    /// Times of whole runs.
    pub fn samples(&self) -> &Samples {
        &self.whole
    }

    /// Computes once for the result, and then against the clock, as often as worker 0 says. To be called by all workers.
    ///
    /// # Errors
    /// As [`TowerPass::run`].
    pub fn measure(
        &mut self,
        pool: &ThreadPool,
        inputs: &[&[f32]],
        peers: &mut dyn Peers,
    ) -> Result<(), TowerRunError> {
        self.pass.run(pool, inputs, peers, &mut ())?;
        let start = Instant::now();
        self.pass.run(pool, inputs, peers, &mut ())?;
        let runs = SAMPLING.as_secs_f64() / start.elapsed().as_secs_f64();
        let runs = agreed((runs as usize).clamp(1, MAX_SAMPLES), peers)?;
        for _ in 0..runs {
            let mut clocked = Clocked { peers, waited: Duration::ZERO, sent_bytes: 0 };
            let start = Instant::now();
            let mut clock = LayerClock { begun: start, spent: vec![0.0; self.layers.len()] };
            self.pass.run(pool, inputs, &mut clocked, &mut clock)?;
            self.layers.iter_mut().zip(clock.spent).for_each(|(layer, spent)| layer.push(spent));
            let (whole, waited) = (start.elapsed(), clocked.waited);
            self.sent_bytes = clocked.sent_bytes;
            self.whole.push(whole.as_nanos() as f64);
            self.waiting.push(waited.as_nanos() as f64);
            self.computing.push((whole - waited).as_nanos() as f64);
        }
        Ok(())
    }

    /// Its layers, phase by phase.
    pub fn layers(&self) -> Vec<LayerTime> {
        let layers = self.pass.passes().iter().flat_map(|pass| &pass.memory().layers).zip(&self.layers);
        let time = |(layer, samples): (&LayerMemory, &Samples)| LayerTime {
            name: layer.name.clone(),
            algorithm: layer.algorithm.map(Into::into),
            median_ns: samples.median(),
            bound_ns: None,
            scratch_bytes: layer.scratch_bytes,
        };
        layers.map(time).collect()
    }

    /// What there is to tell of this worker, of whose process `peak_resident_bytes` were resident if it has one to itself.
    pub fn figures(&self, peak_resident_bytes: Option<usize>) -> TowerTime {
        TowerTime {
            median_ns: self.whole.median(),
            computing_ns: self.computing.median(),
            waiting_ns: self.waiting.median(),
            sent_bytes: self.sent_bytes,
            prepared_bytes: self.pass.passes().iter().map(|pass| pass.memory().prepared_bytes).sum(),
            memory_bytes: self.pass.total_bytes(),
            peak_resident_bytes,
        }
    }
}

/// [`TimedTower::measure`] of all `towers` of a network, each on a thread and a pool of its own.
///
/// # Errors
/// The first [`TowerRunError`] that is not another's doing.
pub fn measure_together(towers: &mut [(TimedTower, ThreadPool)], inputs: &[&[f32]]) -> Result<(), TowerRunError> {
    let ways = Threads::of(towers.len());
    let results: Vec<Result<(), TowerRunError>> = thread::scope(|scope| {
        let mut workers = Vec::new();
        for ((tower, pool), mut peers) in towers.iter_mut().zip(ways) {
            workers.push(scope.spawn(move || tower.measure(pool, inputs, &mut peers)));
        }
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut errors: Vec<TowerRunError> = results.into_iter().filter_map(Result::err).collect();
    // Who waited for another comes last.
    errors.sort_by_key(|error| matches!(error, TowerRunError::Peer(_)));
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// `count` of worker 0.
fn agreed(count: usize, peers: &mut dyn Peers) -> Result<usize, PeerError> {
    let (worker, workers) = (peers.worker(), peers.workers());
    let mut receives = vec![Vec::new(); workers];
    let mut sends = receives.clone();
    if worker == 0 {
        sends[1..].fill(vec![count as f32]);
    } else {
        receives[0] = vec![0.0];
    }
    peers.exchange(&sends, &mut receives, &mut || {})?;
    Ok(if worker == 0 { count } else { receives[0][0] as usize })
}

/// Sums up what layers take in a run, of all chunks.
struct LayerClock {
    begun: Instant,
    spent: Vec<f64>,
}

impl LayerObserver for LayerClock {
    fn begin(&mut self, _: usize) {
        self.begun = Instant::now();
    }

    fn end(&mut self, layer: usize, _: LayerOutput<'_>) {
        self.spent[layer] += self.begun.elapsed().as_nanos() as f64;
    }
}

/// Tells how long exchanges take beyond what is computed meanwhile, and how much is sent.
struct Clocked<'a> {
    peers: &'a mut dyn Peers,
    waited: Duration,
    sent_bytes: usize,
}

impl Peers for Clocked<'_> {
    fn worker(&self) -> usize {
        self.peers.worker()
    }

    fn workers(&self) -> usize {
        self.peers.workers()
    }

    fn exchange(
        &mut self,
        sends: &[Vec<f32>],
        receives: &mut [Vec<f32>],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), PeerError> {
        let (start, mut computed) = (Instant::now(), Duration::ZERO);
        self.peers.exchange(sends, receives, &mut || {
            let start = Instant::now();
            meanwhile();
            computed = start.elapsed();
        })?;
        self.waited += start.elapsed() - computed;
        self.sent_bytes += sends.iter().map(|floats| size_of_val(&floats[..])).sum::<usize>();
        Ok(())
    }
}
