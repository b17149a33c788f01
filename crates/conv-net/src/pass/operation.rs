//! What a layer computes, on buffers that somebody gives it.

use conv_core::{Axis, Footprint, Plan, PlanOptions, RunError, Scratch};
use conv_simd::Bounds;

use super::places::View;
use crate::layers::{
    self, Affine, BroadcastOp, Dimension, Fold, Padding, ReduceOp, Resizer, StridedCopy, TransposedConv, dimensions,
    row_major,
};
use crate::network::NetworkError;
use crate::operators::{Activation, Lrn, Operator, Pool, Slice, Softmax};
use crate::shape::{Map, Shape};

/// What a layer computes.
pub(super) enum Operation {
    Plan(Box<dyn Plan>),
    Transposed(TransposedConv),
    /// With the pooling that follows, if any does.
    Lrn(Lrn, Option<Pool>, Map),
    /// Floats from one pixel to the next of input and output.
    Pool(Pool, Fold, Map, [usize; 2]),
    Affine(Affine),
    /// Over this many channels, all of a pixel's.
    Softmax(usize),
    /// Along the middle of `[outer][len][inner]`.
    SoftmaxAlong([usize; 2], bool),
    Activation(Activation),
    Binary(BroadcastOp, Bounds),
    Reduce(ReduceOp),
    /// Of each input at most one.
    Copies(Vec<(usize, StridedCopy)>),
    /// By way of scratch of so many floats.
    CopiedTwice([StridedCopy; 2], usize),
    Pad(Padding),
    Resize(Resizer),
}

impl StridedCopy {
    /// From the order in which frameworks write to that in memory.
    pub(super) fn to_memory(shape: &Shape) -> StridedCopy {
        StridedCopy::new(&dimensions(shape.sizes(), &row_major(shape.sizes()), &shape.strides()), 0, 0)
    }
}

impl Operation {
    /// Prepares an operator without weights; `pool` follows a local response normalisation, and `bounds` are of what sums of
    /// two operands and the like become.
    ///
    /// # Errors
    /// [`NetworkError`] if a shape is none that it could have been given.
    pub fn new(
        operator: &Operator,
        views: &[View<'_>],
        to: View<'_>,
        pool: Option<Pool>,
        bounds: Bounds,
    ) -> Result<Self, NetworkError> {
        let inputs: Vec<&Shape> = views.iter().map(|view| view.shape).collect();
        let (inputs, output) = (&inputs[..], to.shape);
        let map = || inputs[0].map().expect("inference accepts maps only");
        let pitches = || [views[0], to].map(|view| view.pitch.unwrap_or_else(|| view.shape.sizes()[1]));
        Ok(match operator {
            Operator::Lrn(lrn) => Operation::Lrn(*lrn, pool, map()),
            Operator::MaxPool(pool) => Operation::Pool(*pool, Fold::Max, map(), pitches()),
            Operator::AveragePool(average) => {
                let fold = Fold::Mean { count_padding: average.count_padding };
                Operation::Pool(average.pool, fold, map(), pitches())
            }
            Operator::Softmax(softmax) => softmax_of(softmax, inputs[0]),
            Operator::Activation(activation) => Operation::Activation(*activation),
            Operator::Binary(binary) => {
                let [a, b] = [0, 1].map(|operand| broadcast(inputs[operand], output));
                let order = output.order();
                let stored = |strides: Vec<usize>| order.iter().map(|&axis| strides[axis]).collect::<Vec<_>>();
                Operation::Binary(BroadcastOp::new(*binary, &output.stored(), &stored(a), &stored(b)), bounds)
            }
            Operator::Reduce(reduce) => {
                let (strides, mut written) = (inputs[0].strides(), output.strides().into_iter());
                let (mut kept, mut reduced) = (Vec::new(), Vec::new());
                for (axis, (&extent, &stride)) in inputs[0].sizes().iter().zip(&strides).enumerate() {
                    if reduce.axes.contains(&axis) {
                        reduced.push((extent, stride));
                        if reduce.keep {
                            written.next();
                        }
                    } else {
                        kept.push(Dimension { extent, from: stride as isize, to: written.next().unwrap_or(1) });
                    }
                }
                Operation::Reduce(ReduceOp::new(reduce.reduction, &kept, &reduced))
            }
            Operator::Concat(concat) => {
                let (to, mut start) = (to.strides(), 0);
                let part = |input: &View<'_>| {
                    let sizes = input.shape.sizes();
                    let copy = StridedCopy::new(&dimensions(sizes, &input.strides(), &to), 0, start);
                    start += to[concat.axis] * sizes[concat.axis];
                    copy
                };
                Operation::Copies(views.iter().map(part).enumerate().collect())
            }
            Operator::Slice(slice) => Operation::Copies(vec![(0, slice_of(slice, views[0], output))]),
            Operator::Pad(pad) => {
                let stored = |sizes: Vec<usize>| -> [usize; 4] {
                    let missing = 4 - sizes.len();
                    std::array::from_fn(|axis| if axis < missing { 1 } else { sizes[axis - missing] })
                };
                let amounts: Vec<[isize; 2]> = inputs[0].order().iter().map(|&axis| pad.amounts[axis]).collect();
                let missing = 4 - amounts.len();
                let side = |side: usize| {
                    std::array::from_fn(|axis| if axis < missing { 0 } else { amounts[axis - missing][side] })
                };
                Operation::Pad(Padding::new(pad.mode, stored(inputs[0].stored()), side(0), side(1)))
            }
            Operator::Resize(resize) => {
                let Map { height, width, channels } = map();
                Operation::Resize(Resizer::new(&resize.how, [height, width], resize.size, channels))
            }
            Operator::Reshape(_) => reshape(inputs[0], output),
            Operator::Transpose(transpose) => {
                let strides = inputs[0].strides();
                let from: Vec<usize> = transpose.permutation.iter().map(|&axis| strides[axis]).collect();
                let copy = StridedCopy::new(&dimensions(output.sizes(), &from, &output.strides()), 0, 0);
                Operation::Copies(vec![(0, copy)])
            }
            Operator::ChannelShuffle { groups } => {
                let (strides, channels) = (inputs[0].strides(), inputs[0].sizes()[1]);
                // Channels as groups of members.
                let members = channels / groups;
                let mut moved = dimensions(inputs[0].sizes(), &strides, &strides);
                moved[1] = Dimension { extent: *groups, from: (members * strides[1]) as isize, to: strides[1] };
                moved.push(Dimension { extent: members, from: strides[1] as isize, to: groups * strides[1] });
                Operation::Copies(vec![(0, StridedCopy::new(&moved, 0, 0))])
            }
            Operator::Conv(_)
            | Operator::ConvTranspose(_)
            | Operator::Linear(_)
            | Operator::BatchNormalization(_)
            | Operator::Affine(_)
            | Operator::Constant(_)
            | Operator::Opaque(_) => unreachable!("prepared with its constants, or refused before"),
        })
    }

