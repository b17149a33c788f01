//! Runs a plan: input transforms, products by the register tile, output transforms.

use std::ops::Range;
use std::ptr::slice_from_raw_parts;

use conv_core::{Phase, Probe, for_each_task, keep_awake};
use conv_simd::{Bounds, Init, Later, Run, SharedSlice, TileArgs, within};

use crate::blocking::Schedule;
use crate::geometry::{Geometry, Plane, Tile, Tiles};
use crate::input::InputTile;
use crate::layout::{Between, PlaneSteps};
use crate::output::OutputTile;
use crate::plan::WinogradPlan;

/// One run's tensors.
struct Job<'a> {
    plan: &'a WinogradPlan,
    input: &'a [f32],
    output: SharedSlice<'a, f32>,
    probe: &'a dyn Probe,
}

/// A block of tiles of one group.
struct Block<'a> {
    group: usize,
    /// Its tiles, and then those after it.
    tiles: Tiles<'a>,
    /// How many are its own.
    count: usize,
    /// See [`Geometry::ranks`]: those of its first tile.
    ranks: [[usize; 2]; 2],
    /// Its rows in the planes of each kind.
    rows: [[usize; 2]; 2],
}

/// Computes the convolution. `scratch` is what [`WinogradPlan`] asks for.
pub(super) fn run(plan: &WinogradPlan, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
    let job = Job { plan, input, output: SharedSlice::new(output), probe };
    match plan.schedule {
        Schedule::Fused => job.fused(scratch),
        Schedule::Staged => keep_awake(plan.workers, || job.staged(scratch)),
    }
}

