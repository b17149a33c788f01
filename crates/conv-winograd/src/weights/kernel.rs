//! `G g Gᵀ` for neighbouring output channels at once, which stand side by side in the packed weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use conv_core::parallel_for;
use conv_simd::{AlignedBuffer, AllocationError, Isa, SharedSlice, Simd, SimdOp, worth_streaming};

use crate::geometry::Geometry;
use crate::layout::{Layout, RegisterBlock};

/// Filters transformed at once: a number that divides the output channels of every register tile.
const WIDE: usize = 8;

/// The most input channels of a task: the more, the longer are the stretches that it writes. Its transformed filters take up
/// to 64 KiB then (AVX-512).
const TASK_CHANNELS: usize = 8;

/// See [`super::pack`].
pub(super) fn pack(
    geometry: &Geometry,
    layout: &Layout,
    matrices: [&[Vec<f64>]; 2],
    weights: &[f32],
    isa: Isa,
) -> Result<AlignedBuffer, AllocationError> {
    let groups = geometry.problem.groups();
    let mut packed = AlignedBuffer::uninit(groups * layout.channels * layout.total_depth)?;
    write(geometry, layout, matrices, (weights, &mut packed), isa);
    // SAFETY: `write` wrote all of it: its tasks have all input channels and blocks, and write them in every plane.
    Ok(unsafe { packed.assume_init() })
}

/// Writes all of U.
fn write(
    geometry: &Geometry,
    layout: &Layout,
    matrices: [&[Vec<f64>]; 2],
    (weights, packed): (&[f32], &mut [MaybeUninit<f32>]),
    isa: Isa,
) {
    let channels = geometry.problem.group_in_channels();
    let stretches = channels.div_ceil(TASK_CHANNELS);
    let blocks = layout.blocks();
    let stream = worth_streaming(packed.len());
    let packed = &SharedSlice::new(packed);
    parallel_for(geometry.problem.groups() * blocks * stretches, |task| {
        let (block, stretch) = (task / stretches, task % stretches);
        isa.run(Filters {
            geometry,
            layout,
            matrices,
            weights,
            packed,
            stream,
            group: block / blocks,
            block: layout.register_block(block % blocks),
            channels: stretch * channels / stretches..(stretch + 1) * channels / stretches,
        });
        isa.fence();
    });
}

/// The filters from some input channels of a group to one register block of output channels.
struct Filters<'a> {
    geometry: &'a Geometry,
    layout: &'a Layout,
    /// `G` of both axes.
    matrices: [&'a [Vec<f64>]; 2],
    /// All weights, OIHW.
    weights: &'a [f32],
    /// U.
    packed: &'a SharedSlice<'a, MaybeUninit<f32>>,
    /// Whether U is stored past the caches.
    stream: bool,
    group: usize,
    block: RegisterBlock,
    channels: Range<usize>,
}

impl SimdOp for Filters<'_> {
    type Output = ();

    // The arrays of doubles become vectors of whatever instruction set this is compiled for: conv3 of AlexNet took
    // 54 ms filter by filter.
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let [vertical, horizontal] = &self.geometry.axes;
        let (width, panel) = (self.block.width, self.channels.len() * self.block.width);
        let existing = self.geometry.problem.group_out_channels() - self.block.first;
        // `[plane][input channel][output channel]` of a phase. Output channels that fill up a vector stay zero.
        let mut planes = vec![0.0; self.geometry.planes.len() * panel];
        let mut taps = vec![[0.0; WIDE]; vertical.taps * horizontal.taps];
        let mut rows = vec![[0.0; WIDE]; vertical.taps * horizontal.grid()];
        for phase in (0..vertical.phases).flat_map(|down| (0..horizontal.phases).map(move |right| [down, right])) {
            for (index, channel) in self.channels.clone().enumerate() {
                for lane in (0..existing.min(width)).step_by(WIDE) {
                    let lanes = lane..(lane + WIDE).min(existing);
                    self.load(&mut taps, channel, lanes.clone(), phase);
                    self.transform(&taps, &mut rows, |plane, values| {
                        let to = &mut planes[plane * panel + index * width..][lanes.clone()];
                        for (to, &value) in to.iter_mut().zip(values) {
                            *to = value as f32;
                        }
                    });
                }
            }
            self.write(simd, phase, &planes);
        }
    }
}

