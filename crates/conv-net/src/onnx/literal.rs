//! Small constants whose values shapes depend on, and the arithmetic on them.

use std::sync::Arc;

use super::attributes::Attributes;
use super::constants::{Constant, Files, MAX_ELEMENTS, doubles, integers};
use super::messages::{Node, Tensor, element};
use super::movement::{index, range, target};

/// A small constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Literal {
    pub sizes: Vec<usize>,
    pub numbers: Numbers,
}

/// Its elements, in the order in which frameworks write. Whoever has the same ones shares them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    /// Integers and truth values.
    Ints(Arc<[i64]>),
    Floats(Arc<[f32]>),
}

/// The most dimensions of a small constant.
const MAX_RANK: usize = 8;

/// The elements of a small constant of these sizes; `None` if they are many, or would be but for a size of zero.
fn count(sizes: &[usize]) -> Option<usize> {
    if sizes.len() > MAX_RANK {
        return None;
    }
    let bound = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size.max(1)));
    bound.filter(|&bound| bound <= MAX_ELEMENTS).map(|_| sizes.iter().product())
}

/// Bytes of what has no other owner.
pub(super) fn own_bytes<T>(values: &Arc<[T]>) -> usize {
    if Arc::strong_count(values) == 1 { size_of_val(&values[..]) } else { 0 }
}

impl Literal {
    pub fn ints(values: Vec<i64>) -> Self {
        Literal { sizes: vec![values.len()], numbers: Numbers::Ints(values.into()) }
    }

    pub fn scalar(value: i64) -> Self {
        Literal { sizes: Vec::new(), numbers: Numbers::Ints([value].into()) }
    }

    /// A list, or a single number, of floats.
    pub fn of_floats(sizes: Vec<usize>, values: &[f32]) -> Self {
        Literal { sizes, numbers: Numbers::Floats(values.into()) }
    }

    /// The elements of a tensor, if they are few and of a type that is understood.
    pub fn of(tensor: &Tensor, files: &mut Files) -> Option<Literal> {
        let sizes: Vec<usize> = tensor.dims.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?;
        let count = count(&sizes)?;
        let numbers = match tensor.data_type {
            element::INT64 | element::INT32 | element::BOOL => Numbers::Ints(integers(tensor, files).ok()?.into()),
            element::DOUBLE => Numbers::Floats(doubles(tensor, files).ok()?.into()),
            _ => {
                let mut values = vec![0.0; count];
                if count > 0 {
                    Constant::of(tensor, files).ok()?.read(files, 0, &mut values).ok()?;
                }
                Numbers::Floats(values.into())
            }
        };
        Some(Literal { sizes, numbers })
    }

    /// Bytes of elements that nothing else shares.
    pub fn own_bytes(&self) -> usize {
        match &self.numbers {
            Numbers::Ints(values) => own_bytes(values),
            Numbers::Floats(values) => own_bytes(values),
        }
    }

    pub fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Ints(values) => values.len(),
            Numbers::Floats(values) => values.len(),
        }
    }

    /// As floats.
    pub fn floats(&self) -> Arc<[f32]> {
        match &self.numbers {
            Numbers::Ints(values) => values.iter().map(|&value| value as f32).collect(),
            Numbers::Floats(values) => values.clone(),
        }
    }

    /// As integers, if it is of them.
    pub fn integers(&self) -> Option<&[i64]> {
        match &self.numbers {
            Numbers::Ints(values) => Some(values),
            Numbers::Floats(_) => None,
        }
    }

    fn with_sizes(&self, sizes: Vec<usize>) -> Option<Literal> {
        (count(&sizes)? == self.len()).then(|| Literal { sizes, numbers: self.numbers.clone() })
    }

    /// A single number as many times as `sizes` say.
    pub fn repeated(&self, sizes: Vec<usize>) -> Option<Literal> {
        let count = count(&sizes)?;
        self.pick(sizes, std::iter::repeat_n(0, count))
    }

    /// The elements of these indices.
    fn pick(&self, sizes: Vec<usize>, indices: impl Iterator<Item = usize>) -> Option<Literal> {
        let numbers = match &self.numbers {
            Numbers::Ints(values) => Numbers::Ints(indices.map(|i| values.get(i).copied()).collect::<Option<_>>()?),
            Numbers::Floats(values) => Numbers::Floats(indices.map(|i| values.get(i).copied()).collect::<Option<_>>()?),
        };
        Some(Literal { sizes, numbers })
    }
}

