//! The data that one problem is computed on.

use conv_core::{Epilogue, Problem};
use conv_simd::Bounds;

use crate::case::Case;
use crate::data::Kind;
use crate::guard::Guarded;

/// A problem of the suite with data of each kind and the exact results, made once for all algorithms and instruction sets.
pub struct Cases {
    /// With bias, added to a slice of the channels of a wider tensor.
    pub(super) integers: Case,
    /// Without bias, within bounds, to another slice.
    pub(super) relu_like: Case,
    /// With bias and ReLU.
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
        let (plain, relu) = (Epilogue::default(), Epilogue::RELU);
        let channels = problem.out_channels();
        let sum = Epilogue { accumulate: true, pitch: Some(channels + 1 + seed as usize % 7), ..plain };
        let bounds = Bounds { least: 0.0, most: 0.5 };
        // Whole cache lines apart, so that it is also asked of what stores past the caches.
        let bounded = Epilogue { bounds, pitch: Some(channels.next_multiple_of(16) + 16), ..plain };
        let signed = Case::new(problem, Kind::Signed, seed, plain);
        Cases {
            integers: Case::new(problem, Kind::Integers, seed, sum),
            relu_like: Case::without_bias(problem, Kind::ReluLike, seed, bounded),
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
