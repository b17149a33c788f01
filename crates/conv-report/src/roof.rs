//! Where a run lies beneath the machine's roofs.

use conv_core::Problem;

use crate::record::Record;

/// What a run executed, against what it had to move and how long it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Intensity {
    /// Executed operations over the bytes that must move at least once: input, output, and weights as prepared.
    pub operations_a_byte: f64,
    /// Executed operations over the median time.
    pub gflops: f64,
}

impl Intensity {
    /// That of `record`, if it tells what was executed; both values are positive and finite.
    pub fn of(record: &Record) -> Option<Intensity> {
        let problem: Problem = record.problem.as_deref()?.parse().ok()?;
        let weights = record.prepared_bytes.unwrap_or(0) as f64;
        let bytes = 4.0 * (problem.input_len() as f64 + problem.output_len() as f64) + weights;
        let (operations, time) = (record.executed_flops?, record.median_ns?);
        let intensity = Intensity { operations_a_byte: operations / bytes, gflops: operations / time };
        // What is beyond is no measurement.
        let credible = |value: f64| (1e-6..=1e9).contains(&value);
        (credible(intensity.operations_a_byte) && credible(intensity.gflops)).then_some(intensity)
    }
}
