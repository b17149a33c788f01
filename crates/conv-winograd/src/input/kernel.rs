//! The tile's columns, then its rows, a strip of channels at a time: between the passes a strip of the tile lies in a
//! buffer that stays in L1.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::slice_from_raw_parts;

use conv_simd::{Isa, Lanes, Simd, SimdOp, within};

use crate::geometry::{Geometry, Segment, Tile};
use crate::layout::{Between, PlaneSteps, STRIP, STRIP_ROW};
use crate::line::{Coefficients, MAX_POINTS, input_line, with_points};

/// A tile to transform.
pub(crate) struct InputTile<'a> {
    /// Tiles, segments, constants.
    pub geometry: &'a Geometry,
    /// The tile.
    pub tile: &'a Tile,
    /// The tile after it, whose elements are prefetched.
    pub next: &'a Tile,
    /// Which group's channels.
    pub group: usize,
    /// The batch, `[n][ih][iw][ic]`.
    pub input: &'a [f32],
    /// The planes of V.
    pub v: *mut f32,
    /// Where the tile lies in them.
    pub steps: PlaneSteps,
}

impl InputTile<'_> {
    /// Transforms these strips of the tile; `between` holds each meanwhile.
    ///
    /// # Safety
    /// V must have a row of whole vectors at `steps` in each of the tile's planes, of which no other thread may touch these
    /// strips.
    pub unsafe fn transform(&self, isa: Isa, strips: Range<usize>, between: &mut Between) {
        let [vertical, horizontal] = &self.geometry.axes;
        let [down, across] = self.tile.extended();
        let points = [vertical.points_of(down), horizontal.points_of(across)];
        for strip in strips.map(|strip| strip * STRIP) {
            let end = (strip + STRIP).min(self.geometry.depth());
            for segment in &self.geometry.segments {
                let part = segment.start.max(strip)..(segment.start + segment.len).min(end);
                if !part.is_empty() {
                    let to = part.start - strip;
                    with_points!(points[0], vertical.points.zero, N, ZERO => isa.run(Columns::<N, ZERO> {
                        source: self.source(segment, part, points[1]),
                        coefficients: vertical.coefficients(down),
                        to,
                        between,
                    }));
                }
            }
            with_points!(points[1], horizontal.points.zero, N, ZERO => isa.run(Rows::<N, ZERO> { tile: self, rows: points[0], strip, len: end - strip, between }));
        }
    }

    /// What the first pass reads of a part of a row of V.
    fn source<const N: usize>(&self, segment: &Segment, part: Range<usize>, columns: usize) -> Source<'_, N> {
        let problem = &self.geometry.problem;
        let (height, pixel) = (problem.height().input as isize, problem.in_channels());
        let row_len = (problem.width().input * pixel) as isize;
        let [vertical, horizontal] = self.tile.axes;
        let top = vertical.input + segment.down as isize;
        let channel = self.group * problem.group_in_channels() + part.start - segment.start;
        let from = (horizontal.input + segment.right as isize) * pixel as isize + channel as isize;
        let image = self.tile.image as isize * height;
        let mut rows = [None; N];
        for (i, row) in rows.iter_mut().enumerate() {
            let y = top + (i * self.geometry.axes[0].cover.input_step()) as isize;
            *row = (y >= 0 && y < height).then(|| (image + y) * row_len);
        }
        let step = self.geometry.axes[1].cover.input_step() * pixel;
        let [below, right] = [0, 1].map(|axis| self.next.axes[axis].input - self.tile.axes[axis].input);
        let below = below + (self.next.image as isize - self.tile.image as isize) * height;
        Source {
            input: self.input,
            rows,
            row_len,
            from,
            step: step as isize,
            columns,
            len: part.len(),
            ahead: below * row_len + right * pixel as isize,
        }
    }
}

/// Consecutive floats of each element of a tile.
struct Source<'a, const N: usize> {
    input: &'a [f32],
    /// Where the image's rows start that are the tile's; `None` above and below the image.
    rows: [Option<isize>; N],
    /// Floats of a row of the image.
    row_len: isize,
    /// The first column's first float in a row; negative in the padding.
    from: isize,
    /// Floats from one column to the next.
    step: isize,
    /// Columns.
    columns: usize,
    /// Floats of each element, at most [`STRIP`].
    len: usize,
    /// Floats from this tile to the next.
    ahead: isize,
}

/// What elements outside the image are read from.
static ZEROS: [f32; STRIP] = [0.0; STRIP];

impl<const N: usize> Source<'_, N> {
    /// Where column `j` is to be read, for columns that are not wholly inside the image: from a copy in `edge` if some
    /// of it is inside (phases side by side), else from zeros.
    #[cold]
    fn outside(&self, j: usize, edge: &mut MaybeUninit<[[f32; STRIP]; N]>) -> [*const f32; N] {
        let from = self.from + j as isize * self.step;
        let inside = from.max(0)..(from + self.len as isize).min(self.row_len);
        let mut starts = [ZEROS.as_ptr(); N];
        if !inside.is_empty() {
            let edge = edge.write([[0.0; STRIP]; N]);
            for ((start, row), edge) in starts.iter_mut().zip(self.rows).zip(edge) {
                if let Some(row) = row {
                    let part = &self.input[(row + inside.start) as usize..(row + inside.end) as usize];
                    edge[(inside.start - from) as usize..][..part.len()].copy_from_slice(part);
                    *start = edge.as_ptr();
                }
            }
        }
        starts
    }
}