    /// The same on some rows of the input `map`, those of `height` ([`Axis::band`]), of one image. Of operators that may be in a chain.
    pub fn on_rows(&self, operator: &Operator, map: Map, height: Axis) -> Self {
        match self {
            Operation::Plan(plan) => Operation::Plan(plan.on_rows(height).expect("a chain's algorithms plan rows")),
            Operation::Pool(pool, fold, _, pitches) => {
                let [mut down, across] = pool.windows;
                down.pad = [height.pad_before, height.pad_after];
                let pool = Pool { windows: [down, across], ..*pool };
                Operation::Pool(pool, *fold, Map { height: height.input, ..map }, *pitches)
            }
            Operation::Affine(affine) => Operation::Affine(affine.clone()),
            Operation::Activation(activation) => Operation::Activation(*activation),
            _ => {
                let shape = Shape::new(&[1, map.channels, height.input, map.width]).expect("a part of a map");
                let view = View { shape: &shape, pitch: None };
                Operation::new(operator, &[view], view, None, Bounds::NONE).expect("its map was given before")
            }
        }
    }

    /// Bytes that [`Operation::new`] keeps for an operator whose output is of this shape.
    pub fn table_bytes(operator: &Operator, output: &Shape) -> u128 {
        match operator {
            Operator::Pad(_) => Padding::table_bytes(output.sizes()),
            Operator::Resize(resize) => Resizer::table_bytes(resize.size),
            _ => 0,
        }
    }

    /// Bytes of its weights and scratch.
    pub fn footprint(&self, workers: usize) -> Footprint {
        let scratch = |floats| Footprint { prepared_bytes: 0, scratch_bytes: size_of::<f32>() * floats };
        let prepared = |prepared_bytes| Footprint { prepared_bytes, scratch_bytes: 0 };
        match self {
            Operation::Plan(plan) => plan.footprint(),
            Operation::Transposed(conv) => prepared(conv.prepared_bytes()),
            Operation::Affine(affine) => prepared(size_of::<f32>() * affine.prepared_floats()),
            Operation::Pad(padding) => prepared(padding.bytes()),
            Operation::Resize(resizer) => prepared(resizer.bytes()),
            Operation::Lrn(_, Some(_), map) => scratch(layers::scratch_floats(workers, *map)),
            Operation::CopiedTwice(_, floats) => scratch(*floats),
            _ => Footprint::default(),
        }
    }

