//! Graphs of every operator, and random ones, against the reference: each step and each output, on every instruction set.

mod chains;
#[path = "../common/mod.rs"]
mod common;
mod graph;
mod movement;
mod operators;
#[path = "../reference/mod.rs"]
mod reference;
mod sharing;
