//! Convolution in the frequency domain, where it is a product: many fewer multiply-adds for large filters, paid for with
//! transforms and with weights that grow from the filter's size to the tile's.
//!
//! Mathieu, Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs" (2013), showed that sums over
//! channels can stay in the frequency domain; Zlateski, Jia, Li and Durand, "The Anatomy of Efficient FFT and Winograd
//! Convolutions on Modern CPUs" (ICS 2019), measured when that pays.
//!
//! `fft/rustfft` is the plain version, to be read and to be measured against; `fft/t8`, `fft/t14`, `fft/t16`, `fft/t30` and
//! `fft/t32` are the fast one with tiles of that size, and those that end in `-gauss` have fewer multiply-adds: see their
//! modules.

// Unit tests are of parts: without this list, whose statics compile whatever they refer to, they build in a tenth of the time.
#![cfg_attr(test, allow(dead_code, unused_imports))]
#![deny(unsafe_code)]

use conv_core::Algorithm;

mod plain;
mod tiled;

use tiled::{Products, Tiled};

static T8: Tiled<8> = Tiled { name: "fft/t8", supported: UP_TO_7, products: Products::Four };
static T14: Tiled<14> = Tiled { name: "fft/t14", supported: UP_TO_13, products: Products::Four };
static T16: Tiled<16> = Tiled { name: "fft/t16", supported: UP_TO_15, products: Products::Four };
static T30: Tiled<30> = Tiled { name: "fft/t30", supported: UP_TO_29, products: Products::Four };
static T32: Tiled<32> = Tiled { name: "fft/t32", supported: UP_TO_31, products: Products::Four };
static T14_GAUSS: Tiled<14> = Tiled { name: "fft/t14-gauss", supported: UP_TO_13, products: Products::Three };
static T16_GAUSS: Tiled<16> = Tiled { name: "fft/t16-gauss", supported: UP_TO_15, products: Products::Three };
static T30_GAUSS: Tiled<30> = Tiled { name: "fft/t30-gauss", supported: UP_TO_29, products: Products::Three };
static T32_GAUSS: Tiled<32> = Tiled { name: "fft/t32-gauss", supported: UP_TO_31, products: Products::Three };

const UP_TO_7: &str = "filters of up to 7 strides";
const UP_TO_13: &str = "filters of up to 13 strides";
const UP_TO_15: &str = "filters of up to 15 strides";
const UP_TO_29: &str = "filters of up to 29 strides";
const UP_TO_31: &str = "filters of up to 31 strides";

/// Every algorithm of this crate.
#[cfg(not(test))]
pub static ALGORITHMS: &[&dyn Algorithm] =
    &[&plain::Plain, &T8, &T14, &T16, &T30, &T32, &T14_GAUSS, &T16_GAUSS, &T30_GAUSS, &T32_GAUSS];
