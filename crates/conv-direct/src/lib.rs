//! Direct convolution: the register tile summed over the taps of the filter, in NHWC, without any workspace.
//!
//! The method is the textbook loop nest in the order that keeps the sums in registers: a tile of pixels × output
//! channels walks over filter rows, filter columns and input channels, and each output is written once. Zhang, Franchetti
//! and Low ("High Performance Zero-Memory Overhead Direct Convolutions", ICML 2018) do the same on a blocked layout; in
//! NHWC no layout change is needed at all, because only the weights have to be contiguous in output channels.

// Unit tests are of parts: without this list, whose statics compile whatever they refer to, they build in a tenth of the time.
#![cfg_attr(test, allow(dead_code, unused_imports))]
#![deny(unsafe_code)]

use conv_core::Algorithm;

mod grouped;
mod linear;
mod nhwc;
mod weights;

/// Every algorithm of this crate.
#[cfg(not(test))]
pub static ALGORITHMS: &[&dyn Algorithm] = &[&nhwc::DirectNhwc];
