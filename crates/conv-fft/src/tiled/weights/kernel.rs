//! Transforms of neighbouring filters at once, which stand side by side in the packed weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use conv_core::parallel_for;
use conv_simd::{AlignedBuffer, AllocationError, Arithmetic, Isa, SharedSlice, Simd, SimdOp, worth_streaming};

use crate::tiled::arithmetic::{Complex, WIDE, Wide};
use crate::tiled::geometry::Geometry;
use crate::tiled::layout::{Layout, RegisterBlock, weight_floats};
use crate::tiled::transform::{Work, column_forward, is_real, planes, rows_forward, scale};

/// A task's transformed rows may take so much of an L2 of 1 MiB, and so may a column of its weights. The more input channels
/// it has, the longer are the stretches that it writes.
const TASK_BYTES: usize = 256 << 10;

/// U (see [`crate::tiled::layout`]) of the weights `[oc][ic/groups][kh][kw]`, with zeros for the channels that fill up a
/// vector. Transforms are computed in f64 and rounded once.
pub(in crate::tiled) fn pack<const N: usize>(
    geometry: &Geometry,
    layout: &Layout,
    weights: &[f32],
    isa: Isa,
) -> Result<AlignedBuffer, AllocationError> {
    let sizes = [geometry.problem.groups(), layout.channels, layout.depth];
    let mut packed = AlignedBuffer::uninit(weight_floats::<N>(layout.products, sizes) as usize)?;
    write::<N>(geometry, layout, weights, isa, &mut packed);
    // SAFETY: `write` wrote all of it: its tasks have all input channels and blocks, and write them in every plane.
    Ok(unsafe { packed.assume_init() })
}

/// Writes all of U.
fn write<const N: usize>(
    geometry: &Geometry,
    layout: &Layout,
    weights: &[f32],
    isa: Isa,
    packed: &mut [MaybeUninit<f32>],
) {
    let octets = layout.block.div_ceil(WIDE);
    let rows = octets * N / 2 * row_pairs(geometry) * size_of::<Complex<Wide>>();
    let column = N * layout.products.parts() * layout.block * size_of::<f32>();
    let stretches = layout.depth.div_ceil((TASK_BYTES / rows.max(column)).max(1));
    let blocks = layout.blocks();
    let stream = worth_streaming(packed.len());
    let packed = &SharedSlice::new(packed);
    parallel_for(geometry.problem.groups() * blocks * stretches, |task| {
        let (block, stretch) = (task / stretches, task % stretches);
        isa.run(Filters::<N> {
            geometry,
            layout,
            weights,
            packed,
            stream,
            group: block / blocks,
            block: layout.register_block(block % blocks),
            depths: stretch * layout.depth / stretches..(stretch + 1) * layout.depth / stretches,
        });
        isa.fence();
    });
}

/// Rows of a filter, rounded up to whole pairs.
fn row_pairs(geometry: &Geometry) -> usize {
    geometry.height.taps.next_multiple_of(2)
}

/// The filters from some input channels of a group to one register block of output channels.
struct Filters<'a, const N: usize> {
    geometry: &'a Geometry,
    layout: &'a Layout,
    /// All weights, OIHW.
    weights: &'a [f32],
    /// U.
    packed: &'a SharedSlice<'a, MaybeUninit<f32>>,
    /// Whether U is stored past the caches.
    stream: bool,
    group: usize,
    block: RegisterBlock,
    /// Input channels, counted through all phases.
    depths: Range<usize>,
}

impl<const N: usize> SimdOp for Filters<'_, N> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let (depths, width, height) = (self.depths.clone(), self.block.width, row_pairs(self.geometry));
        let existing = self.geometry.problem.group_out_channels() - self.block.first;
        let octets = (0..existing.min(width)).step_by(WIDE).map(|lane| lane..(lane + WIDE).min(existing));
        let octets: Vec<_> = depths.clone().flat_map(|depth| octets.clone().map(move |lanes| (depth, lanes))).collect();
        let mut room = Room {
            taps: vec![Wide.zero(); height * N],
            planes: vec![[Wide.zero(); 2]; planes::<N>(0)],
            work: vec![Wide.zero(); Work::<Wide, N>::VALUES],
        };
        // `[column][row]` of each octet.
        let mut rows = vec![[Wide.zero(); 2]; octets.len() * N / 2 * height];
        for ((depth, lanes), rows) in octets.iter().zip(rows.chunks_exact_mut(N / 2 * height)) {
            self.transform_rows(&mut room, *depth, lanes.clone(), rows);
        }
        // `[plane][part][input channel][output channel]` of a column. Channels that fill up a vector stay zero.
        let panel = depths.len() * width;
        let mut column_weights = vec![0.0; self.layout.products.parts() * N * panel];
        for column in 0..N / 2 {
            for ((depth, lanes), rows) in octets.iter().zip(rows.chunks_exact(N / 2 * height)) {
                let first = (depth - depths.start) * width + lanes.start;
                let to = &mut column_weights[first..];
                self.transform_column(&mut room, column, &rows[column * height..][..height], (to, panel, lanes.len()));
            }
            self.write(simd, column, &column_weights);
        }
    }
}

/// Room for the transforms of [`WIDE`] filters.
struct Room {
    /// The taps of one phase, `[row][N]`.
    taps: Vec<[f64; WIDE]>,
    /// A transformed column.
    planes: Vec<Complex<Wide>>,
    work: Vec<[f64; WIDE]>,
}

