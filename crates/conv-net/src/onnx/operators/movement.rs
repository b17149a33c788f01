//! Operators that move elements.

use super::super::attributes::Attributes;
use super::super::graph::{Import, Known, Refusal};
use super::super::listed;
use super::super::messages::Node;
use super::super::movement::{self, MAX_RANK, range, target};
use super::{Step, axis_of};
use crate::network::ValueId;
use crate::operators::{
    Concat, Coordinates, Operator, Pad, PadMode, Resampling, Resize, ResizeMode, Rounding, Slice, Transpose,
};
use crate::shape::{Shape, ShapeError};

impl Step<'_, '_> {
    pub(super) fn concat(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["axis"])?;
        let mut values = Vec::new();
        for index in 0..self.node.input.len() {
            values.push(self.import.value(self.node, index).map_err(|_| "joins a constant to a value")?);
        }
        let [first, ..] = values[..] else { return Err(Refusal::Wrong("has no inputs".into())) };
        let axis = axis_of(attributes.int("axis", 1)?, self.import.shape(first)?.rank())?;
        if values.len() == 1 {
            return self.same(first);
        }
        self.finish(Operator::Concat(Concat { axis }), &values, Vec::new())
    }

    pub(super) fn split(self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["axis", "split", "num_outputs"])?;
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let axis = axis_of(attributes.int("axis", 0)?, shape.rank())?;
        let given = match attributes.ints("split")? {
            Some(sizes) => Some(sizes.to_vec()),
            None => self.import.integers(self.node, 1)?,
        };
        let (count, all) = (self.node.output.len(), shape.sizes()[axis]);
        let sizes: Vec<usize> = match given {
            Some(given) => given.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect(),
            // The last one may be smaller.
            None => {
                (0..count).map(|part| all.div_ceil(count).min(all.saturating_sub(part * all.div_ceil(count)))).collect()
            }
        };
        if sizes.len() != count || sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size)) != Some(all) {
            return Err(Refusal::Wrong(format!("splits {all} elements into {} for {count} outputs", listed(&sizes))));
        }
        // Before any part is a node: what is not computed is so as a whole.
        if sizes.contains(&0) {
            return Err(format!("splits {all} elements into {}; empty parts are not computed", listed(&sizes)).into());
        }
        let mut start = 0;
        for (part, (&size, output)) in sizes.iter().zip(&self.node.output).enumerate() {
            let slice = Operator::Slice(Slice::of(&shape, axis, start, size));
            start += size;
            if output.is_empty() {
                continue;
            }
            let name = if part == 0 { self.name.to_owned() } else { format!("{}.{part}", self.name) };
            let value = self.import.push(&name, output, slice, &[input], Vec::new())?;
            self.import.define(output, super::Known::Value(value)).map_err(Refusal::Wrong)?;
        }
        Ok(())
    }

    pub(super) fn slice(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["starts", "ends", "axes"])?;
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let list = |index: usize, name: &str| match attributes.ints(name)? {
            Some(list) => Ok::<_, Refusal>(Some(list.to_vec())),
            None => self.import.integers(self.node, index),
        };
        let starts = list(1, "starts")?.ok_or("has no starts")?;
        let ends = list(2, "ends")?.ok_or("has no ends")?;
        let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.import.integers(self.node, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err(Refusal::Wrong("has starts, ends, axes and steps of different lengths".into()));
        }
        let mut slice = Slice::of(&shape, 0, 0, shape.sizes().first().copied().unwrap_or(1));
        for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let axis = axis_of(axis, shape.rank())?;
            let (first, size) = range(shape.sizes()[axis], start, end, step).ok_or("has a step of zero")?;
            slice.starts[axis] = first;
            slice.sizes[axis] = size;
            slice.steps[axis] = isize::try_from(step).unwrap_or(isize::MAX);
            if size <= 1 {
                slice.steps[axis] = 1;
            }
        }
        self.finish(Operator::Slice(slice), &[input], Vec::new())
    }

    pub(super) fn pad(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["mode", "pads", "paddings", "value"])?;
        let input = self.import.value(self.node, 0)?;
        let rank = self.import.shape(input)?.rank();
        let value = match self.import.literal(self.node, 2)? {
            Some(literal) => literal.floats().first().copied().unwrap_or(0.0),
            None => attributes.float("value", 0.0)?,
        };
        let mode = match attributes.text("mode")?.unwrap_or("constant") {
            "constant" => PadMode::Constant(value),
            "reflect" => PadMode::Reflect,
            "edge" => PadMode::Edge,
            other => return Err(format!("has the mode {}, which is not computed here", super::shown(other)).into()),
        };
        let given = match (attributes.ints("pads")?, attributes.ints("paddings")?) {
            (Some(pads), _) | (None, Some(pads)) => pads.to_vec(),
            _ => self.import.integers(self.node, 1)?.ok_or("has no pads")?,
        };
        let axes = match self.import.integers(self.node, 3)? {
            Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).collect(),
        };
        if given.len() != 2 * axes.len() {
            return Err(Refusal::Wrong(format!("has {} pads for {} axes", given.len(), axes.len())));
        }
        let mut amounts = vec![[0; 2]; rank];
        for (index, &axis) in axes.iter().enumerate() {
            let amount = |place: usize| isize::try_from(given[place]).unwrap_or(isize::MAX);
            amounts[axis] = [amount(index), amount(index + axes.len())];
        }
        self.finish(Operator::Pad(Pad { amounts, mode }), &[input], Vec::new())
    }

    pub(super) fn resize(mut self) -> Result<(), Refusal> {
        let known = [
            "mode",
            "nearest_mode",
            "coordinate_transformation_mode",
            "scales",
            "width_scale",
            "height_scale",
            "cubic_coeff_a",
            "exclude_outside",
            "extrapolation_value",
            "antialias",
            "keep_aspect_ratio_policy",
            "axes",
        ];
        let attributes = Attributes::of(self.node, &known)?;
        attributes.only("antialias", &[0])?;
        if attributes.text("keep_aspect_ratio_policy")?.is_some_and(|policy| policy != "stretch") {
            return Err("keeps the aspect ratio, which is not computed here".into());
        }
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let rank = shape.rank();
        if !(3..=4).contains(&rank) {
            return Err(format!("resizes {shape}, which is no map").into());
        }
        let upsample = self.node.op_type == "Upsample";
        let old = upsample || self.import.opset < 11;
        let coordinates = match attributes.text("coordinate_transformation_mode")? {
            _ if old => Coordinates::Asymmetric,
            None | Some("half_pixel") => Coordinates::HalfPixel,
            Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
            Some("align_corners") => Coordinates::AlignCorners,
            Some("asymmetric") => Coordinates::Asymmetric,
            Some(other) => {
                return Err(format!("has the coordinates {}, which are not computed here", super::shown(other)).into());
            }
        };
        let rounding = match attributes.text("nearest_mode")? {
            _ if old => Rounding::Floor,
            None | Some("round_prefer_floor") => Rounding::RoundPreferFloor,
            Some("round_prefer_ceil") => Rounding::RoundPreferCeil,
            Some("floor") => Rounding::Floor,
            Some("ceil") => Rounding::Ceil,
            Some(other) => {
                return Err(format!("has the nearest_mode {}, which is not known", super::shown(other)).into());
            }
        };
        let mode = match attributes.text("mode")?.unwrap_or("nearest") {
            "nearest" => ResizeMode::Nearest(rounding),
            "linear" | "bilinear" => ResizeMode::Linear,
            other => return Err(format!("has the mode {}, which is not computed here", super::shown(other)).into()),
        };
        let scale_input = if old { 1 } else { 2 };
        let mut scales: Option<Vec<f32>> = attributes.floats("scales")?.map(<[f32]>::to_vec);
        if let Some(literal) = self.import.literal(self.node, scale_input)?.filter(|literal| literal.len() > 0) {
            scales = Some(literal.floats().to_vec());
        }
        if upsample && scales.is_none() {
            let (height, width) = (attributes.float("height_scale", 1.0)?, attributes.float("width_scale", 1.0)?);
            scales = Some(vec![1.0, 1.0, height, width]);
        }
        let sizes = if old { None } else { self.import.integers(self.node, 3)?.filter(|sizes| !sizes.is_empty()) };
        let axes: Vec<usize> = match attributes.ints("axes")? {
            Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_, _>>()?,
            None => (0..rank).collect(),
        };
        let lengths: Vec<usize> = scales.iter().map(Vec::len).chain(sizes.iter().map(Vec::len)).collect();
        if lengths.is_empty() || lengths.iter().any(|&length| length != axes.len()) {
            return Err(Refusal::Wrong(format!("has {lengths:?} scales and sizes for {} axes of {shape}", axes.len())));
        }
        let mut resized = Vec::with_capacity(rank);
        let mut factors = Vec::with_capacity(rank);
        for (axis, &size) in shape.sizes().iter().enumerate() {
            let place = axes.iter().position(|&given| given == axis);
            let scale = place.and_then(|place| scales.as_ref().map(|scales| scales[place]));
            let to = match (place.and_then(|place| sizes.as_ref().map(|sizes| sizes[place])), scale) {
                (Some(to), _) => usize::try_from(to).unwrap_or(0),
                (None, Some(scale)) => (size as f64 * f64::from(scale)).floor() as usize,
                (None, None) => size,
            };
            factors.push(scale.filter(|_| sizes.is_none()).unwrap_or(to as f32 / size as f32));
            resized.push(to);
        }
        if resized[..2] != shape.sizes()[..2] {
            return Err("resizes images or channels, which is not computed here".into());
        }
        let map = |missing, of: &[usize]| if rank == 4 { [of[2], of[3]] } else { [missing, of[2]] };
        let scales = if rank == 4 { [factors[2], factors[3]] } else { [1.0, factors[2]] };
        let size = map(1, &resized);
        if size == map(1, shape.sizes()) && scales == [1.0; 2] {
            return self.same(input);
        }
        let how = Resampling { mode, coordinates, scales };
        self.finish(Operator::Resize(Resize { size, how }), &[input], Vec::new())
    }

    pub(super) fn reshape(mut self) -> Result<(), Refusal> {
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let sizes = reshaped(self.import, self.node, shape.sizes())?;
        let made = shape_of(&sizes)?;
        if made == shape {
            return self.same(input);
        }
        let flattens = made.rank() == 2 && made.batch() == shape.batch() && (3..=4).contains(&shape.rank());
        if let Some((groups, value)) = self.shuffled(input, &made) {
            return self.finish(Operator::ChannelShuffle { groups }, &[value], Vec::new());
        }
        self.finish(Operator::Reshape(made), &[input], Vec::new())?;
        if flattens && let Some(value) = self.import.value_of(self.output()?) {
            self.import.maps.insert(value, input);
        }
        Ok(())
    }

    /// Groups and input of the channel shuffle that a Reshape to `made` ends: a Reshape of the channels to groups × members and
    /// a Transpose of these two before it.
    fn shuffled(&self, input: ValueId, made: &Shape) -> Option<(usize, ValueId)> {
        let nodes = self.import.builder.nodes();
        let node = |value: ValueId| self.import.producers.get(&value).map(|&index| &nodes[index]);
        let transposed = node(input)?;
        let Operator::Transpose(Transpose { permutation }) = &transposed.operator else { return None };
        let swapped = permutation.starts_with(&[0, 2, 1]) && permutation[3..].iter().copied().eq(3..permutation.len());
        let grouped = node(transposed.inputs[0])?;
        let Operator::Reshape(groups) = &grouped.operator else { return None };
        let original = self.import.builder.shape(grouped.inputs[0])?;
        let splits = groups.rank() == original.rank() + 1
            && groups.sizes()[3..] == original.sizes()[2..]
            && groups.sizes()[1] * groups.sizes()[2] == original.sizes()[1];
        (swapped && splits && original == made).then(|| (groups.sizes()[1], grouped.inputs[0]))
    }

    pub(super) fn transpose(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["perm"])?;
        let input = self.import.value(self.node, 0)?;
        let rank = self.import.shape(input)?.rank();
        let permutation = match attributes.ints("perm")? {
            Some(perm) => perm.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).rev().collect(),
        };
        self.finish(Operator::Transpose(Transpose { permutation }), &[input], Vec::new())
    }

    pub(super) fn depth_to_space(mut self) -> Result<(), Refusal> {
        let attributes = Attributes::of(self.node, &["blocksize", "mode"])?;
        let input = self.import.value(self.node, 0)?;
        let shape = self.import.shape(input)?;
        let &[n, c, h, w] = shape.sizes() else { return Err(format!("reads {shape}, which is no map").into()) };
        let block = attributes.int("blocksize", 0)?;
        let b = usize::try_from(block).ok().filter(|&b| (1..=1 << 12).contains(&b));
        let b = b.ok_or_else(|| Refusal::Wrong(format!("has blocksize = {block}")))?;
        let wrong = || Refusal::Wrong(format!("has a blocksize of {b}, which does not divide {shape}"));
        let columns_first = attributes.text("mode")? == Some("CRD");
        let (split, permutation, joined) = if self.node.op_type == "SpaceToDepth" {
            if h % b != 0 || w % b != 0 {
                return Err(wrong());
            }
            (vec![n, c, h / b, b, w / b, b], vec![0, 3, 5, 1, 2, 4], vec![n, c * b * b, h / b, w / b])
        } else {
            if c % (b * b) != 0 {
                return Err(wrong());
            }
            let out = c / (b * b);
            let (split, permutation) = if columns_first {
                (vec![n, out, b, b, h, w], vec![0, 1, 4, 2, 5, 3])
            } else {
                (vec![n, b, b, out, h, w], vec![0, 3, 4, 1, 5, 2])
            };
            (split, permutation, vec![n, out, h * b, w * b])
        };
        let split = self.before("split", Operator::Reshape(shape_of(&split)?), &[input], Vec::new())?;
        let moved = self.before("moved", Operator::Transpose(Transpose { permutation }), &[split], Vec::new())?;
        self.finish(Operator::Reshape(shape_of(&joined)?), &[moved], Vec::new())
    }
}

