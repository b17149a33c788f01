//! Records of measurements, and all that is made of records alone: tables and charts. Nothing is measured here.
//!
//! A [`Record`] is one measurement, kept as a line of JSON ([`record`]); [`tables`] makes tables of them, [`charts`] draws them,
//! [`page()`] makes one page of both that answers first.

#![forbid(unsafe_code)]

pub mod compare;
mod family;
mod narrow;
mod page;
mod plot;
mod ranking;
pub mod record;
mod roof;
mod sharing;
pub mod tables;
mod text;

pub use family::FAMILIES;
pub use narrow::narrow;
pub use page::page;
pub use plot::{PlotError, charts};
pub use record::Record;
pub use text::{csv, markdown, table};
