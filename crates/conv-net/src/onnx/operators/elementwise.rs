//! Functions of elements, and the patterns of nodes that some of them are written as.

use super::super::attributes::Attributes;
use super::super::constants::MAX_ELEMENTS;
use super::super::graph::{Known, Refusal};
use super::super::parameters::Source;
use super::{Step, not_computed};
use crate::network::ValueId;
use crate::operators::{Activation, Affine, Binary, Operator};
use crate::shape::Shape;

/// A number and its reciprocal as models write them: 6 and 0.16666667.
const HARD: f32 = 6.0;

impl Step<'_, '_> {
    pub(super) fn activation(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::any(self.node);
        let alpha = |default| attributes.float("alpha", default);
        let activation = match self.node.op_type.as_str() {
            "Relu" => Activation::Relu,
            "LeakyRelu" => Activation::LeakyRelu { slope: alpha(0.01)? },
            "Clip" => self.clip()?,
            "Sigmoid" => Activation::Sigmoid,
            "HardSigmoid" => Activation::HardSigmoid { alpha: alpha(0.2)?, beta: attributes.float("beta", 0.5)? },
            "HardSwish" => Activation::HardSwish,
            "Mish" => Activation::Mish,
            "Tanh" => Activation::Tanh,
            "Elu" => Activation::Elu { alpha: alpha(1.0)? },
            "Softplus" => Activation::Softplus,
            "Exp" => Activation::Exp,
            "Log" => Activation::Log,
            "Sqrt" => Activation::Sqrt,
            "Abs" => Activation::Abs,
            "Neg" => Activation::Neg,
            "Reciprocal" => Activation::Reciprocal,
            "Erf" => Activation::Erf,
            "Gelu" if attributes.text("approximate")?.is_none_or(|how| how == "none") => Activation::Gelu,
            "Swish" if alpha(1.0)? == 1.0 => Activation::Silu,
            "Floor" => Activation::Floor,
            "Ceil" => Activation::Ceil,
            other => return Err(not_computed(other)),
        };
        let input = self.import.value(self.node, 0)?;
        self.finish(Operator::Activation(activation), &[input], Vec::new())
    }

    fn clip(&self) -> Result<Activation, Refusal> {
        let attributes = Attributes::any(self.node);
        let bound = |index: usize, name: &str, default: f32| match self.import.literal(self.node, index)? {
            Some(literal) => match literal.floats()[..] {
                [bound] => Ok(bound),
                _ => Err(Refusal::Wrong("has a bound that is not one number".into())),
            },
            None => Ok(attributes.float(name, default)?),
        };
        Ok(Activation::Clip { low: bound(1, "min", f32::MIN)?, high: bound(2, "max", f32::MAX)? })
    }

    pub(super) fn arithmetic(mut self) -> Result<(), Refusal> {
        let operator = self.node.op_type.as_str();
        let binary = match operator {
            "Add" | "Sum" | "Mean" => Binary::Add,
            "Sub" => Binary::Sub,
            "Mul" => Binary::Mul,
            "Div" => Binary::Div,
            "Max" => Binary::Max,
            "Min" => Binary::Min,
            "Pow" => Binary::Pow,
            _ => Binary::PRelu,
        };
        let count = self.node.input.len();
        if matches!(operator, "Sum" | "Mean" | "Max" | "Min") {
            return self.fold(binary, count, operator == "Mean");
        }
        if count != 2 {
            return Err(Refusal::Wrong(format!("has {count} inputs, not 2")));
        }
        let known = [0, 1].map(|index| self.import.input(self.node, index).cloned());
        match known {
            [Some(Known::Value(a)), Some(Known::Value(b))] => {
                if let Some((activation, x)) = self.product_pattern(binary, a, b) {
                    return self.finish(Operator::Activation(activation), &[x], Vec::new());
                }
                let b = self.aligned(a, b)?;
                self.finish(Operator::Binary(binary), &[a, b], Vec::new())
            }
            [Some(Known::Value(value)), Some(_)] => self.with_constant(binary, value, 1),
            [Some(_), Some(Known::Value(value))] => self.with_constant(binary, value, 0),
            _ => Err("computes a constant too large to be folded".into()),
        }
    }

