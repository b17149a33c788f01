//! Operators in ONNX's words.

use std::ops::Range;

use crate::network::Node;
use crate::onnx::messages::{Attribute, attribute};
use crate::operators::{
    Activation, Binary, Coordinates, Operator, PadMode, Reduction, Resize, ResizeMode, Rounding, Slice, Softmax, Window,
};
use crate::shape::Shape;

/// The number of texts among the kinds of attributes.
const STRING: i32 = 3;

/// One node of ONNX's.
pub(super) struct Step {
    pub op_type: &'static str,
    pub attributes: Vec<Attribute>,
    pub operands: Vec<Operand>,
}

/// What a step reads.
pub(super) enum Operand {
    /// What the step before computed, or the first step: the first input.
    Last,
    /// An input of the node, by its number.
    Input(usize),
    /// A constant of the node, by its number, in some shape.
    Parameter(usize, Vec<usize>),
    /// A tensor of this shape.
    Floats(Vec<usize>, Vec<f32>),
    /// A list.
    Integers(Vec<i64>),
    /// Nothing, where something is optional.
    Absent,
}

impl Step {
    /// A step on [`Operand::Last`].
    fn of(op_type: &'static str) -> Self {
        Step { op_type, attributes: Vec::new(), operands: vec![Operand::Last] }
    }

    /// Another operand.
    fn with(mut self, operand: Operand) -> Self {
        self.operands.push(operand);
        self
    }

    fn scalar(self, value: f32) -> Self {
        self.with(Operand::Floats(Vec::new(), vec![value]))
    }

    /// All constants of `node`, in the order that ONNX has them in, too.
    fn parameters(mut self, node: &Node) -> Self {
        let shapes = node.parameters.iter().map(|parameter| parameter.shape.clone());
        self.operands.extend(shapes.enumerate().map(|(index, shape)| Operand::Parameter(index, shape)));
        self
    }

    fn attribute(mut self, name: &str, kind: i32, value: Attribute) -> Self {
        self.attributes.push(Attribute { name: name.into(), kind, ..value });
        self
    }

    fn int(self, name: &str, value: usize) -> Self {
        self.attribute(name, attribute::INT, Attribute { i: Some(value as i64), ..Attribute::default() })
    }

    fn ints(self, name: &str, values: impl IntoIterator<Item = usize>) -> Self {
        self.attribute(name, attribute::INTS, Attribute { ints: integers(values), ..Attribute::default() })
    }

    fn float(self, name: &str, value: f32) -> Self {
        self.attribute(name, attribute::FLOAT, Attribute { f: Some(value), ..Attribute::default() })
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.attribute(name, STRING, Attribute { s: value.into(), ..Attribute::default() })
    }

    /// How a filter or a pool moves along `axes`.
    fn windows(self, windows: &[Window]) -> Self {
        let each = |part: fn(&Window) -> usize| windows.iter().map(part);
        self.ints("kernel_shape", each(|window| window.kernel))
            .ints("strides", each(|window| window.stride))
            .ints("pads", each(|window| window.pad[0]).chain(each(|window| window.pad[1])))
    }

    fn dilations(self, windows: &[Window]) -> Self {
        self.ints("dilations", windows.iter().map(|window| window.dilation))
    }
}

/// Sizes that a shape has, or that were checked with it.
fn integers(values: impl IntoIterator<Item = usize>) -> Vec<i64> {
    values.into_iter().map(|value| value as i64).collect()
}

