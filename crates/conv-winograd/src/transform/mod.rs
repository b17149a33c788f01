//! The two transforms of one tile, vectorised over channels.

#[allow(unsafe_code)]
mod kernel;

pub(crate) use kernel::{PlaneSteps, TransformInput, TransformOutput};