/// What a node that only gives its input another shape makes of `sizes`.
pub(super) fn reshaped(import: &Import<'_>, node: &Node, sizes: &[usize]) -> Result<Vec<usize>, Refusal> {
    let attributes = Attributes::of(node, &["shape", "allowzero", "axes", "axis", "consumed_inputs"])?;
    let rank = sizes.len();
    let list = |name: &str| match attributes.ints(name)? {
        Some(list) => Ok::<_, Refusal>(Some(list.to_vec())),
        None => import.integers(node, 1),
    };
    match node.op_type.as_str() {
        "Flatten" => {
            let axis = attributes.int("axis", 1)?;
            let axis = if axis == rank as i64 { rank } else { axis_of(axis, rank)? };
            Ok(vec![sizes[..axis].iter().product(), sizes[axis..].iter().product()])
        }
        "Squeeze" => {
            let axes = match list("axes")? {
                Some(axes) => movement::axes(&axes, rank).map_err(Refusal::Wrong)?,
                None => (0..rank).filter(|&axis| sizes[axis] == 1).collect(),
            };
            if let Some(axis) = axes.iter().find(|&&axis| sizes[axis] != 1) {
                return Err(Refusal::Wrong(format!(
                    "removes axis {axis} of {}, which is not of one element",
                    listed(sizes)
                )));
            }
            Ok((0..rank).filter(|axis| !axes.contains(axis)).map(|axis| sizes[axis]).collect())
        }
        "Unsqueeze" => {
            let given = list("axes")?.ok_or("has no axes")?;
            let rank = rank + given.len();
            if rank > MAX_RANK {
                return Err(Refusal::Wrong(format!("makes a tensor of {rank} dimensions of {}", listed(sizes))));
            }
            let axes = movement::axes(&given, rank).map_err(Refusal::Wrong)?;
            let mut rest = sizes.iter().copied();
            let made: Vec<usize> =
                (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { rest.next().unwrap_or(1) }).collect();
            Ok(made)
        }
        _ => {
            let given = list("shape")?.ok_or("has no shape")?;
            let allow_zero = attributes.int("allowzero", 0)? != 0;
            let all: usize = sizes.iter().product();
            let fits = |target_sizes: &Vec<usize>| {
                target_sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)) == Some(all)
            };
            let made = |given: &[i64]| target(sizes, given, allow_zero).filter(fits);
            // A model of another batch states its own, perhaps beside a size that is left open and would take up all images.
            let rebatched = import.rebatched.and_then(|(stated, asked)| {
                let of_value = matches!(import.input(node, 0), Some(Known::Value(_)));
                let (_, rest) = given.split_first().filter(|(first, _)| of_value && **first == stated as i64)?;
                made(&[&[asked as i64], rest].concat())
            });
            let of_images = import.rebatched.is_some_and(|(_, asked)| sizes.first() == Some(&asked));
            let made = if of_images { rebatched.or_else(|| made(&given)) } else { made(&given).or(rebatched) };
            made.ok_or_else(|| {
                let (sizes, given) = (listed(sizes), listed(&given));
                Refusal::Wrong(format!("reshapes {sizes} to {given}, which has not as many elements"))
            })
        }
    }
}

fn shape_of(sizes: &[usize]) -> Result<Shape, Refusal> {
    Shape::new(sizes).map_err(|error| match error {
        ShapeError::TooLarge { .. } => Refusal::Wrong(error.to_string()),
        error => Refusal::Opaque(error.to_string()),
    })
}
