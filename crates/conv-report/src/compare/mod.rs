//! Two measurements of the same things held against each other, each row with a verdict.
//!
//! # What a verdict says
//! A row is *faster* or *slower* when its ratio, new time over old, is further from 1 than the threshold **and** the interval of
//! that ratio, of 95% confidence, does not hold 1. Anything else is *undecided*: too close to call, or disturbed.
//!
//! # What an interval holds
//! Of two runs, made one after the other, the intervals of both medians, and what the machine did between the runs: its peak, where
//! both have it, and the scatter of the rows themselves. Most rows of a comparison are of code that did not change; by how much
//! these differ is how far two runs can be trusted. It is wide enough that *no* row leaves it by chance, in 95 comparisons of 100.
//! So few rows, or many that changed, make the interval wide and not the verdict wrong; what the same threshold would need is both
//! programs in one run ([`Row::of_pairs`]), or the mean of many rows ([`Mean`]), which has a verdict, too.

mod chance;
mod means;
mod rows;
mod text;

pub use means::{Mean, means};
pub use rows::{Row, Setting, Verdict, of_records};
pub use text::{means_table, rows_table, summary};
