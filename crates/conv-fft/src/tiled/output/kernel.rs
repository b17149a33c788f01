//! The inverse transforms, a vector of channels at a time. Only what is needed comes out: the rows of a tile that do not
//! wrap around, and their columns.

use conv_core::Epilogue;
use conv_simd::{Lanes, Simd, SimdOp};

use crate::tiled::layout::{LINE, Layout};
use crate::tiled::products::{self, FOUR, Products, THREE};
use crate::tiled::transform::{Work, column_inverse, planes, rows_inverse};

/// One column of one tile and chunk of output channels, from the planes of M to Y.
pub(in crate::tiled) struct OutputColumn<'a, const N: usize> {
    /// Room for the transforms.
    pub work: &'a mut [f32],
    pub layout: &'a Layout,
    pub column: usize,
    /// Rows of the tile that are wanted.
    pub rows: usize,
    /// Output channels, whole vectors.
    pub width: usize,
    /// The tile's row in the first plane.
    m: *const f32,
    /// The chunk's channels of the column in the tile's first row.
    y: *mut f32,
}

impl<'a, const N: usize> OutputColumn<'a, N> {
    /// # Safety
    /// M must be complete at `m` in each plane, and Y have these rows at `y`, in which no other thread may touch this
    /// column of this chunk.
    pub unsafe fn new(
        layout: &'a Layout,
        column: usize,
        [rows, width]: [usize; 2],
        [m, y]: [*mut f32; 2],
        work: &'a mut [f32],
    ) -> Self {
        OutputColumn { work, layout, column, rows, width, m, y }
    }
}

impl<const N: usize> SimdOp for OutputColumn<'_, N> {
    type Output = ();

    /// Compiled for each kind of products: a choice at each plane took as long again as the transform.
    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        match self.layout.products {
            Products::Four => self.inverse::<S, FOUR>(simd),
            Products::Three => self.inverse::<S, THREE>(simd),
        }
    }
}

impl<const N: usize> OutputColumn<'_, N> {
    #[inline(always)]
    fn inverse<S: Simd, const PARTS: usize>(self, simd: S) {
        let Layout { channels, chunk, y: [row_len, _], m: [_, plane_len], .. } = *self.layout;
        debug_assert!(self.width <= chunk && self.width.is_multiple_of(S::LANES));
        debug_assert!(planes::<N>(self.column) <= self.layout.planes);
        let lanes = Lanes(simd);
        let mut work = Work::<_, N>::new(simd.vectors(self.work));
        for c in (0..self.width).step_by(S::LANES) {
            let load = |plane: usize| {
                // SAFETY: M has this row in each plane. Nothing writes the imaginary part of a real one, and nothing
                // depends on it.
                products::output::<_, PARTS>(lanes, |part| unsafe {
                    simd.load_ptr(self.m.add(plane * plane_len + part * chunk + c))
                })
            };
            column_inverse(lanes, &mut work, self.column, load, |row, [re, im]| {
                if row < self.rows {
                    // SAFETY: Y has this row.
                    unsafe {
                        let y = self.y.add(row * row_len + c);
                        simd.store_ptr(y, re);
                        simd.store_ptr(y.add(channels), im);
                    }
                }
            });
        }
    }
}

/// Two neighbouring rows of one tile, from Y to the outputs.
pub(in crate::tiled) struct OutputRows<'a, const N: usize> {
    /// Room for the transforms.
    pub work: &'a mut [f32],
    pub layout: &'a Layout,
    /// One float a channel, in whole vectors.
    pub bias: &'a [f32],
    /// What becomes of the results.
    pub epilogue: Epilogue,
    /// Whether the outputs are stored past the caches.
    pub stream: bool,
    /// Output channels that exist.
    pub channels: usize,
    /// Outputs of a row, and floats from one to the next.
    pub columns: [usize; 2],
    /// Their rows in Y: the same twice if there is but one.
    y: [*const f32; 2],
    /// Their first outputs, also the same twice.
    outputs: [*mut f32; 2],
}