    /// One value after the other.
    fn fold(&mut self, binary: Binary, count: usize, mean: bool) -> Result<(), Refusal> {
        let values = (0..count).map(|index| self.operand(index)).collect::<Result<Vec<_>, _>>()?;
        let [first, rest @ ..] = &values[..] else { return Err(Refusal::Wrong("has no inputs".into())) };
        let Some((last, between)) = rest.split_last() else { return self.same(*first) };
        let mut sum = *first;
        for (index, value) in between.iter().enumerate() {
            sum = self.before(&format!("{index}"), Operator::Binary(binary), &[sum, *value], Vec::new())?;
        }
        if !mean {
            return self.finish(Operator::Binary(binary), &[sum, *last], Vec::new());
        }
        let sum = self.before("sum", Operator::Binary(binary), &[sum, *last], Vec::new())?;
        if self.import.shape(sum)?.rank() < 2 {
            return Err("is a mean of what has no channels".into());
        }
        let sources = vec![Source::fill(1.0 / count as f32), Source::fill(0.0)];
        self.finish(Operator::Affine(Affine), &[sum], sources)
    }

    /// An input, a constant made a value.
    fn operand(&mut self, index: usize) -> Result<ValueId, Refusal> {
        match self.import.value(self.node, index) {
            Ok(value) => Ok(value),
            Err(_) => self.constant(index, None),
        }
    }

    /// A constant input as a value, of other sizes if `sizes` says so.
    fn constant(&mut self, index: usize, sizes: Option<&[usize]>) -> Result<ValueId, Refusal> {
        let (of, source) = self.import.source(self.node, index)?;
        let shape = Shape::new(sizes.unwrap_or(&of)).map_err(|error| Refusal::Opaque(error.to_string()))?;
        self.before(&format!("constant{index}"), Operator::Constant(shape), &[], vec![source])
    }

    /// Arithmetic of a value and the constant that is input number `index`.
    fn with_constant(&mut self, binary: Binary, value: ValueId, index: usize) -> Result<(), Refusal> {
        let shape = self.import.shape(value)?;
        let (mut sizes, mut source) = self.import.source(self.node, index)?;
        // Before opset 7 an operand's place among the axes was an attribute.
        let axis = Attributes::any(self.node).int("axis", -1)?;
        if self.import.opset < 7 && axis >= 0 && sizes.len() < shape.rank() {
            let missing = shape.rank().saturating_sub(sizes.len() + usize::try_from(axis).unwrap_or(0));
            sizes.extend(std::iter::repeat_n(1, missing));
        }
        // More than a few are left where they are.
        if let Some(count) = per_channel(&sizes, &shape).filter(|&count| count <= MAX_ELEMENTS) {
            let values = source.all(&mut self.import.files, count).map_err(|error| error.source.to_string())?;
            if let Some(x) = self.quotient_pattern(binary, value, index, &values) {
                return self.finish(Operator::Activation(x.0), &[x.1], Vec::new());
            }
            let each = |function: fn(f32) -> f32| match values[..] {
                [value] => Source::fill(function(value)),
                _ => Source::literal(values.iter().copied().map(function).collect()),
            };
            let affine = match (binary, index) {
                (Binary::Add, _) => Some([Source::fill(1.0), each(|x| x)]),
                (Binary::Sub, 1) => Some([Source::fill(1.0), each(|x| -x)]),
                (Binary::Sub, _) => Some([Source::fill(-1.0), each(|x| x)]),
                (Binary::Mul, _) => Some([each(|x| x), Source::fill(0.0)]),
                (Binary::Div, 1) => Some([each(|x| 1.0 / x), Source::fill(0.0)]),
                _ => None,
            };
            if let Some(sources) = affine {
                return self.finish(Operator::Affine(Affine), &[value], sources.into());
            }
        }
        let constant = self.constant(index, Some(&sizes))?;
        let mut operands = [value, constant];
        if index == 0 {
            operands.reverse();
        }
        self.finish(Operator::Binary(binary), &operands, Vec::new())
    }

