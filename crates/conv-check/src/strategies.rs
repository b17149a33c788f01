//! Random problems for property tests. They shrink towards one small dense channel.

use conv_core::{Axis, Problem};
use proptest::prelude::*;

/// A problem with up to a few hundred thousand multiply-adds.
pub fn problem() -> impl Strategy<Value = Problem> {
    let groups = prop_oneof![3 => Just(1_usize), 1 => 2..5_usize];
    (1..4_usize, groups, 1..20_usize, 1..40_usize, axis(), axis()).prop_filter_map(
        "larger than a test should be",
        |(batch, groups, group_ic, group_oc, height, width)| {
            let problem = Problem::new(batch, groups, [groups * group_ic, groups * group_oc], [height, width]).ok()?;
            (problem.flops() < 20_000_000).then_some(problem)
        },
    )
}

/// One axis whose filter fits.
fn axis() -> impl Strategy<Value = Axis> {
    (1..24_usize, 1..8_usize, 1..4_usize, 0..5_usize, 0..5_usize, 1..4_usize).prop_map(
        |(input, kernel, stride, before, after, dilation)| {
            let axis = Axis::new(input, kernel).stride(stride).pad(before, after).dilation(dilation);
            let missing = axis.extent().saturating_sub(input + before + after);
            axis.pad(before, after + missing)
        },
    )
}
