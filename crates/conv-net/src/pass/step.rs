//! One executed step: what it reads, what it computes, and where that goes.

use std::ops::Range;

use conv_core::{Footprint, PlanOptions, RunError, Scratch};

use super::Slot;
use super::bands::Chain;
use super::operation::Operation;

/// One executed layer, or a chain of them.
pub(super) struct Step {
    pub executed: Executed,
    pub inputs: Vec<Slot>,
    /// Floats of the arena.
    pub output: Range<usize>,
    /// Of the output.
    pub channels: usize,
    /// Floats from one of its pixels to the next.
    pub pitch: usize,
}

/// What a step computes.
pub(super) enum Executed {
    Layer(Operation),
    Chain(Chain),
}

impl Executed {
    /// Bytes of its weights and scratch.
    pub fn footprint(&self, workers: usize) -> Footprint {
        match self {
            Executed::Layer(operation) => operation.footprint(workers),
            Executed::Chain(chain) => chain.footprint(),
        }
    }

    /// Computes `output` from the operands that `input` gives, on buffers that fit.
    pub fn run<'a>(
        &self,
        input: &dyn Fn(usize) -> &'a [f32],
        output: &mut [f32],
        scratch: &mut Scratch,
        options: &PlanOptions,
    ) -> Result<(), RunError> {
        match self {
            Executed::Layer(operation) => operation.run(input, output, scratch, options),
            Executed::Chain(chain) => chain.run(input(0), output, scratch),
        }
    }
}