/// The steps that compute `node` on inputs of these shapes, one after the other; none for a constant. `free_batch` says that
/// the first size of what it computes is not fixed.
///
/// # Errors
/// What keeps it from being written, as the end of a sentence that begins with the node.
pub(super) fn steps(node: &Node, inputs: &[&Shape], free_batch: bool) -> Result<Vec<Step>, String> {
    let nothing = Shape::default();
    let input = inputs.first().copied().unwrap_or(&nothing);
    let sizes = input.sizes();
    let operator = Step::of;
    let step = match &node.operator {
        Operator::Conv(conv) => {
            let windows = &conv.windows[spatial(input)?];
            operator("Conv").windows(windows).dilations(windows).int("group", conv.groups).parameters(node)
        }
        Operator::ConvTranspose(conv) => {
            let axes = spatial(input)?;
            let windows = &conv.windows[axes.clone()];
            let step = operator("ConvTranspose").windows(windows).dilations(windows).int("group", conv.groups);
            step.ints("output_padding", conv.output_padding[axes].iter().copied()).parameters(node)
        }
        Operator::Linear(_) => {
            let flatten = (sizes.len() > 2).then(|| operator("Flatten").int("axis", 1));
            let product = operator("Gemm").int("transB", 1).parameters(node);
            return Ok(flatten.into_iter().chain([product]).collect());
        }
        Operator::MaxPool(pool) => {
            operator("MaxPool").windows(&pool.windows[spatial(input)?]).int("ceil_mode", pool.ceil.into())
        }
        Operator::AveragePool(average) => {
            let step = operator("AveragePool").windows(&average.pool.windows[spatial(input)?]);
            let step = step.int("ceil_mode", average.pool.ceil.into());
            step.int("count_include_pad", average.count_padding.into())
        }
        Operator::Lrn(lrn) => {
            spatial(input)?;
            // ONNX divides its alpha by the window.
            let step = operator("LRN").float("alpha", lrn.alpha * lrn.size as f32);
            step.float("beta", lrn.beta).float("bias", lrn.k).int("size", lrn.size)
        }
        Operator::BatchNormalization(normalization) => {
            operator("BatchNormalization").float("epsilon", normalization.epsilon).parameters(node)
        }
        Operator::Affine(_) => {
            let mut channels = vec![1; sizes.len()];
            channels[1] = sizes[1];
            let factor = operator("Mul").with(Operand::Parameter(0, channels.clone()));
            return Ok(vec![factor, operator("Add").with(Operand::Parameter(1, channels))]);
        }
        Operator::Softmax(softmax) => return Ok(softmax_steps(softmax, sizes)),
        Operator::Activation(activation) => return Ok(activation_steps(activation)),
        Operator::Binary(Binary::PRelu) if !repeats(inputs[1].sizes(), sizes) => {
            return Err(format!("repeats its input of {input}, which ONNX's does not"));
        }
        Operator::Binary(binary) => operator(binary.name()).with(Operand::Input(1)),
        Operator::Reduce(reduce) => {
            if reduce.axes.is_empty() {
                return Err("reduces no axes, which ONNX takes for all".into());
            }
            let step = operator(reduction_name(reduce.reduction)).int("keepdims", reduce.keep.into());
            let axes = reduce.axes.iter().copied();
            match reduce.reduction {
                Reduction::Sum => step.with(Operand::Integers(integers(axes))),
                _ => step.ints("axes", axes),
            }
        }
        Operator::Concat(concat) => {
            (1..inputs.len()).fold(operator("Concat").int("axis", concat.axis), |step, i| step.with(Operand::Input(i)))
        }
        Operator::Slice(slice) => slice_step(slice, sizes),
        Operator::Pad(pad) => {
            let amounts = |side: usize| pad.amounts.iter().map(move |amounts| amounts[side] as i64);
            let amounts = Operand::Integers(amounts(0).chain(amounts(1)).collect());
            match pad.mode {
                PadMode::Constant(value) => operator("Pad").text("mode", "constant").with(amounts).scalar(value),
                PadMode::Reflect => operator("Pad").text("mode", "reflect").with(amounts),
                PadMode::Edge => operator("Pad").text("mode", "edge").with(amounts),
            }
        }
        Operator::Resize(resize) => resize_step(resize, input, free_batch)?,
        Operator::Reshape(shape) => reshape(sizes, shape.sizes()),
        Operator::Transpose(transpose) => operator("Transpose").ints("perm", transpose.permutation.iter().copied()),
        Operator::ChannelShuffle { groups } => return Ok(shuffle_steps(*groups, sizes)),
        Operator::Constant(_) => return Ok(Vec::new()),
        Operator::Opaque(opaque) => return Err(opaque.reason.clone()),
    };
    Ok(vec![step])
}

/// The windows that move over the map of a tensor.
fn spatial(input: &Shape) -> Result<Range<usize>, String> {
    match input.rank() {
        4 => Ok(0..2),
        3 => Ok(1..2),
        _ => Err(format!("reads {input}, which is no map to ONNX")),
    }
}

/// Whether a tensor of `sizes` is repeated to one of `whole`.
fn repeats(sizes: &[usize], whole: &[usize]) -> bool {
    sizes.len() <= whole.len() && sizes.iter().rev().zip(whole.iter().rev()).all(|(&size, &of)| size == 1 || size == of)
}

/// A first size that stays is taken from the input, whatever it is then.
fn reshape(from: &[usize], to: &[usize]) -> Step {
    let mut sizes = integers(to.iter().copied());
    if let (Some(size), true) = (sizes.first_mut(), from.first() == to.first()) {
        *size = 0;
    }
    Step::of("Reshape").with(Operand::Integers(sizes))
}

/// ONNX's is over one axis: others are made one first.
fn softmax_steps(&Softmax { axis, end, log }: &Softmax, sizes: &[usize]) -> Vec<Step> {
    let softmax = Step::of(if log { "LogSoftmax" } else { "Softmax" }).int("axis", axis);
    if end == axis + 1 {
        return vec![softmax];
    }
    let merged = [&sizes[..axis], &[sizes[axis..end].iter().product()], &sizes[end..]].concat();
    vec![reshape(sizes, &merged), softmax, reshape(&merged, sizes)]
}