impl<const N: usize> Filters<'_, N> {
    /// The rows of the filters from input channel `depth` to the channels `lanes` of the block.
    #[inline(always)]
    fn transform_rows(&self, room: &mut Room, depth: usize, lanes: Range<usize>, rows: &mut [Complex<Wide>]) {
        let Geometry { problem, height, width } = self.geometry;
        let (kh, kw) = (problem.height().kernel, problem.width().kernel);
        let channels = problem.group_in_channels();
        let (phase, channel) = (depth / channels, depth % channels);
        let phase = [phase / width.phases, phase % width.phases];
        let Room { taps, work, .. } = room;
        let mut work = Work::<_, N>::new(work);
        let first = self.group * problem.group_out_channels() + self.block.first;
        taps.fill(Wide.zero());
        for r in 0..kh {
            for s in 0..kw {
                let ((y, down), (x, right)) = (height.tap(r), width.tap(s));
                if [down, right] == phase {
                    for (tap, output) in taps[y * N + x].iter_mut().zip(lanes.clone()) {
                        let filter = (first + output) * channels + channel;
                        *tap = f64::from(self.weights[(filter * kh + r) * kw + s]);
                    }
                }
            }
        }
        let height = taps.len() / N;
        for pair in (0..height).step_by(2) {
            rows_forward(
                Wide,
                &mut work,
                |j| [taps[pair * N + j], taps[(pair + 1) * N + j]],
                |row, column, value| rows[column * height + pair + row] = value,
            );
        }
    }

    /// A column's weights from its transformed `rows`: the first `lanes` of [`WIDE`] filters, one part of one plane at the
    /// start of each panel.
    #[inline(always)]
    fn transform_column(
        &self,
        room: &mut Room,
        column: usize,
        rows: &[Complex<Wide>],
        (to, panel, lanes): (&mut [f32], usize, usize),
    ) {
        let Room { planes: values, work, .. } = room;
        let row = |j: usize| rows.get(j).copied().unwrap_or([Wide.zero(); 2]);
        // The planes first and their parts in a loop of their own: a closure that made the parts was called instead of inlined,
        // compiled for no instruction set in particular, and took half of the time.
        column_forward(Wide, &mut Work::<_, N>::new(work), column, row, |plane, value| values[plane] = value);
        let products = self.layout.products;
        let mut panels = to.chunks_mut(panel);
        for (plane, [re, im]) in values.iter().take(planes::<N>(column)).enumerate() {
            let scale = [scale::<N>(column, plane); WIDE];
            let conjugate = [Wide.mul(*re, scale), Wide.sub(Wide.zero(), Wide.mul(*im, scale))];
            let parts = if is_real::<N>(column, plane) { 1 } else { products.parts() };
            for (values, to) in products.weights(Wide, conjugate).iter().take(parts).zip(&mut panels) {
                for (to, &value) in to[..lanes].iter_mut().zip(values) {
                    *to = value as f32;
                }
            }
        }
    }

    /// Writes a column's weights, which lie panel behind panel, to their places in U.
    #[inline(always)]
    fn write<S: Simd>(&self, simd: S, column: usize, weights: &[f32]) {
        let (layout, block, depths) = (self.layout, &self.block, &self.depths);
        let (parts, panel) = (layout.products.parts(), depths.len() * block.width);
        let columns = self.group * N / 2 + column;
        let start = (columns * layout.channels + block.first - block.before) * parts * N * layout.depth;
        for (index, weights) in weights.chunks_exact(panel).enumerate() {
            // Real planes have one part each, and with three products there is more room behind them than they need.
            let (plane, part, parts) =
                if is_real::<N>(column, index / parts) { (index, 0, 1) } else { (index / parts, index % parts, parts) };
            let rows = block.chunk_width * plane * parts + block.before * parts + block.width * part;
            // SAFETY: these input channels of this block are this task's alone in every plane.
            let packed = unsafe { self.packed.slice(start + rows * layout.depth + block.width * depths.start, panel) };
            // SAFETY: the task ends with a fence.
            unsafe { simd.write(packed, weights, self.stream) };
        }
    }
}

#[cfg(test)]
mod tests {
    use conv_core::{PlanOptions, Problem};

    use super::*;
    use crate::tiled::products::Products;

    #[test]
    fn all_of_u_is_written() {
        check::<8>();
        check::<14>();
        check::<30>();
    }

    /// Of a buffer full of NaN none is left: groups, strides, several chunks, blocks and channels of a vector that are not
    /// full, several tasks.
    fn check<const N: usize>() {
        for problem in ["g2mb1ic80ih13oc148kh3ph1", "mb1ic3ih17oc5kh5sh2", "mb1ic300ih5oc1kh1"] {
            let problem: Problem = problem.parse().unwrap();
            let geometry = Geometry::new(&problem, N);
            let weights = vec![1.0; problem.weight_len()];
            let both = |isa| [Products::Four, Products::Three].map(|products| (isa, products));
            for (isa, products) in Isa::available().into_iter().flat_map(both) {
                let layout = Layout::new::<N>(&geometry, products, &PlanOptions::new(1).isa(isa));
                let floats = weight_floats::<N>(products, [problem.groups(), layout.channels, layout.depth]);
                let mut packed = vec![MaybeUninit::new(f32::NAN); floats as usize];
                write::<N>(&geometry, &layout, &weights, isa, &mut packed);
                // SAFETY: NaN, if nothing else.
                let left = packed.iter().filter(|float| unsafe { float.assume_init() }.is_nan()).count();
                assert_eq!(left, 0, "{problem} {products:?} on {isa}");
            }
        }
    }
}
