//! What the tests of forward passes share.

// Each test file uses a part of this.
#![allow(dead_code)]

pub mod arrays;
pub mod protobuf;

use std::ops::Range;

use conv_check::oracle;
use conv_core::{
    Algorithm, Epilogue, Filter, Footprint, Method, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported,
};
use conv_net::{LayerObserver, Network, ShapedLayer, Weights, WeightsError};

/// The f64 oracle as an algorithm, so that what these tests see is not a kernel's doing. It keeps the weights as given
/// and asks for scratch that it does not need, so that there is memory to plan.
pub struct Oracle;

impl Algorithm for Oracle {
    fn name(&self) -> &'static str {
        "test/oracle"
    }

    fn supports(&self, problem: &Problem) -> Result<(), Unsupported> {
        match problem.height().stride {
            7 => Err(Unsupported::Stride { algorithm: self.name(), stride_h: 7, stride_w: 7 }),
            _ => Ok(()),
        }
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        self.supports(problem)?;
        filter.check(problem)?;
        let prepared = 4 * (filter.weights.len() + problem.out_channels());
        let footprint = options.admit(prepared as u128, 4 * problem.reduction() as u128)?;
        let bias = filter.bias.map(<[f32]>::to_vec);
        Ok(Box::new(OraclePlan {
            problem: problem.clone(),
            footprint,
            epilogue,
            weights: filter.weights.to_vec(),
            bias,
        }))
    }

    fn error_growth(&self, _: &Problem) -> f64 {
        1.0
    }
}

struct OraclePlan {
    problem: Problem,
    footprint: Footprint,
    epilogue: Epilogue,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Plan for OraclePlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], _: &dyn Probe) {
        scratch.fill(f32::NAN);
        let filter = Filter { weights: &self.weights, bias: self.bias.as_deref() };
        let exact = oracle(&self.problem, input, filter, self.epilogue);
        output.iter_mut().zip(exact).for_each(|(output, exact)| *output = exact as f32);
    }
}

/// Everything by [`Oracle`].
pub fn oracle_only(_: &Problem) -> Method {
    Method::from(&Oracle as &dyn Algorithm)
}

/// Keeps each layer's output.
#[derive(Default)]
pub struct Outputs(pub Vec<Vec<f32>>);

impl LayerObserver for Outputs {
    fn begin(&mut self, layer: usize) {
        assert_eq!(layer, self.0.len(), "layers begin in order");
    }

    fn end(&mut self, layer: usize, output: &[f32]) {
        assert_eq!(layer, self.0.len(), "a layer ends before the next begins");
        self.0.push(output.to_vec());
    }
}

/// The weights of a whole network, in memory.
pub struct Kept {
    pub layers: Vec<KeptLayer>,
}

pub struct KeptLayer {
    pub name: String,
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Kept {
    /// All that `weights` has for `network`, asked for in two parts.
    pub fn of(network: &Network, weights: &mut dyn Weights) -> Result<Kept, WeightsError> {
        let mut layers = Vec::new();
        for shaped in network.infer(1)? {
            let Some(problem) = &shaped.problem else { continue };
            let mut layer = KeptLayer {
                name: shaped.layer.name.clone(),
                weights: vec![f32::NAN; problem.weight_len()],
                bias: vec![f32::NAN; problem.out_channels()],
            };
            let half = problem.out_channels() / 2;
            let (first, second) = layer.weights.split_at_mut(half * shaped.fan_in());
            weights.weights(&shaped, 0..half, first)?;
            weights.weights(&shaped, half..problem.out_channels(), second)?;
            weights.bias(&shaped, &mut layer.bias)?;
            layers.push(layer);
        }
        Ok(Kept { layers })
    }

    pub fn get(&self, layer: &str) -> Option<&KeptLayer> {
        self.layers.iter().find(|kept| kept.name == layer)
    }

    fn find(&self, layer: &ShapedLayer<'_>) -> Result<&KeptLayer, WeightsError> {
        self.get(&layer.layer.name).ok_or_else(|| WeightsError::Absent { layer: layer.layer.name.clone() })
    }
}

impl Weights for Kept {
    fn weights(
        &mut self,
        layer: &ShapedLayer<'_>,
        channels: Range<usize>,
        values: &mut [f32],
    ) -> Result<(), WeightsError> {
        let kept = &self.find(layer)?.weights[channels.start * layer.fan_in()..channels.end * layer.fan_in()];
        values.copy_from_slice(kept);
        Ok(())
    }

    fn bias(&mut self, layer: &ShapedLayer<'_>, values: &mut [f32]) -> Result<(), WeightsError> {
        values.copy_from_slice(&self.find(layer)?.bias);
        Ok(())
    }
}
