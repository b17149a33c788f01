//! The input transform of one tile: `Bᵀ d B` for the channels of a group.

#[allow(unsafe_code)]
mod kernel;

pub(crate) use kernel::InputTile;
