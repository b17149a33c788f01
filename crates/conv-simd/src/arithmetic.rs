//! Arithmetic as a parameter, so that a transform written once runs on vectors, on whatever prepares its weights, and on a
//! counter of its operations.

use std::cell::Cell;

use crate::simd::Simd;

/// What a transform computes with.
pub trait Arithmetic: Copy {
    /// What is transformed.
    type Value: Copy;
    /// Zero.
    fn zero(self) -> Self::Value;
    /// `a + b`.
    fn add(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a − b`.
    fn sub(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a · b`.
    fn mul(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a · b + c`.
    fn mul_add(self, a: Self::Value, b: Self::Value, c: Self::Value) -> Self::Value;
    /// `c − a · b`.
    fn neg_mul_add(self, a: Self::Value, b: Self::Value, c: Self::Value) -> Self::Value;
}

/// The vectors of an instruction set: as many channels side by side as it has lanes.
#[derive(Debug, Clone, Copy)]
pub struct Lanes<S>(pub S);

impl<S: Simd> Arithmetic for Lanes<S> {
    type Value = S::Vec;
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

/// Counts operations on nothing, two a multiply-add.
#[derive(Debug, Clone, Copy)]
pub struct Counter<'a>(pub &'a Cell<u128>);

impl Counter<'_> {
    fn count(self, operations: u128) {
        self.0.set(self.0.get() + operations);
    }
}

impl Arithmetic for Counter<'_> {
    type Value = ();
    fn zero(self) {}
    fn add(self, (): (), (): ()) {
        self.count(1);
    }
    fn sub(self, (): (), (): ()) {
        self.count(1);
    }
    fn mul(self, (): (), (): ()) {
        self.count(1);
    }
    fn mul_add(self, (): (), (): (), (): ()) {
        self.count(2);
    }
    fn neg_mul_add(self, (): (), (): (), (): ()) {
        self.count(2);
    }
}
