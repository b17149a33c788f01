//! `im2col/nchw-faer`: the method as Caffe had it (Jia et al. 2014), with what it costs in a world that is not NCHW. An
//! image at a time is transposed to planes, lowered to columns `[ic·kh·kw × oh·ow]`, and multiplied from the left by the
//! weights as they are stored; the product, planes again, is transposed back. Both transpositions are
//! [`Phase::Reshape`], so that the textbook's two disadvantages, duplication and the reshaped result, have figures.

use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported,
};
use conv_simd::AlignedBuffer;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatRef, Par};

use crate::kernel::{Columns, Grid, for_each_block};
use crate::lowering::Lowering;

/// Sides of the squares that are transposed at a time: a cache line of each row.
const SQUARE: usize = 16;

/// Scratch: of one image the input, its columns (`kh·kw` times the input, and none for a 1×1 filter at every pixel) and
/// the product. Weights are kept as they come.
pub(crate) struct Im2colNchw;

impl Algorithm for Im2colNchw {
    fn name(&self) -> &'static str {
        "im2col/nchw-faer"
    }

    fn supports(&self, _: &Problem) -> Result<(), Unsupported> {
        Ok(())
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        filter.check(problem)?;
        let kept = problem.weight_len() + filter.bias.map_or(0, <[f32]>::len);
        let sizes = Sizes::new(problem);
        let scratch = sizes.input as u128 + sizes.columns as u128 + sizes.product as u128;
        let footprint = options.admit(4 * kept as u128, 4 * scratch)?;
        Ok(Box::new(NchwPlan {
            problem: problem.clone(),
            workers: options.workers,
            epilogue,
            footprint,
            sizes,
            weights: AlignedBuffer::copy_of(filter.weights)?,
            bias: filter.bias.map(AlignedBuffer::copy_of).transpose()?,
        }))
    }

    /// As for every sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one
    /// term (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }
}

/// Floats of one image.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    input: usize,
    /// Zero where the transposed input already is the matrix of columns.
    columns: usize,
    product: usize,
}

impl Sizes {
    fn new(problem: &Problem) -> Self {
        let lowering = Lowering::new(problem);
        let pixels = lowering.rows() / problem.batch();
        let everywhere = |axis: &Axis| *axis == Axis::new(axis.input, 1);
        let identity = everywhere(problem.height()) && everywhere(problem.width());
        Sizes {
            input: problem.input_len() / problem.batch(),
            columns: if identity { 0 } else { lowering.row_len() * pixels },
            product: problem.out_channels() * pixels,
        }
    }
}

struct NchwPlan {
    problem: Problem,
    workers: usize,
    epilogue: Epilogue,
    footprint: Footprint,
    sizes: Sizes,
    weights: AlignedBuffer,
    bias: Option<AlignedBuffer>,
}

impl NchwPlan {
    /// `to[k][p] = from[p][k]`: pixels to planes.
    fn split(&self, from: &[f32], to: &mut [f32], probe: &dyn Probe) {
        let channels = self.problem.in_channels();
        let pixels = to.len() / channels;
        let grid = Grid::new(channels, SQUARE, Columns::whole(pixels));
        for_each_block(self.workers, &grid, to, &mut [], |_, place, mut block| {
            probe.enter(Phase::Reshape);
            transpose((&from[place.rows.start..], channels), (block.as_slice(), pixels), |_, value| value);
            probe.enter(Phase::Idle);
        });
    }

    /// The columns of an image of planes: row `(c, y, x)` holds what channel `c` has under that tap at each output pixel.
    fn lower(&self, planes: &[f32], columns: &mut [f32], probe: &dyn Probe) {
        let (height, width) = (self.problem.height(), self.problem.width());
        let [oh, ow] = self.problem.output_size();
        let taps = height.kernel * width.kernel;
        let grid = Grid::new(columns.len() / (oh * ow), width.kernel, Columns::whole(oh * ow));
        for_each_block(self.workers, &grid, columns, &mut [], |_, place, mut block| {
            probe.enter(Phase::Lower);
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
            probe.enter(Phase::Idle);
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
        for_each_block(self.workers, &grid, product, &mut [], |_, place, mut block| {
            probe.enter(Phase::Multiply);
            let filters = &self.weights[place.rows.start * reduction..place.rows.end * reduction];
            let first = place.rows.start / channels * reduction * pixels + parts.range(place.part).start;
            let lhs = MatRef::from_row_major_slice(filters, channels, reduction);
            let count = parts.range(place.part).len();
            let rhs = MatRef::from_row_major_slice_with_stride(&columns[first..], reduction, count, pixels);
            matmul(block.as_mat(), Accum::Replace, lhs, rhs, 1.0, Par::Seq);
            probe.enter(Phase::Idle);
        });
    }

    /// `to[p][k] = from[k][p]`, planes to pixels, with bias and ReLU on the way.
    fn join(&self, from: &[f32], to: &mut [f32], probe: &dyn Probe) {
        let channels = self.problem.out_channels();
        let pixels = to.len() / channels;
        let grid = Grid::new(pixels, SQUARE, Columns::whole(channels));
        for_each_block(self.workers, &grid, to, &mut [], |_, place, mut block| {
            probe.enter(Phase::Reshape);
            let bias = self.bias.as_deref();
            let relu = self.epilogue.relu;
            transpose((&from[place.rows.start..], pixels), (block.as_slice(), channels), |k, value| {
                let value = bias.map_or(value, |bias| value + bias[k]);
                // Written so that a NaN stays one.
                if relu && value < 0.0 { 0.0 } else { value }
            });
            probe.enter(Phase::Idle);
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

/// `to[r][c] = map(c, from[c][r])` for all of `to`; the strides are the floats from one row to the next, and `to` has no
/// gaps. Square by square, so that every line fetched is used whole.
fn transpose(
    (from, from_stride): (&[f32], usize),
    (to, to_stride): (&mut [f32], usize),
    map: impl Fn(usize, f32) -> f32,
) {
    let rows = to.len() / to_stride;
    for first_row in (0..rows).step_by(SQUARE) {
        let height = SQUARE.min(rows - first_row);
        for first in (0..to_stride).step_by(SQUARE) {
            let width = SQUARE.min(to_stride - first);
            let mut square = [[0.0; SQUARE]; SQUARE];
            for (c, column) in square[..width].iter_mut().enumerate() {
                column[..height].copy_from_slice(&from[(first + c) * from_stride + first_row..][..height]);
            }
            for r in 0..height {
                let row = &mut to[(first_row + r) * to_stride + first..][..width];
                for (c, value) in row.iter_mut().enumerate() {
                    *value = map(first + c, square[c][r]);
                }
            }
        }
    }
}

impl Plan for NchwPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn executed_flops(&self) -> u128 {
        self.problem.flops()
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        let (planes, rest) = scratch.split_at_mut(self.sizes.input);
        let (columns, product) = rest.split_at_mut(self.sizes.columns);
        let images = input.chunks_exact(self.sizes.input).zip(output.chunks_exact_mut(self.sizes.product));
        for (input, output) in images {
            self.split(input, planes, probe);
            if columns.is_empty() {
                self.multiply(planes, product, probe);
            } else {
                self.lower(planes, columns, probe);
                self.multiply(columns, product, probe);
            }
            self.join(product, output, probe);
        }
    }
}
