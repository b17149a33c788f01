//! Convolutions, their transposes, and fully connected layers.

use conv_core::{Axis, Problem};

use super::{OperatorError, Parameter, Window, map_of};
use crate::shape::Shape;

/// A convolution. Of a one-dimensional one, the first window is a [`Window::point`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Filters, all groups together.
    pub out_channels: usize,
    /// The filter, vertically and horizontally.
    pub windows: [Window; 2],
    /// Groups: 2 where AlexNet's paper keeps its two GPUs apart.
    pub groups: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl Conv {
    pub(super) fn problem(&self, input: &Shape) -> Result<Problem, OperatorError> {
        let map = map_of(input)?;
        let [height, width] = self.windows;
        let axes = [height.over(map.height), width.over(map.width)];
        Problem::new(input.batch(), self.groups, [map.channels, self.out_channels], axes)
            .map_err(|source| OperatorError::Problem { input: map, source: Box::new(source) })
    }

    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        fits_rank(&self.windows, input)?;
        Ok(input.with_map(self.problem(input)?.output_size(), self.out_channels)?)
    }

    pub(super) fn parameters(&self, input: &Shape) -> Vec<Parameter> {
        let channels = input.map().map_or(0, |map| map.channels) / self.groups;
        let kernels = self.windows.map(|window| window.kernel);
        // One-dimensional ones have no height.
        let kernels = if input.rank() == 3 { &kernels[1..] } else { &kernels[..] };
        let weight = [&[self.out_channels, channels], kernels].concat();
        [Parameter::new("weight", weight)].into_iter().chain(bias(self.bias, self.out_channels)).collect()
    }
}

/// The transpose of a convolution: each input element adds its multiple of the filter to the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose {
    /// Channels of the output, all groups together.
    pub out_channels: usize,
    /// The filter; its padding is cut off from the output.
    pub windows: [Window; 2],
    /// Rows and pixels that the output has beyond those that are written, at the end.
    pub output_padding: [usize; 2],
    /// Groups.
    pub groups: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl ConvTranspose {
    /// Operations on an input of this shape, two a multiply-add, what is cut off again included.
    pub fn flops(&self, input: &Shape) -> u128 {
        let taps: u128 = self.windows.iter().map(|window| window.kernel as u128).product();
        2 * input.floats() as u128 * taps * (self.out_channels / self.groups) as u128
    }

    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        let map = map_of(input)?;
        fits_rank(&self.windows, input)?;
        let divides = self.groups > 0
            && map.channels.is_multiple_of(self.groups)
            && self.out_channels.is_multiple_of(self.groups);
        let expected = format!("at least 1, dividing {} and {} channels", map.channels, self.out_channels);
        OperatorError::require("group", &self.groups, divides && self.out_channels > 0, expected)?;
        let mut sizes = [0; 2];
        for (axis, input) in [map.height, map.width].into_iter().enumerate() {
            let Window { kernel, stride, pad, dilation } = self.windows[axis];
            for (name, value) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
                OperatorError::require(name, &value, (1..=1 << 24).contains(&value), "1 to 16777216")?;
            }
            let reach = (input - 1) as u128 * stride as u128 + (kernel - 1) as u128 * dilation as u128 + 1;
            let all = reach + self.output_padding[axis] as u128;
            let cut = pad[0] as u128 + pad[1] as u128;
            let expected = format!("less than the {all} elements that there are, together");
            OperatorError::require("pads", &format!("{pad:?}"), cut < all, expected)?;
            sizes[axis] = usize::try_from(all - cut).unwrap_or(usize::MAX);
        }
        let [height, width] = self.windows.map(|window| window.kernel);
        // Its weights are a tensor, too.
        Shape::new(&[map.channels, self.out_channels / self.groups, height, width])?;
        Ok(input.with_map(sizes, self.out_channels)?)
    }

    pub(super) fn parameters(&self, input: &Shape) -> Vec<Parameter> {
        let channels = input.map().map_or(0, |map| map.channels);
        let kernels = self.windows.map(|window| window.kernel);
        let kernels = if input.rank() == 3 { &kernels[1..] } else { &kernels[..] };
        let weight = [&[channels, self.out_channels / self.groups], kernels].concat();
        [Parameter::new("weight", weight)].into_iter().chain(bias(self.bias, self.out_channels)).collect()
    }
}

/// A fully connected layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Outputs.
    pub out_features: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl Linear {
    pub(super) fn problem(&self, input: &Shape) -> Result<Problem, OperatorError> {
        let map = map_of(input)?;
        let axes = [map.height, map.width].map(|size| Axis::new(size, size));
        Problem::new(input.batch(), 1, [map.channels, self.out_features], axes)
            .map_err(|source| OperatorError::Problem { input: map, source: Box::new(source) })
    }

    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        self.problem(input)?;
        Ok(Shape::new(&[input.batch(), self.out_features])?)
    }

    pub(super) fn parameters(&self, input: &Shape) -> Vec<Parameter> {
        let inputs = input.map().map_or(0, |map| map.floats());
        let weight = Parameter::new("weight", [self.out_features, inputs]);
        [weight].into_iter().chain(bias(self.bias, self.out_features)).collect()
    }
}

/// That of a one-dimensional tensor the first window is none.
fn fits_rank(windows: &[Window; 2], input: &Shape) -> Result<(), OperatorError> {
    let fits = input.rank() != 3 || windows[0] == Window::point();
    OperatorError::require("windows", &format!("{windows:?}"), fits, format!("one-dimensional on {input}"))
}

fn bias(has_bias: bool, channels: usize) -> Option<Parameter> {
    has_bias.then(|| Parameter::new("bias", [channels]))
}
