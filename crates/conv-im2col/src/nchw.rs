//! `im2col/nchw-faer`: the method as Caffe had it (Jia et al. 2014), with what it costs in a world that is not NCHW. An
//! image at a time is transposed to planes, lowered to columns `[ic·kh·kw × oh·ow]`, and multiplied from the left by the
//! weights as they are stored; the product, planes again, is transposed back. Both transpositions are
//! [`Phase::Reshape`], so that the textbook's two disadvantages, duplication and the reshaped result, have figures.

use conv_core::{Axis, Epilogue, Phase, PlanOptions, Probe, Problem};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatRef, Par};

use crate::grid::{Columns, Grid};
use crate::lowering::Lowering;
use crate::plan::{Draft, Im2colPlan, Variant};
use crate::transpose::{SQUARE, transpose};
use crate::weights::{Form, Layout};

/// Scratch: of one image the input, its columns and the product. Weights are kept as they come. Sizes are in floats.
pub(crate) struct Nchw {
    input: usize,
    /// `kh·kw` times the input; zero where the transposed input already is the matrix of columns, for a 1×1 filter at every
    /// pixel.
    columns: usize,
    product: usize,
}

impl Variant for Nchw {
    const NAME: &'static str = "im2col/nchw-faer";

    fn draft(problem: &Problem, _: &PlanOptions) -> Draft<Self> {
        let lowering = Lowering::new(problem);
        let pixels = lowering.rows() / problem.batch();
        let everywhere = |axis: &Axis| *axis == Axis::new(axis.input, 1);
        let identity = everywhere(problem.height()) && everywhere(problem.width());
        let own = Nchw {
            input: problem.input_len() / problem.batch(),
            columns: if identity { 0 } else { lowering.row_len() * pixels },
            product: problem.out_channels() * pixels,
        };
        let scratch = own.input as u128 + own.columns as u128 + own.product as u128;
        let layout = Layout { columns: Columns::whole(problem.out_channels()), form: Form::Filters };
        Draft { own, layout, scratch }
    }

    fn executed_flops(&self, problem: &Problem) -> u128 {
        problem.flops()
    }

    fn execute(plan: &Im2colPlan<Self>, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let sizes = &plan.own;
        let (planes, rest) = scratch.split_at_mut(sizes.input);
        let (columns, product) = rest.split_at_mut(sizes.columns);
        let image = sizes.product / plan.problem.out_channels() * plan.pitch;
        let images = input.chunks_exact(sizes.input).zip(output.chunks_mut(image));
        for (input, output) in images {
            plan.split(input, planes, probe);
            if columns.is_empty() {
                plan.multiply(planes, product, probe);
            } else {
                plan.write_columns(planes, columns, probe);
                plan.multiply(columns, product, probe);
            }
            plan.join(product, output, probe);
        }
    }
}

impl Im2colPlan<Nchw> {
    /// `to[k][p] = from[p][k]`: pixels to planes.
    fn split(&self, from: &[f32], to: &mut [f32], probe: &dyn Probe) {
        let channels = self.problem.in_channels();
        let pixels = to.len() / channels;
        let grid = Grid::new(channels, SQUARE, Columns::whole(pixels));
        self.for_each_block_in((Phase::Reshape, probe), &grid, (to, pixels), |place, block| {
            let from = (&from[place.rows.start..], channels);
            transpose(from, [block.rows(), pixels], |k, first, values| {
                block.row(k)[first..][..values.len()].copy_from_slice(values);
            });
        });
    }

