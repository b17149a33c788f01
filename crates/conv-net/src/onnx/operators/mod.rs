//! What each of ONNX's operators is as a node.

mod convolution;
mod elementwise;
mod movement;
mod pooling;

use super::attributes::Attributes;
use super::constants::{Constant, MAX_ELEMENTS};
use super::graph::{Import, Known, Refusal};
use super::literal::Literal;
use super::messages::Node;
use super::parameters::Source;
use super::{listed, shown};
use crate::network::ValueId;
use crate::operators::Operator;

/// Of old versions: whether the model is trained, which must be not.
const IN_TRAINING: &str = "is_test";

/// ONNX's numbers of f32, f16, f64 and bf16.
const FLOATS: [i64; 4] = [1, 10, 11, 16];

/// Adds what a node, whose inputs are known, computes.
///
/// # Errors
/// [`Refusal`] if it is not computed here, or wrong.
pub(super) fn add<'a>(import: &mut Import<'a>, name: &str, node: &'a Node) -> Result<(), Refusal> {
    let step = Step { import, name, node };
    match node.op_type.as_str() {
        "Conv" => step.conv(),
        "ConvTranspose" => step.conv_transpose(),
        "Gemm" => step.gemm(),
        "MatMul" => step.matmul(),
        "BatchNormalization" => step.batch_normalization(),
        "LRN" => step.lrn(),
        "Softmax" | "LogSoftmax" => step.softmax(),
        "MaxPool" => step.max_pool(),
        "AveragePool" => step.average_pool(),
        "GlobalAveragePool" | "GlobalMaxPool" => step.global_pool(),
        "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Pow" | "PRelu" | "Sum" | "Mean" => step.arithmetic(),
        "Concat" => step.concat(),
        "Split" => step.split(),
        "Slice" => step.slice(),
        "Pad" => step.pad(),
        "Resize" | "Upsample" => step.resize(),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => step.reshape(),
        "Transpose" => step.transpose(),
        "DepthToSpace" | "SpaceToDepth" => step.depth_to_space(),
        operator if operator.starts_with("Reduce") => step.reduce(),
        "Identity" | "Dropout" | "Cast" => step.pass_on(),
        _ => step.activation(),
    }
}

/// The constant that a node passes on, or states itself.
pub(super) fn constant<'a>(import: &mut Import<'a>, node: &'a Node) -> Option<Known<'a>> {
    let attributes = Attributes::any(node);
    let first = import.input(node, 0).cloned();
    match (node.op_type.as_str(), first) {
        ("Constant", None) => {
            if let Some(tensor) = attributes.tensor("value").ok()? {
                return import.constant_of(tensor).ok();
            }
            stated(&attributes).map(Known::Literal)
        }
        ("ConstantOfShape", Some(_)) => {
            let sizes = import.integers(node, 0).ok()??;
            match attributes.tensor("value").ok()?.map(|tensor| import.constant_of(tensor)).transpose().ok()? {
                Some(Known::Literal(literal)) if literal.len() == 1 => filled(&sizes, &literal),
                None => filled(&sizes, &Literal::of_floats(Vec::new(), &[0.0])),
                _ => None,
            }
        }
        ("ConstantFill", first) => {
            let sizes = match (attributes.ints("shape").ok()?, first) {
                (Some(sizes), _) if attributes.int("input_as_shape", 0).ok()? == 0 => sizes.to_vec(),
                _ => import.integers(node, 0).ok()??,
            };
            let fill = Constant::fill(&sizes, attributes.float("value", 0.0).ok()?).ok()?;
            Some(Known::Stored { constant: fill, transposed: false })
        }
        ("Shape", Some(known)) => {
            let sizes: Vec<i64> = import.sizes_of(&known)?.iter().map(|&size| size as i64).collect();
            let [start, end] = [attributes.int("start", 0).ok()?, attributes.int("end", i64::MAX).ok()?];
            let (start, count) = super::movement::range(sizes.len(), start, end, 1)?;
            Some(Known::ints(sizes[start..start + count].to_vec()))
        }
        ("Size", Some(known)) => {
            let sizes = import.sizes_of(&known)?;
            let count = sizes.iter().try_fold(1_i64, |product, &size| product.checked_mul(size.try_into().ok()?))?;
            Some(Known::scalar(count))
        }
        ("Identity" | "Dropout", Some(known @ Known::Stored { .. })) => Some(known),
        ("Cast", Some(known @ Known::Stored { .. })) if FLOATS.contains(&attributes.int("to", 1).ok()?) => Some(known),
        ("Identity", Some(known @ (Known::Literal(_) | Known::Tensor(_)))) => Some(known),
        ("Transpose", Some(Known::Stored { constant, transposed })) if constant.shape.len() == 2 => {
            let swapped = attributes.ints("perm").ok()?.is_none_or(|perm| perm == [1, 0]);
            Some(Known::Stored { constant, transposed: transposed ^ swapped })
        }
        ("Reshape" | "Flatten" | "Squeeze" | "Unsqueeze", Some(Known::Stored { constant, transposed: false })) => {
            let sizes = movement::reshaped(import, node, &constant.shape).ok()?;
            Some(Known::Stored { constant: constant.reshaped(sizes)?, transposed: false })
        }
        _ => None,
    }
}

