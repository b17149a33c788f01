//! What a convolution is ([`Problem`]) and what an algorithm for it must offer ([`Algorithm`], [`Plan`]).
//!
//! One activation layout is used everywhere: NHWC, `[n][h][w][c]`, `f32`. Weights come in as OIHW,
//! `[oc][ic / groups][kh][kw]`, and are prepared once, when a plan is made.

mod algorithm;
mod awake;
mod descriptor;
pub mod file;
mod memory;
mod method;
mod problem;
mod quantity;
mod tasks;
mod text;
mod tuning;

pub use algorithm::{
    Algorithm, Epilogue, Filter, Phase, Plan, PlanError, PlanOptions, Probe, ReadWeights, Silent, StreamedFilter,
    Unsupported,
};
pub use awake::keep_awake;
pub use descriptor::{DescriptorError, Unrepresentable};
pub use memory::{Footprint, RunError, Scratch};
pub use method::Method;
pub use problem::{Axis, MAX_TENSOR_BYTES, Problem, ProblemError};
pub use quantity::{format_bytes, format_value, thousands};
pub use tasks::{Parts, for_each_part, for_each_task, parallel_for};
pub use text::shown;
pub use tuning::{Parameter, ParameterError, Parameters, Work};
