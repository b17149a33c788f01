//! Both transforms: columns, then rows, by the one-dimensional transforms of [`crate::line`]. Between the two passes a
//! tile of one vector of channels lies in a buffer of at most 4 KiB, which stays in L1.

use std::mem::MaybeUninit;

use conv_simd::{Simd, SimdOp};

use crate::geometry::{AxisPlan, Segment};
use crate::line::{Arithmetic, Coefficients, MAX_POINTS, input_line, output_line, with_points};

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

/// The rows of one segment's elements, and which floats of them.
struct Source<'a, const N: usize> {
    image: &'a [f32],
    /// Where each row of the tile starts in the image; `None` above and below it.
    rows: [Option<usize>; N],
    /// Floats of a row of the image.
    row_len: usize,
}

impl<const N: usize> Source<'_, N> {
    /// One column of the tile: `count` floats from float `from` of each row, zero outside the image.
    #[inline(always)]
    fn column<S: Simd>(&self, simd: S, from: isize, count: usize) -> [S::Vec; N] {
        let mut column = [simd.zero(); N];
        if from >= 0 && from as usize + count <= self.row_len {
            for (value, row) in column.iter_mut().zip(&self.rows) {
                let Some(row) = row else { continue };
                // SAFETY: the row is one of the image's, and the floats are inside it.
                unsafe {
                    let from = self.image.as_ptr().add(row + from as usize);
                    *value = if count == S::LANES { simd.load_ptr(from) } else { simd.load_partial_ptr(from, count) };
                }
            }
        } else if from + count as isize > 0 && from < self.row_len as isize {
            // Phases side by side, some of them in the padding.
            let (first, skipped) = (from.max(0) as usize, (-from).max(0) as usize);
            let inside = (count - skipped).min(self.row_len - first);
            for (value, row) in column.iter_mut().zip(&self.rows) {
                let Some(row) = row else { continue };
                let mut lanes = [0.0; 16];
                lanes[skipped..skipped + inside].copy_from_slice(&self.image[row + first..][..inside]);
                *value = simd.load(&lanes);
            }
        }
        column
    }
}

impl TransformInput<'_> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(
        &self,
        simd: S,
        tile: &mut Tile<S::Vec>,
        segment: &Segment,
        c: usize,
        k: &Coefficients<S::Vec>,
    ) {
        let [vertical, horizontal] = self.axes;
        let row_len = self.image.len() / self.height;
        let rows = std::array::from_fn(|i| {
            let y = self.origin[0] + (i * vertical.cover.input_step() + segment.down) as isize;
            (y >= 0 && y < self.height as isize).then(|| y as usize * row_len)
        });
        let source = Source::<N> { image: self.image, rows, row_len };
        let count = (segment.len - c).min(S::LANES);
        let pixel = self.pixel as isize;
        let mut from = (self.origin[1] + segment.right as isize) * pixel + (self.channel + c) as isize;
        for j in 0..horizontal.points_of(self.extended[1]) {
            let transformed = input_line::<_, N>(Lanes(simd), k, source.column(simd, from, count));
            for i in 0..N {
                tile[i][j].write(transformed[i]);
            }
            from += horizontal.cover.input_step() as isize * pixel;
        }
    }

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
                with_points!(points[0], N => self.columns::<S, N>(simd, &mut tile, segment, c, &constants[0]));
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
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(&self, simd: S, tile: &mut Tile<S::Vec>, c: usize) {
        let [vertical, horizontal] = self.axes;
        let sizes = [vertical.cover.size(self.extended[0]), self.outputs[0]];
        for j in 0..horizontal.points_of(self.extended[1]) {
            let across = usize::from(horizontal.is_extra(j));
            let mut products = [simd.zero(); N];
            for (i, product) in products.iter_mut().enumerate() {
                let row = self.steps.rows[usize::from(i + 1 == N && !N.is_multiple_of(2))][across];
                let at = (i * self.steps.grid_width + j) * self.steps.plane + row + c;
                // SAFETY: M has a row of whole vectors for this tile in each of its planes.
                *product = unsafe { simd.load_ptr(self.m.add(at)) };
            }
            output_line::<_, N>(Lanes(simd), &vertical.coefficients, products, sizes, |i, value| {
                tile[i][j].write(value);
            });
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const N: usize>(&self, simd: S, tile: &Tile<S::Vec>, c: usize) {
        let horizontal = &self.axes[1];
        let sizes = [horizontal.cover.size(self.extended[1]), self.outputs[1]];
        let bias = simd.load(&self.bias[c..]);
        let count = (self.channels - c).min(S::LANES);
        for (i, row) in tile.iter().enumerate().take(self.outputs[0]) {
            // SAFETY: the first pass has written this row of N vectors.
            let row = unsafe { written::<S, N>(simd, row) };
            output_line::<_, N>(Lanes(simd), &horizontal.coefficients, row, sizes, |j, value| {
                let sum = simd.add(value, bias);
                // In this order a NaN stays one.
                let value = if self.relu { simd.max(simd.zero(), sum) } else { sum };
                // SAFETY: this output exists and belongs to this tile.
                unsafe {
                    let y = self.y.add(i * self.y_steps[0] + j * self.y_steps[1] + c);
                    if count == S::LANES { simd.store_ptr(y, value) } else { simd.store_partial_ptr(y, value, count) }
                }
            });
        }
    }
}

impl SimdOp for TransformOutput<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let [vertical, horizontal] = self.axes;
        let points = [vertical.points_of(self.extended[0]), horizontal.points_of(self.extended[1])];
        let mut tile = [[MaybeUninit::uninit(); MAX_POINTS]; MAX_POINTS];
        for c in (0..self.channels).step_by(S::LANES) {
            with_points!(points[0], N => self.columns::<S, N>(simd, &mut tile, c));
            with_points!(points[1], N => self.rows::<S, N>(simd, &tile, c));
        }
    }
}
