//! The vector trait: only what the kernels use.

use std::mem::MaybeUninit;

/// An operation written once for every instruction set; see [`crate::Isa::run`].
///
/// `eval` and everything it calls with the token must be `#[inline(always)]`: code that is not inlined into
/// [`crate::Isa::run`]'s entry point is compiled for the baseline, and each vector operation becomes a call.
pub trait SimdOp {
    /// What the operation returns.
    type Output;
    /// Runs the operation; holding `simd` proves that this machine has its instruction set.
    fn eval<S: Simd>(self, simd: S) -> Self::Output;
}

/// Whether a tensor of so many floats is better written by [`Simd::stream_ptr`].
///
/// What is larger than L2 has left it before anyone reads it again, and an ordinary store reads each line before it
/// overwrites it. Streamed, the output transforms of AlexNet's convolutions took a quarter to a third less at batch 16
/// (4 to 19 MB), and the layers behind them no more. Of conv5 (2.8 MB) the pooling behind it lost what was won, and at batch 1
/// (up to 1.2 MB) whole passes lost. SqueezeNet's first layer (3.2 MB, and a pool behind it) lost on a Xeon with L2s of 2 MiB: 0.97
/// of a pass's time without.
pub fn worth_streaming(floats: usize) -> bool {
    floats >= (4 << 20) / size_of::<f32>()
}

/// Numbers of lanes as [`Simd::permute`] takes them.
pub fn lane_numbers(numbers: impl IntoIterator<Item = usize>) -> impl Iterator<Item = f32> {
    numbers.into_iter().map(|number| f32::from_bits(number as u32))
}

