//! `im2col/implicit`: no matrix. One tile of pixels is gathered for a part of the reduction into a panel that stays in the
//! nearest caches, and multiplied with all its output channels by the register tile: what cuDNN calls implicit GEMM
//! (Chetlur et al. 2014), a matrix product whose packing reads the image.
//!
//! Columns of neighbouring pixels overlap. Where a tile lies in one output row and the filter is dense, the panel holds
//! the stretch of each input row under the tile once, and the tile's stride from pixel to pixel makes columns of it:
//! 3 times less to copy for 3×3 filters, 4 times for 5×5, and the panel of most layers fits the whole reduction. With
//! columns side by side, copying was 3% of the time of 3×3 layers, 8% of a grouped 5×5's and 20–28% of conv1's.
//!
//! Where rows of equal tiles would leave too few sums in flight, rows are whole tiles, and the pixels left over are tiles that
//! cross the rows: by fours, 13×13 pixels are 43 tiles in place of 52.
//!
//! Panels of two and four tiles, which use each slice of the weights as often, were slower on a Zen 4 server (by 2 and 4%
//! of conv3's time): the weights stream from L2 and L3 fast enough, and a shallower panel adds to the output more often.

use std::ops::Range;

use conv_core::{Axis, Epilogue, Phase, PlanOptions, Probe, Problem};
use conv_simd::{MAX_CLIP, Run, STARVED_SUMS, TileShape};

use crate::grid::{Columns, Grid, Place};
use crate::kernel::{Block, Operand, Start, multiply};
use crate::lowering::{Lowering, Region, Window};
use crate::plan::{Draft, Im2colPlan, Variant};
use crate::tiles;

/// A worker's panel.
const PANEL_BYTES: usize = 64 << 10;

/// Scratch: a panel a worker, at most [`PANEL_BYTES`].
pub(crate) struct Implicit {
    lowering: Lowering,
    /// Whether each tile lies in one output row, and taps in the padding are skipped.
    by_rows: bool,
    /// Tiles × output channels. Where that is too little work for the workers, the channels of a group are shared out, at
    /// the price of gathering a tile once for each share.
    grid: Grid,
    panel: Panel,
}

impl Variant for Implicit {
    const NAME: &'static str = "im2col/implicit";

    fn draft(problem: &Problem, options: &PlanOptions) -> Draft<Self> {
        let shape = tiles::shape(problem, options.isa, problem.width().output());
        let layout = tiles::blocks(problem, options.isa, shape.vectors);
        let tiling = Tiling::new(problem, shape);
        let grid = tiling.grid(layout.columns);
        let columns = grid.columns.joined(grid.bands(), 8 * options.workers);
        let grid = Grid { columns, ..grid };
        let panel = Panel::new(problem, &tiling);
        let floats = panel.floats(&tiling).max(tiling.crossing_floats(problem));
        let scratch = options.workers.min(grid.blocks()) * floats;
        let own = Implicit { lowering: Lowering::new(problem), by_rows: tiling.by_rows, grid, panel };
        Draft { own, layout, scratch: scratch as u128 }
    }

    fn execute(plan: &Im2colPlan<Self>, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        plan.for_each_block(&plan.own.grid, output, scratch, probe, |panel, place, block| {
            if place.step == 1 {
                plan.tile(input, panel, place, block, probe);
            } else {
                plan.crossing_tile(input, panel, place, block, probe);
            }
        });
    }
}

/// How the output pixels, numbered through the batch, are cut into tiles.
#[derive(Debug, Clone, Copy)]
struct Tiling {
    /// Output pixels of the batch.
    all: usize,
    /// Tiles do not cross multiples of this: an output row, or the whole batch.
    line: usize,
    /// Lines of an image, if lines are rows.
    lines: usize,
    /// Pixels of a tile; the last of a line may have fewer.
    pixels: usize,
    /// The last pixels of a line, whose tiles cross the lines.
    crossing: usize,
    /// Whether lines are output rows, so that taps in the padding can be skipped. Otherwise they are zeros in the panel.
    by_rows: bool,
}

