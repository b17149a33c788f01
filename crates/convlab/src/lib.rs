//! The harness: suite, measurements, records, charts and the command-line program.
//!
//! # Use from another program
//!
//! [`Conv2d`] chooses an algorithm for one convolution and runs it:
//!
//! ```
//! use convlab::Conv2d;
//!
//! let weights = vec![0.1; 32 * 16 * 3 * 3];
//! let mut convolution = Conv2d::new("mb1ic16ih13oc32kh3ph1".parse()?, &weights, None).auto()?;
//! let output = convolution.run(&vec![1.0; 13 * 13 * 16])?;
//! # assert_eq!(output.len(), 13 * 13 * 32);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`tune::TunedPlan`] is what `convlab tune` found, for [`Conv2d::tuned`]; [`registry::Chooser`] chooses for whole networks
//! (`alexnet::ForwardPass`). `examples/conv2d.rs` is a whole program.
//!
//! # The harness
//!
//! Everything starts from [`registry::algorithms`] and the problems of [`suite`]; whatever is measured ends as a
//! [`record::Record`], and every table and chart is made from records.

#![deny(unsafe_code)]

pub mod bench;
pub mod check;
pub mod cli;
pub mod conv;
mod conv2d;
pub mod describe;
pub mod forward;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod plot;
pub mod problem_file;
pub mod record;
pub mod registry;
pub mod report;
pub mod suite;
pub mod tune;

pub use conv2d::{Conv2d, Conv2dError, ReadyConv2d};
