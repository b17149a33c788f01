//! Winograd convolution: fewer multiplications than the direct method, by interpolation.
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

pub use variant::ALGORITHMS;
