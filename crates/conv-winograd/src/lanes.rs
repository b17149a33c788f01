//! [`Arithmetic`] on the vectors of an instruction set.

use conv_simd::Simd;

use crate::line::Arithmetic;

/// The vectors of `S`, with f32 constants.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<S>(pub S);

impl<S: Simd> Arithmetic for Lanes<S> {
    type Coefficient = f32;
    type Value = S::Vec;
    #[inline(always)]
    fn constant(self, coefficient: f32) -> S::Vec {
        self.0.splat(coefficient)
    }
    #[inline(always)]
    fn zero(self) -> S::Vec {
        self.0.zero()
    }
    #[inline(always)]
    fn add(self, a: S::Vec, b: S::Vec) -> S::Vec {
        self.0.add(a, b)
    }
    #[inline(always)]
    fn sub(self, a: S::Vec, b: S::Vec) -> S::Vec {
        self.0.sub(a, b)
    }
    #[inline(always)]
    fn mul(self, a: S::Vec, b: S::Vec) -> S::Vec {
        self.0.mul(a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: S::Vec, b: S::Vec, c: S::Vec) -> S::Vec {
        self.0.mul_add(a, b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: S::Vec, b: S::Vec, c: S::Vec) -> S::Vec {
        self.0.neg_mul_add(a, b, c)
    }
}
