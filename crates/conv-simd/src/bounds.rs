//! Bounds of results: the activations that cost nothing.

use crate::simd::Simd;

/// Results below `least` become `least`, those above `most` become `most`: a ReLU from 0 on, a ReLU6 up to 6, nothing
/// without ends. A NaN stays one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The least result; not NaN.
    pub least: f32,
    /// The largest; not NaN, and not below `least`.
    pub most: f32,
}

impl Bounds {
    /// None.
    pub const NONE: Bounds = Bounds { least: f32::NEG_INFINITY, most: f32::INFINITY };
    /// Not below zero.
    pub const RELU: Bounds = Bounds { least: 0.0, most: f32::INFINITY };

    /// A vector within the bounds.
    #[inline(always)]
    pub fn clamp<S: Simd>(self, simd: S, value: S::Vec) -> S::Vec {
        // In this order of operands a NaN stays one.
        simd.min(simd.splat(self.most), simd.max(simd.splat(self.least), value))
    }

    /// One float within the bounds.
    pub fn clamp_one(self, value: f32) -> f32 {
        if value < self.least {
            self.least
        } else if value > self.most {
            self.most
        } else {
            value
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Isa, SimdOp};

    struct Clamp<'a>(Bounds, &'a mut [f32]);

    impl SimdOp for Clamp<'_> {
        type Output = ();

        #[inline(always)]
        fn eval<S: Simd>(self, simd: S) {
            for chunk in self.1.chunks_mut(S::LANES) {
                let value = self.0.clamp(simd, simd.load_partial(chunk));
                simd.store_partial(chunk, value);
            }
        }
    }

    #[test]
    fn vectors_and_floats_alike_and_nan_stays() {
        let values = [-7.0, -0.5, 0.0, 3.0, 6.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        for bounds in [Bounds::NONE, Bounds::RELU, Bounds { least: -1.0, most: 6.0 }] {
            let one = values.map(|value| bounds.clamp_one(value));
            for isa in Isa::available() {
                let mut clamped = values;
                isa.run(Clamp(bounds, &mut clamped));
                assert_eq!(clamped.map(f32::to_bits), one.map(f32::to_bits), "{bounds:?} on {isa:?}");
            }
        }
        assert_eq!(Bounds { least: -1.0, most: 6.0 }.clamp_one(6.5), 6.0);
        assert!(Bounds::RELU.clamp_one(f32::NAN).is_nan());
    }
}
