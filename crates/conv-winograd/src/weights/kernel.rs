//! `G g Gᵀ` for neighbouring output channels at once, which stand side by side in the packed weights.

use conv_simd::{SharedSlice, Simd, SimdOp};

use crate::geometry::Geometry;
use crate::layout::Layout;
use crate::line::MAX_POINTS;

/// Filters transformed at once: a number that divides the output channels of every register tile.
const WIDE: usize = 8;

/// The filters from one input channel of a group to one register block of output channels.
pub(super) struct Filters<'a> {
    pub geometry: &'a Geometry,
    pub layout: &'a Layout,
    /// `G` of both axes.
    pub matrices: [&'a [Vec<f64>]; 2],
    /// All weights, OIHW.
    pub weights: &'a [f32],
    /// U.
    pub packed: &'a SharedSlice<'a, f32>,
    pub group: usize,
    /// First output channel of the block, in the group.
    pub output: usize,
    pub channel: usize,
}

impl SimdOp for Filters<'_> {
    type Output = ();

    // The arrays of doubles become vectors of whatever instruction set this is compiled for: conv3 of AlexNet took
    // 54 ms filter by filter.
    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        let [vertical, horizontal] = &self.geometry.axes;
        let existing = self.geometry.problem.group_out_channels();
        for output in (self.output..existing.min(self.output + self.layout.block)).step_by(WIDE) {
            let lanes = WIDE.min(existing - output);
            for down in 0..vertical.phases {
                for right in 0..horizontal.phases {
                    let transformed = self.transform((output, lanes), [down, right]);
                    self.write((output, lanes), [down, right], &transformed);
                }
            }
        }
    }
}

/// A small matrix for each of [`WIDE`] filters.
type Matrices = [[[f64; WIDE]; MAX_POINTS]; MAX_POINTS];

impl Filters<'_> {
    /// One phase of `lanes` filters: its taps, then `G g Gᵀ`.
    #[inline(always)]
    fn transform(&self, (output, lanes): (usize, usize), [down, right]: [usize; 2]) -> Matrices {
        let problem = &self.geometry.problem;
        let [vertical, horizontal] = &self.geometry.axes;
        let (height, width) = (problem.height(), problem.width());
        let zero = [[[0.0; WIDE]; MAX_POINTS]; MAX_POINTS];
        let mut taps = zero;
        for (a, y) in (down..height.kernel).step_by(height.stride).enumerate() {
            for (b, x) in (right..width.kernel).step_by(width.stride).enumerate() {
                for (lane, tap) in taps[a][b].iter_mut().enumerate().take(lanes) {
                    let filter = self.group * problem.group_out_channels() + output + lane;
                    let filter = filter * problem.group_in_channels() + self.channel;
                    *tap = f64::from(self.weights[(filter * height.kernel + y) * width.kernel + x]);
                }
            }
        }
        let mut rows = zero;
        for (row, taps) in rows.iter_mut().zip(&taps).take(vertical.taps) {
            for (sum, g) in row.iter_mut().zip(self.matrices[1]) {
                *sum = product(g, taps.iter());
            }
        }
        let mut transformed = zero;
        for (line, g) in transformed.iter_mut().zip(self.matrices[0]) {
            for (j, sum) in line.iter_mut().enumerate().take(horizontal.grid()) {
                *sum = product(g, rows.iter().map(|row| &row[j]));
            }
        }
        transformed
    }

    /// Writes one phase's `transformed` filters into the planes in which it takes part.
    #[inline(always)]
    fn write(&self, (output, lanes): (usize, usize), [down, right]: [usize; 2], transformed: &Matrices) {
        let (geometry, layout) = (self.geometry, self.layout);
        let [vertical, horizontal] = &geometry.axes;
        let chunk = output / layout.chunk;
        let (chunk_width, in_chunk) = (layout.chunk_width(chunk), output - chunk * layout.chunk);
        let block_start = in_chunk / layout.block * layout.block;
        let width = layout.block.min(chunk_width - block_start);
        let start = layout.chunk_weights(self.group, chunk) + in_chunk - block_start;
        for (index, plane) in geometry.planes.iter().enumerate() {
            let (i, j) = (index / geometry.grid_width(), index % geometry.grid_width());
            let across = horizontal.phases_at(j);
            if down >= vertical.phases_at(i) || right >= across {
                continue;
            }
            let depth = (down * across + right) * geometry.problem.group_in_channels() + self.channel;
            let at = start + plane.depth_before * chunk_width + plane.depth() * block_start + depth * width;
            // SAFETY: these channels of this plane and depth are this task's alone: tasks differ in block or input channel.
            let packed = unsafe { self.packed.slice(at, lanes) };
            for (to, value) in packed.iter_mut().zip(transformed[i][j]) {
                *to = value as f32;
            }
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
