//! The order of a plan's work and its cut into tasks.

#[allow(unsafe_code)]
mod kernel;

pub(super) use kernel::run;
