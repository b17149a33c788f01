//! A convolution ready to run: its geometry, transformed weights and schedule.

use conv_core::{Epilogue, Filter, Footprint, PlanError, PlanOptions, Work};
use conv_simd::{AlignedBuffer, Isa, worth_streaming};

use crate::blocking::{Blocking, Schedule};
use crate::geometry::Geometry;
use crate::layout::{BETWEEN_LEN, Layout, STRIP};
use crate::{flops, weights};

/// See [`conv_core::Plan`].
pub(crate) struct WinogradPlan {
    pub geometry: Geometry,
    pub layout: Layout,
    pub schedule: Schedule,
    /// U: see [`weights::pack`].
    pub weights: AlignedBuffer,
    /// `[group][channel]`, padded with zeros to whole vectors.
    pub bias: AlignedBuffer,
    pub isa: Isa,
    /// Threads that work on it.
    pub workers: usize,
    /// Floats of each worker's own scratch.
    share: usize,
    pub epilogue: Epilogue,
    /// Floats from one output pixel to the next.
    pub pitch: usize,
    /// Whether outputs are stored past the caches.
    pub stream: bool,
    pub footprint: Footprint,
}

/// What a plan needs, before any of it is there.
pub(crate) struct Sizes {
    pub layout: Layout,
    /// Threads that can work on it.
    workers: usize,
    /// Floats of each worker's own scratch.
    pub share: usize,
    /// Bytes.
    prepared: u128,
    /// Bytes.
    scratch: u128,
}

impl Sizes {
    pub fn new(geometry: &Geometry, options: &PlanOptions, blocking: Blocking) -> Self {
        let layout = Layout::new(geometry, options.isa.tile_shape(), blocking);
        let groups = geometry.problem.groups();
        let blocks = groups * geometry.tiles().div_ceil(layout.tiles);
        let per = |count: usize, floats: usize| 4 * count as u128 * floats as u128;
        let (shared, share, tasks) = match blocking.schedule {
            Schedule::Fused => (0, BETWEEN_LEN + layout.v_len() + layout.m_len(), blocks),
            Schedule::Staged => {
                let shared = per(blocks, layout.v_len()) + per(blocks * layout.chunks(), layout.m_len());
                (shared, BETWEEN_LEN, groups * geometry.tiles())
            }
        };
        // No more shares than there are tasks in the stage with the fewest.
        let workers = options.workers.clamp(1, tasks);
        let scratch = shared + per(workers, share);
        let prepared = per(groups * layout.channels, layout.total_depth + 1);
        Sizes { layout, workers, share, prepared, scratch }
    }

    pub fn admit(&self, options: &PlanOptions) -> Result<Footprint, PlanError> {
        options.admit(self.prepared, self.scratch)
    }
}

impl WinogradPlan {
    pub fn new(
        geometry: Geometry,
        filter: Filter<'_>,
        epilogue: Epilogue,
        options: &PlanOptions,
    ) -> Result<Self, PlanError> {
        let pitch = epilogue.pitch_of(&geometry.problem)?;
        let blocking = Blocking::of(&geometry, options);
        let sizes = Sizes::new(&geometry, options, blocking);
        let footprint = sizes.admit(options)?;
        let weights = weights::pack(&geometry, &sizes.layout, filter.weights, options.isa)?;
        let (groups, channels) = (geometry.problem.groups(), sizes.layout.channels);
        let mut bias = AlignedBuffer::zeroed(groups * channels)?;
        if let Some(values) = filter.bias {
            for (padded, values) in bias.chunks_mut(channels).zip(values.chunks(geometry.problem.group_out_channels()))
            {
                padded[..values.len()].copy_from_slice(values);
            }
        }
        let stream = worth_streaming(geometry.problem.output_len()) && !epilogue.accumulate;
        Ok(WinogradPlan {
            geometry,
            layout: sizes.layout,
            schedule: blocking.schedule,
            weights,
            bias,
            isa: options.isa,
            workers: sizes.workers,
            share: sizes.share,
            epilogue,
            pitch,
            stream,
            footprint,
        })
    }

    /// The workers' own scratch: shares of whole cache lines.
    pub fn shares<'a>(&self, scratch: &'a mut [f32]) -> &'a mut [f32] {
        &mut scratch[..self.workers * self.share]
    }

    /// Blocks of tiles, for each group.
    pub fn blocks(&self) -> usize {
        self.geometry.tiles().div_ceil(self.layout.tiles)
    }
}

/// See [`conv_core::Algorithm::work`].
pub(crate) fn work(geometry: &Geometry, options: &PlanOptions) -> Option<Work> {
    let blocking = Blocking::of(geometry, options);
    let sizes = Sizes::new(geometry, options, blocking);
    let (layout, tiles) = (&sizes.layout, geometry.tiles());
    let flops = flops::executed(geometry, layout);
    let blocks = tiles.div_ceil(layout.tiles);
    let groups = geometry.problem.groups();
    let between = 4.0 * (groups * geometry.planes.len()) as f64 * tiles as f64;
    Some(Work {
        footprint: sizes.admit(options).ok()?,
        product_flops: flops.products as f64,
        rows: layout.tiles,
        depth: layout.total_depth / layout.planes,
        transform_flops: flops.transforms as f64,
        tile_transforms: (groups * tiles * (layout.strips() + layout.channels.div_ceil(STRIP))) as f64,
        weight_passes: blocks as f64,
        between_bytes: between * (layout.depth + layout.channels) as f64,
        between_set: 4.0 * (layout.v_len() + layout.m_len()) as f64,
        tasks: match blocking.schedule {
            Schedule::Fused => groups * blocks,
            Schedule::Staged => groups * blocks * layout.chunks() * layout.planes,
        },
    })
}
