//! Both transforms: columns, then rows, by the one-dimensional transforms of [`crate::line`]. Between the two passes a
//! tile of one vector of channels lies in a buffer of at most 4 KiB, which stays in L1.

use std::mem::MaybeUninit;

use conv_simd::{Simd, SimdOp};

use crate::geometry::{AxisPlan, Segment};
use crate::line::{Arithmetic, Coefficients, MAX_POINTS, input_line, output_line, with_points, with_sizes};

/// [`Arithmetic`] on the vectors of an instruction set.
#[derive(Clone, Copy)]
struct Lanes<S>(S);

impl<S: Simd> Arithmetic for Lanes<S> {
    type Coefficient = f32;
    type Value = S::Vec;
    #[inline(always)]
    fn constant(self, coefficient: f32) -> S::Vec {
        self.0.splat(coefficient)
    }
    #[inline(always)]
    fn zero(self) -> S::Vec {
        self.0.zero()
    }
    #[inline(always)]
    fn add(self, a: S::Vec, b: S::Vec) -> S::Vec {
        self.0.add(a, b)
    }
    #[inline(always)]
    fn sub(self, a: S::Vec, b: S::Vec) -> S::Vec {
        self.0.sub(a, b)
    }
    #[inline(always)]
    fn mul(self, a: S::Vec, b: S::Vec) -> S::Vec {
        self.0.mul(a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: S::Vec, b: S::Vec, c: S::Vec) -> S::Vec {
        self.0.mul_add(a, b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: S::Vec, b: S::Vec, c: S::Vec) -> S::Vec {
        self.0.neg_mul_add(a, b, c)
    }
}

/// The vectors between the passes, `[row][column]`.
type Tile<V> = [[MaybeUninit<V>; MAX_POINTS]; MAX_POINTS];

/// The first N vectors of a row.
///
/// # Safety
/// They must have been written.
#[inline(always)]
unsafe fn written<S: Simd, const N: usize>(simd: S, row: &[MaybeUninit<S::Vec>; MAX_POINTS]) -> [S::Vec; N] {
    let mut values = [simd.zero(); N];
    for (value, written) in values.iter_mut().zip(row) {
        // SAFETY: the caller's promise.
        *value = unsafe { written.assume_init() };
    }
    values
}

/// Where the planes of a transformed tensor lie, seen from one tile.
#[derive(Clone, Copy)]
pub(crate) struct PlaneSteps {
    /// Floats from one plane to the next.
    pub plane: usize,
    /// Planes in a row of the grid.
    pub grid_width: usize,
    /// The tile's first float in a plane: `[vertical point is the extra one][horizontal point is]`.
    pub rows: [[usize; 2]; 2],
}

impl PlaneSteps {
    /// The tile's first float in the planes `(i, 0)` and, if it has the extra points `N − 1`, in `(i, N − 1)`.
    #[inline(always)]
    fn line<const N: usize>(&self, i: usize, extra: bool) -> [usize; 2] {
        let [base, last] = self.rows[usize::from(extra)];
        let first = i * self.grid_width * self.plane;
        [first + base, first + (N - 1) * self.plane + last]
    }
}

/// Bᵀ d B of one tile, for the channels of one group.
pub(crate) struct TransformInput<'a> {
    /// Vertical and horizontal.
    pub axes: &'a [AxisPlan; 2],
    /// Whether the tile has the extra points.
    pub extended: [bool; 2],
    /// What to read.
    pub segments: &'a [Segment],
    /// The image, `[ih][iw][ic]`.
    pub image: &'a [f32],
    /// Rows of the image.
    pub height: usize,
    /// Floats from one pixel to the next: all groups' channels.
    pub pixel: usize,
    /// The group's first channel.
    pub channel: usize,
    /// Row and column of the tile's first element; negative in the padding.
    pub origin: [isize; 2],
    /// The planes of V.
    pub v: *mut f32,
    /// Where the tile lies in them.
    pub steps: PlaneSteps,
}

/// A zero for each lane, which rows outside the image are read from.
static ZEROS: [f32; 16] = [0.0; 16];

/// The rows of a tile in the image.
struct Rows<const N: usize> {
    /// Where each row's next float is, and how far the one after it: not at all in rows outside the image.
    next: [(*const f32, usize); N],
}

impl<const N: usize> Rows<N> {
    /// The next `count` floats of each row.
    ///
    /// # Safety
    /// They must lie in the image's rows.
    #[inline(always)]
    unsafe fn load<S: Simd, const FULL: bool>(&self, simd: S, from: usize, count: usize) -> [S::Vec; N] {
        let mut column = [simd.zero(); N];
        for (value, (row, inside)) in column.iter_mut().zip(self.next) {
            // SAFETY: inside the image by the caller's promise; other rows are read from `ZEROS`.
            unsafe {
                let from = row.add(from & inside);
                *value = if FULL { simd.load_ptr(from) } else { simd.load_partial_ptr(from, count) };
            }
        }
        column
    }

