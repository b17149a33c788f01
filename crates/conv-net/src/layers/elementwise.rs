//! Functions of each element.

use conv_simd::{Isa, Simd, SimdOp};

use super::functions::{clip, erf, exp, exp_minus_one, gelu, mish, sigmoid, softplus, tanh};
use super::{for_each_chunk, task_len};

/// What becomes of each element. A NaN stays one.
///
/// Results are within 4 units in the last place of the exact ones, or within 1e-35, since exponentials that are
/// denormals may be zero. Those of [`Gelu`](Self::Gelu), [`HardSigmoid`](Self::HardSigmoid) and
/// [`HardSwish`](Self::HardSwish), whose definitions cancel near a zero, are within 4e-7, or 4e-7 times `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x`, but `slope · x` below zero.
    LeakyRelu {
        /// The factor.
        slope: f32,
    },
    /// The closest value from `low` to `high`.
    Clip {
        /// The least result.
        low: f32,
        /// The largest result.
        high: f32,
    },
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `alpha · x + beta`, clipped to 0 and 1.
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at zero.
        beta: f32,
    },
    /// `x` times the hard sigmoid of slope 1/6 and offset 1/2.
    HardSwish,
    /// `x` times its sigmoid.
    Silu,
    /// `x · tanh(softplus(x))`.
    Mish,
    /// Hyperbolic tangent.
    Tanh,
    /// `x`, but `alpha · (eˣ - 1)` below zero.
    Elu {
        /// The limit, negated.
        alpha: f32,
    },
    /// `ln(1 + eˣ)`.
    Softplus,
    /// `eˣ`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// Absolute value.
    Abs,
    /// `-x`.
    Neg,
    /// `1 / x`.
    Reciprocal,
    /// The error function.
    Erf,
    /// `x` times the normal distribution up to it, by the error function.
    Gelu,
    /// The next integer below.
    Floor,
    /// The next integer above.
    Ceil,
}

impl Activation {
    /// What ONNX calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Activation::Relu => "Relu",
            Activation::LeakyRelu { .. } => "LeakyRelu",
            Activation::Clip { .. } => "Clip",
            Activation::Sigmoid => "Sigmoid",
            Activation::HardSigmoid { .. } => "HardSigmoid",
            Activation::HardSwish => "HardSwish",
            Activation::Silu => "Silu",
            Activation::Mish => "Mish",
            Activation::Tanh => "Tanh",
            Activation::Elu { .. } => "Elu",
            Activation::Softplus => "Softplus",
            Activation::Exp => "Exp",
            Activation::Log => "Log",
            Activation::Sqrt => "Sqrt",
            Activation::Abs => "Abs",
            Activation::Neg => "Neg",
            Activation::Reciprocal => "Reciprocal",
            Activation::Erf => "Erf",
            Activation::Gelu => "Gelu",
            Activation::Floor => "Floor",
            Activation::Ceil => "Ceil",
        }
    }
}

/// `output = activation(input)`.
pub(crate) fn activate(isa: Isa, workers: usize, activation: Activation, input: &[f32], output: &mut [f32]) {
    let len = task_len(output.len(), 1);
    for_each_chunk(workers, output, len, |index, output| {
        let input = &input[index * len..][..output.len()];
        isa.run(Activate { activation, input, output });
    });
}

struct Activate<'a> {
    activation: Activation,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        match self.activation {
            Activation::Relu => self.map(|x| if x < 0.0 { 0.0 } else { x }),
            Activation::LeakyRelu { slope } => self.map(|x| if x < 0.0 { slope * x } else { x }),
            Activation::Clip { low, high } => self.map(|x| clip(x, low, high)),
            Activation::Sigmoid => self.map(sigmoid),
            Activation::HardSigmoid { alpha, beta } => self.map(|x| clip(alpha * x + beta, 0.0, 1.0)),
            Activation::HardSwish => self.map(|x| x * clip(x / 6.0 + 0.5, 0.0, 1.0)),
            Activation::Silu => self.map(|x| x / (1.0 + exp(-x))),
            Activation::Mish => self.map(mish),
            Activation::Tanh => self.map(tanh),
            Activation::Elu { alpha } => self.map(|x| if x < 0.0 { alpha * exp_minus_one(x) } else { x }),
            Activation::Softplus => self.map(softplus),
            Activation::Exp => self.map(exp),
            Activation::Log => self.map(f32::ln),
            Activation::Sqrt => self.map(f32::sqrt),
            Activation::Abs => self.map(f32::abs),
            Activation::Neg => self.map(|x| -x),
            Activation::Reciprocal => self.map(|x| 1.0 / x),
            Activation::Erf => self.map(erf),
            Activation::Gelu => self.map(gelu),
            Activation::Floor => self.map(f32::floor),
            Activation::Ceil => self.map(f32::ceil),
        }
    }
}

