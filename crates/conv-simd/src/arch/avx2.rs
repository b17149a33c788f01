//! AVX2 with FMA: eight lanes, 16 registers.

use std::arch::x86_64::*;

use super::tile_row;
use crate::simd::{Simd, SimdOp};
use crate::tile::{TileArgs, TileFn, TileShape, tile_body};

/// Proof of AVX2 and FMA, and with `VL` of AVX-512VL too, which has masks for the same vectors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Eight<const VL: bool>(());

pub(crate) type Avx2 = Eight<false>;

impl<const VL: bool> Eight<VL> {
    pub(crate) fn detect() -> Option<Self> {
        let vl = !VL || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && vl).then_some(Eight(()))
    }
}

impl Eight<true> {
    /// Proof of what it has besides.
    pub(crate) fn avx2(self) -> Avx2 {
        Eight(())
    }

    /// For an entry with these features alone.
    ///
    /// # Safety
    /// The processor has them.
    pub(super) unsafe fn assume() -> Self {
        Eight(())
    }
}

/// 4 × 3 uses 12 registers for sums, 3 for weights, 1 for the broadcast pixel. 6 × 2 has as many sums but a load more for
/// the same multiply-adds, and two loads a cycle are the limit: with the prefetches it ran at 60–88% of the peak.
pub(crate) const TILE_SHAPE: TileShape = TileShape { pixels: 4, vectors: 3, lanes: 8 };

const TILES: [&[TileFn]; 3] = [
    tile_row!(tile_entry, 1; 1 2 3 4 5 6 7 8),
    tile_row!(tile_entry, 2; 1 2 3 4 5 6),
    tile_row!(tile_entry, 3; 1 2 3 4),
];

#[inline(never)]
pub(crate) fn most_vectors() -> usize {
    TILES.len()
}

#[inline(never)]
pub(crate) fn tile_pixels(vectors: usize) -> usize {
    TILES[vectors - 1].len()
}

#[inline(never)]
pub(crate) fn tile(pixels: usize, vectors: usize) -> TileFn {
    TILES[vectors - 1][pixels - 1]
}

#[target_feature(enable = "avx2,fma")]
unsafe fn tile_entry<const PX: usize, const NV: usize>(args: &TileArgs<'_>) {
    // SAFETY: the caller keeps the contract of `Tile::run`; the token is sound because only `Isa` hands out this entry.
    unsafe { tile_body::<Avx2, PX, NV>(Eight(()), args) }
}

pub(crate) fn run<Op: SimdOp>(proof: Avx2, op: Op) -> Op::Output {
    #[target_feature(enable = "avx2,fma")]
    fn entry<Op: SimdOp>(proof: Avx2, op: Op) -> Op::Output {
        op.eval(proof)
    }
    // SAFETY: `proof` is made only where the features were detected.
    unsafe { entry(proof, op) }
}

/// `mask(count)` selects the first `count` lanes: a window into eight set and eight clear words.
#[inline(always)]
fn mask(count: usize) -> __m256i {
    static WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    debug_assert!(count <= 8);
    let window: &[i32] = &WINDOW[8 - count..];
    // SAFETY: `8 - count <= 8`, so eight words follow; AVX2 is proven by the token of the callers.
    unsafe { _mm256_loadu_si256(window.as_ptr().cast()) }
}

/// The first `count` lanes, as AVX-512VL takes them.
#[inline(always)]
fn bits(count: usize) -> __mmask8 {
    debug_assert!(count <= 8);
    ((1_u32 << count) - 1) as __mmask8
}

// SAFETY (every block below): a token exists only where AVX2 and FMA, and AVX-512VL if it says so, were detected, and the pointer
// methods pass on their callers' promise.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const VL: bool> Simd for Eight<VL> {
    type Vec = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn max_or_nan(self, a: __m256, b: __m256) -> __m256 {
        // Where `a` is a number, a maximum gives `b` if that is none.
        unsafe { _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        unsafe { _mm256_sqrt_ps(a) }
    }
    #[inline(always)]
    fn rsqrt_estimate(self, a: __m256) -> __m256 {
        unsafe { _mm256_rsqrt_ps(a) }
    }
    #[inline(always)]
    fn one_before(self, before: __m256, a: __m256) -> __m256 {
        unsafe {
            let between = _mm256_permute2f128_ps::<0x21>(before, a);
            let bytes = _mm256_alignr_epi8::<12>(_mm256_castps_si256(a), _mm256_castps_si256(between));
            _mm256_castsi256_ps(bytes)
        }
    }
    #[inline(always)]
    fn two_behind(self, a: __m256, after: __m256) -> __m256 {
        unsafe {
            let between = _mm256_permute2f128_ps::<0x21>(a, after);
            let bytes = _mm256_alignr_epi8::<8>(_mm256_castps_si256(between), _mm256_castps_si256(a));
            _mm256_castsi256_ps(bytes)
        }
    }
    #[inline(always)]
    fn permute(self, a: __m256, lanes: __m256) -> __m256 {
        unsafe { _mm256_permutevar8x32_ps(a, _mm256_castps_si256(lanes)) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, value: __m256) {
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn stream_ptr(self, to: *mut f32, value: __m256) {
        unsafe { _mm256_stream_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn load_repeated_ptr<const N: usize>(self, from: *const f32) -> __m256 {
        unsafe {
            match N {
                1 => _mm256_set1_ps(*from),
                2 => _mm256_castpd_ps(_mm256_set1_pd(from.cast::<f64>().read_unaligned())),
                4 => _mm256_broadcast_ps(&from.cast::<__m128>().read_unaligned()),
                _ => self.load_ptr(from),
            }
        }
    }
    #[inline(always)]
    unsafe fn load_partial_ptr(self, from: *const f32, count: usize) -> __m256 {
        unsafe { if VL { _mm256_maskz_loadu_ps(bits(count), from) } else { _mm256_maskload_ps(from, mask(count)) } }
    }
    #[inline(always)]
    unsafe fn store_partial_ptr(self, to: *mut f32, value: __m256, count: usize) {
        // AVX2's masked store takes some twenty cycles on a Zen 4, where a plain one takes one.
        unsafe {
            if VL {
                _mm256_mask_storeu_ps(to, bits(count), value);
            } else if count == 8 {
                _mm256_storeu_ps(to, value);
            } else {
                _mm256_maskstore_ps(to, mask(count), value);
            }
        }
    }
    #[inline(always)]
    fn opaque(self, address: *const f32) -> *const f32 {
        super::opaque(address)
    }
    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[inline(always)]
    fn prefetch_l2(self, address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}