    /// As `load`, for floats that lie in the image's rows only from number `skipped` on, `len` of them: phases side by
    /// side, some in the padding.
    ///
    /// # Safety
    /// Those must lie in the image's rows.
    #[inline(always)]
    unsafe fn load_clipped<S: Simd>(&self, simd: S, from: usize, skipped: usize, len: usize) -> [S::Vec; N] {
        let mut column = [simd.zero(); N];
        for (value, (row, inside)) in column.iter_mut().zip(self.next) {
            let mut lanes = [0.0; 16];
            for (i, lane) in lanes[skipped..skipped + len].iter_mut().enumerate() {
                // SAFETY: by the caller's promise.
                *lane = unsafe { *row.add((from + i) & inside) };
            }
            *value = simd.load(&lanes);
        }
        column
    }
}

impl TransformInput<'_> {
    /// The first pass: the tile's columns, of the channels from number `c` of the segment on.
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(
        &self,
        simd: S,
        tile: &mut Tile<S::Vec>,
        (segment, c): (&Segment, usize),
        k: &Coefficients<S::Vec>,
    ) {
        let [vertical, horizontal] = self.axes;
        let row_len = self.image.len() / self.height;
        let next = std::array::from_fn(|i| {
            let y = self.origin[0] + (i * vertical.cover.input_step() + segment.down) as isize;
            match usize::try_from(y) {
                Ok(y) if y < self.height => (self.image[y * row_len..].as_ptr(), usize::MAX),
                _ => (ZEROS.as_ptr(), 0),
            }
        });
        let rows = Rows::<N> { next };
        let count = (segment.len - c).min(S::LANES);
        let step = (horizontal.cover.input_step() * self.pixel) as isize;
        let mut from = (self.origin[1] + segment.right as isize) * self.pixel as isize + (self.channel + c) as isize;
        let end = (row_len - count.min(row_len)) as isize;
        for j in 0..horizontal.points_of(self.extended[1]) {
            // SAFETY: the floats that are read lie between the ends of a row.
            let column = unsafe {
                if from >= 0 && from <= end && count <= row_len {
                    if count == S::LANES {
                        rows.load::<S, true>(simd, from as usize, count)
                    } else {
                        rows.load::<S, false>(simd, from as usize, count)
                    }
                } else {
                    let (first, skipped) = (from.max(0) as usize, (-from).max(0) as usize);
                    let len = count.saturating_sub(skipped).min(row_len.saturating_sub(first));
                    rows.load_clipped(simd, first, skipped.min(count), len)
                }
            };
            let transformed = input_line::<_, N>(Lanes(simd), k, column);
            for (row, value) in tile.iter_mut().zip(transformed) {
                row[j].write(value);
            }
            from += step;
        }
    }

    /// The second pass: the tile's rows, into the planes of V.
    #[inline(always)]
    fn rows<S: Simd, const N: usize>(&self, simd: S, tile: &Tile<S::Vec>, start: usize, k: &Coefficients<S::Vec>) {
        let vertical = self.axes[0].points_of(self.extended[0]);
        for (i, row) in tile.iter().enumerate().take(vertical) {
            // SAFETY: the first pass has written `vertical` rows of N vectors.
            let transformed = input_line::<_, N>(Lanes(simd), k, unsafe { written(simd, row) });
            let [first, last] = self.steps.line::<N>(i, self.axes[0].is_extra(i));
            for (j, &value) in transformed.iter().enumerate() {
                let at = if j + 1 == N && !N.is_multiple_of(2) { last } else { first + j * self.steps.plane };
                // SAFETY: V has a row of whole vectors for this tile in each of its planes.
                unsafe { simd.store_ptr(self.v.add(at + start), value) };
            }
        }
    }
}