impl<'a, const N: usize> OutputRows<'a, N> {
    /// # Safety
    /// Y must be complete in the rows `y`, and the outputs exist that `columns` and `channels` name, which no other thread
    /// may touch.
    pub unsafe fn new(
        layout: &'a Layout,
        (bias, epilogue, stream): (&'a [f32], Epilogue, bool),
        (channels, columns): (usize, [usize; 2]),
        y: [*const f32; 2],
        outputs: [*mut f32; 2],
        work: &'a mut [f32],
    ) -> Self {
        OutputRows { work, layout, bias, epilogue, stream, channels, columns, y, outputs }
    }
}

impl<const N: usize> SimdOp for OutputRows<'_, N> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let (padded, pair_len) = (self.layout.channels, 2 * self.layout.y[0]);
        let [columns, step] = self.columns;
        // A row that is there twice is written once.
        let rows = if self.outputs[0] == self.outputs[1] { 1 } else { 2 };
        debug_assert!(columns <= N && padded.is_multiple_of(S::LANES) && N * padded <= self.layout.y[0]);
        let lanes = Lanes(simd);
        let (held, room) = self.work.split_at_mut(2 * N * (LINE - S::LANES));
        let held = held.as_mut_ptr();
        let mut work = Work::<_, N>::new(simd.vectors(room));
        let aligned = |output: *mut f32| output.addr().is_multiple_of(size_of::<f32>() * LINE);
        let stream = self.stream && step.is_multiple_of(LINE) && self.outputs.into_iter().all(aligned);
        for c in (0..self.channels).step_by(S::LANES) {
            let bias = simd.load(&self.bias[c..]);
            let count = S::LANES.min(self.channels - c);
            let before = c % LINE;
            let stream = stream && c - before + LINE <= self.channels;
            let load = |row: usize, column: usize| {
                // SAFETY: a row of Y has N/2 columns of two parts of `padded` floats.
                unsafe {
                    let y = self.y[row].add(column * 2 * padded + c);
                    // As for the columns of the input: the next line of channels, and the next pair of rows. Together
                    // they took a fifth off this transform on a Zen 4.
                    for part in [0, padded] {
                        simd.prefetch(y.wrapping_add(part + LINE));
                        simd.prefetch_l2(y.wrapping_add(part + pair_len));
                    }
                    [simd.load_ptr(y), simd.load_ptr(y.add(padded))]
                }
            };
            rows_inverse(lanes, &mut work, load, |column, pair| {
                if column >= columns {
                    return;
                }
                for (row, &value) in pair.iter().enumerate().take(rows) {
                    let mut value = simd.add(value, bias);
                    // SAFETY: the output's channels from c on exist, and with them those of its line where it is streamed;
                    // what is held are N pairs of a line without its last vector.
                    unsafe {
                        let to = self.outputs[row].add(column * step + c);
                        if self.epilogue.accumulate {
                            value = simd.add(value, simd.load_partial_ptr(to, count));
                        }
                        let value = self.epilogue.bounds.clamp(simd, value);
                        let held = held.add((2 * column + row) * (LINE - S::LANES));
                        if !stream {
                            if count == S::LANES {
                                simd.store_ptr(to, value);
                            } else {
                                simd.store_partial_ptr(to, value, count);
                            }
                        } else if before + S::LANES < LINE {
                            // Half a line streamed now and half with the next channels would be two slow writes to memory:
                            // with them AVX2's output transforms took 1.7 to 2.4 times as long (Zen 4, batch 16).
                            simd.store_ptr(held.add(before), value);
                        } else {
                            for i in (0..before).step_by(S::LANES) {
                                simd.stream_ptr(to.sub(before).add(i), simd.load_ptr(held.add(i)));
                            }
                            simd.stream_ptr(to, value);
                        }
                    }
                }
            });
        }
    }
}
