//! Which measurement is the fastest, and the mark of those that were disturbed: these are shown, and leant on only where there is
//! nothing else.

use crate::family::family_of;
use crate::record::Record;

/// Stands behind a value that leans on a disturbed measurement.
pub(crate) const MARK: &str = " ~";

/// What the mark says.
pub(crate) const MEANING: &str = "measured while others computed on this machine; it counts as the fastest of its family only \
                                  where all of the family was";

/// Nanoseconds a run.
pub(crate) fn time(record: &Record) -> f64 {
    record.median_ns.unwrap_or(f64::INFINITY)
}

/// `text`, marked if any of `records` was disturbed.
pub(crate) fn marked(text: String, records: &[&Record]) -> String {
    if records.iter().any(|record| record.disturbed.is_some()) && !text.is_empty() { text + MARK } else { text }
}

/// Those of `records` that may be called the fastest: of each family what was not disturbed, or all if everything was.
pub(crate) fn candidates<'a>(records: &[&'a Record]) -> Vec<&'a Record> {
    let quiet: Vec<&str> =
        records.iter().filter(|record| record.disturbed.is_none()).map(|record| family_of(record)).collect();
    let may = |record: &&&Record| record.disturbed.is_none() || !quiet.contains(&family_of(record));
    records.iter().filter(may).copied().collect()
}

/// The fastest of the [`candidates`].
pub(crate) fn fastest<'a>(records: &[&'a Record]) -> Option<&'a Record> {
    candidates(records).into_iter().min_by(|a, b| time(a).total_cmp(&time(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_disturbed_wins_only_in_a_family_without_others() {
        let record = |algorithm: &str, ms: f64, disturbed: bool| Record {
            algorithm: Some(algorithm.into()),
            median_ns: Some(ms * 1e6),
            disturbed: disturbed.then(|| "a neighbour".into()),
            ..Record::default()
        };
        let records = [
            record("direct/nhwc", 3.0, false),
            record("winograd/f2x3", 2.0, false),
            record("winograd/f4x3", 1.0, true),
            record("fft/t8", 1.5, true),
        ];
        let all: Vec<&Record> = records.iter().collect();
        assert_eq!(candidates(&all), [&records[0], &records[1], &records[3]]);
        assert_eq!(fastest(&all), Some(&records[3]));
        assert_eq!(fastest(&all[..3]), Some(&records[1]));
        assert_eq!(marked("3.0".into(), &all[..2]), "3.0");
        assert_eq!(marked("3.0".into(), &all[1..3]), "3.0 ~");
        assert_eq!(marked(String::new(), &all), "");
    }
}
