//! The clock behind [`Probe`]: where the time of a run goes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use conv_core::{Phase, Probe};

const PHASES: [(Phase, &str); 5] = [
    (Phase::Lower, "lower"),
    (Phase::TransformInput, "transform_input"),
    (Phase::Multiply, "multiply"),
    (Phase::TransformOutput, "transform_output"),
    (Phase::Reshape, "reshape"),
];

thread_local! {
    /// The calling thread's phase and when it began.
    static CURRENT: Cell<Option<(Phase, Instant)>> = const { Cell::new(None) };
}

/// Adds up the time that all threads spend in each phase.
#[derive(Debug, Default)]
pub struct PhaseClock {
    nanoseconds: [AtomicU64; PHASES.len()],
}

impl Probe for PhaseClock {
    fn enter(&self, phase: Phase) {
        self.enter_at(phase, Instant::now());
    }
}

impl PhaseClock {
    fn enter_at(&self, phase: Phase, now: Instant) {
        let left = CURRENT.replace((phase != Phase::Idle).then_some((phase, now)));
        if let Some((phase, began)) = left
            && let Some(slot) = PHASES.iter().position(|(known, _)| *known == phase)
        {
            self.nanoseconds[slot].fetch_add((now - began).as_nanos() as u64, Relaxed);
        }
    }

    /// Nanoseconds a run by phase, averaged over `threads`; phases that took no time are absent.
    pub fn phases(&self, runs: usize, threads: usize) -> BTreeMap<String, f64> {
        let share = 1.0 / (runs * threads) as f64;
        let times = self.nanoseconds.iter().map(|total| total.load(Relaxed) as f64 * share);
        PHASES
            .iter()
            .zip(times)
            .filter(|(_, time)| *time > 0.0)
            .map(|((_, name), time)| ((*name).into(), time))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_belongs_to_the_phase_that_was_entered() {
        let clock = PhaseClock::default();
        let start = Instant::now();
        let at = |phase, microseconds| clock.enter_at(phase, start + Duration::from_micros(microseconds));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for run in [0, 500] {
                        at(Phase::Lower, run + 20);
                        at(Phase::Multiply, run + 24);
                        at(Phase::Idle, run + 32);
                    }
                });
            }
        });
        let expected = [("lower".to_owned(), 4e3), ("multiply".to_owned(), 8e3)];
        assert_eq!(clock.phases(2, 2), BTreeMap::from(expected), "two runs on two threads");
    }
}