impl Job<'_> {
    fn geometry(&self) -> &Geometry {
        &self.plan.geometry
    }

    /// Block number `index` of all groups: groups side by side share the image's lines.
    fn block(&self, index: usize) -> Block<'_> {
        let geometry = self.geometry();
        let groups = self.plan.geometry.problem.groups();
        let (block, group) = (index / groups, index % groups);
        let start = block * self.plan.layout.tiles;
        let count = self.plan.layout.tiles.min(geometry.tiles() - start);
        let (ranks, end) = (geometry.ranks(start), geometry.ranks(start + count));
        let rows = [0, 1].map(|i| [0, 1].map(|j| end[i][j] - ranks[i][j]));
        Block { group, tiles: geometry.tiles_from(start), count, ranks, rows }
    }

    /// A task takes one block through all stages.
    fn fused(&self, scratch: &mut [f32]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let tasks = plan.geometry.problem.groups() * plan.blocks();
        for_each_task(plan.workers, tasks, plan.shares(scratch), |share, task| {
            let (between, share) = split_between(share);
            let (v, m) = share.split_at_mut(layout.v_len());
            let (v, m) = (v.as_mut_ptr(), m[..layout.m_len()].as_mut_ptr());
            let block = self.block(task);
            self.probe.enter(Phase::TransformInput);
            let mut tiles = block.tiles.clone();
            let mut next = tiles.take_next();
            for _ in 0..block.count {
                let tile = std::mem::replace(&mut next, tiles.take_next());
                // SAFETY: V is this task's own.
                unsafe { self.transform_input(v, &block, [&tile, &next], 0..layout.strips(), between) };
            }
            for chunk in 0..layout.chunks() {
                self.probe.enter(Phase::Multiply);
                for plane in 0..layout.planes {
                    // SAFETY: V and M are this task's own.
                    unsafe { self.multiply(v, m, (&block, chunk, plane)) };
                }
                self.probe.enter(Phase::TransformOutput);
                for tile in block.tiles.clone().take(block.count) {
                    // SAFETY: M is this task's own, and so are the outputs of its block.
                    unsafe { self.transform_output(m, (&block, chunk), &tile, between) };
                }
            }
            plan.isa.fence();
            self.probe.enter(Phase::Idle);
        });
    }

    /// One stage after another, each cut as finely as it can be.
    fn staged(&self, scratch: &mut [f32]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let groups = plan.geometry.problem.groups();
        let blocks = groups * plan.blocks();
        let (v, rest) = scratch.split_at_mut(blocks * layout.v_len());
        let (m, shares) = rest.split_at_mut(blocks * layout.chunks() * layout.m_len());
        let (v, m) = (SharedSlice::new(v), SharedSlice::new(m));
        // Where a block's V and a chunk's M begin.
        let v = |block: usize| {
            let start = v.as_ptr().wrapping_add(block * layout.v_len());
            debug_assert!(within(v.part(0, v.len()), start, layout.v_len()));
            start
        };
        let m = |block: usize, chunk: usize| {
            let start = m.as_ptr().wrapping_add((block * layout.chunks() + chunk) * layout.m_len());
            debug_assert!(within(m.part(0, m.len()), start, layout.m_len()));
            start
        };
        // The block of a tile of a group, and the tiles from it on.
        let place = |task: usize| {
            let (number, group) = (task / groups, task % groups);
            (number / layout.tiles * groups + group, self.geometry().tiles_from(number))
        };
        let transforms = groups * self.geometry().tiles();
        for_each_task(plan.workers, transforms * layout.strips(), plan.shares(shares), |share, task| {
            let (between, _) = split_between(share);
            let (task, strip) = (task / layout.strips(), task % layout.strips());
            let (block, mut from) = place(task);
            let pair = [from.take_next(), from.take_next()];
            self.probe.enter(Phase::TransformInput);
            // SAFETY: a strip of a tile has one task.
            unsafe { self.transform_input(v(block), &self.block(block), pair.each_ref(), strip..strip + 1, between) };
            self.probe.enter(Phase::Idle);
        });
        let products = blocks * layout.chunks() * layout.planes;
        for_each_task(plan.workers, products, &mut [], |_, task| {
            // In the order of the weights in memory.
            let (task, plane) = (task / layout.planes, task % layout.planes);
            let (block, chunk) = (task / layout.chunks(), task % layout.chunks());
            self.probe.enter(Phase::Multiply);
            // SAFETY: V is complete, and a plane of a chunk of a block has one task.
            unsafe { self.multiply(v(block), m(block, chunk), (&self.block(block), chunk, plane)) };
            self.probe.enter(Phase::Idle);
        });
        for_each_task(plan.workers, transforms * layout.chunks(), plan.shares(shares), |share, task| {
            let (between, _) = split_between(share);
            let (task, chunk) = (task / layout.chunks(), task % layout.chunks());
            let (block, mut from) = place(task);
            self.probe.enter(Phase::TransformOutput);
            let tile = from.take_next();
            // SAFETY: M is complete, and a chunk of a tile has one task.
            unsafe { self.transform_output(m(block, chunk), (&self.block(block), chunk), &tile, between) };
            plan.isa.fence();
            self.probe.enter(Phase::Idle);
        });
    }

    /// Where `tile` lies in a tensor of its block, whose planes and rows are so many floats apart.
    fn steps(&self, block: &Block<'_>, tile: &Tile, plane: usize, row: usize) -> PlaneSteps {
        let rows = [0, 1].map(|i| [0, 1].map(|j| (tile.ranks[i][j] - block.ranks[i][j]) * row));
        // In the planes of its kinds the tile has a row of the block's.
        debug_assert!({
            let [down, across] = tile.extended().map(|extended| 0..=usize::from(extended));
            down.into_iter().all(|i| across.clone().all(|j| rows[i][j] < block.rows[i][j] * row))
        });
        PlaneSteps { plane, grid_width: self.geometry().grid_width(), rows }
    }

    /// Transforms some strips of one tile's input into its rows of V.
    ///
    /// # Safety
    /// `v` must be the V of the tile's block, and no other thread may touch this tile's rows of these strips.
    unsafe fn transform_input(
        &self,
        v: *mut f32,
        block: &Block<'_>,
        [tile, next]: [&Tile; 2],
        strips: Range<usize>,
        between: &mut Between,
    ) {
        let (geometry, layout) = (self.geometry(), &self.plan.layout);
        let tile = InputTile {
            geometry,
            tile,
            next,
            group: block.group,
            input: self.input,
            v,
            steps: self.steps(block, tile, layout.v_plane, layout.v_row),
        };
        // SAFETY: V has room for every row of the block, and this one is the caller's.
        unsafe { tile.transform(self.plan.isa, strips, between) };
    }

    /// One plane's product of a block's V with a chunk of output channels.
    ///
    /// # Safety
    /// `v` and `m` must be the block's V, complete in this plane, and M, whose plane no other thread may touch.
    unsafe fn multiply(&self, v: *const f32, m: *mut f32, (block, chunk, plane): (&Block<'_>, usize, usize)) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let Plane { extra, rows: stretches, len, depth_before } = self.geometry().planes[plane];
        let rows = block.rows[usize::from(extra[0])][usize::from(extra[1])];
        if rows == 0 {
            return;
        }
        let (shape, width, depth) = (plan.isa.tile_shape(), layout.chunk_width(chunk), stretches * len);
        let weights = layout.chunk_weights(block.group, chunk) + depth_before * width;
        let weights = &plan.weights[weights..][..depth * width];
        let (v, m) = (v.wrapping_add(plane * layout.v_plane), m.wrapping_add(plane * layout.m_plane));
        let runs = [Run { x: 0, w: 0, len, skip_first: 0, skip_last: 0 }];
        let strips = rows.div_ceil(shape.pixels);
        for channel in (0..width).step_by(layout.block) {
            let channels = layout.block.min(width - channel);
            // What comes after these weights in memory is read next, whichever block, plane or chunk it is of. Of several strips each
            // brings its share into L2: the first one alone multiplies too little for each line from L3.
            let following = weights.as_ptr().wrapping_add((channel + channels) * depth);
            for strip in 0..strips {
                // Equal strips: 15 rows are 8 + 7 and not 14 + 1.
                let (first, end) = (strip * rows / strips, (strip + 1) * rows / strips);
                // SAFETY: a plane has at least `rows` rows in both tensors, and `weights` its channels.
                unsafe {
                    let args = TileArgs {
                        x: v.add(first * layout.v_row),
                        x_pixel: layout.v_row,
                        w: weights.as_ptr().add(channel * depth),
                        rows: stretches,
                        x_row: self.geometry().phase_row,
                        ahead: self.geometry().phase_row as isize,
                        next: ((end - first) * layout.v_row) as isize,
                        w_row: len * channels,
                        later: (strips > 1).then(|| Later {
                            weights: following.wrapping_add(strip * depth * channels / strips),
                            step: channels.div_ceil(strips),
                        }),
                        outputs_at_once: 0,
                        runs: &runs,
                        y: m.add(first * layout.chunk + channel),
                        y_pixel: layout.chunk,
                        channels,
                        init: Init::Zero,
                        accumulate: false,
                        bounds: Bounds::NONE,
                        stream: false,
                    };
                    debug_assert!(args.within(
                        [end - first, channels],
                        slice_from_raw_parts(v, rows * layout.v_row),
                        &weights[channel * depth..][..channels * depth],
                        slice_from_raw_parts(m, rows * layout.chunk)
                    ));
                    plan.isa.tile(end - first, channels / shape.lanes).run(&args);
                }
            }
        }
    }

    /// Transforms one tile's products into its outputs of a chunk of channels.
    ///
    /// # Safety
    /// `m` must be the block's complete M of this chunk, and no other thread may touch these outputs.
    unsafe fn transform_output(
        &self,
        m: *const f32,
        (block, chunk): (&Block<'_>, usize),
        tile: &Tile,
        between: &mut Between,
    ) {
        let (geometry, layout) = (self.geometry(), &self.plan.layout);
        let problem = &geometry.problem;
        let [vertical, horizontal] = tile.axes;
        if vertical.outputs == 0 || horizontal.outputs == 0 {
            return;
        }
        let [height, width] = problem.output_size();
        let channels = problem.group_out_channels();
        let first = chunk * layout.chunk;
        let pixel = (tile.image * height + vertical.output) * width + horizontal.output;
        let at = pixel * self.plan.pitch + block.group * channels + first;
        let tile = OutputTile {
            geometry,
            tile,
            m,
            steps: self.steps(block, tile, layout.m_plane, layout.chunk),
            bias: &self.plan.bias[block.group * layout.channels + first..][..layout.chunk_width(chunk)],
            channels: layout.chunk_width(chunk).min(channels - first),
            epilogue: self.plan.epilogue,
            stream: self.plan.stream,
            // SAFETY: the tile has outputs, so its first is one of them.
            y: unsafe { self.output.as_ptr().add(at) },
            y_steps: [
                geometry.axes[0].cover.output_step() * width * self.plan.pitch,
                geometry.axes[1].cover.output_step() * self.plan.pitch,
            ],
        };
        debug_assert!((0..vertical.outputs).all(|i| {
            let step = geometry.axes[0].cover.output_step();
            let row = (tile.tile.image * height + vertical.output + i * step) * width * self.plan.pitch;
            let line = self.output.part(row, (width - 1) * self.plan.pitch + problem.out_channels());
            let floats = (horizontal.outputs - 1) * tile.y_steps[1] + tile.channels;
            within(line, tile.y.wrapping_add(i * tile.y_steps[0]), floats)
        }));
        // SAFETY: M has a row for each of the block's tiles, and the outputs are the caller's.
        unsafe { tile.transform(self.plan.isa, between) };
    }
}

/// A worker's share: what its transforms need, and the rest.
fn split_between(share: &mut [f32]) -> (&mut Between, &mut [f32]) {
    share.split_first_chunk_mut().expect("every share has room for it")
}
