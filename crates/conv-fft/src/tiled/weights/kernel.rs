//! Transforms of neighbouring filters at once, which stand side by side in the packed weights.

use std::ops::Range;

use conv_simd::{Arithmetic, SharedSlice, Simd, SimdOp};

use super::Place;
use crate::tiled::arithmetic::{Complex, WIDE, Wide};
use crate::tiled::geometry::Geometry;
use crate::tiled::layout::Layout;
use crate::tiled::transform::{Work, column_forward, is_real, rows_forward, scale};

/// The filters of a group to some of its output channels.
pub(super) struct Filters<'a, const N: usize> {
    pub geometry: &'a Geometry,
    pub layout: &'a Layout,
    /// All weights, OIHW.
    pub weights: &'a [f32],
    /// U.
    pub packed: &'a SharedSlice<'a, f32>,
    pub group: usize,
    pub outputs: Range<usize>,
}

impl<const N: usize> SimdOp for Filters<'_, N> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        let taps = self.geometry.height.taps;
        let mut room = Room {
            taps: vec![Wide.zero(); taps.next_multiple_of(2) * N],
            rows: vec![[Wide.zero(); 2]; N * N / 2],
            work: vec![Wide.zero(); Work::<Wide, N>::VALUES],
        };
        for depth in 0..self.layout.depth {
            // Each within one register block, so that they stand side by side.
            for first in self.outputs.clone().step_by(WIDE) {
                self.transform(&mut room, first..(first + WIDE).min(self.outputs.end), depth);
            }
        }
    }
}

/// Room for the transforms of [`WIDE`] filters.
struct Room {
    /// The taps of one phase, `[row][N]`.
    taps: Vec<[f64; WIDE]>,
    /// Transformed rows, `[column][row]`.
    rows: Vec<Complex<Wide>>,
    work: Vec<[f64; WIDE]>,
}

impl<const N: usize> Filters<'_, N> {
    /// Transforms and writes the filters from input channel `depth`, counted through all phases, to some neighbouring
    /// output channels.
    #[inline(always)]
    fn transform(&self, room: &mut Room, outputs: Range<usize>, depth: usize) {
        let Geometry { problem, height, width } = self.geometry;
        let (kh, kw) = (problem.height().kernel, problem.width().kernel);
        let channels = problem.group_in_channels();
        let (phase, channel) = (depth / channels, depth % channels);
        let phase = [phase / width.phases, phase % width.phases];
        let Room { taps, rows, work } = room;
        let mut work = Work::<_, N>::new(work);
        taps.fill(Wide.zero());
        for r in 0..kh {
            for s in 0..kw {
                let ((y, down), (x, right)) = (height.tap(r), width.tap(s));
                if [down, right] == phase {
                    for (lane, output) in outputs.clone().enumerate() {
                        let filter = (self.group * problem.group_out_channels() + output) * channels + channel;
                        taps[y * N + x][lane] = f64::from(self.weights[(filter * kh + r) * kw + s]);
                    }
                }
            }
        }
        let pairs = taps.len() / N;
        for pair in (0..pairs).step_by(2) {
            rows_forward(
                Wide,
                &mut work,
                |j| [taps[pair * N + j], taps[(pair + 1) * N + j]],
                |row, column, value| rows[column * N + pair + row] = value,
            );
        }
        for (column, rows) in rows.chunks_exact(N).enumerate() {
            let at = Place { layout: self.layout, columns: self.group * N / 2 + column, output: outputs.start, depth };
            let row = |j: usize| if j < pairs { rows[j] } else { [Wide.zero(); 2] };
            column_forward(Wide, &mut work, column, row, |plane, [re, im]| {
                let real = is_real::<N>(column, plane);
                let scale = [scale::<N>(column, plane); WIDE];
                let conjugate = [Wide.mul(re, scale), Wide.sub(Wide.zero(), Wide.mul(im, scale))];
                let values = self.layout.products.weights(Wide, conjugate);
                let parts = if real { 1 } else { self.layout.products.parts() };
                for (part, values) in values.into_iter().take(parts).enumerate() {
                    let start = at.offset::<N>(plane, real, part);
                    // SAFETY: these channels are this task's alone in every plane.
                    let packed = unsafe { self.packed.slice(start, outputs.len()) };
                    for (to, value) in packed.iter_mut().zip(values) {
                        *to = value as f32;
                    }
                }
            });
        }
    }
}
