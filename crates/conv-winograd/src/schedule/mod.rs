//! How a plan runs: the order of its work.

#[allow(unsafe_code)]
mod kernel;

use conv_core::{Footprint, Plan, Probe, Problem};

use crate::flops;
use crate::plan::WinogradPlan;

impl Plan for WinogradPlan {
    fn problem(&self) -> &Problem {
        &self.geometry.problem
    }

    fn footprint(&self) -> Footprint {
        self.footprint
    }

    fn output_pitch(&self) -> usize {
        self.pitch
    }

    fn executed_flops(&self) -> u128 {
        flops::executed(&self.geometry, &self.layout).total()
    }

    fn execute(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32], probe: &dyn Probe) {
        kernel::run(self, input, output, scratch, probe);
    }
}
