//! Two programs that take turns: pairs of samples, and the ratio that they show.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::samples::{RESAMPLES, median};

/// Pairs of samples, old and new, nanoseconds a run, by preparation: where a plan's memory comes to lie changes its times by some
/// percent, and only preparing it anew shows by how much.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pairs(Vec<Vec<[f64; 2]>>);

impl Pairs {
    /// Begins a preparation.
    pub fn prepare(&mut self) {
        self.0.push(Vec::new());
    }

    /// Adds a pair to the last preparation, of which there must be one.
    pub fn push(&mut self, old: f64, new: f64) {
        self.0.last_mut().expect("a preparation was begun").push([old, new]);
    }

    /// How many pairs there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The medians of both; NaN if there is no pair.
    pub fn medians(&self) -> [f64; 2] {
        [0, 1].map(|which| median(self.0.iter().flatten().map(|pair| pair[which]).collect()))
    }

    /// New over old: the median over pairs; NaN if there is none.
    pub fn ratio(&self) -> f64 {
        median(self.0.iter().flatten().map(ratio).collect())
    }

    /// Where that lies with 95% confidence: preparations are drawn anew, and of each its pairs (Davison and Hinkley, *Bootstrap
    /// Methods and their Application*, 1997, §3.8). None of fewer than two pairs.
    pub fn interval(&self) -> Option<[f64; 2]> {
        let preparations: Vec<&Vec<[f64; 2]>> = self.0.iter().filter(|pairs| !pairs.is_empty()).collect();
        if self.count() < 2 {
            return None;
        }
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut resample = || {
            let mut ratios = Vec::with_capacity(self.count());
            for _ in 0..preparations.len() {
                let pairs = preparations[rng.random_range(0..preparations.len())];
                ratios.extend((0..pairs.len()).map(|_| ratio(&pairs[rng.random_range(0..pairs.len())])));
            }
            median(ratios)
        };
        let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
        ratios.sort_by(f64::total_cmp);
        Some([ratios[RESAMPLES / 40], ratios[RESAMPLES - 1 - RESAMPLES / 40]])
    }
}

fn ratio([old, new]: &[f64; 2]) -> f64 {
    new / old
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_that_meets_both_leaves_the_ratio() {
        let mut pairs = Pairs::default();
        for preparation in 0..5 {
            pairs.prepare();
            for i in 0..9 {
                let drift = 1.0 + f64::from(i) / 4.0;
                pairs.push(100.0 * drift, 105.0 * drift * (1.0 + 0.002 * f64::from(preparation - 2)));
            }
        }
        let [low, high] = pairs.interval().unwrap();
        assert!((pairs.ratio() - 1.05).abs() < 1e-9 && pairs.count() == 45, "{}", pairs.ratio());
        assert!(1.04 < low && low < 1.05 && 1.05 < high && high < 1.06, "{low} {high}");
    }

    #[test]
    fn what_differs_from_preparation_to_preparation_is_in_the_interval() {
        let mut pairs = Pairs::default();
        for factor in [0.95, 1.05, 1.0, 0.97, 1.06] {
            pairs.prepare();
            (0..9).for_each(|_| pairs.push(100.0, 100.0 * factor));
        }
        let [low, high] = pairs.interval().unwrap();
        assert!(low < 0.98 && high > 1.04, "{low} {high}");
        assert!(Pairs::default().interval().is_none() && Pairs::default().ratio().is_nan());
    }
}
