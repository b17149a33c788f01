//! The forward transforms, a vector of channels at a time.

use std::ops::Range;

use conv_simd::{Lanes, Simd, SimdOp, within};

use crate::tiled::geometry::{Geometry, Tile};
use crate::tiled::layout::Layout;
use crate::tiled::products::{self, FOUR, Products, THREE};
use crate::tiled::transform::{Work, column_forward, planes, rows_forward};

/// Two neighbouring rows of a tile of one group.
pub(in crate::tiled) struct InputRows<'a> {
    pub geometry: &'a Geometry,
    pub layout: &'a Layout,
    /// The batch, `[n][ih][iw][ic]`.
    pub input: &'a [f32],
    pub group: usize,
    pub tile: Tile,
    /// Samples of the vertical axis, one or two.
    pub rows: Range<usize>,
    /// The first row in X.
    x: *mut f32,
}

impl<'a> InputRows<'a> {
    /// # Safety
    /// X must have two rows at `x`, which no other thread may touch while this transforms.
    pub unsafe fn new(
        geometry: &'a Geometry,
        layout: &'a Layout,
        input: &'a [f32],
        (group, tile, rows): (usize, Tile, Range<usize>),
        x: *mut f32,
    ) -> Self {
        InputRows { geometry, layout, input, group, tile, rows, x }
    }

    /// The transform of the two rows. `copy` has room for them, `[row][sample][phase][channel]`, and `work` for transforms.
    pub fn transform<const N: usize>(&self, isa: conv_simd::Isa, [copy, work]: [&mut [f32]; 2]) {
        let columns = self.geometry.width.samples(self.tile.column);
        let depth = self.layout.depth_padded;
        let problem = &self.geometry.problem;
        // A filter of one tap has a single phase at any stride.
        let step = problem.width().stride * problem.in_channels();
        let row = problem.height().stride * problem.width().input * problem.in_channels();
        let (lines, step, next) = match self.lines(&columns) {
            Some(lines) => (lines, step, 2 * row),
            None => {
                self.gather(&columns, copy);
                let (first, second) = copy.split_at(copy.len() / 2);
                ([first, second].map(|line| &line[columns.start * depth..]), depth, 0)
            }
        };
        isa.run(RowTransform::<N> { work, lines, step, next, columns, layout: self.layout, x: self.x });
    }

    /// Both rows from the first sample on, where they can be read as they stand: single phases, in whole vectors. Copying
    /// them first took half of the time of conv2's input transforms with `paper`'s groups of 48 channels (Zen 4).
    fn lines(&self, columns: &Range<usize>) -> Option<[&'a [f32]; 2]> {
        let Geometry { problem, height, width } = self.geometry;
        let single = height.phases * width.phases == 1 && self.layout.depth == self.layout.depth_padded;
        if !single || self.rows.len() < 2 {
            return None;
        }
        let x = width.position(self.tile.column, columns.start, 0)?;
        let line = |row: usize| {
            let y = height.position(self.tile.row, row, 0)?;
            let pixel = (self.tile.image * problem.height().input + y) * problem.width().input + x;
            let line = &self.input[pixel * problem.in_channels() + self.group * problem.group_in_channels()..];
            debug_assert!({
                let step = problem.width().stride * problem.in_channels();
                let read = columns.len().checked_sub(1).map_or(0, |last| last * step + self.layout.depth);
                let row = problem.width().input * problem.in_channels();
                let image_row = (self.tile.image * problem.height().input + y) * row;
                within(&self.input[image_row..][..row], line.as_ptr(), read)
            });
            Some(line)
        };
        Some([line(self.rows.start)?, line(self.rows.start + 1)?])
    }

    /// Copies the two rows, zeros where they leave the image.
    fn gather(&self, columns: &Range<usize>, copy: &mut [f32]) {
        let depth = self.layout.depth_padded;
        for (i, line) in copy.chunks_exact_mut(copy.len() / 2).enumerate() {
            for column in columns.clone() {
                let sample = &mut line[column * depth..][..self.layout.depth];
                if i < self.rows.len() {
                    self.sample(self.rows.start + i, column, sample);
                } else {
                    sample.fill(0.0);
                }
            }
        }
    }

    /// Copies the channels of all phases of one sample.
    fn sample(&self, row: usize, column: usize, to: &mut [f32]) {
        let Geometry { problem, height, width } = self.geometry;
        let channels = problem.group_in_channels();
        let position = |right: usize| width.position(self.tile.column, column, right);
        // Phases side by side are one stretch of floats, except where other groups or the image's edge lie between.
        let whole = problem.groups() == 1 && position(0).is_some() && position(width.phases - 1).is_some();
        let stretch = if whole { width.phases } else { 1 };
        let mut parts = to.chunks_exact_mut(stretch * channels);
        for down in 0..height.phases {
            let y = height.position(self.tile.row, row, down);
            for (right, part) in (0..width.phases).step_by(stretch).zip(&mut parts) {
                match (y, position(right)) {
                    (Some(y), Some(x)) => {
                        let pixel = (self.tile.image * problem.height().input + y) * problem.width().input + x;
                        let from = pixel * problem.in_channels() + self.group * channels;
                        part.copy_from_slice(&self.input[from..from + part.len()]);
                    }
                    _ => part.fill(0.0),
                }
            }
        }
    }
}