/// What `node` makes of constants, if it is arithmetic that is known: shapes are computed in such nodes.
pub(super) fn fold(node: &Node, inputs: &[Option<&Literal>]) -> Option<Literal> {
    let attributes = Attributes::any(node);
    let input = |index: usize| *inputs.get(index)?;
    let first = input(0)?;
    match node.op_type.as_str() {
        "Identity" | "Dropout" => Some(first.clone()),
        "Cast" => cast(first, attributes.int("to", 0).ok()?),
        "Gather" => gather(first, input(1)?, attributes.int("axis", 0).ok()?),
        "Squeeze" => {
            let axes = axes(&attributes, input(1), first.sizes.len())?;
            let sizes = first.sizes.iter().enumerate();
            let kept = sizes.filter(|(axis, size)| match &axes {
                Some(axes) => !axes.contains(axis),
                None => **size != 1,
            });
            first.with_sizes(kept.map(|(_, &size)| size).collect())
        }
        "Unsqueeze" => {
            let given = match input(1) {
                Some(axes) => axes.integers()?,
                None => attributes.ints("axes").ok()??,
            };
            let rank = Some(first.sizes.len() + given.len()).filter(|&rank| rank <= MAX_RANK)?;
            let axes: Vec<usize> = given.iter().map(|&axis| index(axis, rank)).collect::<Option<_>>()?;
            let mut sizes = first.sizes.iter();
            let all = (0..rank).map(|axis| if axes.contains(&axis) { Some(1) } else { sizes.next().copied() });
            first.with_sizes(all.collect::<Option<_>>()?)
        }
        "Reshape" => {
            let sizes = target(&first.sizes, input(1)?.integers()?, false)?;
            first.with_sizes(sizes)
        }
        "Flatten" => {
            let (axis, rank) = (attributes.int("axis", 1).ok()?, first.sizes.len());
            let (outer, inner) = first.sizes.split_at(if axis == rank as i64 { rank } else { index(axis, rank)? });
            first.with_sizes(vec![outer.iter().product(), inner.iter().product()])
        }
        "Transpose" => transpose(&attributes, first),
        "Concat" => concat(inputs),
        "Slice" => slice(&attributes, first, inputs),
        "Range" => {
            let bound = |index: usize| input(index)?.integers()?.first().copied();
            let (start, end, step) = (bound(0)?, bound(1)?, bound(2)?);
            let count = (end.checked_sub(start)?).checked_div(step)?;
            if step == 0 || count > MAX_ELEMENTS as i64 {
                return None;
            }
            let mut values = Vec::new();
            let mut at = start;
            while if step > 0 { at < end } else { at > end } {
                values.push(at);
                at = at.checked_add(step)?;
            }
            Some(Literal::ints(values))
        }
        // Of a list, all of it.
        "ReduceProd" if first.sizes.len() <= 1 => {
            let product = first.integers()?.iter().try_fold(1_i64, |product, &x| product.checked_mul(x))?;
            let kept = attributes.int("keepdims", 1).ok()? != 0;
            Literal::scalar(product).with_sizes(if kept { vec![1; first.sizes.len()] } else { Vec::new() })
        }
        "Floor" | "Ceil" | "Neg" | "Sqrt" | "Abs" | "Not" | "Reciprocal" => unary(&node.op_type, first),
        "Where" => {
            let (condition, yes, no) = (first.integers()?, input(1)?, input(2)?);
            let count = condition.len().max(yes.len()).max(no.len());
            let sizes = [first, yes, no].into_iter().max_by_key(|part| part.len())?.sizes.clone();
            let at = |values: &[i64], i: usize| values.get(if values.len() == 1 { 0 } else { i }).copied();
            let (yes, no) = (yes.integers()?, no.integers()?);
            let values = (0..count).map(|i| if at(condition, i)? != 0 { at(yes, i) } else { at(no, i) });
            Some(Literal { sizes, numbers: Numbers::Ints(values.collect::<Option<_>>()?) })
        }
        "Expand" => {
            let count = input(1)?.integers()?.iter().try_fold(1_i64, |product, &size| product.checked_mul(size))?;
            let sizes: Vec<usize> =
                input(1)?.integers()?.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?;
            (first.len() == 1 && count <= MAX_ELEMENTS as i64).then(|| first.repeated(sizes))?
        }
        operator => binary(operator, first, input(1)?),
    }
}

