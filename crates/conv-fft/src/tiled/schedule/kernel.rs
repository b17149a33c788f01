//! Runs a plan: block by block of tiles, three stages each.

use std::ops::Range;
use std::ptr::slice_from_raw_parts;

use conv_core::{Phase, Probe, for_each_task, keep_awake};
use conv_simd::{Bounds, Init, Later, Run, SharedSlice, TileArgs, within};

use crate::tiled::geometry::Geometry;
use crate::tiled::input::{InputColumn, InputRows};
use crate::tiled::layout::Layout;
use crate::tiled::output::{OutputColumn, OutputRows};
use crate::tiled::plan::TiledPlan;
use crate::tiled::transform::{is_real, planes};

/// A block of tiles of one group, and its tensors.
struct Block<'a, const N: usize> {
    plan: &'a TiledPlan<N>,
    input: &'a [f32],
    output: &'a SharedSlice<'a, f32>,
    probe: &'a dyn Probe,
    group: usize,
    tiles: Range<usize>,
    /// X.
    x: SharedSlice<'a, f32>,
    /// Y.
    y: SharedSlice<'a, f32>,
}

/// Computes the convolution. `scratch` is what [`TiledPlan`] asks for.
pub(super) fn run<const N: usize>(
    plan: &TiledPlan<N>,
    input: &[f32],
    output: &mut [f32],
    scratch: &mut [f32],
    probe: &dyn Probe,
) {
    let Layout { tiles, .. } = plan.layout;
    let output = &SharedSlice::new(output);
    let [x_len, y_len] = plan.layout.block_lens();
    let (x, rest) = scratch.split_at_mut(x_len);
    let (y, shares) = rest.split_at_mut(y_len);
    let all = plan.geometry.tiles();
    keep_awake(plan.workers, || {
        for group in 0..plan.geometry.problem.groups() {
            for first in (0..all).step_by(tiles) {
                let tiles = first..(first + tiles).min(all);
                let (x, y) = (SharedSlice::new(x), SharedSlice::new(y));
                Block { plan, input, output, probe, group, tiles, x, y }.run(shares);
            }
        }
    });
}

