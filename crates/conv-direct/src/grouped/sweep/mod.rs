//! Depthwise filters of 3×3, 5×5 and 7×7, by columns of tiles that go down the image.
//!
//! An input row is read once for all output rows that it is a tap of: their sums stay in registers until their last row was read.
//! A tile that computes one row reads each input row as often as the filter has rows, from L2 where pixels lie a power of two apart
//! and share few sets of L1.

use conv_core::Problem;
use conv_simd::{Core, l1_lines_apart};

use super::kernel::PIXELS;
use super::{FAR_FLOATS, bytes};

#[allow(unsafe_code)]
mod kernel;

pub(super) use kernel::Sweep;

/// Taps computed over those inside the image, in a row, up to which a sweep is faster than a tile that skips the others: on a Zen 4,
/// 7×7 on 7×7 pixels 1.7 and 1.8 times the time, 5×5 on them 1.4 and 0.8.
const MOST_COMPUTED: f64 = 1.5;

/// Of a worker's input and output together from which on an Intel core reads rows of all channels faster than columns of a vector:
/// somewhat more than its L2.
const INTEL_L2_BYTES: usize = 9 << 18;

/// Of all input and output from which on an Intel core sweeps 3×3 with AVX2, too, as a sweep asks for what is next; below, rows are faster.
const INTEL_MOST_BY_ROWS: usize = 32 << 20;

/// Whether `problem` is swept: it has a filter that there is a loop for, and padding does not take much of what is computed. Taps
/// in the padding are multiplied here, by zeros.
pub(super) fn covers(problem: &Problem, lanes: usize, workers: usize) -> bool {
    let [height, width] = [problem.height(), problem.width()];
    let square =
        (height.kernel, height.stride) == (width.kernel, width.stride) && height.dilation * width.dilation == 1;
    let Some(pixels) = pixels(width.kernel, width.stride, lanes).filter(|_| square) else { return false };
    // Where a row is one tile, or long enough that what is left over of tiles is little.
    let whole = width.output() == PIXELS || width.output() > PIXELS + 2;
    let by_rows = match (width.kernel, width.stride, lanes, Core::detect()) {
        (3, _, 8, Core::Intel) if whole => width.stride == 2 || bytes(problem) < INTEL_MOST_BY_ROWS,
        (5, 2, 8, Core::Intel) => {
            whole && (width.pad_before == 2 || width.pad_before == 0 && width.output() > 2 * PIXELS)
        }
        (3, 2, 8, _) => !crowded(problem),
        (3, 2, 16, Core::Intel) => true,
        (3, 1, 16, Core::Intel) => bytes(problem) / workers >= INTEL_L2_BYTES,
        (5, 1, 16, Core::Intel) => width.output() <= PIXELS,
        _ => false,
    };
    if by_rows {
        return false;
    }
    let computed = width.output().next_multiple_of(pixels) * width.kernel;
    computed as f64 <= MOST_COMPUTED * width.valid_pairs() as f64
}

/// Whether the pixels under a tile of [`PIXELS`] by 3×3/2 are more than L1 has lines for, and are not read again from near enough. With
/// 16 registers a sweep has tiles of three pixels, and only there is it faster: 3×3/2 on 28×28×336 37 and 47 µs, on 64×64×128 87 and
/// 87, on 56×56×512 601 and 441.
fn crowded(problem: &Problem) -> bool {
    let pixels = 3 * (2 * PIXELS + 1);
    pixels > l1_lines_apart(size_of::<f32>() * problem.in_channels()) && problem.input_len() >= FAR_FLOATS
}

/// Pixels of a tile: as many as the registers hold the sums of, in all live rows, and a row of inputs beside them.
const fn pixels(kernel: usize, stride: usize, lanes: usize) -> Option<usize> {
    Some(match (kernel, stride, lanes) {
        (3, 1 | 2, 16) => 7,
        (5, 1, 16) => 4,
        (5, 2, 16) => 5,
        (7, 2, 16) => 4,
        (3, 1, 8) => 3,
        (5, 2, 8) => 2,
        (3, 2, 8) => 3,
        _ => return None,
    })
}