    /// `b` with the axes that old models give it by an attribute.
    fn aligned(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
        let axis = Attributes::any(self.node).int("axis", -1)?;
        let (a, shape) = (self.import.shape(a)?, self.import.shape(b)?);
        if self.import.opset >= 7 || axis < 0 || shape.rank() >= a.rank() {
            return Ok(b);
        }
        let missing = a.rank().saturating_sub(shape.rank() + usize::try_from(axis).unwrap_or(0));
        let sizes: Vec<usize> = shape.sizes().iter().copied().chain(std::iter::repeat_n(1, missing)).collect();
        let shape = Shape::new(&sizes).map_err(|error| Refusal::Opaque(error.to_string()))?;
        self.before("aligned", Operator::Reshape(shape), &[b], Vec::new())
    }

    /// What computes a value: the activation and what it reads.
    fn activation_of(&self, value: ValueId) -> Option<(Activation, ValueId)> {
        let node = &self.import.builder.nodes()[*self.import.producers.get(&value)?];
        match node.operator {
            Operator::Activation(activation) => Some((activation, node.inputs[0])),
            _ => None,
        }
    }

    /// `x` times a function of it: SiLU, Mish and HardSwish as models write them.
    fn product_pattern(&self, binary: Binary, a: ValueId, b: ValueId) -> Option<(Activation, ValueId)> {
        if binary != Binary::Mul {
            return None;
        }
        [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
            let (activation, of) = self.activation_of(gate)?;
            match activation {
                Activation::Sigmoid if of == x => Some((Activation::Silu, x)),
                Activation::HardSigmoid { alpha, beta } if of == x && alpha * HARD == 1.0 && beta == 0.5 => {
                    Some((Activation::HardSwish, x))
                }
                Activation::Tanh => {
                    let (Activation::Softplus, of) = self.activation_of(of)? else { return None };
                    (of == x).then_some((Activation::Mish, x))
                }
                _ => None,
            }
        })
    }

    /// Relu6(x + 3) / 6, and `x` times that.
    fn quotient_pattern(
        &self,
        binary: Binary,
        value: ValueId,
        index: usize,
        constants: &[f32],
    ) -> Option<(Activation, ValueId)> {
        let all = |expected: f32| constants.iter().all(|&x| x == expected);
        let sixth = binary == Binary::Div && index == 1 && all(HARD) || binary == Binary::Mul && all(1.0 / HARD);
        if !sixth {
            return None;
        }
        if let Some(x) = self.shifted_relu6(value) {
            return Some((Activation::HardSigmoid { alpha: 1.0 / HARD, beta: 0.5 }, x));
        }
        let node = &self.import.builder.nodes()[*self.import.producers.get(&value)?];
        let (Operator::Binary(Binary::Mul), &[a, b]) = (&node.operator, &node.inputs[..]) else { return None };
        let x = [(a, b), (b, a)].into_iter().find(|&(x, gate)| self.shifted_relu6(gate) == Some(x))?.0;
        Some((Activation::HardSwish, x))
    }

    /// The `x` of which a value is Relu6(x + 3).
    fn shifted_relu6(&self, value: ValueId) -> Option<ValueId> {
        let (Activation::Clip { low: 0.0, high: HARD }, shifted) = self.activation_of(value)? else { return None };
        let node = &self.import.builder.nodes()[*self.import.producers.get(&shifted)?];
        let sources = self.import.parameters.get(&node.name)?;
        let three = matches!(node.operator, Operator::Affine(_)) && sources[0].is(1.0) && sources[1].is(3.0);
        three.then_some(node.inputs[0])
    }
}

/// How many floats a constant of `sizes` has if it is one for each channel of `shape`, or one for all.
fn per_channel(sizes: &[usize], shape: &Shape) -> Option<usize> {
    let rank = shape.rank();
    let missing = rank.checked_sub(sizes.len()).filter(|_| rank >= 2)?;
    let one = |(axis, &size): (usize, &usize)| size == 1 || axis + missing == 1 && size == shape.sizes()[1];
    sizes.iter().enumerate().all(one).then(|| sizes.iter().product())
}