impl<const N: usize> Block<'_, N> {
    fn run(&self, shares: &mut [f32]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        for_each_task(plan.workers, self.tiles.len() * N / 2, shares, |share, task| {
            self.probe.enter(Phase::TransformInput);
            let (work, copy) = share.split_at_mut(layout.work);
            self.input_rows(task / (N / 2), task % (N / 2), [&mut copy[..2 * N * layout.depth_padded], work]);
            self.probe.enter(Phase::Idle);
        });
        // Tasks side by side share their weights.
        let parts = self.tiles.len().div_ceil(layout.task_tiles);
        for_each_task(plan.workers, N / 2 * parts, shares, |share, task| {
            let (column, part) = (task / parts, task % parts);
            let first = part * layout.task_tiles;
            let tiles = first..(first + layout.task_tiles).min(self.tiles.len());
            let (work, share) = share.split_at_mut(layout.work);
            let (v, m) = share.split_at_mut(layout.task_lens()[0]);
            debug_assert!(m.len() >= layout.task_lens()[1]);
            self.column(column, tiles, [v.as_mut_ptr(), m.as_mut_ptr()], work);
            self.probe.enter(Phase::Idle);
        });
        for_each_task(plan.workers, self.tiles.len() * N / 2, shares, |share, task| {
            self.probe.enter(Phase::TransformOutput);
            self.output_rows(task / (N / 2), task % (N / 2), &mut share[..layout.work]);
            self.plan.isa.fence();
            self.probe.enter(Phase::Idle);
        });
    }

    /// The first stage, for a pair of rows of a tile of this block.
    fn input_rows(&self, number: usize, pair: usize, room: [&mut [f32]; 2]) {
        let (geometry, layout) = (&self.plan.geometry, &self.plan.layout);
        let tile = geometry.tile(self.tiles.start + number);
        let all = geometry.height.samples(tile.row);
        let first = all.start + 2 * pair;
        if first >= all.end {
            return;
        }
        let rows = first..(first + 2).min(all.end);
        let x = self.x.as_ptr().wrapping_add(number * layout.x[1] + 2 * pair * layout.x[0]);
        debug_assert!(within(self.x.part(number * layout.x[1], N * layout.x[0]), x, 2 * layout.x[0]));
        // SAFETY: X has N rows for each tile, and a pair of rows has one task.
        let rows = unsafe { InputRows::new(geometry, layout, self.input, (self.group, tile, rows), x) };
        rows.transform::<N>(self.plan.isa, room);
    }

    /// The second stage, for a column of some tiles of this block; V and M are the caller's own.
    fn column(&self, column: usize, tiles: Range<usize>, [v, m]: [*mut f32; 2], work: &mut [f32]) {
        let (plan, geometry, layout) = (self.plan, &self.plan.geometry, &self.plan.layout);
        self.probe.enter(Phase::TransformInput);
        for (row, number) in tiles.clone().enumerate() {
            let x = self.x.as_ptr().wrapping_add(number * layout.x[1] + column * 2 * layout.depth_padded);
            let rows = geometry.height.samples(geometry.tile(self.tiles.start + number).row);
            let to = v.wrapping_add(row * layout.v[0]);
            debug_assert!({
                let read = rows.len().checked_sub(1).map_or(0, |last| last * layout.x[0] + 2 * layout.depth_padded);
                within(self.x.part(number * layout.x[1], N * layout.x[0]), x, read)
                    && within(slice_from_raw_parts(v, layout.v[1]), to, 3 * layout.depth_padded)
            });
            // SAFETY: the first stage is complete.
            plan.isa.run(unsafe { InputColumn::<N>::new(layout, column, rows, [x, to], work) });
        }
        for chunk in 0..layout.chunks() {
            self.probe.enter(Phase::Multiply);
            self.multiply(column, chunk, tiles.len(), [v, m]);
            self.probe.enter(Phase::TransformOutput);
            for (row, number) in tiles.clone().enumerate() {
                let rows = geometry.height.outputs(geometry.tile(self.tiles.start + number).row).len();
                let at = number * layout.y[1] + column * 2 * layout.channels + chunk * layout.chunk;
                let (from, y) = (m.wrapping_add(row * layout.m[0]), self.y.as_ptr().wrapping_add(at));
                let sizes = [rows, layout.chunk_width(chunk)];
                debug_assert!({
                    let written = rows.checked_sub(1).map_or(0, |last| last * layout.y[0] + layout.channels + sizes[1]);
                    within(self.y.part(number * layout.y[1], layout.y[1]), y, written)
                        && within(slice_from_raw_parts(m, layout.m[1]), from, layout.m[0])
                });
                // SAFETY: this chunk's products are complete, and a column of a tile has one task.
                plan.isa.run(unsafe { OutputColumn::<N>::new(layout, column, sizes, [from, y], work) });
            }
        }
    }

    /// The products of `rows` tiles of V with a chunk of output channels, into M, in the order of the weights in memory.
    fn multiply(&self, column: usize, chunk: usize, rows: usize, [v, m]: [*mut f32; 2]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let (shape, width, padded) = (plan.isa.tile_shape(), layout.chunk_width(chunk), layout.depth_padded);
        let strips = rows.div_ceil(shape.pixels);
        let columns = (self.group * N / 2 + column) * layout.channels;
        let column_rows = layout.products.parts() * N * layout.depth;
        let mut weights = plan.weights[(columns + chunk * layout.chunk) * column_rows..].as_ptr();
        for plane in 0..planes::<N>(column) {
            let (v, m) = (v.wrapping_add(plane * layout.v[1]), m.wrapping_add(plane * layout.m[1]));
            let real = is_real::<N>(column, plane);
            let parts = if real { 1 } else { layout.products.parts() };
            for channel in (0..width).step_by(layout.block) {
                let channels = layout.block.min(width - channel);
                let panel = parts * layout.depth * channels;
                let next = weights.wrapping_add(panel);
                debug_assert!(within(
                    &plan.weights[(columns + chunk * layout.chunk) * column_rows..][..width * column_rows],
                    weights,
                    panel
                ));
                // Each tile brings its share of the next weights into L2, also while this panel is read from there.
                let calls = layout.products.calls(real);
                let shares = strips * calls.iter().map(|call| call.terms).sum::<usize>();
                let mut share = 0;
                // Strip by strip within a part of the weights: with three products AVX2 took 0.9 to 0.95 of the time that all
                // parts within a strip took.
                for call in calls {
                    for strip in 0..strips {
                        // Equal strips: 15 rows are 8 + 7 and not 14 + 1.
                        let (first, end) = (strip * rows / strips, (strip + 1) * rows / strips);
                        let tile = plan.isa.tile(end - first, channels / shape.lanes);
                        let run = |i: usize| Run {
                            x: (i * padded) as isize,
                            w: (call.weights + i) * layout.depth,
                            len: layout.depth,
                            skip_first: 0,
                            skip_last: 0,
                        };
                        let later = Later {
                            weights: next.wrapping_add(share * panel / shares),
                            step: panel.div_ceil(shares * layout.depth),
                        };
                        share += call.terms;
                        // SAFETY: V and M have these rows in each plane, and the weights this plane's of these channels.
                        unsafe {
                            let args = TileArgs {
                                x: v.add(first * layout.v[0] + call.input * padded),
                                x_pixel: layout.v[0],
                                w: weights,
                                rows: 1,
                                x_row: 0,
                                ahead: 0,
                                next: ((end - first) * layout.v[0]) as isize,
                                w_row: 0,
                                later: Some(later),
                                outputs_at_once: 0,
                                runs: &[run(0), run(1)][..call.terms],
                                y: m.add(first * layout.m[0] + call.output * layout.chunk + channel),
                                y_pixel: layout.m[0],
                                channels,
                                init: Init::Zero,
                                accumulate: false,
                                bounds: Bounds::NONE,
                                stream: false,
                            };
                            debug_assert!(args.within(
                                [end - first, channels],
                                slice_from_raw_parts(v, rows * layout.v[0]),
                                slice_from_raw_parts(weights, panel),
                                slice_from_raw_parts(m, rows * layout.m[0])
                            ));
                            tile.run(&args);
                        }
                    }
                }
                weights = next;
            }
        }
    }

    /// The third stage, for a pair of rows of a tile of this block.
    fn output_rows(&self, number: usize, pair: usize, work: &mut [f32]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let Geometry { problem, height, width } = &plan.geometry;
        let tile = plan.geometry.tile(self.tiles.start + number);
        let (rows, columns) = (height.outputs(tile.row), width.outputs(tile.column));
        if 2 * pair >= rows.len() {
            return;
        }
        let last = rows.len() - 1;
        let y = self.y.as_ptr().wrapping_add(number * layout.y[1]);
        let [oh, ow] = problem.output_size();
        let channels = problem.group_out_channels();
        let output = |row: usize| {
            let pixel = (tile.image * oh + rows.start + row) * ow + columns.start;
            self.output.as_ptr().wrapping_add(pixel * plan.pitch + self.group * channels)
        };
        let pair = [2 * pair, (2 * pair + 1).min(last)];
        debug_assert!(pair.into_iter().all(|row| {
            let pixels = (tile.image * oh + rows.start + row) * ow;
            let line = self.output.part(pixels * plan.pitch, (ow - 1) * plan.pitch + problem.out_channels());
            let part = self.y.part(number * layout.y[1], layout.y[1]);
            within(line, output(row), (columns.len() - 1) * plan.pitch + channels)
                && within(part, y.wrapping_add(row * layout.y[0]), N * layout.channels)
        }));
        // SAFETY: the second stage is complete, and a pair of rows of a tile has one task.
        plan.isa.run(unsafe {
            OutputRows::<N>::new(
                layout,
                (plan.bias(self.group), plan.epilogue, plan.stream),
                (channels, [columns.len(), plan.pitch]),
                pair.map(|row| y.wrapping_add(row * layout.y[0]).cast_const()),
                pair.map(output),
                work,
            )
        });
    }
}
