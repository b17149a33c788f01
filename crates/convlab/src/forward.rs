//! Whole forward passes with a clock: which algorithm computes each layer, how long it takes, what it keeps in memory.

use std::time::{Duration, Instant};

use conv_core::{PlanOptions, Problem, RunError, Unsupported};
use conv_measure::{Limits, Samples, Watch};
use conv_net::{ForwardError, ForwardPass, LayerObserver, LayerOutput, Network, NetworkError, Node, Operator, Weights};
use conv_report::record::{Kind, LayerTime, Record};
use conv_tune::{Choice, Chooser};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::records;

/// The choice for each node that a convolution computes: what `chooser` says, and for a fully connected layer always
/// `direct/nhwc`, so that algorithms are compared by what they do to convolutions.
pub fn choices<'a>(
    chooser: &'a Chooser,
    network: &'a Network,
    options: &'a PlanOptions,
) -> impl Iterator<Item = (&'a Node, Choice)> {
    let weight_bytes = size_of::<f32>() * network.nodes().iter().map(Node::parameter_count).sum::<usize>();
    let direct = Chooser::direct();
    network.nodes().iter().filter_map(move |node| {
        let problem = node.problem.as_ref()?;
        let chooser = if matches!(node.operator, Operator::Linear(_)) { &direct } else { chooser };
        Some((node, chooser.choose_in_network(weight_bytes, problem, options)))
    })
}

/// A forward pass that keeps the times of its runs.
pub struct TimedPass {
    network: String,
    asked_for: String,
    isa: String,
    pass: ForwardPass,
    fallbacks: Vec<(String, Unsupported)>,
    flops: u128,
    prepared_in: Duration,
    whole: Samples,
    layers: Vec<Samples>,
}

impl TimedPass {
    /// Prepares `network`, its convolutions by `chooser`.
    ///
    /// # Errors
    /// As [`ForwardPass::new`].
    pub fn new(
        network: &Network,
        weights: &mut dyn Weights,
        chooser: &Chooser,
        options: &PlanOptions,
    ) -> Result<Self, ForwardError> {
        let choices: Vec<_> = choices(chooser, network, options).collect();
        let start = Instant::now();
        let chosen = |problem: &Problem| {
            // Problems are named after their nodes, so they differ.
            let choice = choices.iter().find(|(node, _)| node.problem.as_ref() == Some(problem));
            choice.map_or_else(|| Chooser::direct().choose(problem, options).method, |(_, choice)| choice.method)
        };
        let pass = ForwardPass::new(network, weights, &chosen, options)?;
        let prepared_in = start.elapsed();
        let fallbacks = choices.iter().filter_map(|(node, choice)| Some((node.name.clone(), choice.fallback.clone()?)));
        Ok(TimedPass {
            network: network.name().into(),
            asked_for: chooser.name().into(),
            isa: options.isa.name().into(),
            fallbacks: fallbacks.collect(),
            flops: choices.iter().filter_map(|(node, _)| Some(node.problem.as_ref()?.flops())).sum(),
            prepared_in,
            whole: Samples::default(),
            layers: vec![Samples::default(); pass.memory().layers.len()],
            pass,
        })
    }

    /// How its convolutions were chosen: `auto`, `tuned`, a family or a name.
    pub fn asked_for(&self) -> &str {
        &self.asked_for
    }

    /// The pass itself.
    pub fn pass(&self) -> &ForwardPass {
        &self.pass
    }

    /// Convolutions that are computed by `direct/nhwc` instead of what was asked for, and why.
    pub fn fallbacks(&self) -> &[(String, Unsupported)] {
        &self.fallbacks
    }

    /// How long preparing the weights took.
    pub fn prepared_in(&self) -> Duration {
        self.prepared_in
    }

    /// Times of whole runs.
    pub fn samples(&self) -> &Samples {
        &self.whole
    }

    /// Computes once without keeping the time; see [`ForwardPass::run`] and [`ForwardPass::output`].
    ///
    /// # Errors
    /// As [`ForwardPass::run`].
    pub fn run(&mut self, inputs: &[&[f32]]) -> Result<(), RunError> {
        self.pass.run(inputs, &mut ())
    }

    /// Computes once and keeps the time, as a whole and by layer. Best called inside the pool.
    ///
    /// # Errors
    /// As [`TimedPass::run`].
    pub fn sample(&mut self, inputs: &[&[f32]]) -> Result<(), RunError> {
        let start = Instant::now();
        let mut clock = LayerClock { begun: start, layers: &mut self.layers };
        self.pass.run(inputs, &mut clock)?;
        self.whole.push(start.elapsed().as_nanos() as f64);
        Ok(())
    }

