//! The fastest plan on this machine: for each layer an algorithm and its parameters.
//!
//! [`CostModel`] estimates, [`Search`] measures what it does not rule out, [`optimise()`] chooses for all layers of a
//! [`Group`] at once, [`TunedPlan`] is the result as a file, [`cache`] keeps it for `auto`, [`explain()`] and [`report`] tell
//! what was measured. METHODOLOGY.md says how, and what it is worth.

pub mod cache;
mod constants;
mod cost;
mod explain;
mod group;
mod optimise;
mod plan_file;
pub mod report;
mod search;

pub use constants::Constants;
pub use cost::{CostModel, MAX_ERROR, expected_error};
pub use explain::explain;
pub use group::{Choices, Group};
pub use optimise::{Cost, Infeasible, Limits, optimise};
pub use plan_file::{InvalidLayer, LayerError, Origin, PlanError, PlannedLayer, PlannedMethod, TunedPlan};
pub use search::{Search, Trial, Tuned};
