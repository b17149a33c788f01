//! How graphs are built, and held against the reference.

use std::collections::HashMap;

use conv_core::PlanOptions;
use conv_net::{
    Activation, BatchNormalization, Builder, Conv, ForwardPass, Network, Operator, Shape, Synthetic, ValueId, Window,
};
use conv_simd::Isa;

use crate::common::{Kept, Outputs, oracle_only};
use crate::reference;

/// Of the largest magnitude of a tensor.
pub const BOUND: f64 = 1e-5;

pub const RELU: Operator = Operator::Activation(Activation::Relu);

/// A builder that finds names.
pub struct Graph {
    pub builder: Builder,
    count: usize,
}

impl Graph {
    pub fn new(name: &str) -> Graph {
        Graph { builder: Builder::new(name), count: 0 }
    }

    /// A network of one input.
    pub fn on(name: &str, sizes: &[usize]) -> (Graph, ValueId) {
        let mut graph = Graph::new(name);
        let input = graph.input(sizes);
        (graph, input)
    }

    pub fn name(&mut self) -> String {
        self.count += 1;
        format!("n{}", self.count)
    }

    pub fn input(&mut self, sizes: &[usize]) -> ValueId {
        let name = self.name();
        self.builder.input(name, sizes).unwrap()
    }

    pub fn add(&mut self, operator: Operator, inputs: &[ValueId]) -> ValueId {
        let name = self.name();
        self.builder.node(name, operator, inputs).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn constant(&mut self, sizes: &[usize]) -> ValueId {
        self.add(Operator::Constant(shape(sizes)), &[])
    }

    pub fn sizes(&self, value: ValueId) -> Vec<usize> {
        self.builder.shape(value).unwrap().sizes().to_vec()
    }

    pub fn check(self, outputs: &[ValueId]) -> Vec<String> {
        check(&self.builder.finish(outputs).unwrap())
    }
}

pub fn shape(sizes: &[usize]) -> Shape {
    Shape::new(sizes).unwrap()
}

/// Pseudo-random numbers by Lehmer's generator.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        (self.0 >> 4) as usize % end
    }

    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(4001) as f32 / 1000.0 - 2.0).collect()
    }
}

/// Holds every stage and every output of a pass against the reference; the names of its layers.
pub fn check(network: &Network) -> Vec<String> {
    let mut random = Random(7);
    let sizes = |value: &ValueId| network.shape(*value).unwrap().floats();
    let inputs: Vec<Vec<f32>> = network.inputs().iter().map(|input| random.floats(sizes(input))).collect();
    let slices: Vec<&[f32]> = inputs.iter().map(|input| &input[..]).collect();
    let nans: Vec<Vec<f32>> = inputs.iter().map(|input| vec![f32::NAN; input.len()]).collect();
    let nans: Vec<&[f32]> = nans.iter().map(|input| &input[..]).collect();
    let mut weights = Kept::of(network, &mut Synthetic::new(network, 5)).unwrap();
    let exact = reference::forward(network, &weights, &slices);
    let exact: Vec<Vec<f64>> = exact.iter().map(reference::Tensor::in_memory).collect();
    let mut names = Vec::new();
    for isa in Isa::available() {
        let mut kept: HashMap<ValueId, Vec<f32>> = HashMap::new();
        // With all convolutions that can be in chains, and with none.
        for (workers, far) in [(1, 0), (4, 0), (4, usize::MAX)] {
            let options = PlanOptions::new(workers).isa(isa);
            let mut pass = ForwardPass::keeping(network, &mut weights, &oracle_only, &options, far).unwrap();
            let chained = if far == 0 { "in chains" } else { "layer by layer" };
            let what = format!("{} on {isa}, {workers} workers, {chained}", network.name());
            let values: Vec<ValueId> = pass.memory().layers.iter().map(|layer| layer.output).collect();
            for run in 0..3 {
                // The buffers of the last run are full of what must not be read.
                if run == 2 {
                    pass.run(&nans, &mut ()).unwrap();
                }
                let mut outputs = Outputs::default();
                pass.run(&slices, &mut outputs).unwrap();
                assert_eq!(outputs.0.len(), values.len());
                for (value, output) in values.iter().zip(&outputs.0) {
                    compare(&format!("{what}, {}", network.value(*value).name), output, &exact[value.index()]);
                }
                for (index, value) in network.outputs().iter().enumerate() {
                    let output = pass.output(index).unwrap_or_else(|| panic!("{what}: output {index} is kept"));
                    compare(&format!("{what}, output {index}"), output, &exact[value.index()]);
                }
                assert_eq!(pass.output(network.outputs().len()), None);
                for (value, output) in values.iter().zip(outputs.0) {
                    let first = kept.entry(*value).or_insert_with(|| output.clone());
                    assert!(*first == output, "{what}: another run gave the same bits");
                }
            }
            let memory = pass.memory();
            let most = memory.layers.iter().map(|layer| layer.alive_bytes).max().unwrap();
            assert_eq!(memory.least_activation_bytes, most, "{what}");
            assert!(memory.activation_bytes >= most, "{what}");
            names = memory.layers.iter().map(|layer| layer.name.clone()).collect();
        }
    }
    names
}

pub fn compare(what: &str, output: &[f32], exact: &[f64]) {
    assert_eq!(output.len(), exact.len(), "{what}");
    // Logarithms of 1 are zeros, but for the reference's own rounding.
    let largest = exact.iter().fold(1e-9_f64, |max, x| max.max(x.abs()));
    for (at, (&got, &exact)) in output.iter().zip(exact).enumerate() {
        assert!(exact.is_finite(), "{what}: the reference has {exact}");
        let error = (f64::from(got) - exact).abs();
        assert!(error <= BOUND * largest, "{what}[{at}]: {got} for {exact}, largest {largest}");
    }
}

/// Maps and sequences of images and channels, odd ones.
pub fn maps() -> Vec<Vec<usize>> {
    [1, 3].into_iter().flat_map(|batch| [3, 17].map(|channels| vec![batch, channels, 5, 7])).collect()
}

/// Tensors of all ranks that have channels.
pub fn tensors() -> Vec<Vec<usize>> {
    let of_map = |map: Vec<usize>| [map[..2].to_vec(), vec![map[0], map[1], 7], map];
    maps().into_iter().flat_map(of_map).collect()
}

pub fn window(kernel: usize, stride: usize, pad: [usize; 2], dilation: usize) -> Window {
    Window { kernel, stride, pad, dilation }
}

pub fn conv(out_channels: usize, kernel: usize, bias: bool) -> Operator {
    Operator::Conv(Conv { out_channels, windows: Window::square(kernel, 1, kernel / 2), groups: 1, bias })
}

pub fn normalisation() -> Operator {
    Operator::BatchNormalization(BatchNormalization { epsilon: 1e-3 })
}

/// One operator alone on each of `tensors`.
pub fn alone(name: &str, tensors: Vec<Vec<usize>>, operator: impl Fn(&[usize]) -> Operator) {
    for sizes in tensors {
        let (mut graph, input) = Graph::on(&format!("{name} of {sizes:?}"), &sizes);
        let output = graph.add(operator(&sizes), &[input]);
        assert_eq!(graph.check(&[output]).len(), 1);
    }
}
