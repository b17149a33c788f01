//! Clocks: what the machine can do, what a piece of code allocates, and how long a verified plan takes.
//!
//! [`Limits`] are the machine's, multiply-add peak and read bandwidth; [`memory`] counts allocations; a [`Subject`] is a
//! candidate whose plan was made and whose result was verified; [`sample`], [`sample_in_network`] and [`rounds`] time it.
//! Nothing here prints, and nothing is kept in files.

#![deny(unsafe_code)]

mod limits;
mod machine;
pub mod memory;
mod pairs;
mod phases;
mod rounds;
mod samples;
mod stop;
mod subject;
mod watch;

pub use limits::{BANDWIDTH_BYTES, Limits, PeakProbe, Stream, cache_gb_s, core_to_core_ns};
pub use machine::{MAX_THREADS, Machine, PoolError, hardware_threads, online_threads, pool};
pub use pairs::Pairs;
pub use phases::PhaseClock;
pub use rounds::{Effort, rounds};
pub use samples::{MIN_SAMPLE, Samples, sample};
pub use stop::{Stop, Stopped};
pub use subject::{COLD_BYTES, Candidate, MeasureError, PREPARATIONS, Subject, Workload, sample_in_network};
pub use watch::Watch;
