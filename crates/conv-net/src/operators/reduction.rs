//! Sums, means and extremes.

use super::OperatorError;
pub use crate::layers::Reduction;
use crate::shape::Shape;
use crate::text::listed;

/// A reduction over some axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduce {
    /// What is computed.
    pub reduction: Reduction,
    /// Over which axes, ascending.
    pub axes: Vec<usize>,
    /// Whether they stay, with a size of 1.
    pub keep: bool,
}

impl Reduce {
    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        let inside = self.axes.iter().all(|&axis| axis < input.rank());
        let ascending = self.axes.windows(2).all(|pair| pair[0] < pair[1]);
        let expected = format!("different axes of {input}");
        OperatorError::require("axes", &listed(&self.axes), inside && ascending, expected)?;
        let sizes = input.sizes().iter().enumerate().filter_map(|(axis, &size)| match self.axes.contains(&axis) {
            true => self.keep.then_some(1),
            false => Some(size),
        });
        Ok(Shape::new(&sizes.collect::<Vec<_>>())?)
    }
}
