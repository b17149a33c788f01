//! Local response normalisation.

use conv_simd::{Isa, Simd, SimdOp};

use super::for_each_chunk;
use crate::network::Lrn;

/// Floats that one task normalises, about: 32 KiB in and as much out.
const TASK_FLOATS: usize = 8 << 10;

/// Half of the widest window that vectors compute; AlexNet's is 2.
const MAX_HALF: usize = 8;

/// Floats of the longest vector.
const MAX_LANES: usize = 16;

/// `output[p][c] = input[p][c] / (k + alpha · Σ input[p][j]²) ^ beta` for every pixel `p`; see [`Lrn`].
pub(crate) fn normalise(isa: Isa, workers: usize, lrn: &Lrn, channels: usize, input: &[f32], output: &mut [f32]) {
    let len = (TASK_FLOATS / channels).max(1) * channels;
    for_each_chunk(workers, output, len, |index, output| {
        let input = &input[index * len..][..output.len()];
        isa.run(Normalise { lrn, channels, input, output });
    });
}

/// Normalises whole pixels of `channels` floats.
pub(super) struct Normalise<'a> {
    pub lrn: &'a Lrn,
    pub channels: usize,
    pub input: &'a [f32],
    pub output: &'a mut [f32],
}

impl SimdOp for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        match (self.lrn.size / 2, self.lrn.beta) {
            // A window that the compiler knows is unrolled.
            (2, 0.75) => self.by_vectors(simd, 2),
            (half @ ..=MAX_HALF, 0.75) => self.by_vectors(simd, half),
            // Other exponents need a powf, of which there is no vector version: they are correct, not fast.
            _ => self.one_by_one(),
        }
    }
}

impl Normalise<'_> {
    /// A vector of channels at a time, the sum over its window from unaligned loads. At a pixel's ends the window reads
    /// zeros instead, which add nothing: those that a partial load gives at the end, those of a padded copy at the start.
    #[inline(always)]
    fn by_vectors<S: Simd>(self, simd: S, half: usize) {
        let Normalise { lrn, channels, input, output } = self;
        let start = half.next_multiple_of(S::LANES);
        let copied = channels.min(start + half);
        let mut padded = [0.0; MAX_HALF + MAX_LANES + MAX_HALF];
        for (x, y) in input.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
            for c in (0..copied).step_by(S::LANES) {
                simd.store_partial(&mut padded[half + c..half + copied], simd.load_partial(&x[c..copied]));
            }
            for c in (0..start.min(channels)).step_by(S::LANES) {
                let sum = sum_of_squares(simd, half, |offset| simd.load(&padded[c + offset..]));
                simd.store_partial(&mut y[c..], normalised(simd, lrn, simd.load_partial(&x[c..]), sum));
            }
            let mut c = start;
            while c + half + S::LANES <= channels {
                let window = &x[c - half..c + half + S::LANES];
                let sum = sum_of_squares(simd, half, |offset| simd.load(&window[offset..]));
                simd.store(&mut y[c..], normalised(simd, lrn, simd.load(&x[c..]), sum));
                c += S::LANES;
            }
            while c < channels {
                let window = &x[c - half..];
                let rest = |offset: usize| window.get(offset..).unwrap_or_default();
                let sum = sum_of_squares(simd, half, |offset| simd.load_partial(rest(offset)));
                simd.store_partial(&mut y[c..], normalised(simd, lrn, simd.load_partial(&x[c..]), sum));
                c += S::LANES;
            }
        }
    }

    fn one_by_one(self) {
        let Normalise { lrn, channels, input, output } = self;
        let half = lrn.size / 2;
        for (x, y) in input.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
            for (c, y) in y.iter_mut().enumerate() {
                let window = &x[c.saturating_sub(half)..channels.min((c + 1).saturating_add(half))];
                let sum: f32 = window.iter().map(|value| value * value).sum();
                *y = x[c] / (lrn.k + lrn.alpha * sum).powf(lrn.beta);
            }
        }
    }
}

#[inline(always)]
fn sum_of_squares<S: Simd>(simd: S, half: usize, load: impl Fn(usize) -> S::Vec) -> S::Vec {
    let mut sum = simd.zero();
    for offset in 0..=2 * half {
        let value = load(offset);
        sum = simd.mul_add(value, value, sum);
    }
    sum
}

/// `x / (k + alpha · sum) ^ (3/4)`. With r = 1/√base the power is r · (r · 1/√r): two estimates refined instead of two
/// square roots and a quotient, which take three times as long.
#[inline(always)]
fn normalised<S: Simd>(simd: S, lrn: &Lrn, x: S::Vec, sum: S::Vec) -> S::Vec {
    // At most the largest finite number, whose power is as good as infinity's and has an estimate; a NaN stays one.
    let negative = simd.neg_mul_add(simd.splat(lrn.alpha), sum, simd.splat(-lrn.k));
    let base = simd.sub(simd.zero(), simd.max(simd.splat(-f32::MAX), negative));
    let root = simd.rsqrt(base);
    simd.mul(x, simd.mul(root, simd.mul(root, simd.rsqrt(root))))
}