    /// The columns of an image of planes: row `(c, y, x)` holds what channel `c` has under that tap at each output pixel.
    fn write_columns(&self, planes: &[f32], columns: &mut [f32], probe: &dyn Probe) {
        let (height, width) = (self.problem.height(), self.problem.width());
        let [oh, ow] = self.problem.output_size();
        let taps = height.kernel * width.kernel;
        let grid = Grid::new(columns.len() / (oh * ow), width.kernel, Columns::whole(oh * ow));
        self.for_each_block_in((Phase::Lower, probe), &grid, (columns, oh * ow), |place, block| {
            let plane = &planes[place.rows.start / taps * height.input * width.input..][..height.input * width.input];
            let tap_y = place.rows.start % taps / width.kernel;
            for tap_x in 0..width.kernel {
                for (y, to) in block.row(tap_x).chunks_exact_mut(ow).enumerate() {
                    if height.valid_taps(y).contains(&tap_y) {
                        // A valid tap lies inside the input: its position is not negative.
                        let line = &plane[height.position(y, tap_y) as usize * width.input..][..width.input];
                        write_line(line, width, tap_x, to);
                    } else {
                        to.fill(0.0);
                    }
                }
            }
        });
    }

    /// `product = weights · columns`, group by group.
    fn multiply(&self, columns: &[f32], product: &mut [f32], probe: &dyn Probe) {
        let (reduction, channels) = (self.problem.reduction(), self.problem.group_out_channels());
        let pixels = product.len() / self.problem.out_channels();
        // faer packs the columns at each call: in pieces of pixels each is packed once. One worker leaves them whole.
        let pieces = if self.workers == 1 { 1 } else { (4 * self.workers).div_ceil(self.problem.groups()) };
        let parts = Columns::new(1, pixels, SQUARE, pixels.div_ceil(pieces * SQUARE));
        let grid = Grid::new(self.problem.out_channels(), channels, parts);
        let (filters, _) = self.weights.part(0);
        self.for_each_block_in((Phase::Multiply, probe), &grid, (product, pixels), |place, block| {
            let filters = &filters[place.rows.start * reduction..place.rows.end * reduction];
            let first = place.rows.start / channels * reduction * pixels + parts.range(place.part).start;
            let lhs = MatRef::from_row_major_slice(filters, channels, reduction);
            let count = parts.range(place.part).len();
            let rhs = MatRef::from_row_major_slice_with_stride(&columns[first..], reduction, count, pixels);
            matmul(block.as_mat(), Accum::Replace, lhs, rhs, 1.0, Par::Seq);
        });
    }

    /// `to[p][k] = from[k][p]`, planes to pixels, with bias and epilogue on the way.
    fn join(&self, from: &[f32], to: &mut [f32], probe: &dyn Probe) {
        let channels = self.problem.out_channels();
        let pixels = from.len() / channels;
        let grid = Grid::new(pixels, SQUARE, Columns::whole(channels));
        let ((_, bias), Epilogue { accumulate, bounds, .. }) = (self.weights.part(0), self.epilogue);
        self.for_each_block_in((Phase::Reshape, probe), &grid, (to, self.pitch), |place, block| {
            let from = (&from[place.rows.start..], pixels);
            transpose(from, [block.rows(), channels], |p, first, values| {
                for (k, (y, &value)) in (first..).zip(block.row(p)[first..].iter_mut().zip(values)) {
                    let value = bias.map_or(value, |bias| value + bias[k]);
                    *y = bounds.clamp_one(if accumulate { value + *y } else { value });
                }
            });
        });
    }
}

/// One output row of one tap: every `stride`-th float of an input row, zeros where the tap lies beside it.
fn write_line(line: &[f32], width: &Axis, tap: usize, to: &mut [f32]) {
    let valid = width.valid_outputs(tap);
    to[..valid.start].fill(0.0);
    to[valid.end..].fill(0.0);
    if valid.is_empty() {
        return;
    }
    let from = &line[width.position(valid.start, tap) as usize..];
    let to = &mut to[valid];
    if width.stride == 1 {
        to.copy_from_slice(&from[..to.len()]);
    } else {
        to.iter_mut().zip(from.iter().step_by(width.stride)).for_each(|(to, from)| *to = *from);
    }
}
