//! Whole forward passes of one network by several choosers, verified first, then timed interleaved.

use conv_core::{PlanOptions, RunError};
use conv_measure::Stopped;
use conv_measure::memory::{self, TooLittleMemory};
use conv_net::{ForwardError, Network, NetworkError, Synthetic};
use conv_report::record::{Cache, Clock, Model, Record};
use conv_simd::Isa;
use conv_tune::Chooser;

use super::Bench;
use crate::forward::{TimedPass, random_inputs, slices};
use crate::records;

/// Seed of weights and input: every run computes on the same numbers.
const SEED: u64 = 1;

/// Results of two passes that differ by more are a mistake, not rounding: probabilities by this, scores above 1 by as much
/// of the largest.
const TOLERANCE: f32 = 1e-4;

/// Why a network was not measured.
#[derive(Debug, thiserror::Error)]
pub enum ForwardMeasureError {
    /// Not enough memory.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    /// A network that cannot be computed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A pass that could not be made.
    #[error(transparent)]
    Pass(#[from] ForwardError),
    /// A run that was refused.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An end that was asked for.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Two passes that do not agree.
    #[error("{network}: result {class} by {first} and by {second} differ by {distance:.1e}; the limit is {limit:.1e}")]
    Disagree {
        /// The network.
        network: String,
        /// Class, or another place in the first output, counted through the batch.
        class: usize,
        /// One chooser.
        first: String,
        /// The other.
        second: String,
        /// Distance of the two.
        distance: f32,
        /// What it may be.
        limit: f32,
    },
}

/// What every pass of a network is given, and what must come out.
pub struct ForwardWorkload {
    network: Network,
    options: PlanOptions,
    inputs: Vec<Vec<f32>>,
    /// The direct pass's first output.
    results: Vec<f32>,
}

impl ForwardWorkload {
    /// Synthetic weights and random images, and the results of the direct pass on the current pool.
    ///
    /// # Errors
    /// [`ForwardMeasureError`] if the network cannot be computed or memory does not suffice.
    pub fn new(network: &Network, isa: Isa) -> Result<Self, ForwardMeasureError> {
        let mut bytes = 0;
        for &input in network.inputs() {
            bytes += network.shape(input)?.bytes() as u128;
        }
        memory::admit(&format!("{} images", network.batch()), bytes)?;
        let options = PlanOptions::new(rayon::current_num_threads()).isa(isa);
        let options = options.memory_limit(memory::available_bytes().min(options.memory_limit));
        let inputs = random_inputs(network, SEED)?;
        let mut direct = TimedPass::new(network, &mut Synthetic::new(network, SEED), &Chooser::direct(), &options)?;
        direct.run(&slices(&inputs))?;
        let results = direct.pass().output(0).unwrap_or_default().to_vec();
        Ok(ForwardWorkload { network: network.clone(), options, inputs, results })
    }

    /// What its passes run on.
    pub fn inputs(&self) -> Vec<&[f32]> {
        slices(&self.inputs)
    }

    /// Prepares a pass by `chooser`, runs it once and holds its results against the direct one's.
    ///
    /// # Errors
    /// [`ForwardMeasureError`] if it cannot be made or does not agree.
    pub fn prepare(&self, chooser: &Chooser) -> Result<TimedPass, ForwardMeasureError> {
        let mut weights = Synthetic::new(&self.network, SEED);
        let mut pass = TimedPass::new(&self.network, &mut weights, chooser, &self.options)?;
        pass.run(&self.inputs())?;
        let pairs = pass.pass().output(0).unwrap_or_default().iter().zip(&self.results).enumerate();
        let distances = pairs.map(|(class, (got, expected))| (class, (got - expected).abs()));
        let limit = TOLERANCE * self.results.iter().fold(1.0, |largest: f32, result| largest.max(result.abs()));
        if let Some((class, distance)) =
            distances.into_iter().find(|(_, distance)| distance.is_nan() || *distance > limit)
        {
            let (network, first, second) = (self.network.name().into(), "direct".into(), chooser.name().into());
            return Err(ForwardMeasureError::Disagree { network, class, first, second, distance, limit });
        }
        Ok(pass)
    }
}

impl Bench {
    /// Verifies and times the passes of `network` by each of `choosers`, on every instruction set of this bench.
    ///
    /// # Errors
    /// [`ForwardMeasureError`] if one of them cannot be made or does not agree with the direct one.
    pub fn measure_forward(&self, network: &Network, choosers: &[Chooser]) -> Result<Vec<Record>, ForwardMeasureError> {
        let mut records = Vec::new();
        for (probe, limits) in &self.limits {
            let mut watch = self.watch();
            let passes = self.pool.install(|| {
                let workload = ForwardWorkload::new(network, probe.isa())?;
                let prepare = |chooser| {
                    self.stop.check()?;
                    workload.prepare(chooser)
                };
                let passes = choosers.iter().map(prepare);
                let mut passes = passes.collect::<Result<Vec<_>, _>>()?;
                let inputs = workload.inputs();
                super::rounds(
                    self.effort,
                    &mut passes,
                    || self.sample_machine(&mut watch),
                    |pass| {
                        self.stop.check()?;
                        Ok::<_, ForwardMeasureError>(pass.sample(&inputs)?)
                    },
                )?;
                Ok::<_, ForwardMeasureError>(passes)
            })?;
            let base = Record {
                threads: self.pool.current_num_threads(),
                model: Some(Model::Run),
                cache: Some(Cache::Warm),
                clock: Some(Clock::Convlab),
                ..records::origin(&self.machine)
            };
            for mut pass in passes {
                let disturbed = pass.keep_quiet(&watch, self.effort.min_samples);
                records.push(pass.record(Record { disturbed, ..base.clone() }, Some(limits)));
            }
        }
        Ok(records)
    }
}
