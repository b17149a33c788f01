//! What chance does to ratios of two runs.

use std::f64::consts::PI;

/// How often a comparison may call a row that did not change.
const LEVEL: f64 = 0.05;

/// Standard deviations that none of `looks` values exceeds by chance in 95 of 100 comparisons: each gets its share of the level
/// (Bonferroni), and the values' distribution is Student's of three degrees of freedom. A normal one has no such tails: of 690
/// ratios of quick runs of one program (eleven runs of a minute) one in a hundred was 6 deviations off where running was timed, 11
/// where preparing was, because a neighbour came to one cache for as long as one layer was measured, or pages fell otherwise.
///
/// One value: 3.18; seventy: 14.4.
pub(super) fn deviations(looks: usize) -> f64 {
    let target = 1.0 - LEVEL / (2.0 * looks.max(1) as f64);
    let (mut low, mut high) = (0.0, 1.0);
    while student(high) < target {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        *(if student(middle) < target { &mut low } else { &mut high }) = middle;
    }
    high
}

/// The share of Student's distribution of three degrees of freedom below `x`.
fn student(x: f64) -> f64 {
    let x = x / 3f64.sqrt();
    0.5 + (x / (1.0 + x * x) + x.atan()) / PI
}

/// The standard deviation of a normal distribution with the median deviation of `values`, which are sorted by it.
pub(super) fn spread(values: &mut [f64]) -> f64 {
    let middle = median(values);
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    1.4826 * median(&mut deviations)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of tables of Student's distribution: two-sided 5%, 0.1% (fifty looks of 5% together).
    #[test]
    fn deviations_are_those_of_tables() {
        assert!((deviations(1) - 3.182).abs() < 1e-3, "{}", deviations(1));
        assert!((deviations(50) - 12.924).abs() < 1e-3, "{}", deviations(50));
    }

    #[test]
    fn one_far_value_does_not_widen_the_spread() {
        let mut values = [0.0, 1.0, -1.0, 2.0, -2.0, 100.0, 0.5];
        assert!(spread(&mut values) < 2.5, "{}", spread(&mut values));
    }
}
