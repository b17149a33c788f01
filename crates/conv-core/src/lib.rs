//! What a convolution is ([`Problem`]) and what an algorithm for it must offer ([`Algorithm`], [`Plan`]).
//!
//! One activation layout is used everywhere: NHWC, `[n][h][w][c]`, `f32`. Weights come in as OIHW,
//! `[oc][ic / groups][kh][kw]`, and are prepared once, when a plan is made.

mod algorithm;
mod descriptor;
mod memory;
mod problem;
mod tasks;
mod tuning;

pub use algorithm::{
    Algorithm, Epilogue, Filter, Phase, Plan, PlanError, PlanOptions, Probe, ReadWeights, Silent, StreamedFilter,
    Unsupported,
};
pub use descriptor::{DescriptorError, Unrepresentable};
pub use memory::{Footprint, RunError, Scratch};
pub use problem::{Axis, MAX_TENSOR_BYTES, Problem, ProblemError};
pub use tasks::for_each_task;
pub use tuning::{Method, Parameter, ParameterError, Parameters, Work};
