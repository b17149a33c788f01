//! Depthwise filters of any size, on a copy of one vector's channels with the padding about its rows.
//!
//! In the copy all outputs of a row have the same taps, and pixels lie beside each other: of a large filter on a map that is hardly
//! larger most tiles meet padding, and pixels whose distance is a power of two share few sets of L1. To copy takes a load and a store
//! where each output has all its taps.

use conv_core::Problem;

use super::kernel::PIXELS;
use super::shares::Shares;
use super::{FAR_FLOATS, Packing};

#[allow(unsafe_code)]
mod kernel;

pub(super) use kernel::Planes;

/// Floats of a copy, at most: half of a small L2.
const MOST_FLOATS: usize = 32 << 10;

/// Outputs of a row that are computed together, in two rows at once: three numbers to choose from for vectors of 16 floats, and for
/// shorter ones.
const TILES: [[usize; 3]; 2] = [[8, 7, 5], [6, 5, 4]];

/// Outputs of a row from which on copying pays.
const LEAST_OUTPUTS: usize = 4;

/// Of the distance between pixels a divisor that leaves them two sets of L1, or one.
const CROWDED_BYTES: usize = 2 << 10;

/// Outputs of a row that other tiles compute over those that these do, from which on copying pays.
const LEAST_SAVED: f64 = 1.25;

/// Whether `problem` is computed here: where no other loop has its filter, or those along a row would compute most of its outputs one by
/// one.
pub(super) fn covers(problem: &Problem, packing: Packing) -> bool {
    let [height, width] = [problem.height(), problem.width()];
    let outputs = width.output();
    let alone = outputs < PIXELS || (PIXELS + 1..PIXELS + width.pad_before).contains(&outputs);
    let pays = match width.kernel {
        3 | 5 | 7 => height.kernel > 1 && (alone || faster(problem, packing.lanes)),
        taps => taps >= 4 * width.stride,
    };
    packing.is_depthwise()
        && height.dilation * width.dilation == 1
        && width.stride <= 2
        && outputs >= LEAST_OUTPUTS
        && pays
        && floats(problem, packing) <= MOST_FLOATS
}

/// Whether these loops are faster than those along a row that have the filter, too: DECISIONS.md, "Large depthwise filters, and small
/// maps, are computed on copies".
fn faster(problem: &Problem, lanes: usize) -> bool {
    let (width, narrow) = (problem.width(), lanes < 16);
    let crowded = (size_of::<f32>() * problem.in_channels()).is_multiple_of(CROWDED_BYTES);
    match (width.kernel, width.stride) {
        (5 | 7, _) if narrow && crowded => true,
        (7, 1) => {
            let [row, copy] = [PIXELS, tile(width.output(), lanes)].map(|tile| computed(width.output(), tile) as f64);
            narrow || row >= LEAST_SAVED * copy || (crowded && problem.input_len() >= FAR_FLOATS)
        }
        _ => false,
    }
}

/// Of [`TILES`] the number of outputs with the fewest computed twice or beyond the row, and the larger of such.
fn tile(outputs: usize, lanes: usize) -> usize {
    let tiles = TILES[usize::from(lanes < 16)];
    tiles.into_iter().min_by_key(|&tile| computed(outputs, tile)).expect("three tiles")
}

/// Outputs that tiles of so many compute in a row.
fn computed(outputs: usize, tile: usize) -> usize {
    outputs.next_multiple_of(tile)
}

/// Columns of a copy: from the first output's first tap to the last one's last.
fn columns(problem: &Problem, lanes: usize) -> usize {
    let width = problem.width();
    let outputs = width.output().max(tile(width.output(), lanes));
    (outputs - 1) * width.stride + width.kernel
}

/// Floats of a copy: the rows under a band of outputs.
pub(super) fn floats(problem: &Problem, packing: Packing) -> usize {
    let height = problem.height();
    let outputs = Shares::new(problem.batch(), height.output(), packing.vectors).most_rows();
    let rows = ((outputs - 1) * height.stride + height.kernel).min(height.input);
    rows.saturating_mul(columns(problem, packing.lanes)).saturating_mul(packing.lanes)
}
