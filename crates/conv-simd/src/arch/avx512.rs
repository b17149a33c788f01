//! AVX-512: sixteen lanes, 32 registers.

use std::arch::x86_64::*;

use super::tile_row;
use crate::simd::{Simd, SimdOp};
use crate::tile::{TileArgs, TileFn, TileShape, tile_body};

/// Proof of AVX-512F (with AVX2 and FMA, which the compiler's `avx512f` feature implies).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Avx512(()))
    }
}

/// 14 × 2 uses 28 registers for sums, 2 for weights, and one for the pixel that is broadcast.
pub(crate) const TILE_SHAPE: TileShape = TileShape { pixels: 14, vectors: 2, lanes: 16 };

/// Of three and four vectors for 1×1 filters, whose pixels are many cache lines apart: nine or six of them take less of L1 than
/// fourteen, and a row of weights serves for as many sums with fewer loads.
const TILES: [&[TileFn]; 4] = [
    tile_row!(tile_entry, 1; 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    tile_row!(tile_entry, 2; 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    tile_row!(tile_entry, 3; 1 2 3 4 5 6 7 8 9),
    tile_row!(tile_entry, 4; 1 2 3 4 5 6),
];

// Not inlined, like the two below: rustc would compile all tiles once more in each crate that asks for one.
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

#[target_feature(enable = "avx512f")]
unsafe fn tile_entry<const PX: usize, const NV: usize>(args: &TileArgs<'_>) {
    // SAFETY: the caller keeps the contract of `Tile::run`; the token is sound because only `Isa` hands out this entry.
    unsafe { tile_body::<Avx512, PX, NV>(Avx512(()), args) }
}

pub(crate) fn run<Op: SimdOp>(proof: Avx512, op: Op) -> Op::Output {
    #[target_feature(enable = "avx512f")]
    fn entry<Op: SimdOp>(proof: Avx512, op: Op) -> Op::Output {
        op.eval(proof)
    }
    // SAFETY: `proof` is made only where the feature was detected.
    unsafe { entry(proof, op) }
}

#[inline(always)]
fn mask(count: usize) -> __mmask16 {
    debug_assert!(count <= 16);
    ((1_u32 << count) - 1) as __mmask16
}

// SAFETY (every block below): a token exists only where AVX-512F was detected, and the pointer methods pass on their
// callers' promise.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx512 {
    type Vec = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn max_or_nan(self, a: __m512, b: __m512) -> __m512 {
        // Where `a` is a number, a maximum gives `b` if that is none.
        unsafe { _mm512_mask_max_ps(a, _mm512_cmp_ps_mask::<_CMP_ORD_Q>(a, a), a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        unsafe { _mm512_sqrt_ps(a) }
    }
    #[inline(always)]
    fn rsqrt_estimate(self, a: __m512) -> __m512 {
        unsafe { _mm512_rsqrt14_ps(a) }
    }
    #[inline(always)]
    fn one_before(self, before: __m512, a: __m512) -> __m512 {
        unsafe {
            let lanes = _mm512_alignr_epi32::<15>(_mm512_castps_si512(a), _mm512_castps_si512(before));
            _mm512_castsi512_ps(lanes)
        }
    }
    #[inline(always)]
    fn two_behind(self, a: __m512, after: __m512) -> __m512 {
        unsafe {
            let lanes = _mm512_alignr_epi32::<2>(_mm512_castps_si512(after), _mm512_castps_si512(a));
            _mm512_castsi512_ps(lanes)
        }
    }
    #[inline(always)]
    fn permute(self, a: __m512, lanes: __m512) -> __m512 {
        unsafe { _mm512_permutexvar_ps(_mm512_castps_si512(lanes), a) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, value: __m512) {
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn stream_ptr(self, to: *mut f32, value: __m512) {
        unsafe { _mm512_stream_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn load_repeated_ptr<const N: usize>(self, from: *const f32) -> __m512 {
        unsafe {
            match N {
                1 => _mm512_set1_ps(*from),
                2 => _mm512_castpd_ps(_mm512_set1_pd(from.cast::<f64>().read_unaligned())),
                4 => _mm512_broadcast_f32x4(_mm_loadu_ps(from)),
                8 => _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_loadu_pd(from.cast()))),
                _ => self.load_ptr(from),
            }
        }
    }
    #[inline(always)]
    unsafe fn load_partial_ptr(self, from: *const f32, count: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(mask(count), from) }
    }
    #[inline(always)]
    unsafe fn store_partial_ptr(self, to: *mut f32, value: __m512, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, mask(count), value) }
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