impl SimdOp for TransformInput<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let [vertical, horizontal] = self.axes;
        let splat = |c| simd.splat(c);
        let constants = [vertical.coefficients.map(splat), horizontal.coefficients.map(splat)];
        let points = [vertical.points_of(self.extended[0]), horizontal.points_of(self.extended[1])];
        let mut tile = [[MaybeUninit::uninit(); MAX_POINTS]; MAX_POINTS];
        for segment in self.segments {
            for c in (0..segment.len).step_by(S::LANES) {
                with_points!(points[0], N => self.columns::<S, N>(simd, &mut tile, (segment, c), &constants[0]));
                with_points!(points[1], N => self.rows::<S, N>(simd, &tile, segment.start + c, &constants[1]));
            }
        }
    }
}

/// Aᵀ M A of one tile for a chunk of output channels, with bias and ReLU.
pub(crate) struct TransformOutput<'a> {
    /// Vertical and horizontal.
    pub axes: &'a [AxisPlan; 2],
    /// Whether the tile has the extra points.
    pub extended: [bool; 2],
    /// The planes of M.
    pub m: *const f32,
    /// Where the tile lies in them.
    pub steps: PlaneSteps,
    /// One float a channel, in whole vectors.
    pub bias: &'a [f32],
    /// Output channels that exist.
    pub channels: usize,
    /// Whether negative results become zero.
    pub relu: bool,
    /// The tile's first output.
    pub y: *mut f32,
    /// Floats from one of its outputs to the next, vertically and horizontally.
    pub y_steps: [usize; 2],
    /// Its outputs that exist.
    pub outputs: [usize; 2],
}

impl TransformOutput<'_> {
    /// The first pass: the columns of the products, for the channels from number `c` on.
    #[inline(always)]
    fn columns<S: Simd, const N: usize, const M: usize>(&self, simd: S, tile: &mut Tile<S::Vec>, c: usize) {
        let [vertical, horizontal] = self.axes;
        for j in 0..horizontal.points_of(self.extended[1]) {
            let across = usize::from(horizontal.is_extra(j));
            let mut products = [simd.zero(); N];
            for (i, product) in products.iter_mut().enumerate() {
                let row = self.steps.rows[usize::from(i + 1 == N && !N.is_multiple_of(2))][across];
                let at = (i * self.steps.grid_width + j) * self.steps.plane + row + c;
                // SAFETY: M has a row of whole vectors for this tile in each of its planes.
                *product = unsafe { simd.load_ptr(self.m.add(at)) };
            }
            let outputs = output_line::<_, N, M>(Lanes(simd), &vertical.coefficients, products);
            for (row, output) in tile.iter_mut().zip(outputs) {
                row[j].write(output);
            }
        }
    }

    /// The second pass: the rows that exist, into the output.
    #[inline(always)]
    fn rows<S: Simd, const N: usize, const M: usize>(&self, simd: S, tile: &Tile<S::Vec>, c: usize) {
        let bias = simd.load(&self.bias[c..]);
        let least = simd.splat(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        let count = (self.channels - c).min(S::LANES);
        for (i, row) in tile.iter().enumerate().take(self.outputs[0]) {
            // SAFETY: the first pass has written this row of N vectors.
            let row = unsafe { written::<S, N>(simd, row) };
            let outputs = output_line::<_, N, M>(Lanes(simd), &self.axes[1].coefficients, row);
            for (j, &output) in outputs.iter().enumerate() {
                if j < self.outputs[1] {
                    // In this order a NaN stays one.
                    let value = simd.max(least, simd.add(output, bias));
                    // SAFETY: this output exists and belongs to this tile.
                    unsafe {
                        let y = self.y.add(i * self.y_steps[0] + j * self.y_steps[1] + c);
                        if count == S::LANES {
                            simd.store_ptr(y, value);
                        } else {
                            simd.store_partial_ptr(y, value, count);
                        }
                    }
                }
            }
        }
    }
}

impl SimdOp for TransformOutput<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let [vertical, horizontal] = self.axes;
        let points = [vertical.points_of(self.extended[0]), horizontal.points_of(self.extended[1])];
        let outputs = [vertical.cover.size(self.extended[0]), horizontal.cover.size(self.extended[1])];
        let mut tile = [[MaybeUninit::uninit(); MAX_POINTS]; MAX_POINTS];
        for c in (0..self.channels).step_by(S::LANES) {
            with_sizes!(points[0], outputs[0], N, M => self.columns::<S, N, M>(simd, &mut tile, c));
            with_sizes!(points[1], outputs[1], N, M => self.rows::<S, N, M>(simd, &tile, c));
        }
    }
}
