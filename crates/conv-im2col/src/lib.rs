//! Convolution as a matrix product: im2col and its low-memory relatives.
//!
//! Every output pixel is a row of a matrix `[n·oh·ow × kh·kw·ic/groups]`, one matrix a group, that holds the input under
//! the filter; the weights are a matrix `[kh·kw·ic/groups × oc/groups]`; their product is the output. In NHWC the product
//! *is* the output tensor, row by row, so nothing is reshaped afterwards.
//!
//! # A variant is a file
//! It implements `plan::Variant`: how a problem is cut up, what scratch that takes, and what a run does. All else is
//! `plan.rs`: the algorithm, the plan, and the loops over blocks. Below them lie the products (`gemm.rs` by faer, `tiles.rs`
//! and `kernel.rs` by the register tile), the copies (`lowering.rs`), the prepared weights (`weights.rs`), and, at the
//! bottom, the cuts of a matrix (`grid.rs`).
//!
//! # Memory that faer keeps
//! faer's matrix product packs operands into a buffer of its own, one in each thread that ever multiplied, as large as
//! two L3 caches (of which it touches what it packs) and never returned. It is neither prepared weights nor scratch, so
//! no [`conv_core::Footprint`] here contains it; `gemm.rs` calls faer in such a way that on x86-64 nothing is packed.
//!
//! # Instruction sets
//! faer chooses its instruction set itself. [`conv_core::PlanOptions::isa`] governs what is ours in the variants that
//! multiply by faer, which is copies and the epilogue, and everything in those that multiply by the register tile.

// Unit tests are of parts: without this list, whose statics compile whatever they refer to, they build in a tenth of the time.
#![cfg_attr(test, allow(dead_code, unused_imports))]
#![deny(unsafe_code)]

use conv_core::Algorithm;
use plan::Im2col;

mod blocked;
mod epilogue;
mod explicit;
mod gemm;
mod grid;
mod implicit;
mod indirect;
#[allow(unsafe_code)]
mod kernel;
mod kn2row;
mod lowering;
mod mec;
mod nchw;
mod plan;
mod tiles;
mod transpose;
mod weights;

/// Every algorithm of this crate.
#[cfg(not(test))]
pub static ALGORITHMS: &[&dyn Algorithm] = &[
    &Im2col::<explicit::Explicit>::new(),
    &Im2col::<nchw::Nchw>::new(),
    &Im2col::<blocked::Blocked>::new(),
    &Im2col::<implicit::Implicit>::new(),
    &Im2col::<indirect::Table>::new(),
    &Im2col::<mec::Mec>::new(),
    &Im2col::<kn2row::Kn2row>::new(),
];
