//! The unsafe part: blocks of one matrix, handed to several threads at once, and the register tile on them.

use std::marker::PhantomData;
use std::ops::Range;

use conv_core::for_each_task;
use conv_simd::{Init, MAX_CLIP, Run, SharedSlice, Simd, TileArgs, TileShape};
use faer::MatMut;

use crate::tiles::TileBlock;

/// The columns of a matrix in disjoint parts: groups of equal width, each cut into pieces of whole units (vectors, say)
/// as equal as can be; a group's last unit may be narrower.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    groups: usize,
    group: usize,
    unit: usize,
    /// Pieces of a group.
    pieces: usize,
    /// How many neighbouring pieces are one part.
    joined: usize,
}

impl Columns {
    /// `groups` groups of `group` columns in pieces of at most `most` units of `unit` columns. Equal pieces because a
    /// narrow rest would starve the tile: 16 vectors by threes are five pieces of 3 or 2, not five of 3 and one of 1.
    ///
    /// # Panics
    /// If a size is zero.
    pub fn new(groups: usize, group: usize, unit: usize, most: usize) -> Self {
        assert!(groups > 0 && group > 0 && unit > 0 && most > 0);
        Columns { groups, group, unit, pieces: group.div_ceil(unit).div_ceil(most), joined: 1 }
    }

    /// All columns as one part.
    pub fn whole(width: usize) -> Self {
        Columns::new(1, width, width, 1)
    }

    /// The same parts with each group rounded up to whole units.
    pub fn padded(self) -> Columns {
        Columns { group: self.group.next_multiple_of(self.unit), ..self }
    }

    /// The same parts with `factor` columns for each.
    pub fn scaled(self, factor: usize) -> Columns {
        Columns { group: self.group * factor, unit: self.unit * factor, ..self }
    }

    /// The same columns in larger parts, as few as make `wanted` of them together with `others`, but at most a group.
    pub fn joined(self, others: usize, wanted: usize) -> Columns {
        let parts = wanted.div_ceil(others * self.groups).min(self.pieces);
        Columns { joined: self.pieces.div_ceil(parts), ..self }
    }

    /// The parts of which part `part` of `joined` consists.
    pub fn parts_of(&self, joined: &Columns, part: usize) -> Range<usize> {
        let (group, pieces) = joined.pieces_of(part);
        group * self.pieces + pieces.start..group * self.pieces + pieces.end
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.groups * self.pieces.div_ceil(self.joined)
    }

    /// Columns in all.
    pub fn width(&self) -> usize {
        self.groups * self.group
    }

    /// The group that `part` belongs to.
    pub fn group(&self, part: usize) -> usize {
        self.pieces_of(part).0
    }

    /// The columns of `part`.
    pub fn range(&self, part: usize) -> Range<usize> {
        let (group, pieces) = self.pieces_of(part);
        let units = self.group.div_ceil(self.unit);
        let first = |piece: usize| group * self.group + (piece * units / self.pieces * self.unit).min(self.group);
        first(pieces.start)..first(pieces.end)
    }

    /// The group of `part`, and which of its pieces.
    fn pieces_of(&self, part: usize) -> (usize, Range<usize>) {
        let parts = self.pieces.div_ceil(self.joined);
        let (group, first) = (part / parts, part % parts * self.joined);
        (group, first..(first + self.joined).min(self.pieces))
    }
}

/// How a row-major matrix is cut into blocks: bands of rows × parts of columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    /// Rows of the matrix.
    pub rows: usize,
    /// No band crosses a multiple of this many rows.
    pub line: usize,
    /// Rows of a band at most.
    pub band: usize,
    /// Whether the bands of a line are as equal as can be, which suits the register tile: 13 pixels by fours are 4, 3, 3
    /// and 3, not three fours and a single one. Otherwise all but the last of a line are full.
    pub equal: bool,
    /// The last so many rows of a line are in bands that cross the lines, an image's, as equal as can be.
    pub crossing: usize,
    /// Lines of an image.
    pub lines: usize,
    /// Its columns.
    pub columns: Columns,
}

impl Grid {
    /// Bands of `band` rows all through the matrix.
    pub fn new(rows: usize, band: usize, columns: Columns) -> Self {
        Grid { rows, line: rows, band, equal: false, crossing: 0, lines: 1, columns }
    }

    /// Bands of an image along its lines and across them.
    fn image_bands(&self) -> [usize; 2] {
        let along = (self.line - self.crossing).div_ceil(self.band);
        [self.lines * along, self.crossing * self.lines.div_ceil(self.band)]
    }

    /// Number of bands.
    pub fn bands(&self) -> usize {
        let image = self.lines * self.line;
        self.rows / image * self.image_bands().iter().sum::<usize>() + (self.rows % image).div_ceil(self.band)
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.bands() * self.columns.parts()
    }

