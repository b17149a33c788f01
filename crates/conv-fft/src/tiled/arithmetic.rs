//! What the transforms are computed with: roots of unity, and arrays of f64 for weights.

use conv_simd::{Arithmetic, Counter, Lanes, Simd};

/// Arithmetic with roots of unity.
pub(super) trait Roots: Arithmetic {
    /// `exp(−2πi·k/32)`, `k` below 32, as real and imaginary part.
    fn root(self, k: usize) -> Complex<Self>;
}

/// Real and imaginary part.
pub(super) type Complex<A> = [<A as Arithmetic>::Value; 2];

/// `cos(2πk/32)` for k up to 8.
const COSINES: [f64; 9] = [
    1.0,
    0.980_785_280_403_230_4,
    0.923_879_532_511_286_7,
    0.831_469_612_302_545_2,
    std::f64::consts::FRAC_1_SQRT_2,
    0.555_570_233_019_602_2,
    0.382_683_432_365_089_8,
    0.195_090_322_016_128_28,
    0.0,
];

/// `exp(−2πi·k/32)`.
const ROOTS: [[f64; 2]; 32] = {
    let mut roots = [[0.0; 2]; 32];
    let mut k = 0;
    while k < 32 {
        let (quarter, rest) = (k / 8, k % 8);
        let (cosine, sine) = (COSINES[rest], COSINES[8 - rest]);
        roots[k] = match quarter {
            0 => [cosine, -sine],
            1 => [-sine, -cosine],
            2 => [-cosine, sine],
            _ => [sine, cosine],
        };
        k += 1;
    }
    roots
};

/// [`ROOTS`], rounded.
static ROUNDED_ROOTS: [[f32; 2]; 32] = {
    let mut roots = [[0.0; 2]; 32];
    let mut k = 0;
    while k < 32 {
        roots[k] = [ROOTS[k][0] as f32, ROOTS[k][1] as f32];
        k += 1;
    }
    roots
};

impl<S: Simd> Roots for Lanes<S> {
    #[inline(always)]
    fn root(self, k: usize) -> [S::Vec; 2] {
        let [re, im] = ROUNDED_ROOTS[k];
        [self.0.splat(re), self.0.splat(im)]
    }
}

impl Roots for Counter<'_> {
    fn root(self, _: usize) -> [(); 2] {
        [(); 2]
    }
}

/// Filters transformed at once: a number that divides the output channels of every register tile.
pub(super) const WIDE: usize = 8;

/// [`WIDE`] doubles.
#[derive(Clone, Copy)]
pub(super) struct Wide;

#[inline(always)]
fn each(lane: impl Fn(usize) -> f64) -> [f64; WIDE] {
    std::array::from_fn(lane)
}

impl Roots for Wide {
    #[inline(always)]
    fn root(self, k: usize) -> [[f64; WIDE]; 2] {
        ROOTS[k].map(|part| [part; WIDE])
    }
}

impl Arithmetic for Wide {
    type Value = [f64; WIDE];
    #[inline(always)]
    fn zero(self) -> [f64; WIDE] {
        [0.0; WIDE]
    }
    #[inline(always)]
    fn add(self, a: [f64; WIDE], b: [f64; WIDE]) -> [f64; WIDE] {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f64; WIDE], b: [f64; WIDE]) -> [f64; WIDE] {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f64; WIDE], b: [f64; WIDE]) -> [f64; WIDE] {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: [f64; WIDE], b: [f64; WIDE], c: [f64; WIDE]) -> [f64; WIDE] {
        each(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn neg_mul_add(self, a: [f64; WIDE], b: [f64; WIDE], c: [f64; WIDE]) -> [f64; WIDE] {
        each(|i| c[i] - a[i] * b[i])
    }
}
