//! The harness: the suite of problems and algorithms, measurements, and the command-line program.
//!
//! Everything starts from [`conv_tune::algorithms`] and the problems of [`suite`]; whatever is measured ends as a
//! [`conv_report::Record`], and every table and chart is made from records. Other programs use `conv_tune`.

#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod conv;
pub mod describe;
pub mod forward;
pub mod measure;
pub mod problem_file;
pub mod ranks;
pub mod records;
pub mod results;
pub mod scale;
pub mod suite;
pub mod towers;