/// A token of one instruction set and the operations on its `f32` vectors.
///
/// Only detection makes tokens, so every safe method may use the instruction set freely.
pub trait Simd: Copy + Send + Sync + 'static {
    /// One vector of [`Self::LANES`] floats.
    type Vec: Copy;
    /// Floats in a vector.
    const LANES: usize;

    /// All lanes set to `value`.
    fn splat(self, value: f32) -> Self::Vec;
    /// `a + b`.
    fn add(self, a: Self::Vec, b: Self::Vec) -> Self::Vec;
    /// `a - b`.
    fn sub(self, a: Self::Vec, b: Self::Vec) -> Self::Vec;
    /// `a * b`.
    fn mul(self, a: Self::Vec, b: Self::Vec) -> Self::Vec;
    /// `a / b`.
    fn div(self, a: Self::Vec, b: Self::Vec) -> Self::Vec;
    /// `a * b + c`, fused where the instruction set has it.
    fn mul_add(self, a: Self::Vec, b: Self::Vec, c: Self::Vec) -> Self::Vec;
    /// `c - a * b`, fused where the instruction set has it.
    fn neg_mul_add(self, a: Self::Vec, b: Self::Vec, c: Self::Vec) -> Self::Vec;
    /// The larger of each pair; the second operand where either is NaN.
    fn max(self, a: Self::Vec, b: Self::Vec) -> Self::Vec;
    /// The larger of each pair, NaN where either is.
    fn max_or_nan(self, a: Self::Vec, b: Self::Vec) -> Self::Vec;
    /// The smaller of each pair; the second operand where either is NaN.
    fn min(self, a: Self::Vec, b: Self::Vec) -> Self::Vec;
    /// Square root.
    fn sqrt(self, a: Self::Vec) -> Self::Vec;
    /// `1 / √a` with a relative error of at most 1.5 · 2⁻¹², for finite `a` above zero that are no denormals.
    fn rsqrt_estimate(self, a: Self::Vec) -> Self::Vec;
    /// The last lane of `before`, then the lanes of `a` but its last: what is in memory one float before `a`.
    fn one_before(self, before: Self::Vec, a: Self::Vec) -> Self::Vec;
    /// The lanes of `a` but its first two, then the first two of `after`: what is in memory two floats behind `a`.
    fn two_behind(self, a: Self::Vec, after: Self::Vec) -> Self::Vec;

    /// Of each lane that lane of `a` whose number stands, as an integer's bits, in `lanes`: [`lane_numbers`] makes them. What is no
    /// number of a lane is taken modulo [`Self::LANES`].
    fn permute(self, a: Self::Vec, lanes: Self::Vec) -> Self::Vec;

    /// Loads [`Self::LANES`] floats.
    ///
    /// # Safety
    /// `from` must be valid for reading that many floats; no alignment is needed.
    unsafe fn load_ptr(self, from: *const f32) -> Self::Vec;
    /// Stores [`Self::LANES`] floats.
    ///
    /// # Safety
    /// `to` must be valid for writing that many floats; no alignment is needed.
    unsafe fn store_ptr(self, to: *mut f32, value: Self::Vec);
    /// Stores past the caches; portable code stores as ever. Another thread may read what was stored only after this one
    /// has passed [`Isa::fence`](crate::Isa::fence).
    ///
    /// # Safety
    /// As [`Simd::store_ptr`], and `to` must be aligned to the vector.
    #[inline(always)]
    unsafe fn stream_ptr(self, to: *mut f32, value: Self::Vec) {
        // SAFETY: the caller's promise.
        unsafe { self.store_ptr(to, value) }
    }
    /// [`Simd::stream_ptr`] if `stream` says so and the address is aligned, else [`Simd::store_ptr`].
    ///
    /// # Safety
    /// As [`Simd::store_ptr`].
    #[inline(always)]
    unsafe fn write_ptr(self, to: *mut f32, value: Self::Vec, stream: bool) {
        // SAFETY: the caller's promise; the alignment was checked.
        unsafe {
            if stream && to.addr().is_multiple_of(size_of::<f32>() * Self::LANES) {
                self.stream_ptr(to, value);
            } else {
                self.store_ptr(to, value);
            }
        }
    }
    /// Copies floats by [`Simd::write_ptr`]. Panics if there is not room for exactly these.
    ///
    /// # Safety
    /// With `stream`, as [`Simd::stream_ptr`] says of other threads.
    #[inline(always)]
    unsafe fn write(self, to: &mut [MaybeUninit<f32>], from: &[f32], stream: bool) {
        assert_eq!(to.len(), from.len());
        for (to, from) in to.chunks_mut(Self::LANES).zip(from.chunks(Self::LANES)) {
            let (to, count) = (to.as_mut_ptr().cast::<f32>(), from.len());
            // SAFETY: both have `count` floats.
            unsafe {
                if count == Self::LANES {
                    self.write_ptr(to, self.load_ptr(from.as_ptr()), stream);
                } else {
                    self.store_partial_ptr(to, self.load_partial_ptr(from.as_ptr(), count), count);
                }
            }
        }
    }
    /// The floats as vectors, without those before the first that is aligned and behind the last whole one.
    #[inline(always)]
    fn vectors(self, floats: &mut [f32]) -> &mut [Self::Vec] {
        // SAFETY: a vector is `LANES` floats, of which any bits are values.
        unsafe { floats.align_to_mut().1 }
    }

    /// Loads `N` floats, a power of two and at most [`Self::LANES`](Simd::LANES), and repeats them in all lanes.
    ///
    /// # Safety
    /// `from` must be valid for reading `N` floats.
    unsafe fn load_repeated_ptr<const N: usize>(self, from: *const f32) -> Self::Vec;

    /// Loads the first `count` lanes, the others zero.
    ///
    /// # Safety
    /// `from` must be valid for reading `count` floats, and `count <= LANES`.
    unsafe fn load_partial_ptr(self, from: *const f32, count: usize) -> Self::Vec;
    /// Stores the first `count` lanes.
    ///
    /// # Safety
    /// `to` must be valid for writing `count` floats, and `count <= LANES`.
    unsafe fn store_partial_ptr(self, to: *mut f32, value: Self::Vec, count: usize);

    /// Asks for the cache line at `address`, which may be any address, to be brought into L1. Portable code does not.
    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        let _ = address;
    }

    /// The same, into L2.
    #[inline(always)]
    fn prefetch_l2(self, address: *const f32) {
        let _ = address;
    }

    /// The same address, of which the compiler no longer knows how it came about: what is computed from it stays where it
    /// is written instead of being hoisted and spilled. Portable code leaves that to the compiler.
    #[inline(always)]
    fn opaque(self, address: *const f32) -> *const f32 {
        address
    }

    /// Zero in all lanes.
    #[inline(always)]
    fn zero(self) -> Self::Vec {
        self.splat(0.0)
    }

    /// Loads the first [`Self::LANES`] floats of `from`. Panics if it is shorter.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vec {
        assert!(from.len() >= Self::LANES);
        // SAFETY: the length was checked.
        unsafe { self.load_ptr(from.as_ptr()) }
    }

    /// Stores into the first [`Self::LANES`] floats of `to`. Panics if it is shorter.
    #[inline(always)]
    fn store(self, to: &mut [f32], value: Self::Vec) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: the length was checked.
        unsafe { self.store_ptr(to.as_mut_ptr(), value) }
    }

    /// Loads up to [`Self::LANES`] floats from a slice that may be shorter; missing lanes are zero.
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::Vec {
        // SAFETY: the count is within both the slice and the vector.
        unsafe { self.load_partial_ptr(from.as_ptr(), from.len().min(Self::LANES)) }
    }

    /// Stores as many lanes as `to` has room for.
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], value: Self::Vec) {
        // SAFETY: the count is within both the slice and the vector.
        unsafe { self.store_partial_ptr(to.as_mut_ptr(), value, to.len().min(Self::LANES)) }
    }
}