/// The axes that a node names by attribute or input.
fn axes(attributes: &Attributes<'_>, input: Option<&Literal>, rank: usize) -> Option<Option<Vec<usize>>> {
    let given = match input {
        Some(literal) => Some(literal.integers()?),
        None => attributes.ints("axes").ok()?,
    };
    match given {
        Some(given) if given.len() > MAX_RANK => None,
        Some(given) => given.iter().map(|&axis| index(axis, rank)).collect::<Option<Vec<_>>>().map(Some),
        None => Some(None),
    }
}

fn cast(literal: &Literal, to: i64) -> Option<Literal> {
    let numbers = match (i32::try_from(to).ok()?, &literal.numbers) {
        (element::INT64 | element::INT32, Numbers::Floats(values)) => {
            Numbers::Ints(values.iter().map(|&value| value as i64).collect())
        }
        (element::BOOL, Numbers::Ints(values)) => {
            Numbers::Ints(values.iter().map(|&value| i64::from(value != 0)).collect())
        }
        (element::INT64 | element::INT32, ints) => ints.clone(),
        (element::FLOAT | element::DOUBLE | element::FLOAT16 | element::BFLOAT16, _) => {
            Numbers::Floats(literal.floats())
        }
        _ => return None,
    };
    Some(Literal { sizes: literal.sizes.clone(), numbers })
}

fn gather(data: &Literal, indices: &Literal, axis: i64) -> Option<Literal> {
    let axis = index(axis, data.sizes.len())?;
    let of = data.sizes[axis];
    let places: Vec<usize> = indices.integers()?.iter().map(|&place| index(place, of)).collect::<Option<_>>()?;
    let inner: usize = data.sizes[axis + 1..].iter().product();
    let outer: usize = data.sizes[..axis].iter().product();
    let sizes: Vec<usize> = [&data.sizes[..axis], &indices.sizes, &data.sizes[axis + 1..]].concat();
    // Also where there is nothing to be found but the loops would turn.
    count(&sizes)?;
    let each = (0..outer).flat_map(|outer| places.iter().map(move |place| outer * of + place));
    data.pick(sizes, each.flat_map(|row| row * inner..(row + 1) * inner).collect::<Vec<_>>().into_iter())
}

fn transpose(attributes: &Attributes<'_>, data: &Literal) -> Option<Literal> {
    let rank = data.sizes.len();
    let permutation: Vec<usize> = match attributes.ints("perm").ok()? {
        Some(perm) => perm.iter().map(|&axis| index(axis, rank)).collect::<Option<_>>()?,
        None => (0..rank).rev().collect(),
    };
    if !(0..rank).all(|axis| permutation.contains(&axis)) || permutation.len() != rank {
        return None;
    }
    let mut places = vec![0];
    for &axis in &permutation {
        let stride: usize = data.sizes[axis + 1..].iter().product();
        places = places.iter().flat_map(|place| (0..data.sizes[axis]).map(move |at| place + at * stride)).collect();
    }
    data.pick(permutation.iter().map(|&axis| data.sizes[axis]).collect(), places.into_iter())
}