/// The numbers that a Constant node states as attributes.
fn stated(attributes: &Attributes<'_>) -> Option<Literal> {
    if let Some(ints) = attributes.ints("value_ints").ok()? {
        return (ints.len() <= MAX_ELEMENTS).then(|| Literal::ints(ints.to_vec()));
    }
    if let Some(floats) = attributes.floats("value_floats").ok()? {
        return Some(Literal::of_floats(vec![floats.len()], floats));
    }
    if attributes.has("value_int") {
        return Some(Literal::scalar(attributes.int("value_int", 0).ok()?));
    }
    let float = attributes.has("value_float").then(|| attributes.float("value_float", 0.0).ok())??;
    Some(Literal::of_floats(Vec::new(), &[float]))
}

/// As many times a number as `sizes` say.
fn filled<'a>(sizes: &[i64], number: &Literal) -> Option<Known<'a>> {
    let count = sizes.iter().try_fold(1_i64, |product, &size| product.checked_mul(size))?;
    let shape: Vec<usize> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?;
    if usize::try_from(count).is_ok_and(|count| count <= MAX_ELEMENTS) {
        return Some(Known::Literal(number.repeated(shape)?));
    }
    let constant = Constant::fill(sizes, *number.floats().first()?).ok()?;
    Some(Known::Stored { constant, transposed: false })
}

/// A node on its way into the network.
struct Step<'i, 'a> {
    import: &'i mut Import<'a>,
    name: &'i str,
    node: &'a Node,
}

impl<'a> Step<'_, 'a> {
    /// The name of its result.
    fn output(&self) -> Result<&'a str, Refusal> {
        let output = self.node.output.first().filter(|output| !output.is_empty());
        output.map(String::as_str).ok_or_else(|| Refusal::Wrong("has no output".into()))
    }

    /// The node's result is what `operator` makes of `inputs`.
    fn finish(&mut self, operator: Operator, inputs: &[ValueId], sources: Vec<Source>) -> Result<(), Refusal> {
        let output = self.output()?;
        let value = self.import.push(self.name, output, operator, inputs, sources)?;
        self.import.define(output, Known::Value(value)).map_err(Refusal::Wrong)
    }

    /// Something on the way to the node's result; `what` distinguishes its name.
    fn before(
        &mut self,
        what: &str,
        operator: Operator,
        inputs: &[ValueId],
        sources: Vec<Source>,
    ) -> Result<ValueId, Refusal> {
        let name = format!("{}.{what}", self.name);
        let output = format!("{}.{what}", self.output()?);
        self.import.push(&name, &output, operator, inputs, sources)
    }

    /// The node's result is another value.
    fn same(&mut self, value: ValueId) -> Result<(), Refusal> {
        let output = self.output()?;
        self.import.define(output, Known::Value(value)).map_err(Refusal::Wrong)
    }

    /// What has no effect when nobody trains.
    fn pass_on(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::any(self.node);
        if self.node.op_type == "Dropout" {
            attributes.only(IN_TRAINING, &[1])?;
            let training = self.import.integers(self.node, 2)?;
            if training.is_some_and(|training| training.first().is_some_and(|&training| training != 0)) {
                return Err("is in training mode".into());
            }
        }
        if self.node.op_type == "Cast" {
            // Floats stay floats; what else there is would not be a value.
            let to = attributes.int("to", 1)?;
            if !FLOATS.contains(&to) {
                return Err(format!("makes elements of type {to}; only floats (1, 10, 11 and 16) are computed").into());
            }
        }
        let value = self.import.value(self.node, 0)?;
        self.same(value)
    }
}

/// That a constant has one float for each of `channels`, or is `[1, channels]`.
fn of_channels(sizes: &[usize], channels: usize, what: &str) -> Result<(), Refusal> {
    match sizes {
        [len] | [1, len] if *len == channels => Ok(()),
        _ => Err(Refusal::Wrong(format!("has {what} of the shape {} for {channels} channels", listed(sizes)))),
    }
}

/// An axis of a tensor, counted from the end if it is negative.
fn axis_of(axis: i64, rank: usize) -> Result<usize, Refusal> {
    super::movement::index(axis, rank)
        .ok_or_else(|| Refusal::Wrong(format!("has axis = {axis}, of a tensor of {rank} dimensions")))
}

/// The reason that a node has an operator that is none of ours.
fn not_computed(operator: &str) -> Refusal {
    Refusal::Opaque(format!("is none of the operators that convlab computes ({})", shown(operator)))
}
