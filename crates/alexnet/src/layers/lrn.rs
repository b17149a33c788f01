//! Local response normalisation.

use conv_simd::{Isa, Simd, SimdOp};

use super::for_each_chunk;
use crate::network::Lrn;

/// Floats that one task normalises, about: 32 KiB in and as much out.
const TASK_FLOATS: usize = 8 << 10;

/// How far ahead of the pixel that is normalised to prefetch, in floats: a hardware stream ends at each 4 KiB page.
const PREFETCH_FLOATS: usize = 1024;

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
            (half, 0.75) => self.by_vectors(simd, half),
            // Other exponents need a powf, of which there is no vector version: they are correct, not fast.
            _ => self.one_by_one(),
        }
    }
}

impl Normalise<'_> {
    /// A vector of channels at a time, the sum over its window from unaligned loads, which give zeros for channels that
    /// do not exist.
    #[inline(always)]
    fn by_vectors<S: Simd>(self, simd: S, half: usize) {
        let Normalise { lrn, channels, input, output } = self;
        // Where the vectors begin whose whole window exists.
        let inner = half.next_multiple_of(S::LANES).min(channels)..(channels + 1).saturating_sub(half + S::LANES);
        for (x, y) in input.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
            for c in (0..inner.start).step_by(S::LANES) {
                at_an_end(simd, lrn, half, (x, y), c);
            }
            let mut c = inner.start;
            while c < inner.end {
                simd.prefetch(x.as_ptr().wrapping_add(c + PREFETCH_FLOATS));
                let window = &x[c - half..c + half + S::LANES];
                let sum = sum_of_squares(simd, half, |offset| simd.load(&window[offset..]));
                simd.store(&mut y[c..], normalised(simd, lrn, simd.load(&window[half..]), sum));
                c += S::LANES;
            }
            for c in (c..channels).step_by(S::LANES) {
                at_an_end(simd, lrn, half, (x, y), c);
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

/// Normalises the vector of a pixel's channels at `c`, where not all of its window exists.
#[inline(always)]
fn at_an_end<S: Simd>(simd: S, lrn: &Lrn, half: usize, (x, y): (&[f32], &mut [f32]), c: usize) {
    simd.prefetch(x.as_ptr().wrapping_add(c + PREFETCH_FLOATS));
    let sum = sum_of_squares(simd, half, |offset| load_around(simd, x, c + offset, half));
    simd.store_partial(&mut y[c..], normalised(simd, lrn, simd.load_partial(&x[c..]), sum));
}

/// The vector at `x[position - before..]`, zeros where `x` has nothing.
#[inline(always)]
fn load_around<S: Simd>(simd: S, x: &[f32], position: usize, before: usize) -> S::Vec {
    match before.checked_sub(position) {
        Some(skipped) if skipped >= S::LANES => simd.zero(),
        Some(skipped) if x.len() >= S::LANES => simd.load_behind(skipped, x),
        Some(skipped) => {
            let mut lanes = [0.0; 16];
            let count = x.len().min(S::LANES - skipped);
            lanes[skipped..skipped + count].copy_from_slice(&x[..count]);
            simd.load(&lanes)
        }
        None => simd.load_partial(x.get(position - before..).unwrap_or_default()),
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
