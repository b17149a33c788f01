//! The harness: suite, measurements, records, charts and the command-line program.
//!
//! Everything starts from [`registry::algorithms`] and the problems of [`suite`]; whatever is measured ends as a
//! [`record::Record`], and every table and chart is made from records.

#![deny(unsafe_code)]

pub mod bench;
pub mod check;
pub mod cli;
pub mod conv;
pub mod describe;
pub mod forward;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod plot;
pub mod record;
pub mod registry;
pub mod report;
pub mod suite;
