//! The unsafe part: blocks that are packed side by side.

use conv_simd::SharedSlice;

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
