//! A convolution ready to run: its geometry and its transformed weights.

use conv_core::{Epilogue, Filter, Footprint, PlanError, PlanOptions, Problem, Work};
use conv_simd::{AlignedBuffer, Isa, worth_streaming};

use super::geometry::Geometry;
use super::layout::{self, Layout};
use super::products::Products;
use super::{flops, weights};

/// See [`conv_core::Plan`].
pub(super) struct TiledPlan<const N: usize> {
    pub geometry: Geometry,
    pub layout: Layout,
    /// U: see [`weights::pack`].
    pub weights: AlignedBuffer,
    /// `[group][channel]`, padded with zeros to whole vectors.
    pub bias: AlignedBuffer,
    pub isa: Isa,
    pub workers: usize,
    pub epilogue: Epilogue,
    /// Floats from one output pixel to the next.
    pub pitch: usize,
    /// Whether outputs are stored past the caches.
    pub stream: bool,
    pub footprint: Footprint,
}

/// Channels of what is transformed, all phases of a stride together, up to which the model's "between" is taken as so many times as long.
/// Of 3 channels to 64 and 96, 7×7 stride 2 on 224×224, and of 16 to 64, 5×5 on 112×112, on a Zen 4, tiles of 14 to 32 take 1.4 to 2.2
/// times what it said without (the first 1.9 to 2.2 ms for 0.94 to 1.4), and what is missing is 1.7 to 5 times this part; of 32 to 32 and 64
/// to 64 nothing is missing.
const FEW: usize = 16;
const FEW_RATE: f64 = 2.5;

impl<const N: usize> TiledPlan<N> {
    pub fn new(
        problem: &Problem,
        products: Products,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Self, PlanError> {
        let pitch = epilogue.pitch_of(problem)?;
        let geometry = Geometry::new(problem, N);
        let (isa, workers) = (options.isa, options.workers);
        let layout = Layout::new::<N>(&geometry, products, options);
        let footprint = Self::footprint(&geometry, &layout, options)?;
        let weights = weights::pack::<N>(&geometry, &layout, filter.weights, isa)?;
        let mut bias = AlignedBuffer::zeroed(problem.groups() * layout.channels)?;
        if let Some(values) = filter.bias {
            for (padded, values) in bias.chunks_mut(layout.channels).zip(values.chunks(problem.group_out_channels())) {
                padded[..values.len()].copy_from_slice(values);
            }
        }
        let stream = worth_streaming(problem.output_len()) && !epilogue.accumulate;
        Ok(TiledPlan { geometry, layout, weights, bias, isa, workers, epilogue, pitch, stream, footprint })
    }

    fn footprint(geometry: &Geometry, layout: &Layout, options: &PlanOptions) -> Result<Footprint, PlanError> {
        let groups = geometry.problem.groups();
        let bias = (groups * layout.channels) as u128;
        let floats = layout::weight_floats::<N>(layout.products, [groups, layout.channels, layout.depth]) + bias;
        let scratch = layout.block_lens().iter().sum::<usize>() + options.workers * Self::share(layout);
        options.admit(4 * floats, 4 * scratch as u128)
    }

    /// See [`conv_core::Algorithm::work`].
    pub fn work(problem: &Problem, products: Products, options: &PlanOptions) -> Option<Work> {
        let geometry = Geometry::new(problem, N);
        let layout = Layout::new::<N>(&geometry, products, options);
        let [product_flops, transform_flops] = flops::executed::<N>(&geometry, &layout).map(|flops| flops as f64);
        let (tiles, groups) = (geometry.tiles(), problem.groups());
        let tasks = layout.tiles.div_ceil(layout.task_tiles) * N / 2;
        Some(Work {
            footprint: Self::footprint(&geometry, &layout, options).ok()?,
            product_flops,
            rows: layout.task_tiles,
            depth: products.calls(false)[0].terms * layout.depth,
            transform_flops,
            // Of rows and of half as many columns, in and out, each about half as long to begin as one of Winograd's.
            tile_transforms: 1.5 * (N * groups * tiles) as f64,
            // Each task reads the weights of its column.
            weight_passes: tiles.div_ceil(layout.task_tiles) as f64,
            // X, Y and V one and a half times: columns are taken out of rows that lie kilobytes apart, a vector from each.
            between_bytes: 6.0
                * if layout.depth <= FEW { FEW_RATE } else { 1.0 }
                * (groups * tiles) as f64
                * (layout.x[1] + layout.y[1] + N * N * 2 * layout.depth) as f64,
            between_set: 4.0 * layout.block_lens().iter().sum::<usize>() as f64,
            tasks: groups * tiles.div_ceil(layout.tiles) * tasks,
        })
    }

    /// Floats of each worker's own scratch: room for a transform, and a pair of input rows or a task's V and M.
    pub fn share(layout: &Layout) -> usize {
        layout.work + layout.task_lens().iter().sum::<usize>().max(2 * N * layout.depth_padded)
    }

    /// The bias of a group, in whole vectors.
    pub fn bias(&self, group: usize) -> &[f32] {
        &self.bias[group * self.layout.channels..][..self.layout.channels]
    }
}
