//! Runs a plan: input transforms, products by the register tile, output transforms.

use conv_core::{Phase, Plan, Probe, for_each_task};
use conv_simd::{Init, Run, SharedSlice, TileArgs};

use super::Schedule;
use crate::geometry::{Geometry, Tile};
use crate::plan::WinogradPlan;
use crate::transform::{PlaneSteps, TransformInput, TransformOutput};

/// One run's tensors.
struct Job<'a> {
    plan: &'a WinogradPlan,
    input: &'a [f32],
    output: SharedSlice<'a, f32>,
    probe: &'a dyn Probe,
}

/// A block of tiles of one group.
#[derive(Clone, Copy)]
struct Block {
    group: usize,
    /// First tile.
    start: usize,
    /// The tile after the last.
    end: usize,
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

    fn block(&self, index: usize) -> Block {
        let (group, block) = (index / self.plan.blocks(), index % self.plan.blocks());
        let start = block * self.plan.layout.tiles;
        Block { group, start, end: (start + self.plan.layout.tiles).min(self.geometry().tiles()) }
    }

    fn fused(&self, scratch: &mut [f32]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let tasks = plan.problem().groups() * plan.blocks();
        let workers = plan.workers.min(tasks);
        let scratch = &mut scratch[..workers * (layout.v_len() + layout.m_len())];
        for_each_task(workers, tasks, scratch, |share, task| {
            let (v, m) = share.split_at_mut(layout.v_len());
            let v = SharedSlice::new(v);
            let block = self.block(task);
            self.probe.enter(Phase::TransformInput);
            for tile in self.tiles(block) {
                // SAFETY: V is this task's own.
                unsafe { self.transform_input(&v, block.group, &tile) };
            }
            for chunk in 0..layout.chunks() {
                // SAFETY: V is complete, and each block of tiles has one task.
                unsafe { self.multiply_and_transform(v.as_ptr(), m, block, chunk) };
            }
            self.probe.enter(Phase::Idle);
        });
    }

    fn staged(&self, scratch: &mut [f32]) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let blocks = plan.problem().groups() * plan.blocks();
        let (v, m) = scratch.split_at_mut(blocks * layout.v_len());
        let v = SharedSlice::new(v);
        let tiles = self.geometry().tiles();
        for_each_task(plan.workers, plan.problem().groups() * tiles, &mut [], |_, task| {
            let (group, number) = (task / tiles, task % tiles);
            let index = group * plan.blocks() + number / layout.tiles;
            let tile = self.geometry().tiles_from(self.block(index).start, number).next();
            self.probe.enter(Phase::TransformInput);
            // SAFETY: blocks have parts of their own, tiles have rows of their own in each plane of a block.
            unsafe {
                let v = SharedSlice::new(v.slice(index * layout.v_len(), layout.v_len()));
                self.transform_input(&v, group, &tile.expect("tiles go on"));
            }
            self.probe.enter(Phase::Idle);
        });
        let tasks = blocks * layout.chunks();
        let workers = plan.workers.min(tasks);
        for_each_task(workers, tasks, &mut m[..workers * layout.m_len()], |m, task| {
            // Workers side by side share a block's V and split the weights.
            let (index, chunk) = (task / layout.chunks(), task % layout.chunks());
            // SAFETY: the first stage has ended, and each chunk of a block has one task.
            unsafe {
                let v = v.as_ptr().add(index * layout.v_len());
                self.multiply_and_transform(v, m, self.block(index), chunk);
            }
            self.probe.enter(Phase::Idle);
        });
    }

    /// The tiles of a block.
    fn tiles(&self, block: Block) -> impl Iterator<Item = Tile> {
        self.geometry().tiles_from(block.start, block.start).take(block.end - block.start)
    }

    /// Where `tile` lies in a tensor of its block, whose planes and rows are so many floats apart.
    fn steps(&self, tile: &Tile, plane: usize, row: usize) -> PlaneSteps {
        let rows = tile.rows.map(|rows| rows.map(|index| index * row));
        PlaneSteps { plane, grid_width: self.geometry().grid_width(), rows }
    }

    /// Transforms one tile's input into its rows of V.
    ///
    /// # Safety
    /// No other thread may touch this tile's rows of `v`, the V of its block.
    unsafe fn transform_input(&self, v: &SharedSlice<'_, f32>, group: usize, tile: &Tile) {
        let (geometry, layout) = (self.geometry(), &self.plan.layout);
        let problem = &geometry.problem;
        let image_len = problem.input_len() / problem.batch();
        assert!(v.len() >= layout.v_len());
        self.plan.isa.run(TransformInput {
            axes: &geometry.axes,
            extended: tile.extended(),
            segments: &geometry.segments,
            image: &self.input[tile.image * image_len..][..image_len],
            height: problem.height().input,
            pixel: problem.in_channels(),
            channel: group * problem.group_in_channels(),
            origin: tile.axes.map(|axis| axis.input),
            v: v.as_ptr(),
            steps: self.steps(tile, layout.v_plane, layout.v_row),
        });
    }

    /// Products and output transforms of a chunk of output channels for a block of tiles.
    ///
    /// # Safety
    /// `v` must be the block's complete V, and no other thread may touch these outputs.
    unsafe fn multiply_and_transform(&self, v: *const f32, m: &mut [f32], block: Block, chunk: usize) {
        let (geometry, layout) = (self.geometry(), &self.plan.layout);
        assert!(m.len() >= layout.m_len());
        self.probe.enter(Phase::Multiply);
        let mut weights = &self.plan.weights[layout.chunk_weights(block.group, chunk)..];
        for (index, plane) in geometry.planes.iter().enumerate() {
            let rows = geometry.rank(block.end, plane.extra) - geometry.rank(block.start, plane.extra);
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
        for tile in self.tiles(block) {
            // SAFETY: as the caller promises.
            unsafe { self.transform_output(m, block.group, &tile, chunk) };
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
    unsafe fn transform_output(&self, m: &[f32], group: usize, tile: &Tile, chunk: usize) {
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
        let at = pixel * problem.out_channels() + group * channels + first;
        let bias = &self.plan.weights[problem.groups() * layout.channels * layout.total_depth..];
        self.plan.isa.run(TransformOutput {
            axes: &geometry.axes,
            extended: tile.extended(),
            m: m.as_ptr(),
            steps: self.steps(tile, layout.m_plane, layout.chunk),
            bias: &bias[group * layout.channels + first..][..layout.chunk_width(chunk)],
            channels: layout.chunk_width(chunk).min(channels - first),
            relu: self.plan.relu,
            // SAFETY: the tile has outputs, so its first is one of them.
            y: unsafe { self.output.as_ptr().add(at) },
            y_steps: [
                geometry.axes[0].cover.output_step() * width * problem.out_channels(),
                geometry.axes[1].cover.output_step() * problem.out_channels(),
            ],
            outputs: [vertical.outputs, horizontal.outputs],
        });
    }
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
