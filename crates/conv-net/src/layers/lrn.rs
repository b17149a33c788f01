//! Local response normalisation.

use conv_simd::{Isa, Simd, SimdOp};

use super::{for_each_chunk, read, write};
use crate::operators::Lrn;

/// Floats that one task normalises, about: 32 KiB in and as much out.
const TASK_FLOATS: usize = 8 << 10;

/// Floats that are summed and then divided, about: their sums are still in L1. One loop for both took 13 cycles a vector
/// instead of 11: its chain of operations is longer than the processor looks ahead.
const BLOCK_FLOATS: usize = 2 << 10;

/// How far ahead of what is divided to prefetch, in floats: the next block, since a hardware stream ends at each 4 KiB page.
/// During the division, which is two thirds of the time and reads no other memory: a whole block's lines at once, during the
/// short loop of the sums, were more than a core can wait for, and cost a Xeon of the fifth generation 10 to 18% of the time.
const PREFETCH_FLOATS: usize = BLOCK_FLOATS;

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
        let Normalise { lrn, channels, input, output } = self;
        let len = (BLOCK_FLOATS / channels).max(1) * channels;
        for (x, y) in input.chunks(len).zip(output.chunks_mut(len)) {
            for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
                match lrn.size {
                    5 => sums_of_five(simd, x, y),
                    size => sums(simd, size, x, y),
                }
            }
            // Estimates need a base that is no denormal, and k is the least that it can be.
            if lrn.beta == 0.75 && lrn.k >= f32::MIN_POSITIVE {
                divide_by_powers(simd, lrn, x, y);
            } else {
                // There is no vector version of powf: correct, not fast.
                for (x, y) in x.iter().zip(y) {
                    *y = x / (lrn.k + lrn.alpha * *y).powf(lrn.beta);
                }
            }
        }
    }
}

/// `y[c]`, for one pixel, is the sum of squares over AlexNet's window around `c`. Each square is computed once, its
/// neighbours come from the registers beside it, and so do the zeros beyond the first and last channel.
#[inline(always)]
fn sums_of_five<S: Simd>(simd: S, x: &[f32], y: &mut [f32]) {
    let mut window = Window::begin(simd, read(simd, x));
    // As long as the next vector is whole too.
    let next = x.get(S::LANES..).unwrap_or_default().chunks_exact(S::LANES);
    let mut c = 0;
    for (y, next) in y.chunks_exact_mut(S::LANES).zip(next) {
        simd.store(y, window.advance(simd, simd.load(next)));
        c += S::LANES;
    }
    while c < x.len() {
        let sum = window.advance(simd, simd.load_partial(x.get(c + S::LANES..).unwrap_or_default()));
        write(simd, &mut y[c..], sum);
        c += S::LANES;
    }
}

/// The same for windows of any odd `size`, from unaligned loads, and float by float where not all of a window exists.
#[inline(always)]
fn sums<S: Simd>(simd: S, size: usize, x: &[f32], y: &mut [f32]) {
    let half = size / 2;
    let mut c = 0;
    while c < x.len() {
        if c >= half && c + S::LANES + half <= x.len() {
            let mut sum = simd.zero();
            for offset in 0..size {
                let value = simd.load(&x[c - half + offset..]);
                sum = simd.mul_add(value, value, sum);
            }
            simd.store(&mut y[c..], sum);
            c += S::LANES;
        } else {
            let window = &x[c.saturating_sub(half)..x.len().min((c + 1).saturating_add(half))];
            y[c] = window.iter().map(|value| value * value).sum();
            c += 1;
        }
    }
}

/// What the sums of squares over five channels are made of, along the vectors of a pixel.
struct Window<S: Simd> {
    /// Each channel's square.
    square: S::Vec,
    /// The same and the square before it.
    pair: S::Vec,
    /// `pair` of the vector before.
    pair_before: S::Vec,
}

impl<S: Simd> Window<S> {
    /// Around the `first` vector of a pixel.
    #[inline(always)]
    fn begin(simd: S, first: S::Vec) -> Self {
        let square = simd.mul(first, first);
        let pair = simd.add(square, simd.one_before(simd.zero(), square));
        Window { square, pair, pair_before: simd.zero() }
    }

    /// The sums around this vector's channels, of which `next` is the vector that follows; goes on to that.
    #[inline(always)]
    fn advance(&mut self, simd: S, next: S::Vec) -> S::Vec {
        let Window { square, pair, pair_before } = *self;
        self.square = simd.mul(next, next);
        self.pair = simd.add(self.square, simd.one_before(square, self.square));
        self.pair_before = pair;
        let others = simd.add(simd.one_before(pair_before, pair), simd.two_behind(pair, self.pair));
        simd.add(square, others)
    }
}

/// `y = x / (k + alpha · y) ^ (3/4)`.
#[inline(always)]
fn divide_by_powers<S: Simd>(simd: S, lrn: &Lrn, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
        simd.prefetch(x.as_ptr().wrapping_add(PREFETCH_FLOATS));
        let quotient = quotient(simd, lrn, read(simd, x), read(simd, y));
        write(simd, y, quotient);
    }
}

