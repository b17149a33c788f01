//! Depthwise filters of any size, and groups of few channels, on a copy of one vector's channels with the padding about its rows.
//!
//! In the copy all outputs of a row have the same taps, and pixels lie beside each other: of a large filter on a map that is hardly
//! larger most tiles meet padding, and pixels whose distance is a power of two share few sets of L1. To copy takes a load and a store
//! where each output has all its taps.
//!
//! Of groups of several channels the copy has the first channels of all of the vector's groups beside each other, then the second ones: a
//! load that repeats these spreads them to the lanes of their groups, where tiles without a copy permute.

use conv_core::Problem;
use conv_simd::{Core, Isa};

use super::kernel::PIXELS;
use super::shares::Shares;
use super::{FAR_FLOATS, Packing};

#[allow(unsafe_code)]
mod kernel;

pub(super) use kernel::Planes;

/// Floats of a copy, at most: half of a small L2.
const MOST_FLOATS: usize = 32 << 10;

/// The same of groups that are spread: an eighth of an Intel core's L2.
const MOST_SPREAD: usize = 64 << 10;

/// Outputs of a row that are computed together, in two rows at once: three numbers to choose from for vectors of 16 floats, and for
/// shorter ones.
const TILES: [[usize; 3]; 2] = [[8, 7, 5], [6, 5, 4]];

/// The same for groups that are spread over vectors of 16 floats.
const SPREAD_TILES: [usize; 4] = [10, 9, 8, 7];

/// Channels of a group from which on spreading them is faster than permuting.
const LEAST_SPREAD: usize = 3;

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
        && fits(problem, packing)
}

/// Whether these loops are faster than those along a row that have the filter, too: DECISIONS.md, "Large depthwise filters, and small
/// maps, are computed on copies".
fn faster(problem: &Problem, lanes: usize) -> bool {
    let (width, narrow, intel) = (problem.width(), lanes < 16, Core::detect() == Core::Intel);
    let crowded = crowded(problem);
    match (width.kernel, width.stride) {
        (5, _) if intel => false,
        (5 | 7, _) if narrow && crowded => true,
        (7, 1) if !narrow && intel => width.output() > PIXELS,
        // Other padding than the usual leaves these outputs to be computed alone along a row.
        (7, 2) if narrow && intel => width.pad_before != 3 && width.output() <= 2 * PIXELS,
        (7, 1) => {
            let [row, copy] = [PIXELS, tile(width.output(), lanes)].map(|tile| computed(width.output(), tile) as f64);
            narrow || row >= LEAST_SAVED * copy || (crowded && problem.input_len() >= FAR_FLOATS)
        }
        _ => false,
    }
}

/// Of [`TILES`] the number of outputs with the fewest computed twice or beyond the row, and the larger of such.
fn tile(outputs: usize, lanes: usize) -> usize {
    fitting(outputs, &TILES[usize::from(lanes < 16)])
}

fn fitting(outputs: usize, tiles: &[usize]) -> usize {
    *tiles.iter().min_by_key(|&&tile| computed(outputs, tile)).expect("there are tiles")
}

/// Outputs that tiles of so many compute in a row.
fn computed(outputs: usize, tile: usize) -> usize {
    outputs.next_multiple_of(tile)
}

/// Columns of a copy: from the first output's first tap to the last one's last.
fn columns(problem: &Problem, packing: Packing) -> usize {
    let width = problem.width();
    let outputs = width.output().max(tile_of(width.output(), packing));
    (outputs - 1) * width.stride + (width.kernel - 1) * width.dilation + 1
}

/// Outputs of a row that are computed together.
fn tile_of(outputs: usize, packing: Packing) -> usize {
    if packing.spread { fitting(outputs, &SPREAD_TILES) } else { tile(outputs, packing.lanes) }
}

/// How many groups of `problem`, one, two or four, lie in a vector of `isa` whose channels are spread by loads from a copy, if that is
/// how they are computed: DECISIONS.md, "Groups of few channels are spread from copies on Intel's cores".
pub(super) fn spread(problem: &Problem, isa: Isa) -> Option<usize> {
    let [depth, filters, lanes] = [problem.group_in_channels(), problem.group_out_channels(), isa.lanes()];
    let groups = lanes / filters.next_power_of_two();
    let fits = matches!(groups, 1 | 2 | 4) && groups * depth <= lanes && (groups == 1 || filters.is_power_of_two());
    let [height, width] = [problem.height(), problem.width()];
    let faster = match (groups, width.stride) {
        (1, 1) => crowded(problem) || width.output() <= PIXELS,
        (2, 1 | 2) | (4, 1) => true,
        _ => false,
    };
    let pays = problem.groups() > 1 && depth >= LEAST_SPREAD && height.kernel * width.kernel > 1 && faster;
    (fits && pays && lanes == 16 && Core::detect() == Core::Intel).then_some(groups)
}

/// Whether pixels share two sets of L1, or one.
fn crowded(problem: &Problem) -> bool {
    (size_of::<f32>() * problem.in_channels()).is_multiple_of(CROWDED_BYTES)
}

/// Whether a copy is not too large.
pub(super) fn fits(problem: &Problem, packing: Packing) -> bool {
    floats(problem, packing) <= if packing.spread { MOST_SPREAD } else { MOST_FLOATS }
}

/// Floats of a copy: the rows under a band of outputs.
pub(super) fn floats(problem: &Problem, packing: Packing) -> usize {
    let height = problem.height();
    let outputs = Shares::new(problem.batch(), height.output(), packing.vectors).most_rows();
    let rows = ((outputs - 1) * height.stride + (height.kernel - 1) * height.dilation + 1).min(height.input);
    rows.saturating_mul(columns(problem, packing)).saturating_mul(packing.lanes)
}