    /// Forgets the samples of rounds that were not quiet, unless fewer than `enough` were; then what disturbed is returned.
    pub fn keep_quiet(&mut self, watch: &Watch, enough: usize) -> Option<String> {
        let (whole, disturbed) = watch.judge(&self.whole, enough);
        self.layers = self.layers.iter().map(|layer| watch.judge(layer, enough).0).collect();
        self.whole = whole;
        disturbed
    }

    /// `record` with everything that is known of this pass, and what `limits`, if they were measured, say of its layers.
    /// Its scratch is the common one, its layers have their own.
    pub fn record(&self, record: Record, limits: Option<&Limits>) -> Record {
        let memory = self.pass.memory();
        let weight_bytes = self.pass.work().iter().map(|work| work.weight_bytes).sum();
        let layers = memory.layers.iter().zip(self.pass.work()).zip(&self.layers);
        let layers = layers.map(|((layer, work), samples)| LayerTime {
            name: layer.name.clone(),
            algorithm: layer.algorithm.map(Into::into),
            median_ns: samples.median(),
            bound_ns: limits.map(|limits| records::bound_ns(limits, work, weight_bytes)),
            scratch_bytes: layer.scratch_bytes,
        });
        let record = Record {
            kind: Kind::Forward,
            name: self.network.clone(),
            algorithm: Some(self.asked_for.clone()),
            isa: self.isa.clone(),
            batch: Some(self.pass.batch()),
            gflops_effective: Some(self.flops as f64 / self.whole.median()),
            layers: layers.collect(),
            scratch_bytes: Some(memory.scratch_bytes),
            prepared_bytes: Some(memory.prepared_bytes),
            activation_bytes: Some(memory.activation_bytes),
            input_bytes: Some(self.pass.input_bytes()),
            peak_gflops: limits.map(|limits| limits.peak_gflops),
            bandwidth_gb_s: limits.map(|limits| limits.bandwidth_gb_s),
            ..record
        };
        records::times(&self.whole, record)
    }
}

/// Times layers as they pass.
struct LayerClock<'a> {
    begun: Instant,
    layers: &'a mut [Samples],
}

impl LayerObserver for LayerClock<'_> {
    fn begin(&mut self, _: usize) {
        self.begun = Instant::now();
    }

    fn end(&mut self, layer: usize, _: LayerOutput<'_>) {
        self.layers[layer].push(self.begun.elapsed().as_nanos() as f64);
    }
}

/// Inputs of `network`, channels last: uniform noise of mean 0 and variance 1, about as normalised pictures are.
///
/// # Errors
/// [`NetworkError`] if the shape of one is not known.
pub fn random_inputs(network: &Network, seed: u64) -> Result<Vec<Vec<f32>>, NetworkError> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let bound = 3_f32.sqrt();
    let mut noise = |floats| (0..floats).map(|_| rng.random_range(-bound..bound)).collect();
    network.inputs().iter().map(|&input| Ok(noise(network.shape(input)?.floats()))).collect()
}

/// The `inputs` of a run, as it takes them.
pub fn slices(inputs: &[Vec<f32>]) -> Vec<&[f32]> {
    inputs.iter().map(Vec::as_slice).collect()
}

/// Class and probability of the `count` most probable classes of one image, most probable first.
pub fn top(probabilities: &[f32], count: usize) -> Vec<(usize, f32)> {
    let mut classes: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    classes.truncate(count);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use conv_tune::family;

    #[test]
    fn top_is_sorted_and_cut() {
        assert_eq!(top(&[0.1, 0.6, 0.1, 0.2], 3), [(1, 0.6), (3, 0.2), (0, 0.1)]);
        assert_eq!(top(&[1.0], 5).len(), 1);
    }

    #[test]
    fn fully_connected_layers_do_not_follow_the_family() {
        let network = conv_net::paper(1).unwrap();
        for name in ["fft", "im2col", "winograd"] {
            let chooser = Chooser::by_name(name).unwrap();
            for (node, choice) in choices(&chooser, &network, &PlanOptions::new(1)) {
                match node.operator {
                    Operator::Linear(_) => {
                        assert_eq!((choice.method.algorithm.name(), choice.fallback), ("direct/nhwc", None));
                    }
                    _ => assert!(choice.fallback.is_some() || family(choice.method.algorithm) == name),
                }
            }
        }
    }
}
