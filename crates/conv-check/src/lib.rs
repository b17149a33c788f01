//! How convlab knows that an algorithm is right: an f64 [`oracle`], seeded [`Data`], error metrics, and one conformance
//! suite ([`conformance`]) for every algorithm.
//!
//! Nothing here shares code with a kernel; the oracle is a plain loop nest in double precision.

#![deny(unsafe_code)]

mod case;
pub mod conformance;
mod data;
mod error;
mod guard;
mod oracle;
mod pages;
#[cfg(any(test, feature = "strategies"))]
pub mod strategies;

pub use case::{Case, Outcome};
pub use data::{Data, Kind};
pub use error::{ErrorStats, Failure, Flaw};
pub use oracle::{operator_norm, oracle};
pub use pages::{GuardPages, guarded_buffers};