struct RowTransform<'a, const N: usize> {
    /// Room for the transform.
    work: &'a mut [f32],
    /// From the first of the samples `columns` on, `step` floats from one to the next.
    lines: [&'a [f32]; 2],
    step: usize,
    /// Floats to the next pair of rows, which is prefetched; 0 for copies.
    next: usize,
    /// Samples that are not zero.
    columns: Range<usize>,
    layout: &'a Layout,
    /// See [`InputRows::new`].
    x: *mut f32,
}

impl<const N: usize> SimdOp for RowTransform<'_, N> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let (depth, row_len) = (self.layout.depth_padded, self.layout.x[0]);
        let Range { start, end } = self.columns;
        let len = if start < end { (end - 1 - start) * self.step + depth } else { 0 };
        assert!(end <= N && self.lines.iter().all(|line| line.len() >= len));
        debug_assert!(depth.is_multiple_of(S::LANES) && N * depth <= row_len);
        let [first, second] = self.lines.map(<[f32]>::as_ptr);
        let lanes = Lanes(simd);
        let mut work = Work::<_, N>::new(simd.vectors(self.work));
        for c in (0..depth).step_by(S::LANES) {
            let load = |j: usize| {
                if !(start..end).contains(&j) {
                    return [simd.zero(); 2];
                }
                let at = (j - start) * self.step + c;
                simd.prefetch_l2(first.wrapping_add(at + self.next));
                simd.prefetch_l2(second.wrapping_add(at + self.next));
                // SAFETY: both lines have these samples of `depth` floats, which are whole vectors.
                unsafe { [simd.load_ptr(first.add(at)), simd.load_ptr(second.add(at))] }
            };
            rows_forward(lanes, &mut work, load, |row, column, [re, im]| {
                // SAFETY: two rows of N/2 columns of two parts of `depth` floats are this task's own.
                unsafe {
                    let x = self.x.add(row * row_len + column * 2 * depth + c);
                    simd.store_ptr(x, re);
                    simd.store_ptr(x.add(depth), im);
                }
            });
        }
    }
}

/// One column of one tile, from X to the planes of V.
pub(in crate::tiled) struct InputColumn<'a, const N: usize> {
    /// Room for the transforms.
    pub work: &'a mut [f32],
    pub layout: &'a Layout,
    pub column: usize,
    /// The rows that X has of this tile; the others are zero.
    pub rows: Range<usize>,
    /// The column in the first of these rows.
    x: *const f32,
    /// The tile's row in the first plane.
    v: *mut f32,
}

impl<'a, const N: usize> InputColumn<'a, N> {
    /// # Safety
    /// X must be complete in these rows of this column, and V have a row at `v` in each plane, which no other thread may
    /// touch.
    pub unsafe fn new(
        layout: &'a Layout,
        column: usize,
        rows: Range<usize>,
        [x, v]: [*mut f32; 2],
        work: &'a mut [f32],
    ) -> Self {
        InputColumn { work, layout, column, rows, x, v }
    }
}

impl<const N: usize> SimdOp for InputColumn<'_, N> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        match self.layout.products {
            Products::Four => self.forward::<S, FOUR>(simd),
            Products::Three => self.forward::<S, THREE>(simd),
        }
    }
}

impl<const N: usize> InputColumn<'_, N> {
    #[inline(always)]
    fn forward<S: Simd, const PARTS: usize>(self, simd: S) {
        let (depth, [row_len, tile_len], [_, plane_len]) = (self.layout.depth_padded, self.layout.x, self.layout.v);
        debug_assert!(depth.is_multiple_of(S::LANES) && planes::<N>(self.column) <= self.layout.planes);
        let lanes = Lanes(simd);
        let mut work = Work::<_, N>::new(simd.vectors(self.work));
        for c in (0..depth).step_by(S::LANES) {
            let load = |j: usize| {
                if !self.rows.contains(&j) {
                    return [simd.zero(); 2];
                }
                // SAFETY: X has this row.
                unsafe {
                    let x = self.x.add((j - self.rows.start) * row_len + c);
                    // The next tile's, a line from each of many pages, which no prefetcher foresees. With this conv2 took
                    // 0.93 to 0.95 of the time at batch 16 on a Zen 4.
                    simd.prefetch_l2(x.wrapping_add(tile_len));
                    simd.prefetch_l2(x.wrapping_add(tile_len + depth));
                    [simd.load_ptr(x), simd.load_ptr(x.add(depth))]
                }
            };
            column_forward(lanes, &mut work, self.column, load, |plane, value| {
                for (part, &value) in products::input::<_, PARTS>(lanes, value).iter().enumerate() {
                    // SAFETY: a row of V has three parts of `depth` floats.
                    unsafe { simd.store_ptr(self.v.add(plane * plane_len + part * depth + c), value) };
                }
            });
        }
    }
}
