//! Seeded inputs and filters.

use conv_core::{Filter, Problem};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// What the numbers are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Inputs as after a ReLU: half of them zero, the others the positive half of a bell curve; weights of both signs
    /// scaled by 1/√reduction, so that outputs are about as large as inputs.
    ReluLike,
    /// Inputs of both signs, otherwise as [`Kind::ReluLike`].
    Signed,
    /// Small integers, whose sums stay below 2²⁴ and are therefore exact in f32 in any order.
    Integers,
    /// Alternating signs and magnitudes over six decades: cancellation and absorption where sums are formed carelessly.
    Adversarial,
    /// One weight of ±1 an output channel, inputs ±1 to ±4. The error bound is then that of a single product, so that a
    /// lost, doubled or misplaced tap stands out from it, however many taps there are. Exact, as [`Kind::Integers`].
    OneTap,
}

/// Input, weights and bias of one problem. The same problem, kind and seed give the same numbers everywhere.
#[derive(Debug, Clone)]
pub struct Data {
    /// `[n][ih][iw][ic]`.
    pub input: Vec<f32>,
    /// `[oc][ic/groups][kh][kw]`.
    pub weights: Vec<f32>,
    /// `[oc]`.
    pub bias: Vec<f32>,
}

impl Kind {
    /// Whether every sum of products is exact in f32, in any order.
    pub fn exact(self) -> bool {
        matches!(self, Kind::Integers | Kind::OneTap)
    }
}

impl Data {
    /// Generates the data of `problem`.
    pub fn new(problem: &Problem, kind: Kind, seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let lengths = [problem.input_len(), problem.weight_len(), problem.out_channels()];
        let scale = 1.0 / (problem.reduction() as f32).sqrt();
        let mut fill = |len: usize, value: &dyn Fn(&mut Pcg64Mcg, usize) -> f32| -> Vec<f32> {
            (0..len).map(|i| value(&mut rng, i)).collect()
        };
        let [input, weights, bias] = match kind {
            Kind::ReluLike => [
                fill(lengths[0], &|rng, _| bell(rng).max(0.0)),
                fill(lengths[1], &|rng, _| bell(rng) * scale),
                fill(lengths[2], &|rng, _| bell(rng) * 0.1),
            ],
            Kind::Signed => [
                fill(lengths[0], &|rng, _| bell(rng)),
                fill(lengths[1], &|rng, _| bell(rng) * scale),
                fill(lengths[2], &|rng, _| bell(rng) * 0.1),
            ],
            Kind::Integers => {
                // 4 · 4 · 2¹⁹ is 2²³: beyond that many terms, smaller weights.
                let limit = if problem.reduction() < 1 << 19 { 4 } else { 1 };
                let integer = move |rng: &mut Pcg64Mcg, _| rng.random_range(-limit..=limit) as f32;
                [fill(lengths[0], &integer), fill(lengths[1], &integer), fill(lengths[2], &integer)]
            }
            Kind::Adversarial => {
                let wild = |rng: &mut Pcg64Mcg, i: usize| {
                    let magnitude = 10.0_f32.powf(rng.random_range(-3.0..3.0));
                    if i.is_multiple_of(2) { magnitude } else { -magnitude }
                };
                [fill(lengths[0], &wild), fill(lengths[1], &wild), fill(lengths[2], &wild)]
            }
            Kind::OneTap => {
                let (reduction, group) = (problem.reduction(), problem.group_out_channels());
                let mut weights = vec![0.0; lengths[1]];
                for (k, weights) in weights.chunks_mut(reduction).enumerate() {
                    // A group's first channel takes the last tap of the last input channel: where tails are.
                    let tap = if k.is_multiple_of(group) { reduction - 1 } else { rng.random_range(0..reduction) };
                    weights[tap] = sign(&mut rng);
                }
                let integer = |rng: &mut Pcg64Mcg| sign(rng) * rng.random_range(1..=4) as f32;
                let mut integers = |len| -> Vec<f32> { (0..len).map(|_| integer(&mut rng)).collect() };
                [integers(lengths[0]), weights, integers(lengths[2])]
            }
        };
        Data { input, weights, bias }
    }

    /// Weights with bias.
    pub fn filter(&self) -> Filter<'_> {
        Filter { weights: &self.weights, bias: Some(&self.bias) }
    }
}

fn sign(rng: &mut Pcg64Mcg) -> f32 {
    if rng.random() { 1.0 } else { -1.0 }
}

/// Near enough to a standard normal: a sum of four uniforms, scaled to variance 1.
fn bell(rng: &mut Pcg64Mcg) -> f32 {
    let sum: f32 = (0..4).map(|_| rng.random_range(-1.0_f32..1.0)).sum();
    sum * 0.75_f32.sqrt()
}
