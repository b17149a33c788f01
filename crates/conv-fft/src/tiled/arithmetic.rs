//! What the transforms are computed with: roots of unity, and arrays of f64 for weights.

use conv_simd::{Arithmetic, Counter, Lanes, Simd};

/// Arithmetic with roots of unity.
pub(super) trait Roots: Arithmetic {
    /// The root as real and imaginary part.
    fn root(self, root: &Root) -> Complex<Self>;
}

/// Real and imaginary part.
pub(super) type Complex<A> = [<A as Arithmetic>::Value; 2];

/// A root of unity as real and imaginary part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    exact: [f64; 2],
    rounded: [f32; 2],
}

impl Root {
    const fn new(re: f64, im: f64) -> Self {
        Root { exact: [re, im], rounded: [re as f32, im as f32] }
    }
}

/// `exp(−2πi·k/32)`.
pub(super) static ROOTS_OF_32: [Root; 32] = {
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
    let mut roots = [Root::new(1.0, 0.0); 32];
    let mut k = 0;
    while k < 32 {
        let (quarter, rest) = (k / 8, k % 8);
        let (cosine, sine) = (COSINES[rest], COSINES[8 - rest]);
        roots[k] = match quarter {
            0 => Root::new(cosine, -sine),
            1 => Root::new(-sine, -cosine),
            2 => Root::new(-cosine, sine),
            _ => Root::new(sine, cosine),
        };
        k += 1;
    }
    roots
};

/// `exp(−2πi·k/P)` from the cosines and sines of `2πk/P` for k from 1 to (P − 1)/2.
const fn odd_roots<const P: usize>(half: &[[f64; 2]]) -> [Root; P] {
    assert!(P == 2 * half.len() + 1);
    let mut roots = [Root::new(1.0, 0.0); P];
    let mut k = 1;
    while k <= half.len() {
        let [cosine, sine] = half[k - 1];
        roots[k] = Root::new(cosine, -sine);
        roots[P - k] = Root::new(cosine, sine);
        k += 1;
    }
    roots
}

/// `exp(−2πi·k/3)`.
pub(super) static ROOTS_OF_3: [Root; 3] = odd_roots(&[[-0.5, 0.866_025_403_784_438_6]]);

/// `exp(−2πi·k/5)`.
pub(super) static ROOTS_OF_5: [Root; 5] = odd_roots(&[
    [0.309_016_994_374_947_45, 0.951_056_516_295_153_5],
    [-0.809_016_994_374_947_5, 0.587_785_252_292_473_1],
]);

/// `exp(−2πi·k/7)`.
pub(super) static ROOTS_OF_7: [Root; 7] = odd_roots(&[
    [0.623_489_801_858_733_6, 0.781_831_482_468_029_8],
    [-0.222_520_933_956_314_42, 0.974_927_912_181_823_6],
    [-0.900_968_867_902_419_1, 0.433_883_739_117_558_2],
]);

impl<S: Simd> Roots for Lanes<S> {
    #[inline(always)]
    fn root(self, root: &Root) -> [S::Vec; 2] {
        root.rounded.map(|part| self.0.splat(part))
    }
}

impl Roots for Counter<'_> {
    fn root(self, _: &Root) -> [(); 2] {
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
    fn root(self, root: &Root) -> [[f64; WIDE]; 2] {
        root.exact.map(|part| [part; WIDE])
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
