//! The tile's columns, then its rows, a strip of channels at a time, as in the input transform.

use std::ptr::slice_from_raw_parts;

use conv_core::Epilogue;
use conv_simd::{Isa, Lanes, Simd, SimdOp, within};

use crate::geometry::{Geometry, Tile};
use crate::layout::{Between, PlaneSteps, STRIP, STRIP_ROW};
use crate::line::{MAX_POINTS, output_line, with_sizes};

/// A tile to transform.
pub(crate) struct OutputTile<'a> {
    /// Tiles and constants.
    pub geometry: &'a Geometry,
    /// The tile.
    pub tile: &'a Tile,
    /// The planes of M.
    pub m: *const f32,
    /// Where the tile lies in them.
    pub steps: PlaneSteps,
    /// One float a channel, in whole vectors.
    pub bias: &'a [f32],
    /// Output channels that exist.
    pub channels: usize,
    /// What becomes of the results.
    pub epilogue: Epilogue,
    /// Whether the outputs are stored past the caches.
    pub stream: bool,
    /// The tile's first output.
    pub y: *mut f32,
    /// Floats from one of its outputs to the next, vertically and horizontally.
    pub y_steps: [usize; 2],
}

impl OutputTile<'_> {
    /// Transforms the tile; `between` holds a strip of it meanwhile.
    ///
    /// # Safety
    /// M must have a row of whole vectors at `steps` in each of the tile's planes; `y` must be its outputs', which no
    /// other thread may touch.
    pub unsafe fn transform(&self, isa: Isa, between: &mut Between) {
        let [vertical, horizontal] = &self.geometry.axes;
        let [down, across] = self.tile.extended();
        let points = [vertical.points_of(down), horizontal.points_of(across)];
        let outputs = [vertical.cover.size(down), horizontal.cover.size(across)];
        for strip in (0..self.channels).step_by(STRIP) {
            let len = STRIP.min(self.channels - strip);
            with_sizes!(points[0], vertical.points.zero, outputs[0], N, ZERO, M => isa.run(Columns::<N, M, ZERO> {
                tile: self, columns: points[1], strip, len, between,
            }));
            with_sizes!(points[1], horizontal.points.zero, outputs[1], N, ZERO, M => isa.run(Rows::<N, M, ZERO> { tile: self, strip, len, between }));
        }
    }
}

/// The first pass.
struct Columns<'a, const N: usize, const M: usize, const ZERO: bool> {
    tile: &'a OutputTile<'a>,
    columns: usize,
    /// The strip's first channel.
    strip: usize,
    /// Its channels.
    len: usize,
    between: &'a mut Between,
}

impl<const N: usize, const M: usize, const ZERO: bool> SimdOp for Columns<'_, N, M, ZERO> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Columns {
            tile: &OutputTile { geometry, tile, m, steps, stream, y, y_steps, .. },
            columns,
            strip,
            len,
            between,
        } = self;
        let [vertical, horizontal] = &geometry.axes;
        let coefficients = vertical.coefficients(tile.axes[0].extended);
        debug_assert!(M.max(columns) <= MAX_POINTS && len.next_multiple_of(S::LANES) <= STRIP_ROW);
        let (strip_of_m, y, between) = (m.wrapping_add(strip), y.wrapping_add(strip), between.as_mut_ptr());
        let [down, across] = tile.axes.map(|axis| axis.outputs);
        for j in 0..columns {
            let planes = steps.column::<N, ZERO>(j, horizontal.is_extra(j));
            debug_assert!(planes.iter().enumerate().all(|(i, &row)| {
                let plane = m.wrapping_add((i * steps.grid_width + j) * steps.plane);
                let read = strip_of_m.wrapping_add(row);
                within(slice_from_raw_parts(plane, steps.plane), read, len.next_multiple_of(S::LANES))
            }));
            for c in (0..len).step_by(S::LANES) {
                if j < across && !stream {
                    // A store that misses L1 holds up those behind it: the second pass will find its lines there.
                    for i in 0..down {
                        simd.prefetch(y.wrapping_add(i * y_steps[0] + j * y_steps[1] + c));
                    }
                }
                let mut products = [simd.zero(); N];
                for (product, plane) in products.iter_mut().zip(planes) {
                    // SAFETY: M has a row of whole vectors for this tile in each of its planes.
                    *product = unsafe { simd.load_ptr(strip_of_m.add(plane + c)) };
                }
                let outputs = output_line::<_, N, M, ZERO>(Lanes(simd), coefficients, products);
                for (i, output) in outputs.into_iter().enumerate() {
                    // SAFETY: c is below the strip, a whole vector more is below its row.
                    unsafe { simd.store_ptr(between.add((i * MAX_POINTS + j) * STRIP_ROW + c), output) };
                }
            }
        }
    }
}

/// The second pass.
struct Rows<'a, const N: usize, const M: usize, const ZERO: bool> {
    tile: &'a OutputTile<'a>,
    /// The strip's first channel.
    strip: usize,
    /// Its channels.
    len: usize,
    between: &'a Between,
}

impl<const N: usize, const M: usize, const ZERO: bool> SimdOp for Rows<'_, N, M, ZERO> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Rows { tile: &OutputTile { geometry, tile, bias, epilogue, stream, y, y_steps, .. }, strip, len, between } =
            self;
        let coefficients = geometry.axes[1].coefficients(tile.axes[1].extended);
        debug_assert!(N <= MAX_POINTS && len.next_multiple_of(S::LANES) <= STRIP_ROW);
        let (y, bias) = (y.wrapping_add(strip), &bias[strip..]);
        let [down, across] = tile.axes.map(|axis| axis.outputs);
        for i in 0..down {
            let row = between[i * MAX_POINTS * STRIP_ROW..][..MAX_POINTS * STRIP_ROW].as_ptr();
            for c in (0..len).step_by(S::LANES) {
                let mut products = [simd.zero(); N];
                for (j, product) in products.iter_mut().enumerate() {
                    // SAFETY: c is below the strip, a whole vector more is below its row.
                    *product = unsafe { simd.load_ptr(row.add(j * STRIP_ROW + c)) };
                }
                let outputs = output_line::<_, N, M, ZERO>(Lanes(simd), coefficients, products);
                let bias = simd.load(&bias[c..]);
                for (j, output) in outputs.into_iter().enumerate() {
                    if j < across {
                        let mut value = simd.add(output, bias);
                        // SAFETY: this output exists and belongs to this tile.
                        unsafe {
                            let y = y.add(i * y_steps[0] + j * y_steps[1] + c);
                            if epilogue.accumulate {
                                value = simd.add(value, simd.load_partial_ptr(y, (len - c).min(S::LANES)));
                            }
                            let value = epilogue.bounds.clamp(simd, value);
                            if len - c >= S::LANES {
                                simd.write_ptr(y, value, stream);
                            } else {
                                simd.store_partial_ptr(y, value, len - c);
                            }
                        }
                    }
                }
            }
        }
    }
}
