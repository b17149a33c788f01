//! Convolutions for other programs: every algorithm by name, the choice of one, and tuning.
//!
//! [`Conv2d`] chooses an algorithm for one convolution and runs it:
//!
//! ```
//! use conv_tune::Conv2d;
//!
//! let weights = vec![0.1; 32 * 16 * 3 * 3];
//! let mut convolution = Conv2d::new("mb1ic16ih13oc32kh3ph1".parse()?, &weights, None).auto()?;
//! let output = convolution.run(&vec![1.0; 13 * 13 * 16])?;
//! # assert_eq!(output.len(), 13 * 13 * 32);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`TunedPlan`] is what `convlab tune` found, for [`Conv2d::tuned`]; [`Chooser`] chooses for whole networks
//! (`conv_net::ForwardPass`). `examples/conv2d.rs` is a whole program.
//!
//! # Families are features
//!
//! `direct` is always there; `winograd`, `im2col` and `fft` are cargo features, all three by default. `im2col` needs faer and
//! `fft` rustfft, which take most of the time of a build: a program that wants a convolution and a short build asks for
//! `default-features = false, features = ["winograd"]`. [`Conv2d`] chooses among what is there.
//!
//! # Tuning
//!
//! For each layer an algorithm and its parameters: [`CostModel`] estimates, [`Search`] measures what it does not rule out,
//! [`optimise()`] chooses for all layers of a [`Group`] at once, [`TunedPlan`] is the result as a file, [`cache`] keeps it
//! for `auto`. METHODOLOGY.md says how, and what it is worth.

#![forbid(unsafe_code)]

pub mod cache;
mod choose;
mod constants;
mod conv2d;
mod cost;
mod group;
mod optimise;
mod plan_file;
mod registry;
mod search;
mod version;

pub use choose::{Choice, Chooser, TUNED};
pub use constants::Constants;
pub use conv2d::{Conv2d, Conv2dError, ReadyConv2d};
pub use cost::{CostModel, MAX_ERROR, expected_error};
pub use group::{Choices, Group};
pub use optimise::{Cost, Infeasible, Limits, optimise};
pub use plan_file::{InvalidLayer, LayerError, Origin, PlanError, PlannedLayer, PlannedMethod, TunedPlan};
pub use registry::{UnknownAlgorithm, algorithms, direct, families, family, select};
pub use search::{Search, Trial, Tuned};
pub use version::{COMMIT, RUSTC};
