//! Weights as the register tile reads them: `[group][block][kh][kw][ic/groups][vectors × lanes]`.

use std::ops::Range;

use conv_core::{Filter, PlanError, PlanOptions, Problem, for_each_task};
use conv_simd::{AlignedBuffer, SharedSlice};

#[allow(unsafe_code)]
mod kernel;

/// One block of output channels: the columns of a tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// Group it belongs to.
    pub group: usize,
    /// First output channel, over all groups.
    pub first: usize,
    /// Channels that exist; the others of the last vector are zero.
    pub channels: usize,
    /// Vectors of the tile.
    pub vectors: usize,
    /// Where its weights start, in floats.
    pub weights: usize,
    /// Where its bias starts, in floats.
    pub bias: usize,
}

/// Where each block's weights lie.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    blocks: Vec<Block>,
    lanes: usize,
    weight_floats: usize,
    bias_floats: usize,
}

impl Layout {
    /// Blocks of `usual` vectors of so many `lanes`, or of up to `most` where fewer would be left over.
    pub(crate) fn new(problem: &Problem, lanes: usize, [usual, most]: [usize; 2]) -> Self {
        let channels = problem.group_out_channels();
        let vectors = channels.div_ceil(lanes);
        // As equal as can be: 16 vectors by threes at most are 3, 3, 3, 3, 2, 2, because a lone vector would starve the tile.
        let blocks = vectors.div_ceil(most).max(vectors / usual);
        let mut layout = Layout { blocks: Vec::new(), lanes, weight_floats: 0, bias_floats: 0 };
        for group in 0..problem.groups() {
            let mut first = 0;
            for index in 0..blocks {
                let vectors = vectors / blocks + usize::from(index < vectors % blocks);
                let width = vectors * lanes;
                layout.blocks.push(Block {
                    group,
                    first: group * channels + first,
                    channels: width.min(channels - first),
                    vectors,
                    weights: layout.weight_floats,
                    bias: layout.bias_floats,
                });
                layout.weight_floats += problem.reduction() * width;
                layout.bias_floats += width;
                first += width;
            }
        }
        layout
    }

    /// Vectors of the widest block, the first.
    pub(crate) fn vectors(&self) -> usize {
        self.blocks[0].vectors
    }

    /// Floats in one row of the block's weights.
    pub(crate) fn width(&self, block: &Block) -> usize {
        block.vectors * self.lanes
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(crate) fn bytes(&self) -> u128 {
        4 * (self.weight_floats as u128 + self.bias_floats as u128)
    }
}

/// The prepared weights and biases.
pub(crate) struct PackedWeights {
    pub layout: Layout,
    pub weights: AlignedBuffer,
    pub bias: AlignedBuffer,
}

impl PackedWeights {
    /// All weights at once.
    pub(crate) fn pack(
        layout: Layout,
        problem: &Problem,
        filter: Filter<'_>,
        options: &PlanOptions,
    ) -> Result<Self, PlanError> {
        let mut packed = PackedWeights::new(layout, filter.bias)?;
        let blocks = 0..packed.layout.blocks.len();
        packed.pack_blocks(problem, blocks, filter.weights, options.workers);
        Ok(packed)
    }

    /// The biases, and room for the weights.
    pub(crate) fn new(layout: Layout, biases: Option<&[f32]>) -> Result<Self, PlanError> {
        let weights = AlignedBuffer::zeroed(layout.weight_floats)?;
        let mut bias = AlignedBuffer::zeroed(layout.bias_floats)?;
        if let Some(values) = biases {
            for block in layout.blocks() {
                bias[block.bias..][..block.channels].copy_from_slice(&values[block.first..][..block.channels]);
            }
        }
        Ok(PackedWeights { layout, weights, bias })
    }

    /// Packs some `blocks` from the weights of their channels, `[channels][ic/groups][kh][kw]`.
    pub(crate) fn pack_blocks(&mut self, problem: &Problem, blocks: Range<usize>, weights: &[f32], workers: usize) {
        let (layout, blocks) = (&self.layout, &self.layout.blocks[blocks]);
        let taps = problem.height().kernel * problem.width().kernel;
        let packed = SharedSlice::new(&mut self.weights);
        for_each_task(workers, blocks.len(), &mut [], |_, index| {
            let block = &blocks[index];
            let first = (block.first - blocks[0].first) * problem.reduction();
            let source = &weights[first..][..block.channels * problem.reduction()];
            kernel::pack_block(&packed, block.weights, source, problem.group_in_channels(), taps, layout.width(block));
        });
    }
}
