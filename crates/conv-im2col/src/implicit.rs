//! `im2col/implicit`: no matrix. One tile of pixels is gathered for a part of the reduction into a panel that stays in the
//! nearest caches, and multiplied with all its output channels by the register tile: what cuDNN calls implicit GEMM
//! (Chetlur et al. 2014), a matrix product whose packing reads the image.
//!
//! Columns of neighbouring pixels overlap. Where a tile lies in one output row and the filter is dense, the panel holds
//! the stretch of each input row under the tile once, and the tile's stride from pixel to pixel makes columns of it:
//! 3 times less to copy for 3×3 filters, 4 times for 5×5, and the panel of most layers fits the whole reduction. With
//! columns side by side, copying was 3% of the time of 3×3 layers, 8% of a grouped 5×5's and 20–28% of conv1's.
//!
//! Panels of two and four tiles, which use each slice of the weights as often, were slower on a Zen 4 server (by 2 and 4%
//! of conv3's time): the weights stream from L2 and L3 fast enough, and a shallower panel adds to the output more often.

use std::ops::Range;

use conv_core::{
    Algorithm, Axis, Epilogue, Filter, Footprint, Phase, Plan, PlanError, PlanOptions, Probe, Problem, Unsupported,
};
use conv_simd::{Isa, MAX_CLIP, Run};

use crate::kernel::{Block, Grid, Operand, Place, Start, for_each_block, multiply};
use crate::lowering::{Lowering, Window};
use crate::tiles::TileWeights;

/// A worker's panel.
const PANEL_BYTES: usize = 64 << 10;

/// Scratch: a panel a worker, at most [`PANEL_BYTES`].
pub(crate) struct Im2colImplicit;

impl Algorithm for Im2colImplicit {
    fn name(&self) -> &'static str {
        "im2col/implicit"
    }

    fn supports(&self, _: &Problem) -> Result<(), Unsupported> {
        Ok(())
    }

    fn plan(
        &self,
        problem: &Problem,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Box<dyn Plan>, PlanError> {
        filter.check(problem)?;
        let isa = options.isa;
        let shape = TileWeights::shape(problem, isa, problem.width().output());
        let tile = (isa, shape.vectors);
        let lowering = Lowering::new(problem);
        let tiling = Tiling::new(problem, shape.pixels);
        let columns = TileWeights::columns_of(problem, tile).joined(tiling.tiles(), 8 * options.workers);
        let grid = Grid { rows: lowering.rows(), line: tiling.line, band: tiling.pixels, equal: true, columns };
        let panel = Panel::new(problem, &tiling);
        let scratch = options.workers.min(grid.blocks()) * panel.floats(&tiling);
        let footprint = options.admit(TileWeights::bytes(problem, tile), 4 * scratch as u128)?;
        Ok(Box::new(ImplicitPlan {
            problem: problem.clone(),
            isa,
            workers: options.workers,
            epilogue,
            footprint,
            lowering,
            by_rows: tiling.by_rows,
            grid,
            panel,
            weights: TileWeights::new(problem, filter, tile, options.workers)?,
        }))
    }

    /// As for every sum of `reduction` products and a bias, in any order: at most `reduction + 1` roundings meet any one
    /// term (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., §3.1).
    fn error_growth(&self, problem: &Problem) -> f64 {
        problem.reduction() as f64 + 1.0
    }
}

/// How the output pixels, numbered through the batch, are cut into tiles.
#[derive(Debug, Clone, Copy)]
struct Tiling {
    /// Output pixels of the batch.
    all: usize,
    /// Tiles do not cross multiples of this: an output row, or the whole batch.
    line: usize,
    /// Pixels of a tile; the last of a line may have fewer.
    pixels: usize,
    /// Whether lines are output rows, so that taps in the padding can be skipped. Otherwise they are zeros in the panel.
    by_rows: bool,
}

