//! Normalisations, factors of channels, and softmax.

use super::{OperatorError, Parameter, map_of};
use crate::shape::Shape;

/// Local response normalisation (section 3.3 of AlexNet's paper):
/// `y[c] = x[c] / (k + alpha · Σ x[j]²) ^ beta`, the sum over the `size` channels around `c` that exist.
///
/// `alpha` multiplies the sum itself, **as the paper prints it**. Caffe, PyTorch and ONNX divide theirs by `size`:
/// their 1e-4 at size 5 is 2e-5 here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lrn {
    /// Channels in the window, odd: `c` and as many on either side.
    pub size: usize,
    /// What the sum is added to; above zero.
    pub k: f32,
    /// Factor of the sum of squares; not negative.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
}

impl Lrn {
    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        map_of(input)?;
        let Lrn { size, k, alpha, beta } = *self;
        OperatorError::require("size", &size, size % 2 == 1, "odd")?;
        OperatorError::require("k", &k, k > 0.0 && k.is_finite(), "above zero and finite")?;
        OperatorError::require("alpha", &alpha, alpha >= 0.0 && alpha.is_finite(), "finite, zero or above")?;
        OperatorError::require("beta", &beta, beta.is_finite(), "finite")?;
        Ok(input.clone())
    }
}

/// Batch normalisation with the means and variances of training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormalization {
    /// What is added to the variance.
    pub epsilon: f32,
}

impl BatchNormalization {
    pub(super) fn parameters(input: &Shape) -> Vec<Parameter> {
        ["weight", "bias", "running_mean", "running_var"].map(|name| Parameter::new(name, [channels(input)])).into()
    }
}

/// `x[c] · weight[c] + bias[c]`: what is left of scalar and channel-wise arithmetic with constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affine;

impl Affine {
    pub(super) fn parameters(input: &Shape) -> Vec<Parameter> {
        ["weight", "bias"].map(|name| Parameter::new(name, [channels(input)])).into()
    }
}

/// Of every shape that has channels.
pub(super) fn per_channel(input: &Shape) -> Result<Shape, OperatorError> {
    if input.rank() < 2 {
        return Err(OperatorError::Inputs(format!("reads {input}, which has no channels")));
    }
    Ok(input.clone())
}

fn channels(input: &Shape) -> usize {
    input.sizes().get(1).copied().unwrap_or(1)
}

/// `exp(x) / Σ exp(x)`, the sum over some neighbouring axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax {
    /// The first axis of the sum.
    pub axis: usize,
    /// The end of the axes of the sum: `axis + 1` since opset 13, and of older models the rank.
    pub end: usize,
    /// Whether the result is the logarithm.
    pub log: bool,
}

impl Softmax {
    /// Over the channels.
    pub const fn channels() -> Self {
        Softmax { axis: 1, end: 2, log: false }
    }

    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        // Of the axes in between, others lie between them in memory.
        let fits = self.axis < input.rank() && (self.end == self.axis + 1 || self.end == input.rank());
        OperatorError::require("axis", &self.axis, fits, format!("an axis of {input}, alone or with all after it"))?;
        Ok(input.clone())
    }
}
