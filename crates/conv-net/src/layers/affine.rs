//! A scale and a shift for each channel, where no convolution has taken them in.

use conv_simd::{Isa, Simd, SimdOp};

use super::{for_each_chunk, task_len};

/// `output[p][c] = input[p][c] · scale[c] + shift[c]` for every pixel `p` of `channels`, then `max(output, 0)` if
/// `relu` says so.
#[allow(clippy::too_many_arguments, reason = "three slices of floats in a structure would be no clearer")]
pub(crate) fn affine(
    isa: Isa,
    workers: usize,
    channels: usize,
    scale: &[f32],
    shift: &[f32],
    input: &[f32],
    output: &mut [f32],
    relu: bool,
) {
    let len = task_len(output.len(), channels);
    for_each_chunk(workers, output, len, |index, output| {
        let input = &input[index * len..][..output.len()];
        isa.run(Affine { scale: &scale[..channels], shift: &shift[..channels], input, output, relu });
    });
}

struct Affine<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    input: &'a [f32],
    output: &'a mut [f32],
    relu: bool,
}

impl SimdOp for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        if self.relu {
            self.each(|y| if y < 0.0 { 0.0 } else { y });
        } else {
            self.each(|y| y);
        }
    }
}

impl Affine<'_> {
    #[inline(always)]
    fn each(self, finish: impl Fn(f32) -> f32) {
        let Affine { scale, shift, input, output, .. } = self;
        for (x, y) in input.chunks_exact(scale.len()).zip(output.chunks_exact_mut(scale.len())) {
            let factors = scale.iter().zip(shift);
            y.iter_mut().zip(x).zip(factors).for_each(|((y, x), (scale, shift))| *y = finish(x * scale + shift));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_by_its_own() {
        for (channels, pixels) in [(1, 30), (3, 50_000), (17, 7), (64, 3000), (40_000, 3), (5, 0)] {
            let scale: Vec<f32> = (0..channels).map(|c| c as f32 % 7.0 - 2.5).collect();
            let shift: Vec<f32> = (0..channels).map(|c| c as f32 % 5.0 - 3.0).collect();
            let input: Vec<f32> = (0..channels * pixels).map(|i| i as f32 % 11.0 - 4.0).collect();
            for isa in Isa::available() {
                for (workers, relu) in [(1, true), (3, false)] {
                    let mut output = vec![f32::NAN; input.len()];
                    affine(isa, workers, channels, &scale, &shift, &input, &mut output, relu);
                    for (i, y) in output.into_iter().enumerate() {
                        let x = input[i] * scale[i % channels] + shift[i % channels];
                        assert_eq!(y, if relu { x.max(0.0) } else { x }, "{channels} channels, {i} on {isa}");
                    }
                }
            }
        }
    }
}
