//! Products back to outputs: planes of M to columns of Y, rows of Y to the image.

#[allow(unsafe_code)]
mod kernel;

pub(super) use kernel::{OutputColumn, OutputRows};