/// `x / (k + alpha · sum) ^ (3/4)`. With r ≈ 1/√base the power is about r · r · 1/√r: two estimates, refined at once,
/// instead of two square roots and a quotient, which take three times as long.
#[inline(always)]
fn quotient<S: Simd>(simd: S, lrn: &Lrn, x: S::Vec, sum: S::Vec) -> S::Vec {
    // At most the largest finite number, whose power is as good as infinity's and has an estimate; a NaN stays one.
    let base = simd.min(simd.splat(f32::MAX), simd.mul_add(simd.splat(lrn.alpha), sum, simd.splat(lrn.k)));
    let root = simd.rsqrt_estimate(base);
    let power = simd.mul(root, simd.mul(root, simd.rsqrt_estimate(root)));
    // base³ · power⁴ is 1 − e, and the exact power is power · (1 − e)^(−1/4): 1 + e/4 + 5e²/32 but for 15e³/128. As
    // (base · power)³ · power nothing overflows on the way.
    let product = simd.mul(base, power);
    let e = simd.neg_mul_add(simd.mul(product, product), simd.mul(product, power), simd.splat(1.0));
    let correction = simd.mul_add(e, simd.splat(5.0 / 32.0), simd.splat(0.25));
    simd.mul(simd.mul(x, power), simd.mul_add(e, correction, simd.splat(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of `x`, one pixel, on every instruction set.
    fn normalised(lrn: &Lrn, x: &[f32]) -> Vec<Vec<f32>> {
        let on = |isa| {
            let mut y = vec![f32::NAN; x.len()];
            normalise(isa, 1, lrn, x.len(), x, &mut y);
            y
        };
        Isa::available().into_iter().map(on).collect()
    }

    fn lrn(size: usize, k: f32, alpha: f32) -> Lrn {
        Lrn { size, k, alpha, beta: 0.75 }
    }

    /// Relative errors of single floats, whatever their magnitude, in units of 2⁻²⁴: at most 5.5 were met.
    #[test]
    fn every_float_is_exact_to_six_units() {
        for channels in [1, 2, 3, 5, 16, 17, 33, 96] {
            for exponent in [-12, -3, 0, 4, 9, 15] {
                let x: Vec<f32> =
                    (0..channels).map(|c| ((c * 37 % 23) as f32 - 11.3) * 10_f32.powi(exponent)).collect();
                for size in [1, 3, 5, 9, 2 * channels + 1] {
                    for k in [f32::MIN_POSITIVE, 1e-5, 2.0, 1e30] {
                        let lrn = lrn(size, k, 0.3);
                        for (isa, y) in Isa::available().iter().zip(normalised(&lrn, &x)) {
                            for (c, &y) in y.iter().enumerate() {
                                let window = &x[c.saturating_sub(size / 2)..channels.min(c + size / 2 + 1)];
                                let sum: f64 = window.iter().map(|&x| f64::from(x).powi(2)).sum();
                                let base = f64::from(k) + f64::from(0.3_f32) * sum;
                                let exact = f64::from(x[c]) / base.powf(0.75);
                                let units = (f64::from(y) / exact - 1.0).abs() * 2_f64.powi(24);
                                assert!(
                                    units <= 6.0,
                                    "{lrn:?} on {isa}: channel {c} of {x:?} is {y} for {exact}: {units}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    /// Also where no estimate exists, because all squares are lost and `k` is a denormal.
    #[test]
    fn denormal_bases_have_powers() {
        let k = f32::MIN_POSITIVE / 8.0;
        let exact = 1e-25 * f64::from(k).powf(-0.75);
        for y in normalised(&lrn(5, k, 1.0), &[1e-25; 20]).iter().flatten() {
            assert!((f64::from(*y) / exact - 1.0).abs() < 1e-6, "{y} for {exact}");
        }
    }

    #[test]
    fn what_is_not_finite_stays_in_its_window() {
        for size in [3, 5] {
            let mut x = [1.0; 40];
            x[9] = f32::INFINITY;
            x[30] = f32::NAN;
            let plain = normalised(&lrn(size, 2.0, 0.1), &[1.0; 40]);
            for (y, plain) in normalised(&lrn(size, 2.0, 0.1), &x).iter().zip(&plain) {
                for (c, (&y, &plain)) in y.iter().zip(plain).enumerate() {
                    match (c.abs_diff(9), c.abs_diff(30)) {
                        (0, _) => assert_eq!(y, f32::INFINITY),
                        (near, _) if near <= size / 2 => assert!((0.0..1e-28).contains(&y), "{c}: {y}"),
                        (_, near) if near <= size / 2 => assert!(y.is_nan(), "{c}: {y}"),
                        _ => assert_eq!(y, plain, "{c}"),
                    }
                }
            }
        }
    }
}
