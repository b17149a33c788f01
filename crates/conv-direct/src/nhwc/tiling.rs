//! Cutting an output image into tiles whose padding the register tile can skip.

use std::ops::Range;

use conv_core::Problem;
use conv_simd::{MAX_CLIP, Run, STARVED_SUMS};

use super::geometry::{Direction, Geometry};

/// A line of output pixels.
#[derive(Debug)]
pub(super) struct Line {
    /// Which row (or column) of the output it is.
    pub output: usize,
    /// Taps inside the image across the line. Made once: a division costs as much as ten multiply-adds, and those between
    /// two tiles left conv1 four points short of the peak.
    pub taps: Range<usize>,
    /// The input row (or column) under the first of them.
    pub first_input: usize,
}

/// Tiles side by side along a line, which multiply the same at each of their pixels. They are looked up together: between two
/// tiles all that was looked up has left L1, through which the weights passed, and each lookup waits for L2 several times over
/// (AVX2's conv1 took 0.98 to 0.99 of the time that it took tile by tile).
#[derive(Debug)]
pub(super) struct Segment {
    /// Tiles of the line before it.
    before: usize,
    /// Its tiles.
    tiles: usize,
    /// First output pixel.
    pub first: usize,
    /// Output pixels of each tile.
    pub pixels: usize,
    /// What the first tile multiplies at one tap across the line; `x` counts from the input line's first float, `w` from that
    /// tap's first row of weights, both of the group.
    pub runs: Vec<Run>,
}

impl Segment {
    /// Its runs, moved to where they would begin at pixel `first`.
    fn runs_from(&self, first: usize, along: &Direction) -> Vec<Run> {
        let moved = (first - self.first) * along.axis.stride * along.input;
        self.runs.iter().map(|run| Run { x: run.x + moved as isize, ..*run }).collect()
    }
}

/// The tiles of a segment from some tile on.
#[derive(Debug)]
pub(super) struct Tiles<'a> {
    pub segment: &'a Segment,
    /// Tiles of the segment before.
    pub skipped: usize,
    /// Tiles.
    pub count: usize,
}

/// Parallel lines, each cut into the same segments.
#[derive(Debug)]
pub(super) struct Lines {
    pub along: Direction,
    pub across: Direction,
    lines: Vec<Line>,
    segments: Vec<Segment>,
    /// Tiles of each line.
    tiles: usize,
}

impl Lines {
    /// The rows `rows` of the output, of which the columns `columns` are cut into tiles of at most `limit` pixels.
    fn rows(
        channels: usize,
        [across, down]: [Direction; 2],
        rows: Range<usize>,
        columns: Range<usize>,
        limit: usize,
    ) -> Self {
        let lines = rows.map(|output| {
            let (taps, first_input) = down.axis.taps_from(output);
            Line { output, taps, first_input }
        });
        let segments =
            cut(&across, columns, limit, |first, pixels| runs([channels, 1], [&across, &down], first, pixels));
        Lines::new([across, down], lines.collect(), segments)
    }

    /// The column `column`, of which the rows `rows` are cut into tiles of at most `limit` pixels. All taps across it are
    /// in its runs, inside those along it, so that a sum has the same order as in a row, and so the same bits.
    fn column(
        channels: usize,
        [across, down]: [Direction; 2],
        rows: Range<usize>,
        column: usize,
        limit: usize,
    ) -> Self {
        let (taps, first_input) = across.axis.taps_from(column);
        let segments =
            cut(&down, rows, limit, |first, pixels| runs([channels, taps.len()], [&down, &across], first, pixels));
        let line = Line { output: column, taps: taps.start..(taps.start + 1).min(taps.end), first_input };
        Lines::new([down, across], vec![line], segments)
    }

    fn new([along, across]: [Direction; 2], lines: Vec<Line>, segments: Vec<Segment>) -> Self {
        let tiles = segments.iter().map(|segment| segment.tiles).sum();
        Lines { along, across, lines, segments, tiles }
    }

    fn len(&self) -> usize {
        self.lines.len() * self.tiles
    }
}

/// An output image as tiles: row by row, and on narrow images the last columns, down.
#[derive(Debug)]
pub(super) struct Tiling {
    rows: Lines,
    /// Each cut into as many segments.
    columns: Vec<Lines>,
}

impl Tiling {
    /// Tiles of `vectors` vectors of output channels and at most `limit` pixels. Rows are cut as equally as can be. Where
    /// that starves the tile, they are cut into whole tiles, and the pixels left over are tiles down the image: by fours,
    /// 13×13 pixels are 43 tiles in place of 52 (AVX2, conv3 to conv5: 95 to 97% of the peak in place of 89 to 91%).
    pub(super) fn new(problem: &Problem, geometry: &Geometry, vectors: usize, limit: usize) -> Self {
        let [height, width] = geometry.output;
        let directions = [geometry.across(problem), geometry.down(problem)];
        let channels = problem.group_in_channels();
        let tiling = |columns: usize| {
            let column = |column| Lines::column(channels, directions, 0..height, column, limit);
            Tiling {
                rows: Lines::rows(channels, directions, 0..height, 0..width - columns, limit),
                columns: (width - columns..width).map(column).collect(),
            }
        };
        let rows = tiling(0);
        if width / width.div_ceil(limit) * vectors >= STARVED_SUMS {
            return rows;
        }
        let mixed = tiling(width % limit);
        if mixed.len() < rows.len() { mixed } else { rows }
    }

    /// Tiles in all.
    pub(super) fn len(&self) -> usize {
        self.rows.len() + self.columns.iter().map(Lines::len).sum::<usize>()
    }