/// The first pass.
struct Columns<'a, const N: usize, const ZERO: bool> {
    source: Source<'a, N>,
    coefficients: &'a Coefficients<f32>,
    /// Where the floats go in the strip.
    to: usize,
    between: &'a mut Between,
}

impl<const N: usize, const ZERO: bool> SimdOp for Columns<'_, N, ZERO> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Columns { source, coefficients, to, between } = self;
        debug_assert!(N.max(source.columns) <= MAX_POINTS && to + source.len.next_multiple_of(S::LANES) <= STRIP_ROW);
        let between = between.as_mut_ptr();
        let mut edge = MaybeUninit::uninit();
        // Rows outside the image stay where the zeros are.
        let mut starts = [ZEROS.as_ptr(); N];
        let mut steps = [0; N];
        for i in 0..N {
            if let Some(row) = source.rows[i] {
                starts[i] = source.input.as_ptr().wrapping_offset(row + source.from);
                steps[i] = source.step;
            }
        }
        let mut from = source.from;
        for j in 0..source.columns {
            let inside = from >= 0 && from + source.len as isize <= source.row_len;
            let column = if inside { starts } else { source.outside(j, &mut edge) };
            debug_assert!(source.len <= STRIP);
            debug_assert!(column.iter().zip(source.rows).all(|(&start, row)| match row {
                Some(row) if inside =>
                    within(&source.input[row as usize..][..source.row_len as usize], start, source.len),
                _ => true,
            }));
            for c in (0..source.len).step_by(S::LANES) {
                let mut values = [simd.zero(); N];
                for i in 0..N {
                    // Not into L1: all strips of this tile come before the next one's, up to 30 KiB, and would be thrown out.
                    // On a Zen 4 conv5's input transform took 12% of the time at batch 16 with L1, 9% so.
                    simd.prefetch_l2(column[i].wrapping_offset(source.ahead + c as isize));
                    // SAFETY: `len` floats are readable at each start of a column.
                    values[i] = unsafe {
                        let start = column[i].add(c);
                        if source.len - c >= S::LANES {
                            simd.load_ptr(start)
                        } else {
                            simd.load_partial_ptr(start, source.len - c)
                        }
                    };
                }
                let transformed = input_line::<_, N, ZERO>(Lanes(simd), coefficients, values);
                for (i, value) in transformed.into_iter().enumerate() {
                    // SAFETY: c is below the strip, a whole vector more is below its row.
                    unsafe { simd.store_ptr(between.add((i * MAX_POINTS + j) * STRIP_ROW + to + c), value) };
                }
            }
            from += source.step;
            for i in 0..N {
                starts[i] = starts[i].wrapping_offset(steps[i]);
            }
        }
    }
}

/// The second pass.
struct Rows<'a, const N: usize, const ZERO: bool> {
    tile: &'a InputTile<'a>,
    rows: usize,
    /// The strip's first float in a row of V.
    strip: usize,
    /// Its floats.
    len: usize,
    between: &'a Between,
}

impl<const N: usize, const ZERO: bool> SimdOp for Rows<'_, N, ZERO> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Rows { tile, rows, strip, len, between } = self;
        let [vertical, horizontal] = &tile.geometry.axes;
        let coefficients = horizontal.coefficients(tile.tile.axes[1].extended);
        let (v, steps) = (tile.v.wrapping_add(strip), tile.steps);
        debug_assert!(N.max(rows) <= MAX_POINTS && len.next_multiple_of(S::LANES) <= STRIP_ROW);
        for i in 0..rows {
            let row = between[i * MAX_POINTS * STRIP_ROW..][..MAX_POINTS * STRIP_ROW].as_ptr();
            let planes = steps.row::<N, ZERO>(i, vertical.is_extra(i));
            debug_assert!(planes.iter().enumerate().all(|(j, &row)| {
                let plane = tile.v.wrapping_add((i * steps.grid_width + j) * steps.plane);
                within(slice_from_raw_parts(plane, steps.plane), v.wrapping_add(row), len.next_multiple_of(S::LANES))
            }));
            for c in (0..len).step_by(S::LANES) {
                let mut values = [simd.zero(); N];
                for (j, value) in values.iter_mut().enumerate() {
                    // SAFETY: c is below the strip, a whole vector more is below its row.
                    *value = unsafe { simd.load_ptr(row.add(j * STRIP_ROW + c)) };
                }
                let transformed = input_line::<_, N, ZERO>(Lanes(simd), coefficients, values);
                for (value, plane) in transformed.into_iter().zip(planes) {
                    // SAFETY: V has a row of whole vectors for this tile in each of its planes.
                    unsafe { simd.store_ptr(v.add(plane + c), value) };
                }
            }
        }
    }
}