/// Of lists, and single numbers.
fn concat(inputs: &[Option<&Literal>]) -> Option<Literal> {
    let parts: Vec<&Literal> = inputs.iter().copied().collect::<Option<_>>()?;
    if parts.iter().any(|part| part.sizes.len() > 1)
        || parts.iter().map(|part| part.len()).sum::<usize>() > MAX_ELEMENTS
    {
        return None;
    }
    let ints: Option<Vec<&[i64]>> = parts.iter().map(|part| part.integers()).collect();
    Some(match ints {
        Some(ints) => Literal::ints(ints.concat()),
        None => {
            let floats = parts.iter().map(|part| part.floats()).collect::<Vec<_>>().concat();
            Literal::of_floats(vec![floats.len()], &floats)
        }
    })
}

/// Of a list.
fn slice(attributes: &Attributes<'_>, data: &Literal, inputs: &[Option<&Literal>]) -> Option<Literal> {
    let [len] = data.sizes[..] else { return None };
    let list = |index: usize, name: &str| match inputs.get(index) {
        Some(literal) => literal.as_ref()?.integers().map(<[i64]>::to_vec),
        None => attributes.ints(name).ok()?.map(<[i64]>::to_vec),
    };
    let (starts, ends) = (list(1, "starts")?, list(2, "ends")?);
    let step = list(4, "steps").and_then(|steps| steps.first().copied()).unwrap_or(1);
    let (&[start], &[end]) = (&starts[..], &ends[..]) else { return None };
    let (first, count) = range(len, start, end, step)?;
    let places = (0..count).map(|i| (first as i64 + i as i64 * step) as usize);
    data.pick(vec![count], places.collect::<Vec<_>>().into_iter())
}

fn unary(operator: &str, x: &Literal) -> Option<Literal> {
    let numbers = match &x.numbers {
        Numbers::Ints(values) => Numbers::Ints(match operator {
            "Neg" => values.iter().map(|x| x.checked_neg()).collect::<Option<_>>()?,
            "Abs" => values.iter().map(|x| x.checked_abs()).collect::<Option<_>>()?,
            "Not" => values.iter().map(|&x| i64::from(x == 0)).collect(),
            _ => return None,
        }),
        Numbers::Floats(values) => {
            let function: fn(f32) -> f32 = match operator {
                "Neg" => |x| -x,
                "Abs" => f32::abs,
                "Floor" => f32::floor,
                "Ceil" => f32::ceil,
                "Sqrt" => f32::sqrt,
                "Reciprocal" => f32::recip,
                _ => return None,
            };
            Numbers::Floats(values.iter().map(|&x| function(x)).collect())
        }
    };
    Some(Literal { sizes: x.sizes.clone(), numbers })
}

