//! A scale and a shift for each channel, where no convolution has taken them in.

use conv_simd::{Bounds, Isa, Simd, SimdOp};

use super::{for_each_chunk, read, task_len, write};

/// `output[p][c] = input[p][c] · scale[c] + shift[c]` for every pixel `p`, within bounds.
#[derive(Clone)]
pub(crate) struct Affine {
    /// One float a channel.
    pub scale: Vec<f32>,
    /// As many.
    pub shift: Vec<f32>,
    /// Floats from one input pixel to the next.
    pub pitch: usize,
    /// Of the results.
    pub bounds: Bounds,
}

impl Affine {
    /// Floats of scales and shifts.
    pub(crate) fn prepared_floats(&self) -> usize {
        self.scale.len() + self.shift.len()
    }

    /// Computes the pixels of `output`, whose channels lie side by side.
    pub(crate) fn run(&self, isa: Isa, workers: usize, input: &[f32], output: &mut [f32]) {
        let channels = self.scale.len();
        let len = task_len(output.len(), channels);
        for_each_chunk(workers, output, len, |index, output| {
            let input = &input[index * len / channels * self.pitch..];
            isa.run(Pixels { affine: self, input, output });
        });
    }
}

struct Pixels<'a> {
    affine: &'a Affine,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Pixels<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let Affine { scale, shift, pitch, bounds } = self.affine;
        let channels = scale.len();
        for (x, y) in self.input.chunks(*pitch).zip(self.output.chunks_exact_mut(channels)) {
            let x = &x[..channels];
            for c in (0..channels).step_by(S::LANES) {
                let value = simd.mul_add(read(simd, &x[c..]), read(simd, &scale[c..]), read(simd, &shift[c..]));
                write(simd, &mut y[c..], bounds.clamp(simd, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_by_its_own() {
        for (channels, pixels, gap) in
            [(1, 30, 0), (3, 50_000, 2), (17, 7, 0), (64, 3000, 16), (40_000, 3, 1), (5, 0, 0)]
        {
            let pitch = channels + gap;
            let scale: Vec<f32> = (0..channels).map(|c| c as f32 % 7.0 - 2.5).collect();
            let shift: Vec<f32> = (0..channels).map(|c| c as f32 % 5.0 - 3.0).collect();
            let input: Vec<f32> = (0..pitch * pixels).map(|i| i as f32 % 11.0 - 4.0).collect();
            let input = &input[..input.len() - gap.min(input.len())];
            for isa in Isa::available() {
                for (workers, bounds) in [(1, Bounds::RELU), (3, Bounds { least: -3.0, most: 6.0 })] {
                    let affine = Affine { scale: scale.clone(), shift: shift.clone(), pitch, bounds };
                    let mut output = vec![f32::NAN; channels * pixels];
                    affine.run(isa, workers, input, &mut output);
                    for (i, y) in output.into_iter().enumerate() {
                        let (pixel, c) = (i / channels, i % channels);
                        let x = input[pixel * pitch + c] * scale[c] + shift[c];
                        assert_eq!(y, bounds.clamp_one(x), "{channels} channels, {i} on {isa}");
                    }
                }
            }
        }
    }
}
