//! What nodes compute: of each operator its parameters, the shape that follows from its inputs', and the constants it has.

mod convolution;
mod movement;
mod normalisation;
mod pool;
mod reduction;
mod window;

use conv_core::Problem;

pub use convolution::{Conv, ConvTranspose, Linear};
pub use movement::{Concat, Pad, Resize, Slice, Transpose};
pub use normalisation::{Affine, BatchNormalization, Lrn, Softmax};
pub use pool::{AveragePool, Pool};
pub use reduction::{Reduce, Reduction};
pub use window::Window;

pub use crate::layers::{Activation, Binary, Coordinates, PadMode, Resize as Resampling, ResizeMode, Rounding};
use crate::shape::{Map, Shape, ShapeError};

/// What a node computes. But for [`Operator::Opaque`] each has one output.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Convolution.
    Conv(Conv),
    /// The transpose of a convolution, which enlarges maps.
    ConvTranspose(ConvTranspose),
    /// Fully connected, on the flattened map.
    Linear(Linear),
    /// Maximum over a window; padding never wins.
    MaxPool(Pool),
    /// Mean over a window.
    AveragePool(AveragePool),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// `(x − mean) · weight / √(variance + epsilon) + bias` for each channel.
    BatchNormalization(BatchNormalization),
    /// A factor and an offset for each channel.
    Affine(Affine),
    /// Softmax along an axis.
    Softmax(Softmax),
    /// A function of each element.
    Activation(Activation),
    /// A function of two tensors' elements; sizes of 1 are repeated.
    Binary(Binary),
    /// Sums, means or extremes over some axes.
    Reduce(Reduce),
    /// Tensors one after the other along an axis.
    Concat(Concat),
    /// A part of a tensor.
    Slice(Slice),
    /// A tensor with a margin.
    Pad(Pad),
    /// A map in another size.
    Resize(Resize),
    /// The same elements in another shape.
    Reshape(Shape),
    /// Axes in another order.
    Transpose(Transpose),
    /// The channels of groups in turn: channel `c` of `g` groups of `n` goes to `(c mod n) · g + c / n`.
    ChannelShuffle {
        /// Groups.
        groups: usize,
    },
    /// A tensor that does not depend on the input.
    Constant(Shape),
    /// Something that is not computed here. Its outputs' shapes may be known.
    Opaque(Opaque),
}

/// A node that is not computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// What its format calls it, for example `NonMaxSuppression`.
    pub operator: String,
    /// Why it is not computed, as the end of a sentence that begins with the node.
    pub reason: String,
}

/// A constant that belongs to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// What frameworks call it: `weight`, `bias`, `running_mean`, …
    pub name: &'static str,
    /// Its sizes, as frameworks keep it: a convolution's weights are `[oc][ic/groups][kh][kw]`, a fully connected layer's
    /// `[out][c·h·w]`.
    pub shape: Vec<usize>,
}

