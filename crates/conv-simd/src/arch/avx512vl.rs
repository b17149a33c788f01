//! AVX-512VL: AVX2's vectors with masks, for the register tile alone. All else would be compiled once more.
//!
//! Tiles of 14 × 2, 9 × 3 and 6 × 4, which its 32 registers have room for, were no faster than AVX2's on a Zen 4 (1.00 to 1.04 of the time).

use super::avx2::Eight;
use super::tile_row;
use crate::simd::SimdOp;
use crate::tile::{TileArgs, TileFn, TileShape, tile_body};

/// Proof of AVX-512VL, AVX2 and FMA.
pub(crate) type Avx512Vl = Eight<true>;

/// As AVX2's.
pub(crate) const TILE_SHAPE: TileShape = super::avx2::TILE_SHAPE;

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

#[target_feature(enable = "avx512f,avx512vl")]
unsafe fn tile_entry<const PX: usize, const NV: usize>(args: &TileArgs<'_>) {
    // SAFETY: the caller keeps the contract of `Tile::run`, and only `Isa` hands out this entry, with a token.
    unsafe { tile_body::<Avx512Vl, PX, NV>(Avx512Vl::assume(), args) }
}

pub(crate) fn run<Op: SimdOp>(proof: Avx512Vl, op: Op) -> Op::Output {
    super::avx2::run(proof.avx2(), op)
}
