//! Geometric means of many rows, which tell less than a row can.

use std::collections::BTreeMap;

use super::chance::deviations;
use super::rows::{LEAST_SCATTER, Row, Verdict};
use crate::record::Kind;

/// The geometric mean of the ratios of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    /// Of what: `all`, a family, a network, passes by what was asked for.
    pub of: String,
    /// How many rows are in it.
    pub rows: usize,
    /// New time over old.
    pub ratio: f64,
    /// Where all means of a comparison lie with 95% confidence. Rows of one problem are measured in the same minute and change
    /// together, so it is the problems that are counted, not the rows.
    pub interval: [f64; 2],
}

impl Mean {
    fn new(of: String, rows: &[&Row], deviations: f64) -> Self {
        let count = rows.len() as f64;
        let mean = rows.iter().map(|row| row.ratio.ln()).sum::<f64>() / count;
        let mut problems: BTreeMap<(&str, usize), f64> = BTreeMap::new();
        for row in rows {
            *problems.entry((&row.setting.name, row.setting.batch)).or_default() += row.ratio.ln() - mean;
        }
        let ratio = mean.exp();
        // One problem says nothing of how problems differ: what its rows know of themselves is all there is.
        if problems.len() < 2 {
            let end = |i: usize| (rows.iter().map(|row| row.interval[i].ln()).sum::<f64>() / count).exp();
            return Mean { of, rows: rows.len(), ratio, interval: [end(0), end(1)] };
        }
        let clusters = problems.len() as f64;
        let squares = problems.values().map(|sum| sum * sum).sum::<f64>() / (count * count);
        let error = (squares * clusters / (clusters - 1.0)).sqrt();
        let machine = rows.iter().map(|row| row.machine).sum::<f64>() / count;
        let width = (deviations * error).max(2.0 * LEAST_SCATTER).hypot(machine);
        Mean { of, rows: rows.len(), ratio, interval: [ratio * (-width).exp(), ratio * width.exp()] }
    }

    /// Whether the mean is further from 1 than `threshold`, a fraction, and its interval does not hold 1.
    pub fn verdict(&self, threshold: f64) -> Verdict {
        Verdict::of(self.ratio, self.interval, threshold)
    }
}

/// Means of all undisturbed rows, by family, by network, of whole passes; what was prepared apart from what was run.
pub fn means(rows: &[Row]) -> Vec<Mean> {
    let mut groups: BTreeMap<(u8, String), Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.disturbed.is_none()) {
        let setting = &row.setting;
        let mut add = |rank, name: String| groups.entry((rank, name)).or_default().push(row);
        if setting.kind == Kind::Forward {
            add(3, format!("passes by {}", setting.method));
            continue;
        }
        let part = setting.part();
        add(0, format!("all{part}"));
        add(1, format!("{}{part}", setting.family()));
        if !setting.network().is_empty() {
            add(2, format!("{}/*{part}", setting.network()));
        }
    }
    let deviations = deviations(groups.len());
    groups.into_iter().map(|((_, of), rows)| Mean::new(of, &rows, deviations)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Setting;

    fn row(name: usize, method: &str, ratio: f64) -> Row {
        let setting = Setting {
            kind: Kind::Conv,
            name: format!("net/{name}"),
            method: method.into(),
            isa: "avx2".into(),
            batch: 1,
            threads: 1,
            model: None,
            cache: None,
            clock: None,
        };
        // So wide that no row is called.
        Row::of_pairs(setting, [1.0, ratio], ratio, [0.8 * ratio, 1.2 * ratio])
    }

    fn called(factor: impl Fn(usize, usize) -> f64) -> Vec<(String, Verdict)> {
        let rows: Vec<Row> = (0..5)
            .flat_map(|i| (0..4).map(move |j| (i, j)))
            .map(|(i, j)| row(i, ["direct/nhwc", "winograd/f2x3", "winograd/f4x3", "winograd/f6x3"][j], factor(i, j)))
            .collect();
        let verdicts = means(&rows).into_iter().map(|mean| (mean.of.clone(), mean.verdict(0.03)));
        verdicts.filter(|(_, verdict)| *verdict != Verdict::Undecided).collect()
    }

    #[test]
    fn a_family_that_is_five_percent_slower_is_found_where_no_row_can_tell() {
        let noise = [1.0, 1.01, 0.99, 1.005, 0.995];
        assert_eq!(called(|i, j| noise[i] * if j == 0 { 1.05 } else { 1.0 }), [("direct".into(), Verdict::Slower)]);
        assert_eq!(called(|i, j| noise[i] / if j == 0 { 1.05 } else { 1.0 }), [("direct".into(), Verdict::Faster)]);
    }

    /// Three rows of one layer are off by a quarter because of one neighbour in one minute.
    #[test]
    fn rows_of_one_problem_are_one_chance() {
        assert_eq!(called(|i, j| if i == 2 && j > 0 { 1.25 } else { 1.0 }), []);
    }
}
