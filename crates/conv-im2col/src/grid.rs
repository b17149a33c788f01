//! How a matrix is cut into blocks: bands of rows, parts of columns.

use std::ops::Range;

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

    /// The parts of which part `part` of `joined` consists, each with its columns counted from the first of that part.
    pub fn parts_of(self, joined: &Columns, part: usize) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (group, pieces) = joined.pieces_of(part);
        let first = joined.range(part).start;
        (group * self.pieces + pieces.start..group * self.pieces + pieces.end).map(move |part| {
            let columns = self.range(part);
            (part, columns.start - first..columns.end - first)
        })
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

    /// Where block `index` stands: share after share of the bands, as many as there are `workers`, part by part in each.
    pub fn place(&self, workers: usize, index: usize) -> Place {
        let (bands, parts) = (self.bands(), self.columns.parts());
        let shares = workers.clamp(1, bands);
        let first = |share: usize| share * bands / shares;
        // The last share that begins at or before the band which would have this index if every band's parts came together.
        let share = ((index / parts + 1) * shares - 1) / bands;
        let (index, share) = (index - first(share) * parts, first(share)..first(share + 1));
        let (rows, step) = self.rows_of(share.start + index % share.len());
        Place { rows, step, part: index / share.len() }
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
            let whole = joined.range(part);
            let mut end = 0;
            for (part, range) in columns.parts_of(&joined, part) {
                assert_eq!((range.start, whole.start + range.start), (end, columns.range(part).start));
                end = range.end;
            }
            assert_eq!(end, whole.len());
        }
    }
}
