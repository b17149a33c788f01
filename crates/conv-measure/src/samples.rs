//! Samples and what is said about them.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Shortest sample of a warm run: clocks and interrupts weigh less than a thousandth of it.
pub const MIN_SAMPLE: Duration = Duration::from_millis(1);

/// Resamples of the bootstrap: the ends of an interval of 95% are the 50th from below and from above.
pub(crate) const RESAMPLES: usize = 2000;

/// Times in nanoseconds a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// None yet.
    pub const fn new() -> Self {
        Samples(Vec::new())
    }

    /// Adds one.
    pub fn push(&mut self, nanoseconds: f64) {
        self.0.push(nanoseconds);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The fastest; infinite if there is none.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The median; NaN if there is none.
    pub fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The median absolute deviation from the median.
    pub fn mad(&self) -> f64 {
        let median_of_all = self.median();
        median(self.0.iter().map(|sample| (sample - median_of_all).abs()).collect())
    }

    /// Where the median lies with 95% confidence, by the percentile bootstrap (Efron and Tibshirani, *An Introduction to the
    /// Bootstrap*, 1993, §13.3); none of fewer than two samples. What changes between runs is not in it.
    pub fn interval(&self) -> Option<[f64; 2]> {
        let count = self.0.len();
        if count < 2 {
            return None;
        }
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut resample = || median((0..count).map(|_| self.0[rng.random_range(0..count)]).collect());
        let mut medians: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
        medians.sort_by(f64::total_cmp);
        Some([medians[RESAMPLES / 40], medians[RESAMPLES - 1 - RESAMPLES / 40]])
    }

    /// Those of the rounds that are marked, one sample a round.
    pub fn of_rounds(&self, marked: &[bool]) -> Samples {
        Samples(self.0.iter().zip(marked).filter(|(_, marked)| **marked).map(|(sample, _)| *sample).collect())
    }
}

/// The middle value, or the mean of both; NaN if there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().saturating_sub(1) / 2);
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => f64::NAN,
    }
}

/// The mean time of `run` in nanoseconds, over as many runs as fill `at_least`: a clock is only as good as what it times
/// is long. `runs` is how many that was the last time, and is adapted.
///
/// # Errors
/// The first error of `run`.
pub fn sample<E>(at_least: Duration, runs: &mut u32, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let start = Instant::now();
    let mut done = 0;
    loop {
        for _ in 0..*runs {
            run()?;
        }
        done += *runs;
        let elapsed = start.elapsed();
        if elapsed >= at_least {
            let mean = elapsed.as_nanos() as f64 / f64::from(done);
            *runs = (at_least.as_nanos() as f64 / mean).ceil().clamp(1.0, 1e9) as u32;
            return Ok(mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics() {
        let samples = Samples(vec![5.0, 1.0, 2.0, 100.0]);
        assert_eq!((samples.count(), samples.min(), samples.median(), samples.mad()), (4, 1.0, 3.5, 2.0));
        assert_eq!(Samples(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn the_interval_covers_the_median_of_what_was_sampled() {
        let mut rng = Pcg64Mcg::seed_from_u64(7);
        let mut covered = 0;
        for _ in 0..200 {
            // Of median one half.
            let samples = Samples((0..41).map(|_| rng.random_range(0.0..1.0)).collect());
            let [low, high] = samples.interval().unwrap();
            assert!(low < samples.median() && samples.median() < high && high - low < 0.6);
            covered += u32::from((low..=high).contains(&0.5));
        }
        assert!((180..=199).contains(&covered), "{covered} of 200");
        assert_eq!(Samples(vec![1.0]).interval(), None);
    }

    #[test]
    fn samples_of_marked_rounds() {
        let samples = Samples(vec![5.0, 1.0, 2.0]);
        assert_eq!(samples.of_rounds(&[true, false, true]), Samples(vec![5.0, 2.0]));
    }

    #[test]
    fn short_runs_are_repeated_until_the_sample_is_long_enough() {
        let (mut calls, mut runs) = (0_u32, 1);
        let start = Instant::now();
        let mean = sample(Duration::from_millis(2), &mut runs, || {
            calls += 1;
            std::thread::sleep(Duration::from_micros(100));
            Ok::<(), ()>(())
        });
        let mean = mean.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(2));
        assert!(mean >= 1e5 && (1..=20).contains(&runs) && calls <= 20, "{mean} {runs} {calls}");
    }
}
