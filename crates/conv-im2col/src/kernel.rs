//! The unsafe part: blocks of one matrix, handed to several threads at once.

use std::marker::PhantomData;
use std::ops::Range;

use conv_core::for_each_task;
use conv_simd::SharedSlice;
use faer::MatMut;

/// The columns of a matrix in disjoint parts: groups of equal width, each cut into pieces of which the last may be
/// narrower.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    groups: usize,
    group: usize,
    piece: usize,
}

impl Columns {
    /// `groups` groups of `group` columns in pieces of `piece`.
    ///
    /// # Panics
    /// If a size is zero.
    pub fn new(groups: usize, group: usize, piece: usize) -> Self {
        assert!(groups > 0 && group > 0 && piece > 0);
        Columns { groups, group, piece }
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.groups * self.group.div_ceil(self.piece)
    }

    /// Columns in all.
    pub fn width(&self) -> usize {
        self.groups * self.group
    }

    /// The group that `part` belongs to.
    pub fn group(&self, part: usize) -> usize {
        part / self.group.div_ceil(self.piece)
    }

    /// The columns of `part`.
    pub fn range(&self, part: usize) -> Range<usize> {
        let group = self.group(part);
        let first = part % self.group.div_ceil(self.piece) * self.piece;
        group * self.group + first..group * self.group + (first + self.piece).min(self.group)
    }
}

/// How a row-major matrix is cut into blocks: bands of `band` rows (the last may be shorter) × parts of columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    /// Rows of the matrix.
    pub rows: usize,
    /// Rows of a block.
    pub band: usize,
    /// Its columns.
    pub columns: Columns,
}

/// Where a block stands in its matrix.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its rows.
    pub rows: Range<usize>,
    /// Which part of its columns.
    pub part: usize,
}

/// Calls `task(share of scratch, place, block)` once for every block of `matrix`, from up to `workers` threads. Blocks
/// of the same columns come one after another.
pub(crate) fn for_each_block<F>(workers: usize, grid: &Grid, matrix: &mut [f32], scratch: &mut [f32], task: F)
where
    F: Fn(&mut [f32], Place, Block<'_>) + Sync,
{
    let width = grid.columns.width();
    assert_eq!(matrix.len(), grid.rows * width);
    let bands = grid.rows.div_ceil(grid.band);
    let matrix = SharedSlice::new(matrix);
    for_each_task(workers, bands * grid.columns.parts(), scratch, |share, index| {
        let (part, first) = (index / bands, index % bands * grid.band);
        let rows = first..(first + grid.band).min(grid.rows);
        let columns = grid.columns.range(part);
        let block = Block {
            start: matrix.as_ptr().wrapping_add(first * width + columns.start),
            rows: rows.len(),
            columns: columns.len(),
            stride: width,
            matrix: PhantomData,
        };
        task(share, Place { rows, part }, block);
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

impl Block<'_> {
    /// Rows of the block.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// One row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: by the invariant these are `columns` elements of ours, and `self` is borrowed with the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }

    /// The block as faer's matrix.
    pub fn as_mat(&mut self) -> MatMut<'_, f32> {
        // SAFETY: by the invariant every element is ours, and `self` is borrowed with the matrix. Strides are below
        // `isize::MAX` because the matrix is one slice.
        unsafe { MatMut::from_raw_parts_mut(self.start, self.rows, self.columns, self.stride as isize, 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_in_one_block() {
        let grid = Grid { rows: 7, band: 3, columns: Columns::new(2, 5, 3) };
        let mut matrix = vec![0.0; 7 * 10];
        for_each_block(2, &grid, &mut matrix, &mut [], |_, place, mut block| {
            assert_eq!(block.rows(), place.rows.len());
            for row in 0..block.rows() {
                block.row(row).iter_mut().for_each(|x| *x += 1.0 + place.part as f32);
            }
        });
        for row in matrix.chunks_exact(10) {
            assert_eq!(row, [1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0]);
        }
    }
}
