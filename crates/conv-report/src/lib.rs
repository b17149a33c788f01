//! Records of measurements, and all that is made of records alone: tables and charts. Nothing is measured here.
//!
//! A [`Record`] is one measurement, kept as a line of JSON ([`record`]); [`tables`] makes tables of them, [`charts`] draws them.

#![forbid(unsafe_code)]

pub mod compare;
mod family;
mod plot;
pub mod record;
pub mod tables;
mod text;

pub use family::FAMILIES;
pub use plot::{PlotError, charts};
pub use record::Record;
pub use text::{markdown, table};