/// Of two lists of one length, or one of them a single number.
fn binary(operator: &str, a: &Literal, b: &Literal) -> Option<Literal> {
    if a.len() != b.len() && a.len() != 1 && b.len() != 1 {
        return None;
    }
    let sizes = if (b.len(), b.sizes.len()) > (a.len(), a.sizes.len()) { &b.sizes } else { &a.sizes }.clone();
    let count = if a.len() == 0 || b.len() == 0 { 0 } else { a.len().max(b.len()) };
    let sizes = if count == 0 { vec![0] } else { sizes };
    let numbers = match (&a.numbers, &b.numbers) {
        (Numbers::Ints(a), Numbers::Ints(b)) => {
            let function: fn(i64, i64) -> Option<i64> = match operator {
                "Add" => i64::checked_add,
                "Sub" => i64::checked_sub,
                "Mul" => i64::checked_mul,
                "Div" => i64::checked_div,
                // With the sign of the divisor.
                "Mod" => |a, b| a.checked_rem(b).map(|rest| if rest * b.signum() < 0 { rest + b } else { rest }),
                "Min" => |a, b| Some(a.min(b)),
                "Max" => |a, b| Some(a.max(b)),
                "Equal" => |a, b| Some(i64::from(a == b)),
                "Greater" => |a, b| Some(i64::from(a > b)),
                "Less" => |a, b| Some(i64::from(a < b)),
                "And" => |a, b| Some(i64::from(a != 0 && b != 0)),
                "Or" => |a, b| Some(i64::from(a != 0 || b != 0)),
                _ => return None,
            };
            let at = |values: &[i64], i: usize| values[if values.len() == 1 { 0 } else { i }];
            Numbers::Ints((0..count).map(|i| function(at(a, i), at(b, i))).collect::<Option<_>>()?)
        }
        _ => {
            let function: fn(f32, f32) -> f32 = match operator {
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" => |a, b| a / b,
                "Pow" => f32::powf,
                // What is no number stays none.
                "Min" => |a, b| if a < b || a.is_nan() { a } else { b },
                "Max" => |a, b| if a > b || a.is_nan() { a } else { b },
                _ => return None,
            };
            let (a, b) = (a.floats(), b.floats());
            let at = |values: &[f32], i: usize| values[if values.len() == 1 { 0 } else { i }];
            Numbers::Floats((0..count).map(|i| function(at(&a, i), at(&b, i))).collect())
        }
    };
    Some(Literal { sizes, numbers })
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Attribute, attribute};
    use super::*;

    fn list(values: &[i64]) -> Literal {
        Literal::ints(values.to_vec())
    }

    fn floats(values: &[f32]) -> Literal {
        Literal::of_floats(vec![values.len()], values)
    }

    fn table(sizes: [usize; 2]) -> Literal {
        let numbers = Numbers::Ints((0..(sizes[0] * sizes[1]) as i64).collect());
        Literal { sizes: sizes.to_vec(), numbers }
    }

    fn ints(name: &str, ints: &[i64]) -> Attribute {
        Attribute { name: name.into(), ints: ints.to_vec(), kind: attribute::INTS, ..Attribute::default() }
    }

    fn int(name: &str, i: i64) -> Attribute {
        Attribute { name: name.into(), i: Some(i), kind: attribute::INT, ..Attribute::default() }
    }

    fn folded(operator: &str, attribute: Vec<Attribute>, inputs: &[Literal]) -> Option<Literal> {
        let node = Node { op_type: operator.into(), attribute, ..Node::default() };
        fold(&node, &inputs.iter().map(Some).collect::<Vec<_>>())
    }

    #[test]
    fn dimensions_come_and_go() {
        let row = table([1, 3]);
        let sizes = |literal: Option<Literal>| literal.map(|literal| literal.sizes);
        assert_eq!(sizes(folded("Squeeze", vec![], std::slice::from_ref(&row))), Some(vec![3]));
        assert_eq!(sizes(folded("Squeeze", vec![ints("axes", &[-2])], std::slice::from_ref(&row))), Some(vec![3]));
        assert_eq!(sizes(folded("Squeeze", vec![], &[row.clone(), list(&[0])])), Some(vec![3]));
        // Of three there is no one to leave out.
        assert_eq!(folded("Squeeze", vec![], &[row.clone(), list(&[1])]), None);
        assert_eq!(folded("Squeeze", vec![ints("axes", &[0; 9])], std::slice::from_ref(&row)), None);
        assert_eq!(sizes(folded("Unsqueeze", vec![], &[row.clone(), list(&[0, 3])])), Some(vec![1, 1, 3, 1]));
        assert_eq!(sizes(folded("Reshape", vec![], &[row.clone(), list(&[3, -1])])), Some(vec![3, 1]));
        assert_eq!(sizes(folded("Flatten", vec![int("axis", 2)], std::slice::from_ref(&row))), Some(vec![3, 1]));
        let turned = folded("Transpose", vec![], &[table([2, 3])]).unwrap();
        assert_eq!((turned.sizes.as_slice(), turned.integers().unwrap()), (&[3, 2][..], &[0, 3, 1, 4, 2, 5][..]));
        assert_eq!(folded("Transpose", vec![ints("perm", &[0, 0])], &[table([2, 3])]), None);
    }

    #[test]
    fn lists_are_made_of_numbers() {
        let range = |start, end, step| folded("Range", vec![], &[start, end, step].map(Literal::scalar));
        assert_eq!(range(2, 9, 3), Some(list(&[2, 5, 8])));
        assert_eq!(range(2, -3, -2), Some(list(&[2, 0, -2])));
        assert_eq!(range(2, -3, 1), Some(list(&[])));
        for (start, end, step) in [(0, 1, 0), (0, i64::MAX, 1), (i64::MIN, i64::MAX, 1)] {
            assert_eq!(range(start, end, step), None, "{start} to {end} by {step}");
        }
        assert_eq!(folded("ReduceProd", vec![], &[list(&[2, 3, 7])]), Some(list(&[42])));
        assert_eq!(folded("ReduceProd", vec![int("keepdims", 0)], &[list(&[2, 3])]), Some(Literal::scalar(6)));
        assert_eq!(folded("ReduceProd", vec![ints("axes", &[0])], &[table([2, 3])]), None);
        assert_eq!(folded("ReduceProd", vec![], &[list(&[i64::MAX, 2])]), None);
        assert_eq!(folded("Concat", vec![], &[list(&[1]), floats(&[0.5])]), Some(floats(&[1.0, 0.5])));
        assert_eq!(folded("Expand", vec![], &[Literal::scalar(7), list(&[3])]), Some(list(&[7, 7, 7])));
        assert_eq!(folded("Where", vec![], &[list(&[1, 0]), list(&[5]), list(&[6, 7])]), Some(list(&[5, 7])));
    }

    #[test]
    fn numbers_become_others() {
        let cast = |to, literal: &Literal| folded("Cast", vec![int("to", to)], std::slice::from_ref(literal));
        assert_eq!(cast(7, &floats(&[2.9, -2.9])), Some(list(&[2, -2])));
        assert_eq!(cast(9, &list(&[-3, 0])), Some(list(&[1, 0])));
        assert_eq!(cast(6, &list(&[-3, 0])), Some(list(&[-3, 0])));
        assert_eq!(cast(1, &list(&[-3])), Some(floats(&[-3.0])));
        assert_eq!(cast(8, &list(&[-3])), None);
        let of = |operator: &str, literal: Literal| folded(operator, vec![], &[literal]);
        assert_eq!(of("Neg", list(&[3])), Some(list(&[-3])));
        assert_eq!(of("Abs", list(&[-3])), Some(list(&[3])));
        assert_eq!(of("Not", list(&[3, 0])), Some(list(&[0, 1])));
        assert_eq!(of("Abs", list(&[i64::MIN])), None);
        assert_eq!(of("Sqrt", list(&[4])), None);
        for (operator, expected) in
            [("Neg", -2.25), ("Abs", 2.25), ("Floor", 2.0), ("Ceil", 3.0), ("Sqrt", 1.5), ("Reciprocal", 1.0 / 2.25)]
        {
            assert_eq!(of(operator, floats(&[2.25])), Some(floats(&[expected])), "{operator}");
        }
        assert_eq!(of("Not", floats(&[1.0])), None);
        let two = |operator: &str, a: i64, b: i64| folded(operator, vec![], &[list(&[a]), list(&[b])]);
        for (a, b, rest) in [(7, 3, 1), (-7, 3, 2), (7, -3, -2), (-7, -3, -1), (6, -3, 0)] {
            assert_eq!(two("Mod", a, b), Some(list(&[rest])), "{a} by {b}");
        }
        assert_eq!(two("Mod", 7, 0), None);
        assert_eq!(two("Div", i64::MIN, -1), None);
    }
}