    /// Computes `output` from the operands that `input` gives, on buffers that fit.
    pub fn run<'a>(
        &self,
        input: &dyn Fn(usize) -> &'a [f32],
        output: &mut [f32],
        scratch: &mut Scratch,
        options: &PlanOptions,
    ) -> Result<(), RunError> {
        let PlanOptions { isa, workers, .. } = *options;
        match self {
            Operation::Plan(plan) => plan.run(input(0), output, scratch)?,
            Operation::Transposed(conv) => conv.run(isa, workers, input(0), output),
            Operation::Lrn(lrn, None, map) => {
                layers::normalise(isa, workers, lrn, map.channels, input(0), output);
            }
            Operation::Lrn(lrn, Some(pool), map) => {
                let scratch = scratch.lend(self.footprint(workers).scratch_bytes)?;
                layers::normalise_and_pool(options, (lrn, pool), *map, (input(0), output), scratch);
            }
            Operation::Pool(pool, fold, map, pitches) => {
                layers::pool(options, pool, *fold, (*map, *pitches), (input(0), output));
            }
            Operation::Affine(affine) => affine.run(isa, workers, input(0), output),
            Operation::Softmax(channels) => layers::softmax(workers, *channels, input(0), output),
            Operation::SoftmaxAlong(extents, log) => {
                layers::softmax_along(isa, workers, *extents, *log, input(0), output);
            }
            Operation::Activation(activation) => layers::activate(isa, workers, *activation, input(0), output),
            Operation::Binary(binary, bounds) => binary.run(isa, workers, input(0), input(1), output, *bounds),
            Operation::Reduce(reduce) => reduce.run(isa, workers, input(0), output),
            Operation::Copies(copies) => {
                for (operand, copy) in copies {
                    copy.run(workers, input(*operand), output);
                }
            }
            Operation::CopiedTwice([first, second], floats) => {
                let between = scratch.lend(size_of::<f32>() * floats)?;
                first.run(workers, input(0), between);
                second.run(workers, between, output);
            }
            Operation::Pad(padding) => padding.run(workers, input(0), output),
            Operation::Resize(resizer) => resizer.run(isa, workers, input(0), output),
        }
        Ok(())
    }
}

fn softmax_of(softmax: &Softmax, input: &Shape) -> Operation {
    let sizes = input.sizes();
    let &Softmax { axis, end, log } = softmax;
    let strides = input.strides();
    let len: usize = sizes[axis..end].iter().product();
    // Axes in the order of memory are one.
    let inner = (axis..end).filter(|&axis| sizes[axis] != 1).map(|axis| strides[axis]).min().unwrap_or(1);
    match (inner, log) {
        (1, false) => Operation::Softmax(len),
        _ => Operation::SoftmaxAlong([len, inner], log),
    }
}

/// The strides of `input` along the axes of `output`, zero where it is repeated.
fn broadcast(input: &Shape, output: &Shape) -> Vec<usize> {
    let missing = output.rank() - input.rank();
    // Of a lower rank, channels may be elsewhere: strides are those of the axes themselves.
    let padded: Vec<usize> = vec![1; missing].into_iter().chain(input.sizes().iter().copied()).collect();
    let strides = input.strides();
    let stride = |axis: usize| if axis < missing || padded[axis] == 1 { 0 } else { strides[axis - missing] };
    (0..output.rank()).map(stride).collect()
}

fn slice_of(slice: &Slice, input: View<'_>, output: &Shape) -> StridedCopy {
    let strides = input.strides();
    let start = slice.starts.iter().zip(&strides).map(|(start, stride)| start * stride).sum();
    let axes = slice.sizes.iter().zip(&slice.steps).zip(strides.iter().zip(output.strides()));
    let dimensions: Vec<Dimension> = axes
        // Of one element the step may be any.
        .map(|((&extent, &step), (&stride, to))| Dimension { extent, from: step.wrapping_mul(stride as isize), to })
        .collect();
    StridedCopy::new(&dimensions, start, 0)
}

fn reshape(input: &Shape, output: &Shape) -> Operation {
    let (from, to) = (input.strides(), output.strides());
    match layers::reshaped(input.sizes(), &from, output.sizes(), &to) {
        Some(moved) => Operation::Copies(vec![(0, StridedCopy::new(&moved, 0, 0))]),
        None => {
            let first = StridedCopy::new(&dimensions(input.sizes(), &from, &row_major(input.sizes())), 0, 0);
            let second = StridedCopy::new(&dimensions(output.sizes(), &row_major(output.sizes()), &to), 0, 0);
            Operation::CopiedTwice([first, second], input.floats())
        }
    }
}
