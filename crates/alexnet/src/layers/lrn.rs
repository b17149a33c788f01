//! Local response normalisation.

use conv_simd::{Isa, Simd, SimdOp};

use super::for_each_chunk;
use crate::network::Lrn;

/// Floats that one task normalises, about: 32 KiB in and as much out.
const TASK_FLOATS: usize = 8 << 10;

/// `output[p][c] = input[p][c] / (k + alpha · Σ input[p][j]²) ^ beta` for every pixel `p`; see [`Lrn`].
pub(crate) fn normalise(isa: Isa, workers: usize, lrn: &Lrn, channels: usize, input: &[f32], output: &mut [f32]) {
    let len = (TASK_FLOATS / channels).max(1) * channels;
    for_each_chunk(workers, output, len, |index, output| {
        let input = &input[index * len..][..output.len()];
        isa.run(Normalise { lrn, channels, input, output });
    });
}

struct Normalise<'a> {
    lrn: &'a Lrn,
    channels: usize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let pixels = self.input.chunks_exact(self.channels).zip(self.output.chunks_exact_mut(self.channels));
        for (x, y) in pixels {
            normalise_pixel(simd, self.lrn, x, y);
        }
    }
}

/// One pixel. The first channels, whose window would start before the pixel, one by one; the others a vector at a time,
/// where loads past the pixel's end give zeros, which add nothing.
#[inline(always)]
fn normalise_pixel<S: Simd>(simd: S, lrn: &Lrn, x: &[f32], y: &mut [f32]) {
    let channels = x.len();
    let half = (lrn.size / 2).min(channels);
    // Other exponents need a powf, of which there is no vector version: they are correct, not fast.
    let scalar = if lrn.beta == 0.75 { half } else { channels };
    for (c, y) in y[..scalar].iter_mut().enumerate() {
        *y = x[c]
            / power(lrn, lrn.k + lrn.alpha * sum_of_squares(&x[c.saturating_sub(half)..channels.min(c + half + 1)]));
    }
    let (k, alpha) = (simd.splat(lrn.k), simd.splat(lrn.alpha));
    for c in (scalar..channels).step_by(S::LANES) {
        let window = &x[c - half..channels.min(c + half + S::LANES)];
        let mut sum = simd.zero();
        for offset in 0..=2 * half {
            let value = simd.load_partial(window.get(offset..).unwrap_or_default());
            sum = simd.mul_add(value, value, sum);
        }
        let base = simd.mul_add(alpha, sum, k);
        let root = simd.sqrt(base);
        let divisor = simd.mul(root, simd.sqrt(root));
        simd.store_partial(&mut y[c..], simd.div(simd.load_partial(&x[c..]), divisor));
    }
}

fn sum_of_squares(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum()
}

/// `base ^ beta`; for 3/4 by two square roots, which are exact to half a unit in the last place and much faster.
fn power(lrn: &Lrn, base: f32) -> f32 {
    if lrn.beta == 0.75 { base.sqrt() * base.sqrt().sqrt() } else { base.powf(lrn.beta) }
}
