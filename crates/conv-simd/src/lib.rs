//! What every kernel of convlab stands on: instruction sets as proof values ([`Isa`]), the small vector trait
//! ([`Simd`]), the register tile ([`Tile`]) and aligned, huge-page-backed memory ([`AlignedBuffer`]).
//!
//! Nothing here knows what a convolution is. An algorithm is written once, generic over [`Simd`], and handed to
//! [`Isa::run`], which inlines it into a function compiled for that instruction set:
//!
//! ```
//! use conv_simd::{Isa, Simd, SimdOp};
//!
//! struct Scale<'a> { data: &'a mut [f32], factor: f32 }
//!
//! impl SimdOp for Scale<'_> {
//!     type Output = ();
//!     #[inline(always)]
//!     fn eval<S: Simd>(self, simd: S) {
//!         let factor = simd.splat(self.factor);
//!         for chunk in self.data.chunks_mut(S::LANES) {
//!             let scaled = simd.mul(simd.load_partial(chunk), factor);
//!             simd.store_partial(chunk, scaled);
//!         }
//!     }
//! }
//!
//! let mut data = [1.0; 19];
//! for isa in Isa::available() {
//!     isa.run(Scale { data: &mut data, factor: 2.0 });
//! }
//! ```

mod arch;
mod arithmetic;
mod bounds;
mod buffer;
mod denormals;
mod isa;
mod processor;
mod shared;
mod simd;
mod tile;
mod within;

pub use arithmetic::{Arithmetic, Counter, Lanes};
pub use bounds::Bounds;
pub use buffer::{AlignedBuffer, AllocationError};
pub use denormals::flush_denormals;
pub use isa::{Isa, UnknownIsa};
pub use processor::{Core, l1_lines_apart};
pub use shared::SharedSlice;
pub use simd::{Simd, SimdOp, lane_numbers, worth_streaming};
pub use tile::{Init, Later, MAX_CLIP, Run, STARVED_SUMS, Tile, TileArgs, TileShape, prefetch_weights, weights_to_l2};
pub use within::within;
