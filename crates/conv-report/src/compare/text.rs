//! A comparison as tables and sentences.

use std::collections::BTreeMap;

use super::rows::{Row, Verdict};
use crate::record::{Cache, Kind, Model};

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
            format!("{}{}", setting.method, part(row)),
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

/// What was timed, where it is not a run with warm caches.
fn part(row: &Row) -> &'static str {
    match (row.setting.model, row.setting.cache) {
        (Some(Model::Prepare), _) => ", prepare",
        (_, Some(Cache::Cold)) => ", cold",
        (_, Some(Cache::Network)) => ", in a network",
        _ => "",
    }
}

/// Header and rows of geometric means of the ratios: of all rows, by family, by network, of whole passes.
pub fn means(rows: &[Row]) -> ([&'static str; 3], Vec<Vec<String>>) {
    let mut groups: BTreeMap<(u8, String), Vec<f64>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.disturbed.is_none()) {
        let mut add = |rank, name: String| groups.entry((rank, name)).or_default().push(row.ratio.ln());
        add(0, "all".into());
        if row.setting.kind == Kind::Forward {
            add(3, format!("passes by {}", row.setting.method));
            continue;
        }
        add(1, format!("{}{}", row.setting.family(), part(row)));
        if !row.setting.network().is_empty() {
            add(2, format!("{}/*", row.setting.network()));
        }
    }
    let cells = |((_, name), ratios): (&(u8, String), &Vec<f64>)| {
        let mean = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
        vec![name.clone(), ratios.len().to_string(), format!("{mean:.3}")]
    };
    (["of", "rows", "new/old, geometric mean"], groups.iter().map(cells).collect())
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
