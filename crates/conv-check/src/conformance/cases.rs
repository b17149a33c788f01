//! The data that one problem is computed on.

use conv_core::{Epilogue, Problem};

use crate::case::Case;
use crate::data::Kind;
use crate::guard::Guarded;

/// A problem of the suite with data of each kind and the exact results, made once for all algorithms and instruction sets.
pub struct Cases {
    /// With bias, without ReLU.
    pub(super) integers: Case,
    /// Without bias, with ReLU.
    pub(super) relu_like: Case,
    /// With both.
    pub(super) adversarial: Case,
    /// With neither.
    pub(super) one_tap: Case,
    /// With bias, without ReLU: what everything but results is checked on.
    pub(super) signed: Case,
    /// The input of `signed`.
    pub(super) guarded: Guarded,
    pub(super) seed: u64,
}

impl Cases {
    /// The data of `seed`.
    pub fn new(problem: &Problem, seed: u64) -> Self {
        let (plain, relu) = (Epilogue::default(), Epilogue { relu: true });
        let signed = Case::new(problem, Kind::Signed, seed, plain);
        Cases {
            integers: Case::new(problem, Kind::Integers, seed, plain),
            relu_like: Case::without_bias(problem, Kind::ReluLike, seed, relu),
            adversarial: Case::new(problem, Kind::Adversarial, seed, relu),
            one_tap: Case::without_bias(problem, Kind::OneTap, seed, plain),
            guarded: Guarded::copy_of(signed.input()),
            signed,
            seed,
        }
    }

    /// What is computed.
    pub fn problem(&self) -> &Problem {
        self.signed.problem()
    }
}
