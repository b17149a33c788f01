//! A network in the making from a model's graph: what is known of each of its values.

use std::collections::HashMap;

use super::constants::{Constant, Files};
use super::input_shape::InputShape;
use super::literal::Literal;
use super::messages::{Graph, Node, Size, Tensor, ValueInfo, element};
use super::movement::MAX_RANK;
use super::parameters::Source;
use super::{listed, shown};
use crate::network::{Builder, NetworkError, ValueId};
use crate::operators::{Opaque, Operator, OperatorError};
use crate::shape::{Shape, ShapeError};
use crate::text::plain;

/// The most nodes of a model, and of whatever else a graph or a node has many of; the largest detectors have some thousands.
pub(super) const MAX_COUNT: usize = 1 << 14;

/// The most bytes of constants that are in memory while a model is read, beside those that stay in its files: shapes, the
/// factors of channels, and what is computed of them. All together they are some megabytes of the largest models.
const MAX_LITERAL_BYTES: usize = 64 << 20;

/// The most floats of a constant that shapes may depend on; longer ones stay in their files where many are small.
const SHORT: usize = 64;

/// The most integers of a list of axes, sizes or parts.
const MAX_LIST: usize = 1 << 12;

/// The most names that a message lists.
const MAX_LISTED: usize = 20;

/// The types of elements that stay in a file, and that inputs may have.
const FLOATS: [i32; 3] = [element::FLOAT, element::FLOAT16, element::BFLOAT16];

/// The most characters of a node's name.
const NAME: usize = 60;

/// Why a node is none of a network's.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not computed here; its model may still be looked at.
    Opaque(String),
    /// It is wrong.
    Wrong(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Refusal::Opaque(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Refusal::Opaque(reason.into())
    }
}

/// What is known of a value.
#[derive(Debug, Clone)]
pub(super) enum Known<'a> {
    /// It depends on the inputs.
    Value(ValueId),
    /// A small constant.
    Literal(Literal),
    /// A constant of floats that stays in its file; a matrix may be transposed.
    Stored { constant: Constant, transposed: bool },
    /// A constant of a type that is not computed with.
    Tensor(&'a Tensor),
}

/// The network so far.
pub(super) struct Import<'a> {
    pub builder: Builder,
    pub parameters: HashMap<String, Vec<Source>>,
    pub files: Files,
    pub opset: i64,
    /// The batch that the model states and the one that is asked for instead, if they differ.
    pub rebatched: Option<(usize, usize)>,
    /// Which node computes a value, by its place in the builder.
    pub producers: HashMap<ValueId, usize>,
    /// Of flattened values the maps that they were.
    pub maps: HashMap<ValueId, ValueId>,
    pub known: HashMap<&'a str, Known<'a>>,
    /// What the model says of values.
    pub stated: HashMap<&'a str, &'a ValueInfo>,
    /// Bytes of constants in memory.
    pub literal_bytes: usize,
    /// The next number for a name that others have.
    pub numbered: usize,
}

impl Known<'_> {
    pub fn ints(values: Vec<i64>) -> Self {
        Known::Literal(Literal::ints(values))
    }

    pub fn scalar(value: i64) -> Self {
        Known::Literal(Literal::scalar(value))
    }

    /// Sizes and elements of a constant that is computed with.
    pub fn source(&self) -> Option<(Vec<usize>, Source)> {
        match self {
            Known::Literal(literal) => Some((literal.sizes.clone(), Source::literal(literal.floats()))),
            Known::Stored { constant, transposed: false } => {
                Some((constant.shape.clone(), Source::stored(constant.clone())))
            }
            Known::Stored { constant, transposed: true } => {
                let sizes: Vec<usize> = constant.shape.iter().rev().copied().collect();
                let source = Source::stored(constant.clone()).transposed([sizes[0], sizes[1]]);
                Some((sizes, source))
            }
            Known::Value(_) | Known::Tensor(_) => None,
        }
    }
}

