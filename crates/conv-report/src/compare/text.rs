//! A comparison as tables and sentences.

use super::means::Mean;
use super::rows::{Row, Verdict};

/// Header and rows of a table: those that were decided first, the largest change of each first; of the others `all` or none.
pub fn rows_table(rows: &[Row], threshold: f64, all: bool) -> ([&'static str; 8], Vec<Vec<String>>) {
    let rank = |row: &Row| match row.verdict(threshold) {
        Verdict::Slower => 0,
        Verdict::Faster => 1,
        Verdict::Undecided => 2,
    };
    let mut shown: Vec<&Row> = rows.iter().filter(|row| all || rank(row) < 2).collect();
    shown.sort_by(|a, b| rank(a).cmp(&rank(b)).then(b.ratio.ln().abs().total_cmp(&a.ratio.ln().abs())));
    let cells = |row: &&Row| {
        let setting = &row.setting;
        let [old, new] = row.medians.map(|ns| format!("{:.3}", ns * 1e-6));
        let [low, high] = row.interval.map(|end| format!("{end:.3}"));
        let verdict = match &row.disturbed {
            Some(reason) => format!("disturbed: {reason}"),
            None => row.verdict(threshold).name().into(),
        };
        vec![
            setting.name.clone(),
            format!("{}{}", setting.method, setting.part()),
            format!("{}, {} thr, b{}", setting.isa, setting.threads, setting.batch),
            old,
            new,
            format!("{:.3}", row.ratio),
            format!("{low} to {high}"),
            verdict,
        ]
    };
    let header = ["name", "by", "in", "old ms", "new ms", "new/old", "interval", "verdict"];
    (header, shown.iter().map(cells).collect())
}

/// Header and rows of a table of means, with a verdict where there is one.
pub fn means_table(means: &[Mean], threshold: f64) -> ([&'static str; 5], Vec<Vec<String>>) {
    let cells = |mean: &Mean| {
        let [low, high] = mean.interval;
        let verdict = match mean.verdict(threshold) {
            Verdict::Undecided => "",
            decided => decided.name(),
        };
        let numbers = [mean.rows.to_string(), format!("{:.3}", mean.ratio), format!("{low:.3} to {high:.3}")];
        let [rows, ratio, interval] = numbers;
        vec![mean.of.clone(), rows, ratio, interval, verdict.into()]
    };
    (["of", "rows", "new/old, geometric mean", "interval", "verdict"], means.iter().map(cells).collect())
}

/// How many rows have which verdict, in a sentence.
pub fn summary(rows: &[Row], threshold: f64) -> String {
    let count = |verdict| rows.iter().filter(|row| row.verdict(threshold) == verdict).count();
    let disturbed = rows.iter().filter(|row| row.disturbed.is_some()).count();
    let of = match disturbed {
        0 => String::new(),
        count => format!(" ({count} of them disturbed)"),
    };
    format!(
        "{} rows: {} slower, {} faster by more than {:.0}%, {} undecided{of}",
        rows.len(),
        count(Verdict::Slower),
        count(Verdict::Faster),
        100.0 * threshold,
        count(Verdict::Undecided),
    )
}