    /// Tile `index` and those behind it in its segment: the lines that it is on, which one, and the tiles.
    pub(super) fn tiles(&self, index: usize) -> (&Lines, &Line, Tiles<'_>) {
        let (lines, index) = match index.checked_sub(self.rows.len()) {
            None => (&self.rows, index),
            Some(index) => (&self.columns[index / self.columns[0].len()], index % self.columns[0].len()),
        };
        let (line, index) = (&lines.lines[index / lines.tiles], index % lines.tiles);
        let segment =
            lines.segments.iter().rfind(|segment| segment.before <= index).expect("the first has none before");
        let skipped = index - segment.before;
        (lines, line, Tiles { segment, skipped, count: segment.tiles - skipped })
    }
}

/// Cuts the outputs `range` along a line into tiles of at most `limit` pixels, as equal as can be, narrower where there
/// are no `runs` for so many from the first one on. A single pixel must have some.
fn cut(
    along: &Direction,
    range: Range<usize>,
    limit: usize,
    runs: impl Fn(usize, usize) -> Option<Vec<Run>>,
) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let (mut first, mut before) = (range.start, 0);
    while first < range.end {
        let rest = range.end - first;
        let mut pixels = rest.div_ceil(rest.div_ceil(limit));
        let runs = loop {
            match runs(first, pixels) {
                Some(runs) => break runs,
                None => pixels -= 1,
            }
        };
        match segments.last_mut() {
            Some(last) if last.pixels == pixels && last.runs_from(first, along) == runs => last.tiles += 1,
            _ => segments.push(Segment { before, tiles: 1, first, pixels, runs }),
        }
        first += pixels;
        before += 1;
    }
    segments
}

/// The runs of `pixels` outputs from `first`, each tap along the line by the first `taps` taps across it, or `None` if the
/// padding cuts more off than a run can skip. A single pixel always works.
fn runs(
    [channels, taps]: [usize; 2],
    [along, across]: [&Direction; 2],
    first: usize,
    pixels: usize,
) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for tap in 0..along.axis.kernel {
        let valid = along.axis.valid_outputs(tap);
        let (start, end) = (valid.start.max(first), valid.end.min(first + pixels));
        if start >= end {
            continue;
        }
        let (skip_first, skip_last) = (start - first, first + pixels - end);
        if skip_first.min(skip_last) > 0 || skip_first.max(skip_last) > MAX_CLIP {
            return None;
        }
        for crossing in 0..taps {
            let run = Run {
                x: along.axis.position(first, tap) * along.input as isize
                    + (crossing * across.axis.dilation * across.input) as isize,
                w: tap * along.weights + crossing * across.weights,
                len: channels,
                skip_first,
                skip_last,
            };
            match runs.last_mut() {
                // Taps that are neighbours in memory, as they are across a dense filter of one group, are one longer run.
                Some(last)
                    if (last.skip_first, last.skip_last) == (skip_first, skip_last)
                        && (last.x + last.len as isize, last.w + last.len) == (run.x, run.w) =>
                {
                    last.len += channels;
                }
                _ => runs.push(run),
            }
        }
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use conv_simd::Isa;

    use super::*;

    /// Each pixel of an image, how often it is in a tile.
    fn covered(tiling: &Tiling, [height, width]: [usize; 2]) -> Vec<usize> {
        let mut seen = vec![0; height * width];
        let mut index = 0;
        while index < tiling.len() {
            let (lines, line, Tiles { segment, skipped, count }) = tiling.tiles(index);
            let first = segment.first + skipped * segment.pixels;
            for pixel in first..first + count * segment.pixels {
                seen[(line.output * lines.across.output + pixel * lines.along.output) / 8] += 1;
            }
            index += count;
        }
        seen
    }

    #[test]
    fn each_pixel_is_in_one_tile() {
        for isa in Isa::available() {
            for descriptor in [
                "mb1ic8ih13oc8kh3ph1",
                "mb1ic8ih7iw14oc8kh5kw5ph2pw2",
                "mb1ic3ih33iw17oc8kh11kw3sh4sw2",
                "mb1ic8ih1iw13oc8kh1kw1",
            ] {
                let problem: Problem = descriptor.parse().unwrap();
                let geometry = Geometry::new(&problem, problem.out_channels());
                for vectors in 1..=isa.most_vectors() {
                    let tiling = Tiling::new(&problem, &geometry, vectors, isa.tile_pixels(vectors));
                    let seen = covered(&tiling, geometry.output);
                    assert!(seen.iter().all(|&times| times == 1), "{descriptor} on {isa}, {vectors} vectors: {seen:?}");
                }
            }
        }
    }

    #[test]
    fn tiles_from_the_midst_of_a_segment_are_those_behind_it() {
        let problem: Problem = "mb1ic3ih39oc8kh7sh2".parse().unwrap();
        let tiling = Tiling::new(&problem, &Geometry::new(&problem, problem.out_channels()), 4, 4);
        let places: Vec<_> = (0..5)
            .map(|index| {
                let (.., Tiles { segment, skipped, count }) = tiling.tiles(index);
                (segment.first + skipped * segment.pixels, segment.pixels, count)
            })
            .collect();
        // 17 pixels of a row.
        assert_eq!(places, [(0, 4, 2), (4, 4, 1), (8, 3, 3), (11, 3, 2), (14, 3, 1)]);
    }

    #[test]
    fn what_rows_of_whole_tiles_leave_over_is_cut_down_the_image() {
        let problem: Problem = "mb1ic8ih13oc24kh3ph1".parse().unwrap();
        let geometry = Geometry::new(&problem, problem.out_channels());
        for isa in Isa::available().into_iter().filter(|isa| isa.tile_shape().vectors == 3 && isa.tile_pixels(3) == 4) {
            assert_eq!(Tiling::new(&problem, &geometry, 3, isa.tile_pixels(3)).len(), 13 * 3 + 4, "{isa}");
        }
    }
}
