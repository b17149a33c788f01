//! Runs a plan: input transforms, products by the register tile, output transforms.

use conv_core::{Phase, Plan, Probe, for_each_task};
use conv_simd::{Init, Run, SharedSlice, TileArgs};

use super::Schedule;
use crate::geometry::{Geometry, Tile, Tiles};
use crate::input::InputTile;
use crate::layout::{BETWEEN_LEN, Between, PlaneSteps};
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
pub(crate) fn run(plan: &WinogradPlan, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
    let job = Job { plan, input, output: SharedSlice::new(output), probe };
    match plan.schedule {
        Schedule::Fused => job.fused(scratch),
        Schedule::Staged => job.staged(scratch),
    }
}

impl Job<'_> {
    fn geometry(&self) -> &Geometry {
        &self.plan.geometry
    }

    /// Block number `index` of all groups.
    fn block(&self, index: usize) -> Block<'_> {
        let geometry = self.geometry();
        let (group, block) = (index / self.plan.blocks(), index % self.plan.blocks());
        let start = block * self.plan.layout.tiles;
        let count = self.plan.layout.tiles.min(geometry.tiles() - start);
        let (ranks, end) = (geometry.ranks(start), geometry.ranks(start + count));
        let rows = [0, 1].map(|i| [0, 1].map(|j| end[i][j] - ranks[i][j]));
        Block { group, tiles: geometry.tiles_from(start), count, ranks, rows }
    }

    fn fused(&self, scratch: &mut [f32]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let tasks = plan.problem().groups() * plan.blocks();
        let workers = plan.workers.min(tasks);
        let scratch = &mut scratch[..workers * (BETWEEN_LEN + layout.v_len() + layout.m_len())];
        for_each_task(workers, tasks, scratch, |share, task| {
            let (between, share) = split_between(share);
            let (v, m) = share.split_at_mut(layout.v_len());
            let v = SharedSlice::new(v);
            let block = self.block(task);
            self.probe.enter(Phase::TransformInput);
            let mut tiles = block.tiles.clone();
            let mut next = tiles.take_next();
            for _ in 0..block.count {
                let tile = std::mem::replace(&mut next, tiles.take_next());
                // SAFETY: V is this task's own.
                unsafe { self.transform_input(&v, &block, [&tile, &next], between) };
            }
            for chunk in 0..layout.chunks() {
                // SAFETY: V is complete, and each block of tiles has one task.
                unsafe { self.multiply_and_transform(v.as_ptr(), (m, between), &block, chunk) };
            }
            self.probe.enter(Phase::Idle);
        });
    }

    fn staged(&self, scratch: &mut [f32]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let blocks = plan.problem().groups() * plan.blocks();
        let (v, shares) = scratch.split_at_mut(blocks * layout.v_len());
        let v = SharedSlice::new(v);
        let tiles = self.geometry().tiles();
        let workers = plan.workers.min(blocks * layout.chunks());
        for_each_task(workers, plan.problem().groups() * tiles, shares, |share, task| {
            let (between, _) = split_between(share);
            let (group, number) = (task / tiles, task % tiles);
            let index = group * plan.blocks() + number / layout.tiles;
            let mut tiles = self.geometry().tiles_from(number);
            let (tile, next) = (tiles.take_next(), tiles.take_next());
            self.probe.enter(Phase::TransformInput);
            // SAFETY: blocks have parts of their own, tiles have rows of their own in each plane of a block.
            unsafe {
                let v = SharedSlice::new(v.slice(index * layout.v_len(), layout.v_len()));
                self.transform_input(&v, &self.block(index), [&tile, &next], between);
            }
            self.probe.enter(Phase::Idle);
        });
        for_each_task(workers, blocks * layout.chunks(), shares, |share, task| {
            let (between, m) = split_between(share);
            // Workers side by side share a block's V and split the weights.
            let (index, chunk) = (task / layout.chunks(), task % layout.chunks());
            // SAFETY: the first stage has ended, and each chunk of a block has one task.
            unsafe {
                let v = v.as_ptr().add(index * layout.v_len());
                self.multiply_and_transform(v, (m, between), &self.block(index), chunk);
            }
            self.probe.enter(Phase::Idle);
        });
    }

    /// Where `tile` lies in a tensor of its block, whose planes and rows are so many floats apart.
    fn steps(&self, block: &Block<'_>, tile: &Tile, plane: usize, row: usize) -> PlaneSteps {
        let rows = [0, 1].map(|i| [0, 1].map(|j| (tile.ranks[i][j] - block.ranks[i][j]) * row));
        PlaneSteps { plane, grid_width: self.geometry().grid_width(), rows }
    }

    /// Transforms one tile's input into its rows of V.
    ///
    /// # Safety
    /// No other thread may touch this tile's rows of `v`, the V of its block.
    unsafe fn transform_input(
        &self,
        v: &SharedSlice<'_, f32>,
        block: &Block<'_>,
        [tile, next]: [&Tile; 2],
        between: &mut Between,
    ) {
        let (geometry, layout) = (self.geometry(), &self.plan.layout);
        assert!(v.len() >= layout.v_len());
        let tile = InputTile {
            geometry,
            tile,
            group: block.group,
            next,
            input: self.input,
            v: v.as_ptr(),
            steps: self.steps(block, tile, layout.v_plane, layout.v_row),
        };
        // SAFETY: V has room for every row of the block, and this one is the caller's.
        unsafe { tile.transform(self.plan.isa, between) };
    }

    /// Products and output transforms of a chunk of output channels for a block of tiles.
    ///
    /// # Safety
    /// `v` must be the block's complete V, and no other thread may touch these outputs.
    unsafe fn multiply_and_transform(
        &self,
        v: *const f32,
        (m, between): (&mut [f32], &mut Between),
        block: &Block<'_>,
        chunk: usize,
    ) {
        let (geometry, layout) = (self.geometry(), &self.plan.layout);
        assert!(m.len() >= layout.m_len());
        self.probe.enter(Phase::Multiply);
        let mut weights = &self.plan.weights[layout.chunk_weights(block.group, chunk)..];
        for (index, plane) in geometry.planes.iter().enumerate() {
            let rows = block.rows[usize::from(plane.extra[0])][usize::from(plane.extra[1])];
            let (packed, after) = weights.split_at(plane.depth() * layout.chunk_width(chunk));
            weights = after;
            let product = Product { rows, plane_rows: plane.rows, len: plane.len, packed };
            // SAFETY: plane `index` lies in both tensors with at least `rows` rows, by the caller's promise and the
            // assertion.
            unsafe {
                let (v, m) = (v.add(index * layout.v_plane), m.as_mut_ptr().add(index * layout.m_plane));
                self.product(&product, v, m);
            }
        }
        self.probe.enter(Phase::TransformOutput);
        for tile in block.tiles.clone().take(block.count) {
            // SAFETY: as the caller promises.
            unsafe { self.transform_output((m, between), block, &tile, chunk) };
        }
    }

    /// One plane's matrix product.
    ///
    /// # Safety
    /// `v` and `m` must be planes of at least `product.rows` rows.
    unsafe fn product(&self, product: &Product<'_>, v: *const f32, m: *mut f32) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        if product.rows == 0 {
            return;
        }
        let shape = plan.isa.tile_shape();
        let strips = product.rows.div_ceil(shape.pixels);
        let runs = [Run { x: 0, w: 0, len: product.len, skip_first: 0, skip_last: 0 }];
        let depth = product.plane_rows * product.len;
        let width = product.packed.len() / depth;
        for block in (0..width).step_by(layout.block) {
            let channels = layout.block.min(width - block);
            for strip in 0..strips {
                // Equal strips: 15 rows are 8 + 7 and not 14 + 1.
                let (first, end) = (strip * product.rows / strips, (strip + 1) * product.rows / strips);
                // SAFETY: rows and channels are inside both planes, the weights inside `packed`.
                unsafe {
                    plan.isa.tile(end - first, channels / shape.lanes).run(&TileArgs {
                        x: v.add(first * layout.v_row),
                        x_pixel: layout.v_row,
                        w: product.packed.as_ptr().add(block * depth),
                        rows: product.plane_rows,
                        x_row: self.geometry().phase_row,
                        w_row: product.len * channels,
                        runs: &runs,
                        y: m.add(first * layout.chunk + block),
                        y_pixel: layout.chunk,
                        channels,
                        init: Init::Zero,
                        relu: false,
                    });
                }
            }
        }
    }

    /// Transforms one tile's products into its outputs.
    ///
    /// # Safety
    /// No other thread may touch these outputs.
    unsafe fn transform_output(
        &self,
        (m, between): (&[f32], &mut Between),
        block: &Block<'_>,
        tile: &Tile,
        chunk: usize,
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
        let at = pixel * problem.out_channels() + block.group * channels + first;
        let bias = &self.plan.weights[problem.groups() * layout.channels * layout.total_depth..];
        let tile = OutputTile {
            geometry,
            tile,
            m: m.as_ptr(),
            steps: self.steps(block, tile, layout.m_plane, layout.chunk),
            bias: &bias[block.group * layout.channels + first..][..layout.chunk_width(chunk)],
            channels: layout.chunk_width(chunk).min(channels - first),
            relu: self.plan.relu,
            // SAFETY: the tile has outputs, so its first is one of them.
            y: unsafe { self.output.as_ptr().add(at) },
            y_steps: [
                geometry.axes[0].cover.output_step() * width * problem.out_channels(),
                geometry.axes[1].cover.output_step() * problem.out_channels(),
            ],
        };
        // SAFETY: M has a row for each of the block's tiles, and the outputs are the caller's.
        unsafe { tile.transform(self.plan.isa, between) };
    }
}

/// A worker's share: what its transforms need, and the rest.
fn split_between(share: &mut [f32]) -> (&mut Between, &mut [f32]) {
    share.split_first_chunk_mut().expect("every share has room for it")
}

/// `M[rows × channels] = V[rows × depth] · U[depth × channels]`.
struct Product<'a> {
    rows: usize,
    /// Stretches of a row of V.
    plane_rows: usize,
    /// Floats of each.
    len: usize,
    /// U, block by block of the register tile.
    packed: &'a [f32],
}
