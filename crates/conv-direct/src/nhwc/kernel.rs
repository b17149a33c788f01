//! The unsafe part: pointers for the register tile.

use std::ops::Range;

use conv_simd::{Init, SharedSlice, TileArgs};

use super::DirectPlan;
use super::tiling::{Lines, Tiles};

/// Computes `tiles` of one image and one block of output channels.
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
    let input_image = geometry.height.input * geometry.width.input * geometry.in_channels;
    let output_image = geometry.output[0] * geometry.output[1] * geometry.output_pitch;
    let input = input.as_ptr().wrapping_add(image * input_image + block.group * group_in_channels);
    let output = output.as_ptr().wrapping_add(image * output_image + block.first);
    let weights = plan.weights.weights.as_ptr().wrapping_add(block.weights);
    let bias = plan.weights.bias.as_ptr().wrapping_add(block.bias);
    let (width, tiling) = (layout.width(block), &plan.tilings[block.vectors - 1]);
    let mut tiles = plan.schedule.rescale(tiles, tiling.len());
    while !tiles.is_empty() {
        let (Lines { along, across, .. }, line, Tiles { segment, skipped, count }) = tiling.tiles(tiles.start);
        let count = count.min(tiles.len());
        tiles.start += count;
        let x_pixel = along.axis.stride * along.input;
        let skipped = skipped * segment.pixels;
        let mut args = TileArgs {
            x: input.wrapping_add(line.first_input * across.input + skipped * x_pixel),
            x_pixel,
            w: weights.wrapping_add(line.taps.start * across.weights * width),
            rows: line.taps.len(),
            x_row: across.axis.dilation * across.input,
            // The next tile of the line: a tenth faster where the weights are so few that the input is read once for each
            // (1×1 to 16 channels).
            next: (segment.pixels * x_pixel) as isize,
            w_row: across.weights * width,
            runs: &segment.runs,
            y: output.wrapping_add(line.output * across.output + (segment.first + skipped) * along.output),
            y_pixel: along.output,
            channels: block.channels,
            init: Init::Bias(bias),
            accumulate: plan.epilogue.accumulate,
            bounds: plan.epilogue.bounds,
            stream: plan.stream,
        };
        let tile = plan.isa.tile(segment.pixels, block.vectors);
        for _ in 0..count {
            // SAFETY: `Plan::run` checked both lengths against the problem and the pitch. Reads: the taps of `taps` lie inside the image,
            // and the runs, made by `tiling::cut` for this direction, name only pixels inside a line. Weights and bias are
            // whole blocks. Writes: `pixels` outputs of one line, `channels` each, which belong to this task alone: tasks
            // differ in image, tile or block, and a pixel is in one tile.
            unsafe { tile.run(&args) };
            args.x = args.x.wrapping_add(segment.pixels * x_pixel);
            args.y = args.y.wrapping_add(segment.pixels * along.output);
        }
    }
}