impl Filters<'_> {
    /// The `taps` of one phase of the filters from an input channel to the channels `lanes` of the block.
    #[inline(always)]
    fn load(&self, taps: &mut [[f64; WIDE]], channel: usize, lanes: Range<usize>, [down, right]: [usize; 2]) {
        let problem = &self.geometry.problem;
        let [_, horizontal] = &self.geometry.axes;
        let (height, width) = (problem.height(), problem.width());
        let first = self.group * problem.group_out_channels() + self.block.first;
        taps.fill([0.0; WIDE]);
        for (y, row) in (down..height.kernel).step_by(height.stride).zip(taps.chunks_exact_mut(horizontal.taps)) {
            for (x, taps) in (right..width.kernel).step_by(width.stride).zip(row) {
                for (tap, output) in taps.iter_mut().zip(lanes.clone()) {
                    let filter = (first + output) * problem.group_in_channels() + channel;
                    *tap = f64::from(self.weights[(filter * height.kernel + y) * width.kernel + x]);
                }
            }
        }
    }

    /// `G g Gᵀ`: `to` takes the value at each plane. `rows` is room for `g Gᵀ`.
    #[inline(always)]
    fn transform(&self, taps: &[[f64; WIDE]], rows: &mut [[f64; WIDE]], mut to: impl FnMut(usize, &[f64; WIDE])) {
        let [vertical, horizontal] = &self.geometry.axes;
        let grid = horizontal.grid();
        for (row, taps) in rows.chunks_exact_mut(grid).zip(taps.chunks_exact(horizontal.taps)) {
            for (sum, g) in row.iter_mut().zip(self.matrices[1]) {
                *sum = product(g, taps.iter());
            }
        }
        for (i, g) in self.matrices[0].iter().take(vertical.grid()).enumerate() {
            for j in 0..grid {
                to(i * grid + j, &product(g, rows[j..].iter().step_by(grid)));
            }
        }
    }

    /// Writes one phase's transformed filters, plane behind plane, to their places in the planes in which it takes part.
    #[inline(always)]
    fn write<S: Simd>(&self, simd: S, [down, right]: [usize; 2], planes: &[f32]) {
        let (geometry, block) = (self.geometry, &self.block);
        let [vertical, horizontal] = &geometry.axes;
        let start = self.layout.chunk_weights(self.group, block.chunk);
        let panel = self.channels.len() * block.width;
        for (index, (plane, values)) in geometry.planes.iter().zip(planes.chunks_exact(panel)).enumerate() {
            let (i, j) = (index / geometry.grid_width(), index % geometry.grid_width());
            let across = horizontal.phases_at(j);
            if down >= vertical.phases_at(i) || right >= across {
                continue;
            }
            let depth = (down * across + right) * geometry.problem.group_in_channels() + self.channels.start;
            let at = plane.depth_before * block.chunk_width + plane.depth() * block.before + depth * block.width;
            // SAFETY: these input channels of this block are this task's alone in every plane.
            let packed = unsafe { self.packed.slice(start + at, panel) };
            // SAFETY: the task ends with a fence.
            unsafe { simd.write(packed, values, self.stream) };
        }
    }
}

/// `Σ g[a] · values[a]`.
#[inline(always)]
fn product<'a>(g: &[f64], values: impl Iterator<Item = &'a [f64; WIDE]>) -> [f64; WIDE] {
    let mut sum = [0.0; WIDE];
    for (g, value) in g.iter().zip(values) {
        for (sum, value) in sum.iter_mut().zip(value) {
            *sum += g * value;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::{Blocking, Schedule};
    use crate::cover::Sizes;
    use crate::geometry::tests::{SEVEN, geometry};

    /// Of a buffer full of NaN none is left: groups, phases without the last tap, several chunks, blocks and channels of a
    /// vector that are not full, several tasks.
    #[test]
    fn all_of_u_is_written() {
        for problem in ["g2mb1ic80ih13oc148kh3ph1", "mb1ic3ih67oc5kh11sh4", "mb1ic3ih17oc40kh5sh2ph1"] {
            let geometry = geometry(problem, SEVEN, Sizes::Mixed);
            let problem = &geometry.problem;
            let matrices = geometry.axes.each_ref().map(|axis| vec![vec![1.0; axis.taps]; axis.points.base() + 1]);
            let weights = vec![1.0; problem.weight_len()];
            for isa in Isa::available() {
                let blocking = Blocking { schedule: Schedule::Fused, tiles: 1, chunk_blocks: 2 };
                let layout = Layout::new(&geometry, isa.tile_shape(), blocking);
                let floats = problem.groups() * layout.channels * layout.total_depth;
                let mut packed = vec![MaybeUninit::new(f32::NAN); floats];
                let matrices = matrices.each_ref().map(|matrix| &matrix[..]);
                write(&geometry, &layout, matrices, (&weights, &mut packed), isa);
                // SAFETY: NaN, if nothing else.
                let left = packed.iter().filter(|float| unsafe { float.assume_init() }.is_nan()).count();
                assert_eq!(left, 0, "{problem} on {isa}");
            }
        }
    }
}
