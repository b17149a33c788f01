//! One file an instruction set, each with the same items: the token, `TILE_SHAPE`, `tile_pixels`, `tile` and
//! `run`.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512vl;
pub(crate) mod portable;

/// The register tiles of one instruction set by pixels: `[1 × vectors, 2 × vectors, …]`.
macro_rules! tile_row {
    ($entry:ident, $vectors:literal; $($pixels:literal)*) => { &[$($entry::<$pixels, $vectors> as TileFn),*] };
}
pub(crate) use tile_row;

/// [`crate::Simd::opaque`] by an empty piece of assembly: no instruction at all, where `black_box` goes through memory.
#[cfg(target_arch = "x86_64")]
// The address passes through; nobody follows it.
#[allow(clippy::pointers_in_nomem_asm_block)]
#[inline(always)]
pub(crate) fn opaque(address: *const f32) -> *const f32 {
    let mut address = address;
    // SAFETY: nothing is executed.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}
