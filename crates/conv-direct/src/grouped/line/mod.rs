//! Depthwise filters along one axis, 1×k and k×1: neighbouring outputs along it share what they read.

use conv_core::{Axis, Problem};
use conv_simd::Core;

use super::Packing;

#[allow(unsafe_code)]
mod kernel;

pub(super) use kernel::Lines;

/// Taps computed over those inside the image up to which this is faster than the loops for any filter, which skip the others. On an
/// Intel core 5×1 on 7×7 with AVX2, of 1.38, takes 0.82 to 0.97 of their time (on a Zen 4 1.3), 3×1 on 11×11 with AVX-512, of 1.35,
/// 1.0 to 1.15.
fn most_computed(lanes: usize) -> f64 {
    if lanes == 8 && Core::detect() == Core::Intel { 1.4 } else { 1.35 }
}

/// The filter's axis, 0 down and 1 across, and the other one.
pub(super) fn axes(problem: &Problem, axis: usize) -> [&Axis; 2] {
    let axes = [problem.height(), problem.width()];
    [axes[axis], axes[1 - axis]]
}

/// Along which axis `problem` is computed here: that of a dense filter of stride one, where the other axis has one tap and no padding.
/// Across, three, five and seven taps have tiles of their own, which are faster.
pub(super) fn axis(problem: &Problem, packing: Packing) -> Option<usize> {
    (0..2).filter(|_| packing.is_depthwise()).find(|&axis| {
        let [along, across] = axes(problem, axis);
        let computed = along.output().next_multiple_of(outputs(packing.lanes)) * along.kernel;
        (along.stride, along.dilation) == (1, 1)
            && along.kernel > 1
            && !(axis == 1 && matches!(along.kernel, 3 | 5 | 7))
            && (across.kernel, across.pad_before, across.pad_after) == (1, 0, 0)
            && computed as f64 <= most_computed(packing.lanes) * along.valid_pairs() as f64
    })
}

/// Outputs computed together, as registers hold their sums and what five taps of them read.
const fn outputs(lanes: usize) -> usize {
    if lanes == 16 { 7 } else { 4 }
}