impl Activate<'_> {
    #[inline(always)]
    fn map(self, function: impl Fn(f32) -> f32) {
        self.output.iter_mut().zip(self.input).for_each(|(y, &x)| *y = function(x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activated(isa: Isa, workers: usize, activation: Activation, input: &[f32]) -> Vec<f32> {
        let mut output = vec![f32::NAN; input.len()];
        activate(isa, workers, activation, input, &mut output);
        output
    }

    /// By its series, or by its complement's continued fraction.
    fn erf(x: f64) -> f64 {
        if x.abs() < 2.5 {
            let (mut term, mut sum) = (x, x);
            for n in 1..80 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        } else {
            let fraction = (1..100).rev().fold(x.abs(), |below, n| x.abs() + f64::from(n) / 2.0 / below);
            (1.0 - (-x * x).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0).copysign(x)
        }
    }

    fn exact(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Relu => x.max(0.0),
            Activation::LeakyRelu { slope } => x.max(0.0) + f64::from(slope) * x.min(0.0),
            Activation::Clip { low, high } => x.max(low.into()).min(high.into()),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
            Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Mish => x * x.exp().ln_1p().tanh(),
            Activation::Tanh => x.tanh(),
            Activation::Elu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x.exp_m1()
                } else {
                    x
                }
            }
            Activation::Softplus => {
                if x > 700.0 {
                    x
                } else {
                    x.exp().ln_1p()
                }
            }
            Activation::Exp => x.exp(),
            Activation::Log => x.ln(),
            Activation::Sqrt => x.sqrt(),
            Activation::Abs => x.abs(),
            Activation::Neg => -x,
            Activation::Reciprocal => 1.0 / x,
            Activation::Erf => erf(x),
            Activation::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Activation::Floor => x.floor(),
            Activation::Ceil => x.ceil(),
        }
    }

    const ALL: [Activation; 21] = [
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Clip { low: -1.5, high: 6.0 },
        Activation::Sigmoid,
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::HardSwish,
        Activation::Silu,
        Activation::Mish,
        Activation::Tanh,
        Activation::Elu { alpha: 0.7 },
        Activation::Softplus,
        Activation::Exp,
        Activation::Log,
        Activation::Sqrt,
        Activation::Abs,
        Activation::Neg,
        Activation::Reciprocal,
        Activation::Erf,
        Activation::Gelu,
        Activation::Floor,
        Activation::Ceil,
    ];

    /// Of both signs, from the smallest normal numbers to the largest, and densely where most functions bend.
    fn inputs() -> Vec<f32> {
        let scales = (0..2300).map(|i| 1.2e-38 * 1.08_f32.powi(i)).filter(|x| x.is_finite());
        let magnitudes: Vec<f32> = scales.chain((0..400_003).map(|i| i as f32 * 2.5e-4)).collect();
        magnitudes.iter().flat_map(|&x| [x, -x]).collect()
    }

    /// Whether a difference of nearly equal numbers is part of the definition.
    fn cancels(activation: Activation) -> bool {
        matches!(activation, Activation::Gelu | Activation::HardSigmoid { .. } | Activation::HardSwish)
    }

    /// In units in the last place at most: 1.0 for the exponential, 1.5 for `Elu` and `Erf`, 1.1 for `Tanh`, 2.4 for
    /// `Sigmoid` and `Silu`, 2.6 for `Softplus`, 4.0 for `Mish`. `Gelu` had 1.1e-7 of its input.
    #[test]
    fn errors_are_as_stated() {
        let inputs = inputs();
        for activation in ALL {
            let outputs = activated(Isa::best(), 1, activation, &inputs);
            let mut worst = (0.0, 0.0, 0.0);
            for (&x, &y) in inputs.iter().zip(&outputs) {
                let exact = exact(activation, x.into());
                if exact.is_nan() || exact.abs() > f32::MAX.into() {
                    assert!(y.is_nan() == exact.is_nan() && !y.is_finite(), "{activation:?} of {x} is {y} for {exact}");
                    continue;
                }
                let error = ((f64::from(y) - exact).abs() - 1e-35).max(0.0);
                let units = if cancels(activation) {
                    error / 4e-7 / f64::from(x.abs().max(1.0))
                } else {
                    let exponent = (exact.abs() as f32).max(f32::MIN_POSITIVE).to_bits() >> 23;
                    error / 2_f64.powi(exponent as i32 - 150)
                };
                if units > worst.0 {
                    worst = (units, x, y);
                }
            }
            let most = if cancels(activation) { 1.0 } else { 4.0 };
            assert!(worst.0 <= most, "{activation:?}: {worst:?}");
        }
    }

    #[test]
    fn the_same_on_all_instruction_sets_and_workers() {
        let inputs = inputs();
        for activation in ALL {
            for len in [0, 1, 15, 17, 63, 100_001] {
                let input = &inputs[inputs.len() / 3..][..len];
                let expected = activated(Isa::best(), 1, activation, input);
                for isa in Isa::available() {
                    for workers in [1, 3] {
                        let output = activated(isa, workers, activation, input);
                        let same = output.iter().zip(&expected).all(|(a, b)| a == b || a.is_nan() && b.is_nan());
                        assert!(same, "{activation:?} of {len} on {isa}, {workers} workers");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_that() {
        for activation in ALL {
            let output = activated(Isa::best(), 1, activation, &[f32::NAN; 37]);
            assert!(output.iter().all(|y| y.is_nan()), "{activation:?}");
        }
    }
}