fn activation_steps(activation: &Activation) -> Vec<Step> {
    let gated = || Step::of("Mul").with(Operand::Input(0));
    match *activation {
        Activation::LeakyRelu { slope } => vec![Step::of("LeakyRelu").float("alpha", slope)],
        Activation::Clip { low, high } => vec![Step::of("Clip").scalar(low).scalar(high)],
        Activation::HardSigmoid { alpha, beta } => {
            vec![Step::of("HardSigmoid").float("alpha", alpha).float("beta", beta)]
        }
        Activation::HardSwish => vec![Step::of("HardSigmoid").float("alpha", 1.0 / 6.0).float("beta", 0.5), gated()],
        Activation::Silu => vec![Step::of("Sigmoid"), gated()],
        Activation::Mish => vec![Step::of("Softplus"), Step::of("Tanh"), gated()],
        Activation::Elu { alpha } => vec![Step::of("Elu").float("alpha", alpha)],
        Activation::Gelu => vec![
            Step::of("Mul").scalar(std::f32::consts::FRAC_1_SQRT_2),
            Step::of("Erf"),
            Step::of("Add").scalar(1.0),
            gated(),
            Step::of("Mul").scalar(0.5),
        ],
        _ => vec![Step::of(activation.name())],
    }
}

fn reduction_name(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::Mean => "ReduceMean",
        Reduction::Sum => "ReduceSum",
        Reduction::Max => "ReduceMax",
        Reduction::Min => "ReduceMin",
        Reduction::SumSquare => "ReduceSumSquare",
        Reduction::L2 => "ReduceL2",
    }
}

/// Only of the axes that change, so that a free number of images stays one.
fn slice_step(slice: &Slice, sizes: &[usize]) -> Step {
    let part = |axis: &usize| (slice.starts[*axis], slice.steps[*axis], slice.sizes[*axis]) != (0, 1, sizes[*axis]);
    let axes: Vec<usize> = (0..sizes.len()).filter(part).collect();
    if axes.is_empty() {
        return Step::of("Identity");
    }
    let starts = integers(axes.iter().map(|&axis| slice.starts[axis]));
    let steps: Vec<i64> = axes.iter().map(|&axis| slice.steps[axis] as i64).collect();
    let ends = axes.iter().zip(&starts).zip(&steps).map(|((&axis, start), step)| {
        let end = start + step * slice.sizes[axis] as i64;
        // Below zero ONNX counts from the end, and stops at the first element if that is before it.
        if end < 0 { i64::MIN } else { end }
    });
    let ends = ends.collect();
    [starts, ends, integers(axes), steps].into_iter().map(Operand::Integers).fold(Step::of("Slice"), Step::with)
}

/// By scales if the size follows from them, which leaves the number of images free, else by the size.
fn resize_step(resize: &Resize, input: &Shape, free_batch: bool) -> Result<Step, String> {
    let axes = spatial(input)?;
    let (scales, to, from) = (&resize.how.scales[axes.clone()], &resize.size[axes], &input.sizes()[2..]);
    let coordinates = match resize.how.coordinates {
        Coordinates::HalfPixel => "half_pixel",
        Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
        Coordinates::AlignCorners => "align_corners",
        Coordinates::Asymmetric => "asymmetric",
    };
    let step = Step::of("Resize").text("coordinate_transformation_mode", coordinates);
    let step = match resize.how.mode {
        ResizeMode::Linear => step.text("mode", "linear"),
        ResizeMode::Nearest(rounding) => step.text("mode", "nearest").text("nearest_mode", {
            match rounding {
                Rounding::RoundPreferFloor => "round_prefer_floor",
                Rounding::RoundPreferCeil => "round_prefer_ceil",
                Rounding::Floor => "floor",
                Rounding::Ceil => "ceil",
            }
        }),
    };
    let step = step.with(Operand::Absent);
    let all = |holds: fn(f32, f32, f32) -> bool| {
        scales.iter().zip(from).zip(to).all(|((&scale, &from), &to)| holds(scale, from as f32, to as f32))
    };
    if all(|scale, from, to| (scale * from).floor() == to) {
        let scales = [&[1.0; 2], scales].concat();
        Ok(step.with(Operand::Floats(vec![scales.len()], scales)))
    } else if free_batch || !all(|scale, from, to| scale == to / from) {
        Err(format!("has the scales {scales:?}, which do not make {to:?} of {from:?}"))
    } else {
        let sizes = [&input.sizes()[..2], to].concat();
        Ok(step.with(Operand::Absent).with(Operand::Integers(integers(sizes))))
    }
}

fn shuffle_steps(groups: usize, sizes: &[usize]) -> Vec<Step> {
    let (batch, channels, map) = (sizes[0], sizes[1], &sizes[2..]);
    let grouped = [&[batch, groups, channels / groups], map].concat();
    let permutation = [0, 2, 1].into_iter().chain(3..grouped.len());
    let transposed = [&[batch, channels / groups, groups], map].concat();
    vec![reshape(sizes, &grouped), Step::of("Transpose").ints("perm", permutation), reshape(&transposed, sizes)]
}
