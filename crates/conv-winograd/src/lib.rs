//! Winograd convolution: fewer multiplications than the direct method, by interpolation.
// Unit tests are of parts: without this list, whose statics compile whatever they refer to, they build in a tenth of the time.
#![cfg_attr(test, allow(dead_code, unused_imports))]
#![deny(unsafe_code)]

mod blocking;
mod cook_toom;
mod cover;
mod error;
mod flops;
mod fraction;
mod geometry;
mod input;
mod layout;
mod line;
mod output;
mod plan;
mod schedule;
mod variant;
mod weights;

#[cfg(not(test))]
pub use variant::ALGORITHMS;