    /// Band and part of block `index`: share after share of the bands, as many as there are `workers`, part by part in each.
    fn block(&self, workers: usize, index: usize) -> (usize, usize) {
        let (bands, parts) = (self.bands(), self.columns.parts());
        let shares = workers.clamp(1, bands);
        let first = |share: usize| share * bands / shares;
        // The last share that begins at or before the band which would have this index if every band's parts came together.
        let share = ((index / parts + 1) * shares - 1) / bands;
        let (index, share) = (index - first(share) * parts, first(share)..first(share + 1));
        (share.start + index % share.len(), index / share.len())
    }

    /// The rows of `band`: a range, and how far apart in it they are.
    fn rows_of(&self, band: usize) -> (Range<usize>, usize) {
        let [along, across] = self.image_bands();
        let (image, band) = (band / (along + across), band % (along + across));
        let image = image * self.lines * self.line;
        if let Some(band) = band.checked_sub(along) {
            let bands = self.lines.div_ceil(self.band);
            let (column, band) = (self.line - self.crossing + band / bands, band % bands);
            let [first, end] = [band, band + 1].map(|band| band * self.lines / bands);
            let row = |line| image + line * self.line + column;
            return (row(first)..row(end - 1) + 1, self.line);
        }
        let bands = along / self.lines;
        let (line, band) = (image + band / bands * self.line, band % bands);
        let len = (self.line - self.crossing).min(self.rows - line);
        let rows = if self.equal {
            let bands = len.div_ceil(self.band);
            line + band * len / bands..line + (band + 1) * len / bands
        } else {
            line + band * self.band..line + (band * self.band + self.band).min(len)
        };
        (rows, 1)
    }
}

/// Where a block stands in its matrix.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its rows: every `step`-th of these.
    pub rows: Range<usize>,
    /// One, but for bands that cross the lines.
    pub step: usize,
    /// Which part of its columns.
    pub part: usize,
}

/// Calls `task(share of scratch, place, block)` once for every block of `matrix`, from up to `workers` threads. Each of them
/// has its share of the bands, part by part, so that the weights of a part serve all of them, and what it lowered it multiplies.
pub(crate) fn for_each_block<F>(workers: usize, grid: &Grid, matrix: &mut [f32], scratch: &mut [f32], task: F)
where
    F: Fn(&mut [f32], Place, Block<'_>) + Sync,
{
    let width = grid.columns.width();
    assert_eq!(matrix.len(), grid.rows * width);
    let matrix = SharedSlice::new(matrix);
    for_each_task(workers, grid.blocks(), scratch, |share, index| {
        let (band, part) = grid.block(workers, index);
        let (rows, step) = grid.rows_of(band);
        let columns = grid.columns.range(part);
        let block = Block {
            start: matrix.as_ptr().wrapping_add(rows.start * width + columns.start),
            rows: rows.len().div_ceil(step),
            columns: columns.len(),
            stride: step * width,
            matrix: PhantomData,
        };
        task(share, Place { rows, step, part }, block);
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

    /// One row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: by the invariant these are `columns` elements of ours, and `self` is borrowed with the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }

    /// The whole block.
    ///
    /// # Panics
    /// If it does not span its matrix's width.
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

/// What a product starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Nothing.
    Zero,
    /// The bias.
    Bias,
    /// What stands in the output.
    Output,
}

/// `out = start + operand · weights` by the register tile, negative results made zero if `relu`. All sizes come from a
/// validated problem, so that their products fit a `usize`.
///
/// # Panics
/// If the block's size is no register tile's, or the operand reaches outside its slices.
pub(crate) fn multiply(weights: &TileBlock<'_>, operand: &Operand<'_>, start: Start, relu: bool, out: &mut Block<'_>) {
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
        next: (out.rows * operand.pixel) as isize,
        w_row: operand.w_row * width,
        runs: operand.runs,
        y: out.start,
        y_pixel: out.stride,
        channels: out.columns,
        init: match start {
            Start::Zero => Init::Zero,
            Start::Bias => Init::Bias(weights.bias.as_ptr()),
            Start::Output => Init::Output,
        },
        relu,
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

    #[test]
    fn pieces_are_equal_and_join() {
        let columns = Columns::new(2, 125, 8, 3);
        let widths: Vec<_> = (0..columns.parts()).map(|part| columns.range(part).len()).collect();
        assert_eq!(widths, [16, 24, 24, 16, 24, 21].repeat(2));
        let joined = columns.joined(3, 12);
        assert_eq!(joined.parts(), 4);
        for part in 0..joined.parts() {
            let parts = columns.parts_of(&joined, part);
            assert_eq!(columns.range(parts.start).start, joined.range(part).start);
            assert_eq!(columns.range(parts.end - 1).end, joined.range(part).end);
        }
    }

    #[test]
    fn every_element_is_in_one_block() {
        for (line, band, equal) in
            [(7, 3, false), (7, 3, true), (7, 7, true), (3, 2, false), (2, 5, true), (4, 1, true)]
        {
            let grid = Grid { line, equal, ..Grid::new(7, band, Columns::new(2, 5, 3, 1)) };
            for workers in [1, 2, 5] {
                let mut matrix = vec![0.0; 7 * 10];
                for_each_block(workers, &grid, &mut matrix, &mut [], |_, place, mut block| {
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
            for_each_block(2, &grid, &mut matrix, &mut [], |_, place, mut block| {
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