impl Tiling {
    /// Rows as lines where there is padding to skip or a copy to save, and a row fills tiles at least by half.
    fn new(problem: &Problem, largest: usize) -> Self {
        let (height, width) = (problem.height(), problem.width());
        let row = width.output();
        let padded = [height, width].iter().any(|axis| axis.pad_before + axis.pad_after > 0);
        let balanced = |line: usize| line.div_ceil(line.div_ceil(largest));
        let all = problem.batch() * height.output() * row;
        let by_rows = (padded || overlaps(width)) && 2 * balanced(row) >= largest;
        let line = if by_rows { row } else { all };
        Tiling { all, line, pixels: balanced(line), by_rows }
    }

    fn tiles(&self) -> usize {
        self.all / self.line * self.line.div_ceil(self.pixels)
    }
}

/// Whether the columns of neighbouring pixels are one stretch of the input, shorter than both.
fn overlaps(width: &Axis) -> bool {
    width.dilation == 1 && width.stride < width.kernel
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

/// Cuts `range` into pieces of at most `most`, as equal as can be.
fn pieces(range: &Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let len = range.len().div_ceil(range.len().div_ceil(most));
    let range = range.clone();
    range.clone().step_by(len).map(move |first| first..(first + len).min(range.end))
}

/// Cuts the reduction into windows of at most `depth` floats, each a stretch of the weights' rows: whole filter rows, or
/// taps of one row, or channels of one tap.
fn windows(whole: &Window, depth: usize) -> Vec<Window> {
    if whole.line() <= depth {
        let rows = pieces(&whole.taps_y, depth / whole.line());
        return rows.map(|taps_y| Window { taps_y, ..whole.clone() }).collect();
    }
    let singles = |range: &Range<usize>| range.clone().map(|tap| tap..tap + 1);
    if whole.channels.len() <= depth {
        return singles(&whole.taps_y)
            .flat_map(|taps_y| {
                pieces(&whole.taps_x, depth / whole.channels.len()).map(move |taps_x| Window {
                    taps_y: taps_y.clone(),
                    taps_x,
                    channels: whole.channels.clone(),
                })
            })
            .collect();
    }
    let mut windows = Vec::new();
    for taps_y in singles(&whole.taps_y) {
        for taps_x in singles(&whole.taps_x) {
            for channels in pieces(&whole.channels, depth) {
                windows.push(Window { taps_y: taps_y.clone(), taps_x: taps_x.clone(), channels });
            }
        }
    }
    windows
}

/// What of a tile is multiplied under one filter row. Along the taps, the pixels that the padding cuts off at the start
/// of a tile become fewer and those at its end more, so that taps of equal cut are neighbours: [`MAX_CLIP`] kinds at each
/// end and one between.
#[derive(Debug, Clone)]
struct Runs {
    runs: [Run; 2 * MAX_CLIP + 1],
    len: usize,
}

impl Default for Runs {
    fn default() -> Self {
        Runs { runs: [Run { x: 0, w: 0, len: 0, skip_first: 0, skip_last: 0 }; 2 * MAX_CLIP + 1], len: 0 }
    }
}

impl Runs {
    fn as_slice(&self) -> &[Run] {
        &self.runs[..self.len]
    }

    /// Appends `len` floats at `at` of the panel and of the window's weights. Taps left out before them, which no pixel
    /// of the tile meets, are zeros in the panel, so that a run may go over them.
    fn push(&mut self, at: usize, len: usize, skip_first: usize, skip_last: usize) {
        if let Some(last) = self.runs[..self.len].last_mut()
            && (last.skip_first, last.skip_last) == (skip_first, skip_last)
        {
            last.len = at + len - last.w;
            return;
        }
        self.runs[self.len] = Run { x: at as isize, w: at, len, skip_first, skip_last };
        self.len += 1;
    }
}

struct ImplicitPlan {
    problem: Problem,
    isa: Isa,
    workers: usize,
    epilogue: Epilogue,
    footprint: Footprint,
    lowering: Lowering,
    /// Whether each tile lies in one output row, and taps in the padding are skipped.
    by_rows: bool,
    /// Tiles × output channels. Where that is too little work for the workers, the channels of a group are shared out, at
    /// the price of gathering a tile once for each share.
    grid: Grid,
    panel: Panel,
    weights: TileWeights,
}

impl ImplicitPlan {
    /// What is multiplied under one filter row of `window` for the tile `rows`.
    fn runs(&self, rows: &Range<usize>, window: &Window) -> Runs {
        let mut runs = Runs::default();
        if !self.by_rows {
            runs.push(0, window.len(), 0, 0);
            return runs;
        }
        let first = rows.start % self.grid.line;
        let channels = window.channels.len();
        for (i, tap) in window.taps_x.clone().enumerate() {
            let inside = self.lowering.width().valid_outputs(tap);
            let (start, end) = (inside.start.max(first), inside.end.min(first + rows.len()));
            if start < end {
                let (before, after) = (start - first, first + rows.len() - end);
                // One end can be skipped; at the other, the panel has zeros.
                let (before, after) = if before >= after { (before, 0) } else { (0, after) };
                runs.push(i * channels, channels, before.min(MAX_CLIP), after.min(MAX_CLIP));
            }
        }
        runs
    }

    /// One tile of pixels with its share of the output channels.
    fn tile(&self, input: &[f32], panel: &mut [f32], place: &Place, block: &mut Block<'_>, probe: &dyn Probe) {
        let group = self.grid.columns.group(place.part);
        let first_column = self.grid.columns.range(place.part).start;
        let parts = self.weights.columns().parts_of(&self.grid.columns, place.part);
        let all_channels = self.problem.group_in_channels();
        let w_row = self.problem.width().kernel * all_channels;
        for (i, window) in self.panel.windows.iter().enumerate() {
            probe.enter(Phase::Lower);
            let mut taps_y = window.taps_y.clone();
            if self.by_rows {
                let valid = self.lowering.valid_taps_y(place.rows.start);
                taps_y = valid.start.clamp(taps_y.start, taps_y.end)..valid.end.clamp(taps_y.start, taps_y.end);
            }
            let packed = Window { taps_y: taps_y.clone(), ..window.clone() };
            let (pixel, row) = match self.panel.span {
                Some(span) => {
                    let row = span * window.channels.len();
                    self.lowering.write_span(self.isa, input, (place.rows.clone(), group), &packed, (panel, row));
                    (self.problem.width().stride * window.channels.len(), row)
                }
                None => {
                    let rows = (place.rows.clone(), group..group + 1);
                    self.lowering.write(self.isa, input, rows, &packed, (panel, window.len()));
                    (window.len(), window.line())
                }
            };
            let runs = self.runs(&place.rows, window);

            probe.enter(Phase::Multiply);
            let operand = Operand {
                x: panel,
                pixel,
                rows: if self.by_rows { taps_y.len() } else { 1 },
                row,
                w: taps_y.start * w_row + window.taps_x.start * all_channels + window.channels.start,
                w_row,
                runs: runs.as_slice(),
            };
            let start = if i == 0 { Start::Bias } else { Start::Output };
            let relu = self.epilogue.relu && i + 1 == self.panel.windows.len();
            for part in parts.clone() {
                let columns = self.weights.columns().range(part);
                let columns = columns.start - first_column..columns.end - first_column;
                let mut out = block.part(0..place.rows.len(), columns);
                multiply(&self.weights.block(part), &operand, start, relu, &mut out);
            }
        }
        probe.enter(Phase::Idle);
    }
}

impl Plan for ImplicitPlan {
    fn problem(&self) -> &Problem {
        &self.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        for_each_block(self.workers, &self.grid, output, scratch, |panel, place, mut block| {
            self.tile(input, panel, &place, &mut block, probe);
        });
    }
}
