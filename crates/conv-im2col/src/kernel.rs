//! The unsafe part: blocks of one matrix, handed to several threads at once, and the register tile on them.

use std::marker::PhantomData;
use std::ops::Range;

use conv_core::{Epilogue, for_each_task};
use conv_simd::{Init, Isa, MAX_CLIP, Run, SharedSlice, Simd, TileArgs, TileShape, within};
use faer::MatMut;

use crate::grid::{Grid, Place};

/// Calls `task(share of scratch, place, block)` once for every block of `matrix`, whose rows begin `pitch` floats apart, from
/// up to `workers` threads. Each of them has its share of the bands, part by part, so that the weights of a part serve all of them, and what it lowered it multiplies.
pub(crate) fn for_each_block<F>(
    workers: usize,
    grid: &Grid,
    (matrix, pitch): (&mut [f32], usize),
    scratch: &mut [f32],
    task: F,
) where
    F: Fn(&mut [f32], Place, Block<'_>) + Sync,
{
    let width = grid.columns.width();
    // Behind the last row's columns there may be as much as between rows.
    let most = grid.rows * pitch;
    assert!(pitch >= width && (most - (pitch - width)..=most).contains(&matrix.len()));
    let matrix = SharedSlice::new(matrix);
    for_each_task(workers, grid.blocks(), scratch, |share, index| {
        let place = grid.place(workers, index);
        let columns = grid.columns.range(place.part);
        let block = Block {
            start: matrix.as_ptr().wrapping_add(place.rows.start * pitch + columns.start),
            rows: place.rows.len().div_ceil(place.step),
            columns: columns.len(),
            stride: place.step * pitch,
            matrix: PhantomData,
        };
        debug_assert!({
            let last = block.rows - 1;
            let rows = matrix.part(place.rows.start * pitch, last * block.stride + width);
            within(rows, block.start, last * block.stride + block.columns)
        });
        task(share, place, block);
    });
}

/// A block of a row-major matrix that one task alone may touch.
///
/// Invariant: `start + r·stride + c` is an element of a matrix borrowed for `'a` and of no other block, for all
/// `r < rows` and `c < columns`. [`for_each_block`] has it from the grid, whose blocks are disjoint parts of a matrix of
/// the asserted size, and from visiting each once.
pub(crate) struct Block<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

impl<'a> Block<'a> {
    /// A whole matrix, `width` floats a row.
    pub fn of(matrix: &'a mut [f32], width: usize) -> Self {
        let rows = matrix.len() / width;
        Block { start: matrix.as_mut_ptr(), rows, columns: width, stride: width, matrix: PhantomData }
    }

    /// Rows of the block.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the block.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: by the invariant these are `columns` elements of ours, and `self` is borrowed with the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }

    /// The whole block.
    ///
    /// # Panics
    /// If anything lies between its rows.
    pub fn as_slice(&mut self) -> &mut [f32] {
        assert_eq!(self.columns, self.stride);
        // SAFETY: by the invariant all rows are ours; they follow one another without a gap.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.rows * self.columns) }
    }

    /// Some rows and columns of the block.
    pub fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> Block<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        Block {
            start: self.start.wrapping_add(rows.start * self.stride + columns.start),
            rows: rows.len(),
            columns: columns.len(),
            ..*self
        }
    }

    /// The block as faer's matrix.
    pub fn as_mat(&mut self) -> MatMut<'_, f32> {
        // SAFETY: by the invariant every element is ours, and `self` is borrowed with the matrix. Strides are below
        // `isize::MAX` because the matrix is one slice.
        unsafe { MatMut::from_raw_parts_mut(self.start, self.rows, self.columns, self.stride as isize, 1) }
    }
}

/// The left side of a register tile's product. Pixel `p` under filter row `r` starts at `x[r·row + p·pixel]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    /// Input floats.
    pub x: &'a [f32],
    /// Floats from one pixel to the next.
    pub pixel: usize,
    /// Filter rows.
    pub rows: usize,
    /// Floats from one filter row to the next.
    pub row: usize,
    /// First row of the weights' matrix.
    pub w: usize,
    /// Rows of the weights' matrix from one filter row to the next.
    pub w_row: usize,
    /// What is multiplied under one filter row.
    pub runs: &'a [Run],
}

/// The right side: weights of one register tile's output channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileWeights<'a> {
    /// The instruction set they are cut for.
    pub isa: Isa,
    /// Vectors of the tile.
    pub vectors: usize,
    /// Rows of weights, vectors × lanes floats each.
    pub weights: &'a [f32],
    /// One float a channel, zero without a bias.
    pub bias: &'a [f32],
}

/// What a product starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Nothing.
    Zero,
    /// The bias.
    Bias,
}

