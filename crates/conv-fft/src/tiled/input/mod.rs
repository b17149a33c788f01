//! Input tiles: rows of the image to X, columns of X to V.

#[allow(unsafe_code)]
mod kernel;

pub(super) use kernel::{InputColumn, InputRows};
