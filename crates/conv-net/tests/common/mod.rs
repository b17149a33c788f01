//! What the tests of forward passes share.

// Each test file uses a part of this.
#![allow(dead_code)]

pub mod arrays;
pub mod protobuf;

use conv_check::oracle;
use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Footprint, Method, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported,
};
use conv_net::{LayerObserver, LayerOutput, Network, Node, Weights, WeightsError};

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
            pitch: epilogue.pitch_of(problem)?,
            weights: filter.weights.to_vec(),
            bias,
        }))
    }

    fn plans_rows(&self, _: &Problem) -> bool {
        true
    }

    fn error_growth(&self, _: &Problem) -> f64 {
        1.0
    }
}

#[derive(Clone)]
struct OraclePlan {
    problem: Problem,
    footprint: Footprint,
    epilogue: Epilogue,
    pitch: usize,
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

    fn output_pitch(&self) -> usize {
        self.pitch
    }

    fn on_rows(&self, height: Axis) -> Option<Box<dyn Plan>> {
        Some(Box::new(OraclePlan { problem: self.problem.on_rows(height).unwrap(), ..self.clone() }))
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], _: &dyn Probe) {
        scratch.fill(f32::NAN);
        let filter = Filter { weights: &self.weights, bias: self.bias.as_deref() };
        let channels = self.problem.out_channels();
        let before: Vec<f32> = output.chunks(self.pitch).flat_map(|pixel| &pixel[..channels]).copied().collect();
        let exact = oracle(&self.problem, input, filter, self.epilogue, &before);
        let written = output.chunks_mut(self.pitch).flat_map(|pixel| &mut pixel[..channels]);
        written.zip(exact).for_each(|(output, exact)| *output = exact as f32);
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

    fn end(&mut self, layer: usize, output: LayerOutput<'_>) {
        assert_eq!(layer, self.0.len(), "a layer ends before the next begins");
        self.0.push(output.floats().copied().collect());
    }
}

/// Floats of an input, as of a normalised photograph or of an earlier layer: from -2 to 2.
pub fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919) % 1009) as f32 / 252.0 - 2.0).collect()
}

/// The constants of a whole network, in memory.
#[derive(Default)]
pub struct Kept {
    pub layers: Vec<KeptLayer>,
}

/// Those of one node.
pub struct KeptLayer {
    pub name: String,
    /// In the node's order.
    pub constants: Vec<Vec<f32>>,
}

impl KeptLayer {
    pub fn weights(&self) -> &[f32] {
        &self.constants[0]
    }

    pub fn bias(&self) -> &[f32] {
        &self.constants[1]
    }
}

impl Kept {
    /// All that `weights` has for `network`, asked for in two parts.
    pub fn of(network: &Network, weights: &mut dyn Weights) -> Result<Kept, WeightsError> {
        let mut layers = Vec::new();
        for node in network.nodes().iter().filter(|node| !node.parameters.is_empty()) {
            let mut constants = Vec::new();
            for (index, parameter) in node.parameters.iter().enumerate() {
                let mut values = vec![f32::NAN; parameter.len()];
                let half = parameter.len() / 2;
                let (first, second) = values.split_at_mut(half);
                // The second one first.
                weights.read(node, index, half, second)?;
                weights.read(node, index, 0, first)?;
                constants.push(values);
            }
            layers.push(KeptLayer { name: node.name.clone(), constants });
        }
        Ok(Kept { layers })
    }

    pub fn get(&self, layer: &str) -> Option<&KeptLayer> {
        self.layers.iter().find(|kept| kept.name == layer)
    }
}

impl Weights for Kept {
    fn read(&mut self, node: &Node, parameter: usize, first: usize, values: &mut [f32]) -> Result<(), WeightsError> {
        let kept = self.get(&node.name).ok_or_else(|| WeightsError::Absent { layer: node.name.clone() })?;
        values.copy_from_slice(&kept.constants[parameter][first..][..values.len()]);
        Ok(())
    }
}

/// A pipe in a folder, which nobody writes to.
#[cfg(unix)]
pub fn pipe(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// What `work` returns, if it does within ten seconds.
#[track_caller]
pub fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(std::time::Duration::from_secs(10)).expect("it ends in ten seconds")
}