/// `out = start + operand · weights` by the register tile, then `epilogue` but for its pitch, which is `out`'s. All sizes come from a
/// validated problem, so that their products fit a `usize`.
///
/// # Panics
/// If the block's size is no register tile's, or the operand reaches outside its slices.
pub(crate) fn multiply(
    weights: &TileWeights<'_>,
    operand: &Operand<'_>,
    start: Start,
    epilogue: Epilogue,
    out: &mut Block<'_>,
) {
    let TileShape { vectors, lanes, .. } = weights.isa.tile_shape();
    let width = weights.vectors * lanes;
    assert!((1..=vectors).contains(&weights.vectors));
    assert!((1..=weights.isa.tile_pixels(weights.vectors)).contains(&out.rows));
    assert!(out.columns <= width && out.columns + lanes > width && weights.bias.len() == width);
    for run in operand.runs.iter().filter(|_| operand.rows > 0) {
        assert!(run.skip_first.min(run.skip_last) == 0 && run.skip_first.max(run.skip_last) <= MAX_CLIP);
        let last_row = operand.rows - 1;
        assert!((operand.w + last_row * operand.w_row + run.w + run.len) * width <= weights.weights.len());
        if run.skip_first + run.skip_last < out.rows {
            let first = run.x + (run.skip_first * operand.pixel) as isize;
            let last = run.x + (last_row * operand.row + (out.rows - 1 - run.skip_last) * operand.pixel) as isize;
            assert!(first >= 0 && last as usize + run.len <= operand.x.len());
        }
    }
    let args = TileArgs {
        x: operand.x.as_ptr(),
        x_pixel: operand.pixel,
        w: weights.weights.as_ptr().wrapping_add(operand.w * width),
        rows: operand.rows,
        x_row: operand.row,
        ahead: operand.row as isize,
        next: (out.rows * operand.pixel) as isize,
        w_row: operand.w_row * width,
        later: None,
        outputs_at_once: 0,
        runs: operand.runs,
        y: out.start,
        y_pixel: out.stride,
        channels: out.columns,
        init: match start {
            Start::Zero => Init::Zero,
            Start::Bias => Init::Bias(weights.bias.as_ptr()),
        },
        accumulate: epilogue.accumulate,
        bounds: epilogue.bounds,
        stream: false,
    };
    // SAFETY: every run's first and last reads of input and weights were checked above, and with them, all strides being
    // positive, those between. The bias is a whole row. The output is the block, ours alone by its invariant.
    unsafe { weights.isa.tile(out.rows, weights.vectors).run(&args) };
}

/// Copies runs of `len` floats, `pitch` floats apart in `from`, side by side into all of `to`, without the call that
/// `copy_from_slice` makes for each.
///
/// # Panics
/// If `to` is not whole runs of a float at least, or `from` too short for them.
#[inline(always)]
pub(crate) fn copy<S: Simd>(simd: S, (from, pitch): (&[f32], usize), (to, len): (&mut [f32], usize)) {
    if to.is_empty() {
        return;
    }
    // Neighbours in memory are one run.
    let len = if pitch == len { to.len() } else { len };
    assert!((1..=to.len()).contains(&len));
    let last = to.len() - len;
    let (mut from_start, mut start) = (0, 0);
    while start <= last {
        assert!(from_start + len <= from.len());
        let (from, to) = (from.as_ptr().wrapping_add(from_start), to.as_mut_ptr().wrapping_add(start));
        // SAFETY: `len` floats can be read, as was just asserted, and written, because `start + len` is at most the length.
        unsafe { copy_run(simd, from, to, len) };
        (from_start, start) = (from_start + pitch, start + len);
    }
    assert_eq!(start, to.len());
}

/// # Safety
/// `len` floats must be valid for reading at `from` and for writing at `to`, and not overlap.
#[inline(always)]
unsafe fn copy_run<S: Simd>(simd: S, from: *const f32, to: *mut f32, len: usize) {
    let rest = len % S::LANES;
    // SAFETY: the caller's promise; each step stays below `len`.
    unsafe {
        for c in (0..len - rest).step_by(S::LANES) {
            simd.store_ptr(to.add(c), simd.load_ptr(from.add(c)));
        }
        if rest == 0 {
            return;
        }
        if len > S::LANES {
            // A last whole vector that overlaps the one before costs less than a masked store: 280 instead of 390 µs for
            // conv1, whose runs are 33 floats.
            let last = len - S::LANES;
            simd.store_ptr(to.add(last), simd.load_ptr(from.add(last)));
        } else {
            simd.store_partial_ptr(to, simd.load_partial_ptr(from, rest), rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Columns;

    #[test]
    fn every_element_is_in_one_block() {
        for (line, band, equal) in
            [(7, 3, false), (7, 3, true), (7, 7, true), (3, 2, false), (2, 5, true), (4, 1, true)]
        {
            let grid = Grid { line, equal, ..Grid::new(7, band, Columns::new(2, 5, 3, 1)) };
            for workers in [1, 2, 5] {
                let mut matrix = vec![0.0; 7 * 10];
                for_each_block(workers, &grid, (&mut matrix, 10), &mut [], |_, place, mut block| {
                    assert_eq!(place.rows.start / line, (place.rows.end - 1) / line);
                    assert!(block.rows() == place.rows.len() && block.rows() <= band);
                    for row in 0..block.rows() {
                        block.row(row).iter_mut().for_each(|x| *x += 1.0 + place.part as f32);
                    }
                });
                for row in matrix.chunks_exact(10) {
                    assert_eq!(row, [1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0]);
                }
            }
        }
    }

    #[test]
    fn bands_cross_the_lines_of_one_image() {
        for (lines, band, crossing) in [(3, 2, 1), (3, 2, 3), (5, 4, 1), (1, 3, 2)] {
            let rows = 2 * lines * 5;
            let grid = Grid { line: 5, equal: true, crossing, lines, ..Grid::new(rows, band, Columns::whole(2)) };
            let mut matrix = vec![0.0; rows * 2];
            for_each_block(2, &grid, (&mut matrix, 2), &mut [], |_, place, mut block| {
                assert_eq!(place.rows.start / (lines * 5), (place.rows.end - 1) / (lines * 5), "one image");
                assert_eq!(place.rows.clone().step_by(place.step).len(), block.rows());
                assert!(block.rows() <= band && [1, 5].contains(&place.step));
                for (row, index) in place.rows.step_by(place.step).enumerate() {
                    assert_eq!(place.step > 1, index % 5 >= 5 - crossing);
                    block.row(row).iter_mut().for_each(|x| *x += 1.0 + index as f32);
                }
            });
            for (index, row) in matrix.chunks_exact(2).enumerate() {
                assert_eq!(row, [1.0 + index as f32; 2]);
            }
        }
    }
}
