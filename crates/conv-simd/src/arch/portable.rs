//! Plain Rust on four-float arrays, which LLVM turns into whatever vectors the compile target has.

use super::tile_row;
use crate::simd::{Simd, SimdOp};
use crate::tile::{TileArgs, TileFn, TileShape, tile_body};

/// Needs nothing, proves nothing.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Four lanes, the width of SSE2 and NEON; 6 × 2 sums leave room for weights and pixel in sixteen registers.
pub(crate) const TILE_SHAPE: TileShape = TileShape { pixels: 6, vectors: 2, lanes: 4 };

const TILES: [&[TileFn]; 2] = [tile_row!(tile_entry, 1; 1 2 3 4 5 6), tile_row!(tile_entry, 2; 1 2 3 4 5 6)];

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

unsafe fn tile_entry<const PX: usize, const NV: usize>(args: &TileArgs<'_>) {
    // SAFETY: the caller keeps the contract of `Tile::run`.
    unsafe { tile_body::<Portable, PX, NV>(Portable, args) }
}

pub(crate) fn run<Op: SimdOp>(op: Op) -> Op::Output {
    op.eval(Portable)
}

#[derive(Clone, Copy)]
#[repr(align(16))]
pub(crate) struct F32x4([f32; 4]);

#[inline(always)]
fn map2(a: F32x4, b: F32x4, op: impl Fn(f32, f32) -> f32) -> F32x4 {
    F32x4([op(a.0[0], b.0[0]), op(a.0[1], b.0[1]), op(a.0[2], b.0[2]), op(a.0[3], b.0[3])])
}

impl Simd for Portable {
    type Vec = F32x4;
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(self, value: f32) -> F32x4 {
        F32x4([value; 4])
    }
    #[inline(always)]
    fn add(self, a: F32x4, b: F32x4) -> F32x4 {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: F32x4, b: F32x4) -> F32x4 {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: F32x4, b: F32x4) -> F32x4 {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: F32x4, b: F32x4) -> F32x4 {
        map2(a, b, |a, b| a / b)
    }
    // Not `f32::mul_add`: without a hardware instruction that is a library call for every float.
    #[inline(always)]
    fn mul_add(self, a: F32x4, b: F32x4, c: F32x4) -> F32x4 {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: F32x4, b: F32x4, c: F32x4) -> F32x4 {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn max(self, a: F32x4, b: F32x4) -> F32x4 {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn max_or_nan(self, a: F32x4, b: F32x4) -> F32x4 {
        // All bits set are NaN: without a blend, which SSE2 has not, a pool takes a quarter less.
        let none = map2(a, a, |a, _| f32::from_bits(u32::from(a.is_nan()).wrapping_neg()));
        map2(self.max(a, b), none, |max, none| f32::from_bits(max.to_bits() | none.to_bits()))
    }
    #[inline(always)]
    fn min(self, a: F32x4, b: F32x4) -> F32x4 {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: F32x4) -> F32x4 {
        F32x4([a.0[0].sqrt(), a.0[1].sqrt(), a.0[2].sqrt(), a.0[3].sqrt()])
    }
    #[inline(always)]
    fn rsqrt_estimate(self, a: F32x4) -> F32x4 {
        self.div(self.splat(1.0), self.sqrt(a))
    }
    #[inline(always)]
    fn one_before(self, before: F32x4, a: F32x4) -> F32x4 {
        F32x4([before.0[3], a.0[0], a.0[1], a.0[2]])
    }
    #[inline(always)]
    fn two_behind(self, a: F32x4, after: F32x4) -> F32x4 {
        F32x4([a.0[2], a.0[3], after.0[0], after.0[1]])
    }
    #[inline(always)]
    fn permute(self, a: F32x4, lanes: F32x4) -> F32x4 {
        F32x4(lanes.0.map(|lane| a.0[lane.to_bits() as usize % 4]))
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> F32x4 {
        // SAFETY: the caller promises four readable floats.
        F32x4(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, value: F32x4) {
        // SAFETY: the caller promises room for four floats.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(value.0) }
    }
    #[inline(always)]
    unsafe fn load_repeated_ptr<const N: usize>(self, from: *const f32) -> F32x4 {
        // SAFETY: the caller promises `N` readable floats.
        F32x4(std::array::from_fn(|lane| unsafe { *from.add(lane % N) }))
    }
    #[inline(always)]
    unsafe fn load_partial_ptr(self, from: *const f32, count: usize) -> F32x4 {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller promises `count` readable floats.
            *lane = unsafe { from.add(i).read() };
        }
        F32x4(lanes)
    }
    #[inline(always)]
    unsafe fn store_partial_ptr(self, to: *mut f32, value: F32x4, count: usize) {
        for (i, lane) in value.0.iter().enumerate().take(count) {
            // SAFETY: the caller promises room for `count` floats.
            unsafe { to.add(i).write(*lane) };
        }
    }
}
