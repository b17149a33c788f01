//! Shapes behind operators that are not computed.

use super::attributes::Attributes;
use super::graph::{Import, Known};
use super::messages::Node;
use super::movement::{axes, index, range};
use crate::shape::Shape;

/// Operators whose result has the shape of their first input.
const SAME: [&str; 42] = [
    "Acos",
    "Asin",
    "Atan",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "CumSum",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "InstanceNormalization",
    "IsNaN",
    "LayerNormalization",
    "LpNormalization",
    "LRN",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Not",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softmax",
    "Softplus",
    "Tanh",
];

/// Operators whose inputs are repeated to fit each other.
const BROADCAST: [&str; 20] = [
    "Add",
    "And",
    "BitShift",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
    "Where",
];

/// What the shapes of a node's outputs are, as far as they follow from its inputs'.
pub(super) fn shapes(import: &Import<'_>, node: &Node) -> Vec<Option<Shape>> {
    let sizes = |index: usize| import.input(node, index).and_then(|known| import.sizes_of(known));
    let attributes = Attributes::any(node);
    let operator = node.op_type.as_str();
    let first = sizes(0);
    let made = match operator {
        _ if SAME.contains(&operator) => first,
        _ if BROADCAST.contains(&operator) => {
            let all: Option<Vec<Vec<usize>>> = (0..node.input.len()).map(sizes).collect();
            all.and_then(|all| all.into_iter().try_fold(Vec::new(), |a, b| broadcast(&a, &b)))
        }
        "MatMul" => first.zip(sizes(1)).and_then(|(a, b)| product(&a, &b)),
        "Gather" => first.zip(sizes(1)).and_then(|(data, indices)| {
            let axis = index(attributes.int("axis", 0).ok()?, data.len())?;
            Some([&data[..axis], &indices, &data[axis + 1..]].concat())
        }),
        "Transpose" => first.and_then(|sizes| match attributes.ints("perm").ok()? {
            Some(perm) => perm.iter().map(|&axis| sizes.get(index(axis, sizes.len())?).copied()).collect(),
            None => Some(sizes.into_iter().rev().collect()),
        }),
        "Expand" => first.zip(import.integers(node, 1).ok().flatten()).and_then(|(sizes, target)| {
            let target: Option<Vec<usize>> = target.iter().map(|&size| usize::try_from(size).ok()).collect();
            broadcast(&sizes, &target?)
        }),
        "Tile" => first.zip(import.integers(node, 1).ok().flatten()).and_then(|(sizes, times)| {
            sizes.iter().zip(times).map(|(size, times)| size.checked_mul(usize::try_from(times).ok()?)).collect()
        }),
        "Conv" => first.zip(sizes(1)).and_then(|(input, weights)| convolved(&attributes, &input, &weights)),
        "Concat" => concatenated(import, node, &attributes),
        "Slice" => sliced(import, node, &attributes),
        "ArgMax" | "ArgMin" => {
            first.and_then(|sizes| reduced(&sizes, Some(vec![attributes.int("axis", 0).ok()?]), &attributes))
        }
        _ if operator.starts_with("Reduce") => first.and_then(|sizes| {
            let given = match attributes.ints("axes").ok()? {
                Some(axes) => Some(axes.to_vec()),
                None => import.integers(node, 1).ok()?,
            };
            reduced(&sizes, given, &attributes)
        }),
        _ => None,
    };
    vec![made.and_then(|sizes| Shape::new(&sizes).ok())]
}

fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |sizes: &[usize], axis: usize| (axis + sizes.len()).checked_sub(rank).map_or(1, |place| sizes[place]);
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        })
        .collect()
}

fn product(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let ([outer_a @ .., rows, inner], [outer_b @ .., same, columns]) = (a, b) else { return None };
    let outer = broadcast(outer_a, outer_b)?;
    (inner == same).then(|| [&outer[..], &[*rows, *columns]].concat())
}

/// Of any number of dimensions.
fn convolved(attributes: &Attributes<'_>, input: &[usize], weights: &[usize]) -> Option<Vec<usize>> {
    let spatial = input.len().checked_sub(2).filter(|&spatial| weights.len() == spatial + 2)?;
    let list = |name, default| attributes.size_list(name, spatial, default).ok();
    let (strides, dilations) = (list("strides", 1)?, list("dilations", 1)?);
    let pads = attributes.size_list("pads", 2 * spatial, 0).ok()?;
    if attributes.text("auto_pad").ok()?.is_some_and(|auto| !matches!(auto, "NOTSET" | "VALID")) {
        return None;
    }
    let size = |axis: usize| {
        let reach = (weights[axis + 2].checked_sub(1)?).checked_mul(dilations[axis])?.checked_add(1)?;
        let padded = input[axis + 2].checked_add(pads[axis])?.checked_add(pads[axis + spatial])?;
        Some(padded.checked_sub(reach)?.checked_div(strides[axis])? + 1)
    };
    let map: Option<Vec<usize>> = (0..spatial).map(size).collect();
    Some([&[input[0], weights[0]], &map?[..]].concat())
}

fn concatenated(import: &Import<'_>, node: &Node, attributes: &Attributes<'_>) -> Option<Vec<usize>> {
    let all: Option<Vec<Vec<usize>>> =
        (0..node.input.len()).map(|index| import.sizes_of(import.input(node, index)?)).collect();
    let all = all?;
    let mut made = all.first()?.clone();
    let axis = index(attributes.int("axis", 1).ok()?, made.len())?;
    for sizes in &all[1..] {
        made[axis] = made[axis].checked_add(*sizes.get(axis)?)?;
    }
    Some(made)
}

fn sliced(import: &Import<'_>, node: &Node, attributes: &Attributes<'_>) -> Option<Vec<usize>> {
    let mut made = import.sizes_of(import.input(node, 0)?)?;
    let list = |index: usize, name: &str| match attributes.ints(name).ok()? {
        Some(list) => Some(list.to_vec()),
        None => import.integers(node, index).ok()?,
    };
    let (starts, ends) = (list(1, "starts")?, list(2, "ends")?);
    let given = list(3, "axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = import.integers(node, 4).ok()?.unwrap_or_else(|| vec![1; starts.len()]);
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&given).zip(&steps) {
        let axis = index(axis, made.len())?;
        made[axis] = range(made[axis], start, end, step)?.1;
    }
    Some(made)
}

fn reduced(sizes: &[usize], given: Option<Vec<i64>>, attributes: &Attributes<'_>) -> Option<Vec<usize>> {
    let reduced = match given {
        Some(given) => axes(&given, sizes.len()).ok()?,
        None => (0..sizes.len()).collect(),
    };
    let keep = attributes.int("keepdims", 1).ok()? != 0;
    let sizes = sizes.iter().enumerate();
    let kept = sizes.filter_map(|(axis, &size)| if reduced.contains(&axis) { keep.then_some(1) } else { Some(size) });
    Some(kept.collect())
}

impl Import<'_> {
    /// The sizes of something known, if they are known.
    pub fn sizes_of(&self, known: &Known<'_>) -> Option<Vec<usize>> {
        match known {
            Known::Value(value) => self.builder.shape(*value).map(|shape| shape.sizes().to_vec()),
            Known::Literal(literal) => Some(literal.sizes.clone()),
            Known::Stored { constant, transposed: false } => Some(constant.shape.clone()),
            Known::Stored { constant, transposed: true } => Some(constant.shape.iter().rev().copied().collect()),
            Known::Tensor(tensor) => tensor.dims.iter().map(|&size| usize::try_from(size).ok()).collect(),
        }
    }
}