impl Tiling {
    /// Rows as lines where there is padding to skip or a copy to save, and a row fills tiles at least by half.
    fn new(problem: &Problem, shape: TileShape) -> Self {
        let (height, width, largest) = (problem.height(), problem.width(), shape.pixels);
        let row = width.output();
        let padded = [height, width].iter().any(|axis| axis.pad_before + axis.pad_after > 0);
        let balanced = |line: usize| line.div_ceil(line.div_ceil(largest));
        let all = problem.batch() * height.output() * row;
        let by_rows = (padded || overlaps(width)) && 2 * balanced(row) >= largest;
        let line = if by_rows { row } else { all };
        let lines = if by_rows { height.output() } else { 1 };
        let tiling = Tiling { all, line, lines, pixels: balanced(line), crossing: 0, by_rows };
        if !by_rows {
            return tiling;
        }
        let crossing = Tiling { pixels: largest, crossing: row % largest, ..tiling };
        let starved = row / row.div_ceil(largest) * shape.vectors < STARVED_SUMS;
        let dense = overlaps(width) && overlaps(height) && height.kernel <= MOST_RUNS;
        let fits = || 4 * crossing.crossing_floats(problem) <= PANEL_BYTES;
        // Where it saves less, as 2% for conv1, gathering the input in shorter pieces costs as much or more.
        let [tiles, fewer] = [tiling, crossing].map(|tiling| tiling.grid(Columns::whole(1)).bands());
        if starved && dense && fits() && 10 * fewer < 9 * tiles { crossing } else { tiling }
    }

    /// The tiles, with all of `columns`.
    fn grid(&self, columns: Columns) -> Grid {
        let Tiling { line, lines, crossing, .. } = *self;
        Grid { line, lines, crossing, equal: true, ..Grid::new(self.all, self.pixels, columns) }
    }

    /// Floats of the panel of a tile that crosses the lines.
    fn crossing_floats(&self, problem: &Problem) -> usize {
        let (height, width) = (problem.height(), problem.width());
        let rows = (self.pixels.min(self.lines) - 1) * height.stride + height.kernel;
        if self.crossing == 0 { 0 } else { rows * width.kernel * problem.group_in_channels() }
    }
}

/// Runs that one tile may have.
const MOST_RUNS: usize = 16;

/// Whether the columns of neighbouring pixels along `axis` are one stretch of the input, shorter than both.
fn overlaps(axis: &Axis) -> bool {
    axis.dilation == 1 && axis.stride < axis.kernel
}

/// What of the reduction is gathered at a time, and how it lies.
#[derive(Debug, Clone)]
struct Panel {
    /// Pixels of the stretch of an input row that all columns share; `None` if each pixel has a column of its own.
    span: Option<usize>,
    windows: Vec<Window>,
}

impl Panel {
    fn new(problem: &Problem, tiling: &Tiling) -> Self {
        let (width, channels) = (problem.width(), problem.group_in_channels());
        let whole = Lowering::new(problem).whole();
        let span = (tiling.pixels - 1) * width.stride + width.kernel;
        let rows = PANEL_BYTES / 4 / (span * channels);
        if tiling.by_rows && overlaps(width) && rows > 0 {
            let windows = pieces(&whole.taps_y, rows).map(|taps_y| Window { taps_y, ..whole.clone() }).collect();
            return Panel { span: Some(span), windows };
        }
        Panel { span: None, windows: windows(&whole, PANEL_BYTES / 4 / tiling.pixels) }
    }

    /// Floats that a worker needs.
    fn floats(&self, tiling: &Tiling) -> usize {
        let most = self.windows.iter().map(|window| match self.span {
            Some(span) => window.taps_y.len() * span * window.channels.len(),
            None => tiling.pixels * window.len(),
        });
        most.max().unwrap_or(0)
    }
}

/// Cuts `range` into pieces of at most `most`, or of one, as equal as can be.
fn pieces(range: &Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let len = range.len().div_ceil(range.len().div_ceil(most.max(1)));
    let range = range.clone();
    range.clone().step_by(len).map(move |first| first..(first + len).min(range.end))
}

