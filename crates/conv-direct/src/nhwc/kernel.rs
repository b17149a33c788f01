//! The unsafe part: pointers for the register tile.

use std::ops::Range;

use conv_simd::{Init, Later, SharedSlice, TileArgs, within};

use super::DirectPlan;
use super::tiling::{Lines, Tiles};

/// Floats that a tile reads of one row of its filter, beyond which the next row's, or the next tile's, push out of L1 what is
/// still to be read. With 12 KiB in place of no bound, seven 1×1 layers of 256 to 2048 channels and a 3×3 of 512 took 0.87 to
/// 0.94 of the time on a Xeon of the fourth or fifth generation; the next tile's are worth a tenth where the weights are so
/// few that the input is read once for each (1×1 to 16 channels).
const NEAR: usize = (12 << 10) / size_of::<f32>();

/// What is prefetched beyond that: four lines ahead in the same pixels.
const FLOATS_AHEAD: usize = 64;

/// How many pixels' outputs are brought into L1 with every sixteen rows of weights ([`TileArgs::outputs_at_once`]), where a filter row
/// has so many rows of weights for each pixel of the tile.
///
/// All at once they take every buffer by which lines come into L1, and weights wait behind lines from L3. Xeon of the fifth
/// generation, one thread, little by little: 1×1/2 of 32 to 224 and 336 channels on 112×112 0.93 and 0.83 of the time, 1×1 of 64 to 256
/// on 64×64 0.92. Short sums have no turns to share outputs out to.
fn outputs_at_once(rows_per_pixel: usize) -> usize {
    match rows_per_pixel {
        0..4 => 0,
        4..8 => 4,
        8..16 => 2,
        _ => 1,
    }
}

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
    let following = layout.blocks().get(block + 1);
    let block = &layout.blocks()[block];
    let group_in_channels = plan.problem.group_in_channels();
    let input_image = geometry.height.input * geometry.width.input * geometry.in_channels;
    let output_image = geometry.output[0] * geometry.output[1] * geometry.output_pitch;
    let x = input.as_ptr().wrapping_add(image * input_image + block.group * group_in_channels);
    let y = output.as_ptr().wrapping_add(image * output_image + block.first);
    let weights = plan.weights.weights.as_ptr().wrapping_add(block.weights);
    let bias = plan.weights.bias.as_ptr().wrapping_add(block.bias);
    let (width, tiling) = (layout.width(block), &plan.tilings[block.vectors - 1]);
    debug_assert!(within(&plan.weights.bias[..], bias, width));
    let panel = plan.schedule.rescale(plan.schedule.panel(tiles.start), tiling.len());
    let mut tiles = plan.schedule.rescale(tiles, tiling.len());
    // The share of the next block's weights that a tile brings into L2.
    let later = |tile: usize| match following {
        Some(next) if (1..=width).contains(&panel.len()) => {
            let share = (next.weights - block.weights) * (tile - panel.start) / panel.len();
            let weights = plan.weights.weights.as_ptr().wrapping_add(next.weights + share);
            Some(Later { weights, step: width.div_ceil(panel.len()) })
        }
        _ => None,
    };
    while !tiles.is_empty() {
        let (Lines { along, across, .. }, line, Tiles { segment, skipped, count }) = tiling.tiles(tiles.start);
        let count = count.min(tiles.len());
        let first = tiles.start;
        tiles.start += count;
        let (x_pixel, x_row) = (along.axis.stride * along.input, across.axis.dilation * across.input);
        let skipped = skipped * segment.pixels;
        let rows: usize = segment.runs.iter().map(|run| run.len).sum();
        let [ahead, next] =
            if segment.pixels * rows > NEAR { [FLOATS_AHEAD; 2] } else { [x_row, segment.pixels * x_pixel] };
        let mut args = TileArgs {
            x: x.wrapping_add(line.first_input * across.input + skipped * x_pixel),
            x_pixel,
            w: weights.wrapping_add(line.taps.start * across.weights * width),
            rows: line.taps.len(),
            x_row,
            ahead: ahead as isize,
            next: next as isize,
            w_row: across.weights * width,
            later: None,
            outputs_at_once: outputs_at_once(rows / segment.pixels),
            runs: &segment.runs,
            y: y.wrapping_add(line.output * across.output + (segment.first + skipped) * along.output),
            y_pixel: along.output,
            channels: block.channels,
            init: Init::Bias(bias),
            accumulate: plan.epilogue.accumulate,
            bounds: plan.epilogue.bounds,
            stream: plan.stream,
        };
        let tile = plan.options.isa.tile(segment.pixels, block.vectors);
        for index in first..tiles.start {
            args.later = later(index);
            debug_assert!({
                let image_x = &input[image * input_image..][..input_image];
                let start = line.first_input * across.input;
                // The runs of a column have all taps across it.
                let line_x = start..if along.input < across.input { start + across.input } else { input_image };
                let line_y = output.part(
                    image * output_image + line.output * across.output,
                    (along.axis.output() - 1) * along.output + plan.problem.out_channels(),
                );
                let (size, weights) = ([segment.pixels, width], &plan.weights.weights[block.weights..]);
                let weights = &weights[..plan.problem.reduction() * width];
                // Each filter row in its line of the input: the others are to the first what their lines are to its.
                let first_row = TileArgs { rows: args.rows.min(1), ..args };
                args.within(size, image_x, weights, line_y)
                    && first_row.within(size, image_x.get(line_x).unwrap_or_default(), weights, line_y)
            });
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
