//! Transformed weights, conjugated because a network's convolution is a correlation, packed for the register tile.

#[allow(unsafe_code)]
mod kernel;

pub(super) use kernel::pack;