impl<'a> Import<'a> {
    /// A tensor of the file.
    pub fn constant_of(&mut self, tensor: &'a Tensor) -> Result<Known<'a>, String> {
        let named = |message: String| format!("its constant {} {message}", shown(&tensor.name));
        if tensor.dims.len() > MAX_RANK {
            return Err(named(format!("has the shape {}; up to {MAX_RANK} sizes are accepted", listed(&tensor.dims))));
        }
        if let Some(literal) = Literal::of(tensor, &mut self.files) {
            // The first half is for those that could as well stay in the file, as all large ones do.
            let needed = literal.len() <= SHORT || !FLOATS.contains(&tensor.data_type);
            if needed || self.literal_bytes + literal.own_bytes() <= MAX_LITERAL_BYTES / 2 {
                return Ok(Known::Literal(literal));
            }
        }
        match tensor.data_type {
            kind if FLOATS.contains(&kind) => {
                let constant = Constant::of(tensor, &mut self.files).map_err(named)?;
                Ok(Known::Stored { constant, transposed: false })
            }
            _ => Ok(Known::Tensor(tensor)),
        }
    }

    /// Enters the inputs, in the shapes that are asked for.
    ///
    /// # Errors
    /// What is wrong with them, or missing.
    pub fn inputs(&mut self, graph: &'a Graph, batch: Option<usize>, shapes: &[InputShape]) -> Result<(), String> {
        // Old models list initializers among the inputs.
        let inputs: Vec<&ValueInfo> =
            graph.input.iter().filter(|input| !self.known.contains_key(input.name.as_str())).collect();
        for shape in shapes {
            let names = || {
                let first =
                    inputs.iter().take(MAX_LISTED).map(|input| shown(&input.name)).collect::<Vec<_>>().join(", ");
                if inputs.len() > MAX_LISTED { format!("{first}, …") } else { first }
            };
            match &shape.name {
                Some(name) if inputs.iter().all(|input| input.name != *name) => {
                    return Err(format!(
                        "it has no input called {}, as --shape says; its inputs are {}",
                        shown(name),
                        names()
                    ));
                }
                None if inputs.len() != 1 => {
                    return Err(format!("--shape must say which input it means: NAME:SIZES, of {}", names()));
                }
                _ => {}
            }
        }
        for input in inputs {
            let given = shapes.iter().rev().find(|shape| shape.name.as_ref().is_none_or(|name| *name == input.name));
            let sizes = self.input_sizes(input, batch, given)?;
            let tensor = input.value_type.as_ref().and_then(|value_type| value_type.tensor.as_ref());
            let of_floats = tensor.is_none_or(|tensor| FLOATS.contains(&tensor.element));
            let value = if of_floats {
                self.builder.input(&input.name, &sizes).map_err(|error| error.to_string())?
            } else {
                let opaque = Opaque { operator: "Input".into(), reason: "is not of floats (f32, f16 or bf16)".into() };
                let outputs = vec![(input.name.clone(), Shape::new(&sizes).ok())];
                let name = self.name(usize::MAX, &input.name);
                self.builder.opaque(name, opaque, &[], outputs).map_err(|error| error.to_string())?[0]
            };
            self.known.insert(&input.name, Known::Value(value));
        }
        Ok(())
    }

    /// The sizes of an input: as it states them, with the batch and the shape that are asked for.
    fn input_sizes(
        &mut self,
        input: &ValueInfo,
        batch: Option<usize>,
        given: Option<&InputShape>,
    ) -> Result<Vec<usize>, String> {
        let name = shown(&input.name);
        let stated = dimensions(input).ok_or_else(|| format!("its input {name} is no tensor"))?;
        let Some(mut stated) = stated else {
            let given =
                given.ok_or_else(|| format!("its input {name} has no shape: give it, as --shape 1x3x224x224"))?;
            return Ok(given.sizes.clone());
        };
        if let Some(given) = given {
            let fits = given.sizes.len() == stated.len()
                && given
                    .sizes
                    .iter()
                    .zip(&stated)
                    .skip(1)
                    .all(|(given, stated)| stated.is_none_or(|size| size == *given));
            if !fits {
                return Err(format!(
                    "its input {name} is of {}, not of {}",
                    text(&stated),
                    text(&given.sizes.iter().map(|&size| Some(size)).collect::<Vec<_>>())
                ));
            }
            let asked = batch.or(given.sizes.first().copied());
            self.rebatch(stated.first().copied().flatten(), asked);
            let mut sizes = given.sizes.clone();
            if let (Some(first), Some(batch)) = (sizes.first_mut(), asked) {
                *first = batch;
            }
            return Ok(sizes);
        }
        if stated.len() > 1 {
            self.rebatch(stated[0], batch);
            stated[0] = Some(batch.or(stated[0]).unwrap_or(1));
        }
        stated.iter().copied().collect::<Option<Vec<usize>>>().ok_or_else(|| {
            let mut example = stated.clone();
            let map = example.len();
            for (axis, size) in example.iter_mut().enumerate() {
                *size = size.or(Some(if axis == 1 && map == 4 { 3 } else { 224 }));
            }
            format!(
                "its input {name} leaves sizes open ({}): give them, for example --shape {}:{}",
                text(&stated),
                plain(&input.name),
                text(&example)
            )
        })
    }

    fn rebatch(&mut self, stated: Option<usize>, asked: Option<usize>) {
        if let (Some(stated), Some(asked)) = (stated, asked)
            && stated != asked
        {
            self.rebatched = Some((stated, asked));
        }
    }

    /// The first input of a node whose shape is not known.
    pub fn unknown_input(&self, node: &'a Node) -> Option<&'a str> {
        let unknown = |input: &&String| match self.known.get(input.as_str()) {
            Some(Known::Value(value)) => self.builder.shape(*value).is_none(),
            _ => false,
        };
        node.input.iter().find(unknown).map(String::as_str)
    }

    /// The shape of a value as the model states it.
    pub fn stated_shape(&self, name: &str) -> Option<Shape> {
        let mut sizes = dimensions(self.stated.get(name)?)??;
        let batch = self.builder.batch();
        match sizes.first_mut() {
            Some(first @ None) => *first = Some(batch),
            Some(Some(first)) if self.rebatched.is_some_and(|(stated, _)| stated == *first) => *first = batch,
            _ => {}
        }
        Shape::new(&sizes.into_iter().collect::<Option<Vec<_>>>()?).ok()
    }

    /// Counts bytes of a constant that is kept in memory.
    ///
    /// # Errors
    /// If they are too many.
    pub fn keep(&mut self, bytes: usize) -> Result<(), String> {
        self.literal_bytes = self.literal_bytes.saturating_add(bytes);
        if self.literal_bytes > MAX_LITERAL_BYTES {
            return Err(format!(
                "needs {} bytes of small constants with those before it; at most {MAX_LITERAL_BYTES} of a model are \
                 accepted: fold its constants first, as onnxsim does",
                self.literal_bytes
            ));
        }
        Ok(())
    }

    /// Says what a value is.
    pub fn define(&mut self, name: &'a str, known: Known<'a>) -> Result<(), String> {
        if let Known::Literal(literal) = &known {
            self.keep(literal.own_bytes())?;
        }
        match self.known.insert(name, known) {
            Some(_) => Err(format!("computes {}, which was computed before", shown(name))),
            None => Ok(()),
        }
    }

    /// Adds a node with its constants; its result is called `output`.
    pub fn push(
        &mut self,
        name: &str,
        output: &str,
        operator: Operator,
        inputs: &[ValueId],
        sources: Vec<Source>,
    ) -> Result<ValueId, Refusal> {
        let index = self.builder.nodes().len();
        if index >= MAX_COUNT {
            return Err(Refusal::Wrong(format!(
                "makes more than {MAX_COUNT} layers of the model, of which no more are accepted"
            )));
        }
        self.keep(sources.iter().map(Source::own_bytes).sum()).map_err(Refusal::Wrong)?;
        let value = self.builder.named(name, output, operator, inputs).map_err(|error| match error {
            NetworkError::Operator { source, .. } => match source {
                OperatorError::Parameter { .. }
                | OperatorError::Shape(ShapeError::Empty { .. } | ShapeError::Rank { .. }) => {
                    Refusal::Opaque(source.to_string())
                }
                source => Refusal::Wrong(format!("does not fit: {source}")),
            },
            error => Refusal::Wrong(error.to_string()),
        })?;
        self.producers.insert(value, index);
        if !sources.is_empty() {
            self.parameters.insert(name.into(), sources);
        }
        Ok(value)
    }

    /// A node's name: such that it can be printed and no other node has it.
    pub fn name(&mut self, index: usize, label: &str) -> String {
        let name: String = label.chars().filter(|c| !c.is_control()).take(NAME).collect();
        if !name.is_empty() && !self.builder.has_node(&name) {
            return name;
        }
        let mut number = index;
        loop {
            let numbered = format!("{name}#{number}");
            if !self.builder.has_node(&numbered) {
                return numbered;
            }
            // No number twice, so that many of one name are not tried again and again.
            number = self.numbered;
            self.numbered += 1;
        }
    }

    /// What is known of a node's input number `index`, if it has one.
    pub fn input(&self, node: &Node, index: usize) -> Option<&Known<'a>> {
        node.input.get(index).filter(|name| !name.is_empty()).and_then(|name| self.known.get(name.as_str()))
    }

    /// A value that depends on the inputs.
    pub fn value_of(&self, name: &str) -> Option<ValueId> {
        match self.known.get(name) {
            Some(Known::Value(value)) => Some(*value),
            _ => None,
        }
    }

    /// The value that is a node's input number `index`.
    pub fn value(&self, node: &Node, index: usize) -> Result<ValueId, Refusal> {
        match self.input(node, index) {
            Some(Known::Value(value)) => Ok(*value),
            Some(_) => Err("reads a constant where a value is expected".into()),
            None => Err(Refusal::Wrong(format!("has no input {index}"))),
        }
    }

    /// The shape of a value.
    pub fn shape(&self, value: ValueId) -> Result<Shape, Refusal> {
        self.builder.shape(value).cloned().ok_or_else(|| "reads a value whose shape is not known".into())
    }

    /// The floats of a node's input number `index`, which is a constant.
    pub fn source(&self, node: &Node, index: usize) -> Result<(Vec<usize>, Source), Refusal> {
        let known = self.input(node, index);
        if let Some(constant) = known.and_then(Known::source) {
            return Ok(constant);
        }
        match known {
            Some(Known::Tensor(tensor)) => Err(format!(
                "reads {}, which holds elements of type {}; f32, f16 and bf16 (1, 10 and 16) are accepted",
                shown(&node.input[index]),
                tensor.data_type
            )
            .into()),
            Some(_) => Err(format!("reads {}, which is no constant", shown(&node.input[index])).into()),
            None => Err(Refusal::Wrong(format!("has no input {index}"))),
        }
    }

    /// The small constant that is a node's input number `index`, if it has one.
    pub fn literal(&self, node: &Node, index: usize) -> Result<Option<&Literal>, Refusal> {
        match self.input(node, index) {
            Some(Known::Literal(literal)) => Ok(Some(literal)),
            Some(_) => Err(format!("reads {}, which is no small constant", shown(&node.input[index])).into()),
            None => Ok(None),
        }
    }

    /// The integers that are a node's input number `index`, if it has one.
    pub fn integers(&self, node: &Node, index: usize) -> Result<Option<Vec<i64>>, Refusal> {
        let Some(literal) = self.literal(node, index)? else { return Ok(None) };
        let integers = literal.integers();
        let integers =
            integers.ok_or_else(|| format!("reads {}, which is not of integers", shown(&node.input[index])))?;
        if integers.len() > MAX_LIST {
            let (name, count) = (shown(&node.input[index]), integers.len());
            return Err(format!("reads {name}, a list of {count} integers; up to {MAX_LIST} are accepted").into());
        }
        Ok(Some(integers.to_vec()))
    }
}

/// The sizes that an input or output states; `None` if it is no tensor, and inside if it has no shape.
#[allow(clippy::option_option, reason = "no tensor, no shape, and a shape are three things")]
fn dimensions(info: &ValueInfo) -> Option<Option<Vec<Option<usize>>>> {
    let tensor = info.value_type.as_ref()?.tensor.as_ref()?;
    let size = |size: &Option<Size>| match size {
        Some(Size::Value(size)) => usize::try_from(*size).ok().filter(|&size| size > 0),
        _ => None,
    };
    Some(tensor.shape.as_ref().map(|shape| shape.dim.iter().take(9).map(|dimension| size(&dimension.size)).collect()))
}

/// `1x3x?x?`.
fn text(sizes: &[Option<usize>]) -> String {
    sizes.iter().map(|size| size.map_or("?".into(), |size| size.to_string())).collect::<Vec<_>>().join("x")
}