/// Cuts the reduction into windows of at most `depth` floats, each a stretch of the weights' rows: whole filter rows, or
/// taps of one row, or channels of one tap.
fn windows(whole: &Window, depth: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    for taps_y in pieces(&whole.taps_y, depth / whole.line()) {
        for taps_x in pieces(&whole.taps_x, depth / whole.channels.len()) {
            for channels in pieces(&whole.channels, depth) {
                windows.push(Window { taps_y: taps_y.clone(), taps_x: taps_x.clone(), channels });
            }
        }
    }
    windows
}

/// What of a tile is multiplied. Along the taps, the pixels that the padding cuts off at the start of a tile become fewer
/// and those at its end more, so that taps of equal cut are neighbours: in a row [`MAX_CLIP`] kinds at each end and one
/// between.
#[derive(Debug, Clone)]
struct Runs {
    runs: [Run; MOST_RUNS],
    len: usize,
}

impl Default for Runs {
    fn default() -> Self {
        Runs { runs: [Run { x: 0, w: 0, len: 0, skip_first: 0, skip_last: 0 }; MOST_RUNS], len: 0 }
    }
}

impl Runs {
    fn as_slice(&self) -> &[Run] {
        &self.runs[..self.len]
    }

    /// Appends what `pixels` multiply at tap number `tap` of `axis`, along which they lie: `len` floats from `x` of the panel
    /// on by the weights from `w` on, if the tap lies in the image for any of the pixels. Taps left out before it are zeros
    /// in the panel, so that a run may go over them.
    fn push(&mut self, (axis, tap): (&Axis, usize), pixels: &Range<usize>, [x, w, len]: [usize; 3]) {
        let inside = axis.valid_outputs(tap);
        let (start, end) = (inside.start.max(pixels.start), inside.end.min(pixels.end));
        if start >= end {
            return;
        }
        let (before, after) = (start - pixels.start, pixels.end - end);
        // One end can be skipped; at the other, the panel has zeros.
        let (before, after) = if before >= after { (before, 0) } else { (0, after) };
        self.append([x, w, len], [before, after].map(|skip| skip.min(MAX_CLIP)));
    }

    /// Appends a run, to the last one where it continues it.
    fn append(&mut self, [x, w, len]: [usize; 3], [skip_first, skip_last]: [usize; 2]) {
        if let Some(last) = self.runs[..self.len].last_mut()
            && (last.skip_first, last.skip_last) == (skip_first, skip_last)
            && x as isize - last.x == w as isize - last.w as isize
        {
            last.len = w + len - last.w;
            return;
        }
        self.runs[self.len] = Run { x: x as isize, w, len, skip_first, skip_last };
        self.len += 1;
    }
}

impl Im2colPlan<Implicit> {
    /// One tile of pixels of a row with its share of the output channels.
    fn tile(&self, input: &[f32], panel: &mut [f32], place: &Place, block: &mut Block<'_>, probe: &dyn Probe) {
        let group = self.own.grid.columns.group(place.part);
        let (width, all_channels) = (self.problem.width(), self.problem.group_in_channels());
        let w_row = width.kernel * all_channels;
        for (i, window) in self.own.panel.windows.iter().enumerate() {
            probe.enter(Phase::Lower);
            let channels = window.channels.len();
            let mut taps_y = window.taps_y.clone();
            if self.own.by_rows {
                let valid = self.own.lowering.valid_taps_y(place.rows.start);
                taps_y = valid.start.clamp(taps_y.start, taps_y.end)..valid.end.clamp(taps_y.start, taps_y.end);
            }
            let (pixel, row) = match self.own.panel.span {
                Some(span) => {
                    self.write_span(input, place.rows.clone(), (group, &taps_y, window), (panel, span * channels));
                    (width.stride * channels, span * channels)
                }
                None => {
                    let packed = Window { taps_y: taps_y.clone(), ..window.clone() };
                    let rows = (place.rows.clone(), group..group + 1);
                    self.own.lowering.write(self.isa, input, rows, &packed, (panel, window.len()));
                    (window.len(), window.line())
                }
            };
            let mut runs = Runs::default();
            if self.own.by_rows {
                let first = place.rows.start % self.own.grid.line;
                for (i, tap) in window.taps_x.clone().enumerate() {
                    let at = i * channels;
                    runs.push((width, tap), &(first..first + place.rows.len()), [at, at, channels]);
                }
            } else {
                runs.append([0, 0, window.len()], [0, 0]);
            }

            probe.enter(Phase::Multiply);
            let operand = Operand {
                x: panel,
                pixel,
                rows: if self.own.by_rows { taps_y.len() } else { 1 },
                row,
                w: taps_y.start * w_row + window.taps_x.start * all_channels + window.channels.start,
                w_row,
                runs: runs.as_slice(),
            };
            let start = if i == 0 { Start::Bias } else { Start::Zero };
            let epilogue = self.epilogue.of_part(i == 0, i + 1 == self.own.panel.windows.len());
            self.multiply(place, &operand, (start, epilogue), block);
        }
    }

