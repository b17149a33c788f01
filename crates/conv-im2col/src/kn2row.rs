//! `im2col/kn2row`: one 1×1 product for each tap of the filter, its result shifted and added to the output (Anderson,
//! Vasudevan, Keane and Gregg, "Low-memory GEMM-based convolution algorithms for deep neural networks", 2017, the
//! accumulating form).
//!
//! Nothing of the input is copied, but every output is read and written once for each tap. The sums are kept apart from
//! the products, as in the paper, so that they have a phase and a price of their own; a band of output pixels keeps both
//! in L1.

use std::ops::Range;

use conv_core::{Epilogue, Phase, PlanOptions, Probe, Problem};
use conv_simd::{Run, Simd, SimdOp};

use crate::epilogue::finish;
use crate::grid::{Grid, Place};
use crate::kernel::{Block, Operand, Start, multiply};
use crate::lowering::Lowering;
use crate::plan::{Draft, Im2colPlan, Variant};
use crate::tiles;

/// Output pixels of a band: with 32 channels, 16 KiB of products.
const BAND: usize = 128;

/// Scratch: the products of one tap with a band, [`BAND`] pixels (or fewer) × the tile's output channels, a worker.
pub(crate) struct Kn2row {
    lowering: Lowering,
    grid: Grid,
}

impl Variant for Kn2row {
    const NAME: &'static str = "im2col/kn2row";

    fn draft(problem: &Problem, options: &PlanOptions) -> Draft<Self> {
        let shape = options.isa.tile_shape();
        let layout = tiles::blocks(problem, options.isa, shape.vectors);
        let [oh, ow] = problem.output_size();
        let (line, band) = if ow > BAND { (ow, BAND) } else { (oh * ow, (BAND / ow).min(oh) * ow) };
        let grid = Grid { line, ..Grid::new(problem.batch() * oh * ow, band, layout.columns) };
        let scratch = options.workers.min(grid.blocks()) * band * shape.channels();
        let own = Kn2row { lowering: Lowering::new(problem), grid };
        Draft { own, layout, scratch: scratch as u128 }
    }

    fn execute(plan: &Im2colPlan<Self>, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        plan.for_each_block(&plan.own.grid, output, scratch, probe, |products, place, block| {
            plan.band(input, products, place, block, probe);
        });
    }
}

impl Im2colPlan<Kn2row> {
    /// The stretches of `pixels`, each in one output row, for which the tap lies inside the image, with the address of
    /// the first one's input in floats.
    fn stretches(&self, pixels: Range<usize>, [r, s]: [usize; 2]) -> impl Iterator<Item = (Range<usize>, usize)> {
        let (height, width) = (*self.problem.height(), *self.problem.width());
        let channels = self.problem.in_channels();
        let (rows, columns) = (height.valid_outputs(r), width.valid_outputs(s));
        let ow = width.output();
        (pixels.start / ow..pixels.end.div_ceil(ow)).filter_map(move |line| {
            let [image, oy, _] = self.own.lowering.pixel(line * ow);
            let start = (line * ow + columns.start).max(pixels.start);
            let end = (line * ow + columns.end).min(pixels.end);
            (rows.contains(&oy) && start < end).then(|| {
                // Inside the image: neither position is negative.
                let y = image * height.input + height.position(oy, r) as usize;
                let x = width.position(start - line * ow, s) as usize;
                (start..end, (y * width.input + x) * channels)
            })
        })
    }

    fn band(&self, input: &[f32], products: &mut [f32], place: &Place, block: &mut Block<'_>, probe: &dyn Probe) {
        let weights = tiles::block(&self.weights, self.isa, place.part);
        let (group, channels) = (self.own.grid.columns.group(place.part), self.problem.group_in_channels());
        let pixel = self.problem.width().stride * self.problem.in_channels();
        let shape = self.isa.tile_shape();
        let largest = shape.pixels;
        let mut products = Block::of(products, shape.channels());
        let columns = 0..block.columns();
        let first = place.rows.start;
        let [kh, kw] = [self.problem.height().kernel, self.problem.width().kernel];

        probe.enter(Phase::Reshape);
        for row in 0..block.rows() {
            let (row, bias) = (block.row(row), &weights.bias[columns.clone()]);
            if self.epilogue.accumulate {
                row.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
            } else {
                row.copy_from_slice(bias);
            }
        }
        for tap in 0..kh * kw {
            let at = [tap / kw, tap % kw];
            probe.enter(Phase::Multiply);
            for (pixels, from) in self.stretches(place.rows.clone(), at) {
                let tile = pixels.len().div_ceil(pixels.len().div_ceil(largest));
                for start in pixels.clone().step_by(tile) {
                    let end = (start + tile).min(pixels.end);
                    let operand = Operand {
                        x: &input[from + (start - pixels.start) * pixel + group * channels..],
                        pixel,
                        rows: 1,
                        row: 0,
                        w: tap * channels,
                        w_row: 0,
                        runs: &[Run { x: 0, w: 0, len: channels, skip_first: 0, skip_last: 0 }],
                    };
                    let mut out = products.part(start - first..end - first, columns.clone());
                    multiply(&weights, &operand, Start::Zero, Epilogue::default(), &mut out);
                }
            }
            probe.enter(Phase::Reshape);
            for (pixels, _) in self.stretches(place.rows.clone(), at) {
                let rows = pixels.start - first..pixels.end - first;
                let to = block.part(rows.clone(), columns.clone());
                self.isa.run(Add { to, from: products.part(rows, columns.clone()) });
            }
        }
        finish(self.isa, block, None, self.epilogue.bounds);
    }
}

/// `to += from`, of equal sizes.
struct Add<'a> {
    to: Block<'a>,
    from: Block<'a>,
}

impl SimdOp for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(mut self, simd: S) {
        for row in 0..self.to.rows() {
            let (to, from) = (self.to.row(row), self.from.row(row));
            for (to, from) in to.chunks_mut(S::LANES).zip(from.chunks(S::LANES)) {
                let sum = simd.add(simd.load_partial(to), simd.load_partial(from));
                simd.store_partial(to, sum);
            }
        }
    }
}