impl Parameter {
    fn new(name: &'static str, shape: impl Into<Vec<usize>>) -> Self {
        Parameter { name, shape: shape.into() }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements, which none has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why an operator does not fit its inputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// A convolution or fully connected layer that does not fit.
    #[error("on an input of {input} is no convolution: {source}")]
    Problem {
        /// What it was given.
        input: Map,
        /// Why.
        source: Box<conv_core::ProblemError>,
    },
    /// A parameter that makes no sense.
    #[error("has {parameter} = {value}; it must be {expected}")]
    Parameter {
        /// Which.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// Inputs that do not fit it, or each other.
    #[error("{0}")]
    Inputs(String),
    /// A result that is no tensor.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl OperatorError {
    fn require(
        parameter: &'static str,
        value: &impl ToString,
        accepted: bool,
        expected: impl Into<String>,
    ) -> Result<(), Self> {
        if accepted {
            return Ok(());
        }
        Err(OperatorError::Parameter { parameter, value: value.to_string(), expected: expected.into() })
    }
}

impl Operator {
    /// The output's shape.
    ///
    /// # Errors
    /// [`OperatorError`] if it does not fit `inputs`.
    pub(crate) fn shape(&self, inputs: &[&Shape]) -> Result<Shape, OperatorError> {
        let (expected, variadic) = match self {
            Operator::Constant(_) | Operator::Opaque(_) => (0, false),
            Operator::Concat(_) => (1, true),
            Operator::Binary(_) => (2, false),
            _ => (1, false),
        };
        if inputs.len() != expected && !(variadic && inputs.len() > expected) {
            return Err(OperatorError::Inputs(format!("has {} inputs, not {expected}", inputs.len())));
        }
        match self {
            Operator::Conv(conv) => conv.shape(inputs[0]),
            Operator::ConvTranspose(conv) => conv.shape(inputs[0]),
            Operator::Linear(linear) => linear.shape(inputs[0]),
            Operator::MaxPool(pool) => pool.shape(inputs[0]),
            Operator::AveragePool(average) => average.pool.shape(inputs[0]),
            Operator::Lrn(lrn) => lrn.shape(inputs[0]),
            Operator::BatchNormalization(_) | Operator::Affine(_) => normalisation::per_channel(inputs[0]),
            Operator::Softmax(softmax) => softmax.shape(inputs[0]),
            Operator::Activation(_) => Ok(inputs[0].clone()),
            Operator::Binary(_) => movement::broadcast(inputs[0], inputs[1]),
            Operator::Reduce(reduce) => reduce.shape(inputs[0]),
            Operator::Concat(concat) => concat.shape(inputs),
            Operator::Slice(slice) => slice.shape(inputs[0]),
            Operator::Pad(pad) => pad.shape(inputs[0]),
            Operator::Resize(resize) => resize.shape(inputs[0]),
            Operator::Reshape(shape) => movement::reshape(inputs[0], shape),
            Operator::Transpose(transpose) => transpose.shape(inputs[0]),
            Operator::ChannelShuffle { groups } => movement::shuffle(inputs[0], *groups),
            Operator::Constant(shape) => Ok(shape.clone()),
            Operator::Opaque(_) => Err(OperatorError::Inputs("is not computed here".into())),
        }
    }

    /// Whether what belongs to an image, the first axis, is computed from what belongs to it alone.
    pub(crate) fn keeps_images_apart(&self, inputs: &[&Shape], output: &Shape) -> bool {
        let images = |shape: &Shape| shape.sizes().first().copied();
        match self {
            Operator::Softmax(softmax) => softmax.axis > 0,
            Operator::Reduce(reduce) => !reduce.axes.contains(&0),
            Operator::Concat(concat) => concat.axis > 0,
            // A single number has no first axis.
            Operator::Slice(slice) => {
                slice.starts.first().is_none_or(|&start| start == 0)
                    && slice.steps.first().is_none_or(|&step| step == 1)
                    && slice.sizes.first().copied() == images(inputs[0])
            }
            Operator::Pad(pad) => pad.amounts.first().is_none_or(|amount| *amount == [0, 0]),
            Operator::Transpose(transpose) => transpose.permutation.first().is_none_or(|&axis| axis == 0),
            Operator::Reshape(shape) => images(shape) == images(inputs[0]),
            // One that is as large as the batch is of a batch of this size.
            Operator::Constant(shape) => images(shape).is_none_or(|images| images == 1),
            Operator::Binary(_) => inputs.iter().all(|input| input.rank() == output.rank() || input.floats() == 1),
            Operator::Opaque(_) => false,
            _ => true,
        }
    }

    /// The constants that a node with these inputs has, in order.
    pub(crate) fn parameters(&self, inputs: &[&Shape]) -> Vec<Parameter> {
        match self {
            Operator::Conv(conv) => conv.parameters(inputs[0]),
            Operator::ConvTranspose(conv) => conv.parameters(inputs[0]),
            Operator::Linear(linear) => linear.parameters(inputs[0]),
            Operator::BatchNormalization(_) => BatchNormalization::parameters(inputs[0]),
            Operator::Affine(_) => Affine::parameters(inputs[0]),
            Operator::Constant(shape) => vec![Parameter::new("value", shape.sizes())],
            _ => Vec::new(),
        }
    }

    /// The convolution that computes it, if one does: of a convolution, and of a fully connected layer, which is a filter
    /// as large as its map: channels first, as frameworks flatten a map, are OIHW.
    ///
    /// # Errors
    /// [`OperatorError::Problem`] if it is no valid one.
    pub(crate) fn problem(&self, input: &Shape) -> Result<Option<Problem>, OperatorError> {
        match self {
            Operator::Conv(conv) => conv.problem(input).map(Some),
            Operator::Linear(linear) => linear.problem(input).map(Some),
            _ => Ok(None),
        }
    }

    /// What the operator is called, in ONNX's words.
    pub fn name(&self) -> &str {
        match self {
            Operator::Conv(_) => "Conv",
            Operator::ConvTranspose(_) => "ConvTranspose",
            Operator::Linear(_) => "Gemm",
            Operator::MaxPool(_) => "MaxPool",
            Operator::AveragePool(_) => "AveragePool",
            Operator::Lrn(_) => "LRN",
            Operator::BatchNormalization(_) => "BatchNormalization",
            Operator::Affine(_) => "Affine",
            Operator::Softmax(_) => "Softmax",
            Operator::Activation(activation) => activation.name(),
            Operator::Binary(binary) => binary.name(),
            Operator::Reduce(_) => "Reduce",
            Operator::Concat(_) => "Concat",
            Operator::Slice(_) => "Slice",
            Operator::Pad(_) => "Pad",
            Operator::Resize(_) => "Resize",
            Operator::Reshape(_) => "Reshape",
            Operator::Transpose(_) => "Transpose",
            Operator::ChannelShuffle { .. } => "ChannelShuffle",
            Operator::Constant(_) => "Constant",
            Operator::Opaque(opaque) => &opaque.operator,
        }
    }
}

/// One image's map of a tensor.
fn map_of(shape: &Shape) -> Result<Map, OperatorError> {
    shape.map().ok_or_else(|| OperatorError::Inputs(format!("reads a tensor of {shape}, which is no map")))
}