    /// Gathers the stretch under a tile of a row, from its first pixel's first tap to its last one's last, for each of `taps_y`,
    /// which lie in the image.
    fn write_span(
        &self,
        input: &[f32],
        rows: Range<usize>,
        (group, taps_y, window): (usize, &Range<usize>, &Window),
        to: (&mut [f32], usize),
    ) {
        let (height, width) = (self.problem.height(), self.problem.width());
        let [image, y, x] = self.own.lowering.pixel(rows.start);
        let first_channel = group * self.problem.group_in_channels();
        let region = Region {
            image,
            top: height.position(y, taps_y.start),
            rows: [taps_y.len(), height.dilation],
            columns: width.position(x, window.taps_x.start)
                ..width.position(x + rows.len() - 1, window.taps_x.end - 1) + 1,
            channels: first_channel + window.channels.start..first_channel + window.channels.end,
        };
        self.own.lowering.write_region(self.isa, input, &region, to);
    }

    /// One tile of pixels below one another with its share of the output channels. The panel holds the input rows under it,
    /// of each the taps in the image.
    fn crossing_tile(&self, input: &[f32], panel: &mut [f32], place: &Place, block: &mut Block<'_>, probe: &dyn Probe) {
        probe.enter(Phase::Lower);
        let (height, width) = (self.problem.height(), self.problem.width());
        let channels = self.problem.group_in_channels();
        let group = self.own.grid.columns.group(place.part);
        let [image, y, x] = self.own.lowering.pixel(place.rows.start);
        let (taps_x, left) = width.taps_from(x);
        let line = taps_x.len() * channels;
        let region = Region {
            image,
            top: height.position(y, 0),
            rows: [(block.rows() - 1) * height.stride + height.kernel, 1],
            columns: left as isize..(left + taps_x.len()) as isize,
            channels: group * channels..(group + 1) * channels,
        };
        self.own.lowering.write_region(self.isa, input, &region, (panel, line));
        let mut runs = Runs::default();
        for tap in 0..height.kernel {
            let w = (tap * width.kernel + taps_x.start) * channels;
            runs.push((height, tap), &(y..y + block.rows()), [tap * line, w, line]);
        }

        probe.enter(Phase::Multiply);
        let pixel = height.stride * line;
        let operand = Operand { x: panel, pixel, rows: 1, row: 0, w: 0, w_row: 0, runs: runs.as_slice() };
        self.multiply(place, &operand, (Start::Bias, self.epilogue), block);
    }

    /// The products of a panel with the weights of its share of the output channels.
    fn multiply(
        &self,
        place: &Place,
        operand: &Operand<'_>,
        (start, epilogue): (Start, Epilogue),
        block: &mut Block<'_>,
    ) {
        for (part, columns) in self.weights.columns().parts_of(&self.own.grid.columns, place.part) {
            let weights = tiles::block(&self.weights, self.isa, part);
            let mut out = block.part(0..block.rows(), columns);
            multiply(&weights, operand, start, epilogue, &mut out);
        }
    }
}
