//! The output transform of one tile: `Aᵀ m A` for a chunk of output channels, with bias and ReLU.

#[allow(unsafe_code)]
mod kernel;

pub(crate) use kernel::OutputTile;
