//! Random problems for property tests. They shrink towards one small dense channel.

use conv_core::{Axis, Problem};
use proptest::prelude::*;

/// A problem of at most ten million multiply-adds; a quarter of them has groups, an eighth is depthwise.
pub fn problem() -> impl Strategy<Value = Problem> {
    (1..4_usize, channels(), axis(), axis()).prop_filter_map(
        "larger than a test should be",
        |(batch, (groups, channels), height, width)| {
            let problem = Problem::new(batch, groups, channels, [height, width]).ok()?;
            (problem.flops() <= 20_000_000).then_some(problem)
        },
    )
}

/// Groups, and channels that they divide.
fn channels() -> impl Strategy<Value = (usize, [usize; 2])> {
    let dense = (1..80_usize, 1..120_usize).prop_map(|(ic, oc)| (1, [ic, oc]));
    let grouped = (2..5_usize, 1..20_usize, 1..40_usize).prop_map(|(g, ic, oc)| (g, [g * ic, g * oc]));
    // With up to two outputs a channel: the field's channel multiplier.
    let depthwise = (2..70_usize, 1..3_usize).prop_map(|(g, multiplier)| (g, [g, g * multiplier]));
    prop_oneof![5 => dense, 2 => grouped, 1 => depthwise]
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
