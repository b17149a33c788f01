//! How a complex product is made of real ones.

use conv_simd::Arithmetic;

use super::arithmetic::{Complex, WIDE, Wide};

/// The real products of a complex one, `X · W`, of which each is one of the register tile's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Products {
    /// The definition's four, two to a tile:
    ///
    /// ```text
    /// re = [re X, −im X] · [re W; im W]        im = [im X, re X] · [re W; im W]
    /// ```
    ///
    /// The tile is run over the same weights twice, the second time from L1.
    Four,
    /// Gauss's three (Knuth, *The Art of Computer Programming*, vol. 2, §4.6.4), which differ by sums on both sides:
    ///
    /// ```text
    /// a = (re X + im X) · re W        b = re X · (im W − re W)        c = im X · (re W + im W)
    /// re = a − c                      im = a + b
    /// ```
    ///
    /// A quarter fewer multiply-adds for half as many weights again.
    Three,
}

/// [`Products::parts`] of four products and of three, by which the transforms are compiled: a choice at each plane took as
/// long as the transform.
pub(super) const FOUR: usize = 2;
/// See [`FOUR`].
pub(super) const THREE: usize = 3;

/// The parts of V of a value.
#[inline(always)]
pub(super) fn input<A: Arithmetic, const PARTS: usize>(a: A, [re, im]: Complex<A>) -> [A::Value; 3] {
    if PARTS == FOUR { [im, re, a.sub(a.zero(), im)] } else { [a.add(re, im), re, im] }
}

/// The value of a complex product, `part(i)` being its part of M number `i`.
#[inline(always)]
pub(super) fn output<A: Arithmetic, const PARTS: usize>(a: A, part: impl Fn(usize) -> A::Value) -> Complex<A> {
    if PARTS == FOUR {
        return [part(0), part(1)];
    }
    let both = part(0);
    [a.sub(both, part(2)), a.add(both, part(1))]
}

/// One call of the register tile at a plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    /// The first part of V that it reads.
    pub input: usize,
    /// How many parts, which lie side by side, by as many of the weights.
    pub terms: usize,
    /// The first part of the weights.
    pub weights: usize,
    /// The part of M that it writes.
    pub output: usize,
}

impl Products {
    /// Parts of the weights at a plane, and of M.
    pub const fn parts(self) -> usize {
        match self {
            Products::Four => FOUR,
            Products::Three => THREE,
        }
    }

    /// Multiply-adds of a complex product.
    pub const fn multiply_adds(self) -> usize {
        match self {
            Products::Four => 4,
            Products::Three => 3,
        }
    }

    /// The parts of the weights, of which the first two may be all.
    pub(super) fn weights(self, a: Wide, [re, im]: Complex<Wide>) -> [[f64; WIDE]; 3] {
        match self {
            Products::Four => [re, im, a.zero()],
            Products::Three => [re, a.sub(im, re), a.add(re, im)],
        }
    }

    /// The calls of the register tile at a plane.
    pub(super) const fn calls(self, real: bool) -> &'static [Product] {
        const REAL: Product = Product { input: 1, terms: 1, weights: 0, output: 0 };
        // What is taken off the first part of three.
        const ZERO: Product = Product { input: 0, terms: 0, weights: 0, output: 2 };
        const COMPLEX_BY_FOUR: &[Product] = &[
            Product { input: 1, terms: 2, weights: 0, output: 0 },
            Product { input: 0, terms: 2, weights: 0, output: 1 },
        ];
        const COMPLEX_BY_THREE: &[Product] = &[
            Product { input: 0, terms: 1, weights: 0, output: 0 },
            Product { input: 1, terms: 1, weights: 1, output: 1 },
            Product { input: 2, terms: 1, weights: 2, output: 2 },
        ];
        match self {
            Products::Four if real => &[REAL],
            Products::Four => COMPLEX_BY_FOUR,
            Products::Three if real => &[REAL, ZERO],
            Products::Three => COMPLEX_BY_THREE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_products_make_the_complex_one() {
        check::<FOUR>(Products::Four);
        check::<THREE>(Products::Three);
    }

    fn check<const PARTS: usize>(products: Products) {
        let wide = |value: f64| [value; WIDE];
        let input = input::<_, PARTS>(Wide, [wide(2.0), wide(3.0)]);
        let weights = products.weights(Wide, [wide(5.0), wide(-7.0)]);
        for (real, expected) in [(false, [31.0, 1.0]), (true, [10.0, f64::NAN])] {
            let calls = products.calls(real);
            let product = |call: &Product| -> f64 {
                (0..call.terms).map(|i| input[call.input + i][0] * weights[call.weights + i][0]).sum()
            };
            // What no call writes may be anything.
            let written = |part: usize| calls.iter().find(|call| call.output == part).map_or(f64::NAN, product);
            let [re, im] = output::<_, PARTS>(Wide, |part| wide(written(part)));
            assert!(re[0] == expected[0] && (real || im[0] == expected[1]), "{products:?}");
            let multiply_adds: usize = calls.iter().map(|call| call.terms).sum();
            assert_eq!(multiply_adds, if real { 1 } else { products.multiply_adds() });
        }
    }
}
