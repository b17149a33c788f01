//! The unsafe part: pointers for the register tile, and the packing of weights.

use std::ops::Range;

use conv_simd::{Init, SharedSlice, TileArgs};

use super::DirectPlan;

/// Computes `tiles` (counted row by row) of one image and one block of output channels.
pub(super) fn run_tiles(
    plan: &DirectPlan,
    input: &[f32],
    output: &SharedSlice<'_, f32>,
    image: usize,
    block: usize,
    tiles: Range<usize>,
) {
    let (geometry, layout) = (&plan.geometry, &plan.weights.layout);
    let block = &layout.blocks()[block];
    let group_in_channels = plan.problem.group_in_channels();
    let (height, width) = (&geometry.height, &geometry.width);
    let input_row = width.input * geometry.in_channels;
    let output_row = geometry.output[1] * geometry.out_channels;
    let filter_row = width.kernel * group_in_channels * layout.width(block);
    let input = input.as_ptr().wrapping_add(image * height.input * input_row + block.group * group_in_channels);
    let output = output.as_ptr().wrapping_add(image * geometry.output[0] * output_row + block.first);
    let weights = plan.weights.weights.as_ptr().wrapping_add(block.weights);
    let bias = plan.weights.bias.as_ptr().wrapping_add(block.bias);
    let columns = &plan.columns[block.vectors - 1];
    for tile in plan.schedule.rescale(tiles, plan.rows.len() * columns.len()) {
        let (row, column) = (tile / columns.len(), &columns[tile % columns.len()]);
        let super::Row { first_input, taps } = &plan.rows[row];
        let x_pixel = width.stride * geometry.in_channels;
        let args = TileArgs {
            x: input.wrapping_add(first_input * input_row),
            x_pixel,
            w: weights.wrapping_add(taps.start * filter_row),
            rows: taps.len(),
            x_row: height.dilation * input_row,
            // The tile to the right: a tenth faster where the weights are so few that the input is read once for each (1×1 to
            // 16 channels).
            next: (column.pixels * x_pixel) as isize,
            w_row: filter_row,
            runs: &column.runs,
            y: output.wrapping_add(row * output_row + column.first * geometry.out_channels),
            y_pixel: geometry.out_channels,
            channels: block.channels,
            init: Init::Bias(bias),
            relu: plan.epilogue.relu,
        };
        // SAFETY: `Plan::run` checked both lengths against the problem. Reads: the taps of `taps` lie inside the image,
        // and the runs, made by `columns::cut` for this width, name only pixels inside a row. Weights and bias are whole
        // blocks. Writes: `pixels` outputs of one row, `channels` each, which belong to this task alone: tasks differ in
        // image, tile or block.
        unsafe { plan.isa.tile(column.pixels, block.vectors).run(&args) };
    }
}

/// Packs one block: `source` is `[channels][ic][taps]`, the result from `start` on `[taps][ic][width]`.
pub(super) fn pack_block(
    packed: &SharedSlice<'_, f32>,
    start: usize,
    source: &[f32],
    in_channels: usize,
    taps: usize,
    width: usize,
) {
    // SAFETY: each block has its own range of the packed weights.
    let packed = unsafe { packed.slice(start, taps * in_channels * width) };
    for (k, filter) in source.chunks_exact(taps * in_channels).enumerate() {
        for (c, channel) in filter.chunks_exact(taps).enumerate() {
            for (tap, &weight) in channel.iter().enumerate() {
                packed[(tap * in_channels + c) * width + k] = weight;
            }
        }
    }
}
