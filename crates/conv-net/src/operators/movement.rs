//! Operators that move elements, or repeat them.

use super::OperatorError;
use crate::layers;
pub use crate::layers::PadMode;
use crate::shape::Shape;
use crate::text::listed;

/// Tensors one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// Along which axis.
    pub axis: usize,
}

impl Concat {
    pub(super) fn shape(&self, inputs: &[&Shape]) -> Result<Shape, OperatorError> {
        let mut sizes = inputs[0].sizes().to_vec();
        OperatorError::require("axis", &self.axis, self.axis < sizes.len(), format!("an axis of {}", inputs[0]))?;
        for input in &inputs[1..] {
            let others = |shape: &Shape| {
                let mut sizes = shape.sizes().to_vec();
                if self.axis < sizes.len() {
                    sizes.remove(self.axis);
                }
                sizes
            };
            if input.rank() != sizes.len() || others(input) != others(inputs[0]) {
                let message = format!("joins {} and {input} along axis {}", inputs[0], self.axis);
                return Err(OperatorError::Inputs(message));
            }
            sizes[self.axis] = sizes[self.axis].saturating_add(input.sizes()[self.axis]);
        }
        Ok(Shape::new(&sizes)?)
    }
}

/// A part of a tensor: of each axis `sizes` elements from `starts` on, `steps` apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The first element of each axis.
    pub starts: Vec<usize>,
    /// From one to the next, backwards if negative.
    pub steps: Vec<isize>,
    /// How many.
    pub sizes: Vec<usize>,
}

impl Slice {
    /// Elements `start .. start + size` of one axis of `input`.
    pub fn of(input: &Shape, axis: usize, start: usize, size: usize) -> Self {
        let mut slice =
            Slice { starts: vec![0; input.rank()], steps: vec![1; input.rank()], sizes: input.sizes().to_vec() };
        if axis < input.rank() {
            (slice.starts[axis], slice.sizes[axis]) = (start, size);
        }
        slice
    }

    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        let rank = input.rank();
        let fits = |axis: usize| {
            let (start, step, size) = (self.starts[axis] as i128, self.steps[axis] as i128, self.sizes[axis] as i128);
            let (of, last) = (input.sizes()[axis] as i128, start + step * (size - 1));
            size == 0 || (step != 0 && start < of && (0..of).contains(&last))
        };
        let ranks = self.starts.len() == rank && self.steps.len() == rank && self.sizes.len() == rank;
        OperatorError::require("sizes", &listed(&self.sizes), ranks && (0..rank).all(fits), {
            format!("within {input}")
        })?;
        Ok(Shape::new(&self.sizes)?)
    }
}

/// A margin.
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// Elements before and after each axis; negative ones are cut off.
    pub amounts: Vec<[isize; 2]>,
    /// What they are.
    pub mode: PadMode,
}

impl Pad {
    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        let amounts = || listed(&self.amounts);
        OperatorError::require("rank", &input.rank(), input.rank() <= 4, "at most 4")?;
        let ranks = self.amounts.len() == input.rank();
        OperatorError::require("pads", &amounts(), ranks, format!("two for each axis of {input}"))?;
        let mut sizes = Vec::with_capacity(input.rank());
        for (&size, &[before, after]) in input.sizes().iter().zip(&self.amounts) {
            let all = size as i128 + before as i128 + after as i128;
            // Neither side may cut off what the other one added.
            let kept = size as i128 + (before as i128).min(0) + (after as i128).min(0);
            OperatorError::require(
                "pads",
                &amounts(),
                all > 0 && kept > 0,
                format!("such that some of {input} is left"),
            )?;
            if self.mode == PadMode::Reflect {
                let reach = before.max(after) < size as isize;
                OperatorError::require("pads", &amounts(), reach, format!("less than {input} to reflect it"))?;
            }
            sizes.push(usize::try_from(all).unwrap_or(usize::MAX));
        }
        Ok(Shape::new(&sizes)?)
    }
}

/// A map in another size.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    /// Rows and pixels.
    pub size: [usize; 2],
    /// How elements are found.
    pub how: layers::Resize,
}

impl Resize {
    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        let map = super::map_of(input)?;
        let finite = self.how.scales.iter().all(|scale| scale.is_finite() && *scale > 0.0);
        OperatorError::require("scales", &format!("{:?}", self.how.scales), finite, "finite and above zero")?;
        let [height, width] = self.size;
        match input.rank() {
            4 => Ok(input.with_map([height, width], map.channels)?),
            3 if height == 1 => Ok(input.with_map([height, width], map.channels)?),
            _ => Err(OperatorError::Inputs(format!("resizes {input}, which is no map"))),
        }
    }
}

/// Axes in another order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transpose {
    /// Which axis of the input each axis of the output is.
    pub permutation: Vec<usize>,
}

impl Transpose {
    pub(super) fn shape(&self, input: &Shape) -> Result<Shape, OperatorError> {
        let mut sorted = self.permutation.clone();
        sorted.sort_unstable();
        let expected = format!("each axis of {input} once");
        let each = sorted.into_iter().eq(0..input.rank());
        OperatorError::require("perm", &listed(&self.permutation), each, expected)?;
        let sizes: Vec<usize> = self.permutation.iter().map(|&axis| input.sizes()[axis]).collect();
        Ok(Shape::new(&sizes)?)
    }
}

/// The shape of a function of two tensors.
pub(super) fn broadcast(a: &Shape, b: &Shape) -> Result<Shape, OperatorError> {
    let rank = a.rank().max(b.rank());
    let size = |shape: &Shape, axis: usize| {
        let missing = rank - shape.rank();
        if axis < missing { 1 } else { shape.sizes()[axis - missing] }
    };
    let mut sizes = Vec::with_capacity(rank);
    for axis in 0..rank {
        match (size(a, axis), size(b, axis)) {
            (a, b) if a == b || b == 1 => sizes.push(a),
            (1, b) => sizes.push(b),
            _ => return Err(OperatorError::Inputs(format!("has inputs of {a} and {b}, which do not fit each other"))),
        }
    }
    Ok(Shape::new(&sizes)?)
}

pub(super) fn reshape(input: &Shape, shape: &Shape) -> Result<Shape, OperatorError> {
    if input.floats() != shape.floats() {
        return Err(OperatorError::Inputs(format!(
            "makes {shape} of {input}, which has {} elements and not {}",
            input.floats(),
            shape.floats()
        )));
    }
    Ok(shape.clone())
}

pub(super) fn shuffle(input: &Shape, groups: usize) -> Result<Shape, OperatorError> {
    let channels = super::map_of(input)?.channels;
    let divides = groups > 0 && channels.is_multiple_of(groups);
    OperatorError::require("group", &groups, divides, format!("dividing {channels} channels"))?;
    Ok(input.clone())
}
