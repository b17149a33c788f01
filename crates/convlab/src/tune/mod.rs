//! The fastest plan on this machine.

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
