//! Rows of a comparison and their verdicts.

use std::collections::HashMap;

use crate::record::{Cache, Clock, Kind, Model, Record};

use super::chance::{deviations, spread};

/// Rows from which on their scatter tells how far two runs can be trusted.
const ENOUGH_ROWS: usize = 12;

/// The scatter that is taken of fewer rows, and the least of more, as a logarithm. Two quick runs of one program a minute apart
/// differed by 3.6% in the middle of 36 rows.
const SCATTER: f64 = 0.04;
pub(super) const LEAST_SCATTER: f64 = 0.01;

/// What is known of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The new one takes less time.
    Faster,
    /// It takes more.
    Slower,
    /// Neither can be said.
    Undecided,
}

impl Verdict {
    pub(super) fn of(ratio: f64, [low, high]: [f64; 2], threshold: f64) -> Self {
        match ratio {
            ratio if ratio > 1.0 + threshold && low > 1.0 => Verdict::Slower,
            ratio if ratio < 1.0 / (1.0 + threshold) && high < 1.0 => Verdict::Faster,
            _ => Verdict::Undecided,
        }
    }

    /// `faster`, `slower` or `undecided`.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Undecided => "undecided",
        }
    }
}

/// What was measured, by what, in which setting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Setting {
    /// Convolution or whole pass.
    pub kind: Kind,
    /// The problem's or network's name.
    pub name: String,
    /// `family/variant`, and parameters that are not left to it; of a pass what was asked for.
    pub method: String,
    /// Instruction set.
    pub isa: String,
    /// Images.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// `run` or `prepare`.
    pub model: Option<Model>,
    /// State of the caches.
    pub cache: Option<Cache>,
    /// Who measured.
    pub clock: Option<Clock>,
}

impl Setting {
    /// That of `record`, if times are in it; what is compared with predictions is not compared here.
    fn of(record: &Record) -> Option<Setting> {
        record.median_ns.filter(|_| record.kind != Kind::Scale)?;
        let mut method = record.algorithm.clone()?;
        if let Some(parameters) = &record.parameters {
            method += &format!(" {parameters}");
        }
        Some(Setting {
            kind: record.kind,
            name: record.name.clone(),
            method,
            isa: record.isa.clone(),
            batch: record.batch.unwrap_or(1),
            threads: record.threads,
            model: record.model,
            cache: record.cache,
            clock: record.clock,
        })
    }

    /// The family of its algorithm; of a pass what was asked for.
    pub fn family(&self) -> &str {
        self.method.split(['/', ' ']).next().unwrap_or_default()
    }

    /// What was timed, where it is not a run with warm caches: `, prepare`, `, cold`, `, in a network`.
    pub(super) fn part(&self) -> &'static str {
        match (self.model, self.cache) {
            (Some(Model::Prepare), _) => ", prepare",
            (_, Some(Cache::Cold)) => ", cold",
            (_, Some(Cache::Network)) => ", in a network",
            _ => "",
        }
    }

    /// The network or file that its name begins with.
    pub fn network(&self) -> &str {
        self.name.rsplit_once('/').map_or("", |(network, _)| network)
    }
}

/// One thing measured twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What.
    pub setting: Setting,
    /// Old and new median, nanoseconds a run.
    pub medians: [f64; 2],
    /// New time over old.
    pub ratio: f64,
    /// Where that ratio lies with 95% confidence; of two runs, where all rows' ratios lie.
    pub interval: [f64; 2],
    /// How much faster the machine was in one run than in the other, as the logarithm of its peaks; 0 of samples in turn.
    pub machine: f64,
    /// What disturbed one of the two.
    pub disturbed: Option<String>,
}

impl Row {
    /// Of samples that both programs gave in turn: medians, the ratio's median over pairs and its interval.
    pub fn of_pairs(setting: Setting, medians: [f64; 2], ratio: f64, interval: [f64; 2]) -> Self {
        Row { setting, medians, ratio, interval, machine: 0.0, disturbed: None }
    }

    /// Whether the ratio is further from 1 than `threshold`, a fraction, and its interval does not hold 1.
    pub fn verdict(&self, threshold: f64) -> Verdict {
        match self.disturbed {
            Some(_) => Verdict::Undecided,
            None => Verdict::of(self.ratio, self.interval, threshold),
        }
    }
}

/// What is in both `old` and `new`, in the order of `new`; the names of what is in one alone are left out and counted: in `old`,
/// in `new`.
pub fn of_records(old: &[Record], new: &[Record]) -> (Vec<Row>, [usize; 2]) {
    let with_setting = |record| Some((Setting::of(record)?, record));
    // Backwards, so that of several of one setting the first stays.
    let old: HashMap<Setting, &Record> = old.iter().rev().filter_map(with_setting).collect();
    let new: Vec<(Setting, &Record)> = new.iter().filter_map(with_setting).collect();
    let pairs: Vec<(&Setting, [&Record; 2])> =
        new.iter().filter_map(|(setting, record)| Some((setting, [*old.get(setting)?, *record]))).collect();
    let alone = [old.len().saturating_sub(pairs.len()), new.len() - pairs.len()];
    let width = Width::of(&pairs);
    let rows = pairs.into_iter().filter_map(|(setting, pair)| row(setting.clone(), pair, &width)).collect();
    (rows, alone)
}

/// How far rows may lie from each other by chance.
struct Width {
    /// Standard deviation of what was timed alike: preparing scatters about three times as much as running, with how pages fall.
    scatters: HashMap<(Option<Model>, Option<Cache>), f64>,
    /// How many of these a row may be off, where that many rows are looked at.
    deviations: f64,
}

impl Width {
    fn of(pairs: &[(&Setting, [&Record; 2])]) -> Self {
        let mut ratios: HashMap<_, Vec<f64>> = HashMap::new();
        for (setting, [old, new]) in pairs.iter().filter(|(_, pair)| pair.iter().all(|r| r.disturbed.is_none())) {
            if let (Some(old), Some(new)) = (old.median_ns, new.median_ns) {
                ratios.entry((setting.model, setting.cache)).or_default().push((new / old).ln());
            }
        }
        let scatters = ratios.into_iter().map(|(timed, ratios)| (timed, scatter(ratios))).collect();
        Width { scatters, deviations: deviations(pairs.len()) }
    }

    fn half(&self, setting: &Setting) -> f64 {
        self.deviations * self.scatters.get(&(setting.model, setting.cache)).copied().unwrap_or(SCATTER)
    }
}

/// By how much rows differ from their middle.
fn scatter(mut ratios: Vec<f64>) -> f64 {
    if ratios.len() < ENOUGH_ROWS { SCATTER } else { spread(&mut ratios).max(LEAST_SCATTER) }
}

fn row(setting: Setting, [old, new]: [&Record; 2], width: &Width) -> Option<Row> {
    let medians = [old.median_ns?, new.median_ns?];
    // Half of an interval, as a logarithm; of records that have none, from the deviations.
    let half = |record: &Record, median: f64| {
        let deviation = record.mad_ns.unwrap_or(0.0);
        let [low, high] = record.interval_ns.unwrap_or([median - deviation, median + deviation]);
        (high / low.max(f64::MIN_POSITIVE)).ln() / 2.0
    };
    let peaks = [old, new].map(|record| record.peak_gflops.filter(|_| record.kind == Kind::Conv));
    let machine = if let [Some(old), Some(new)] = peaks { (new / old).ln().abs() } else { 0.0 };
    let within = half(old, medians[0]).hypot(half(new, medians[1]));
    let width = within.hypot(width.half(&setting)).hypot(machine);
    let ratio = medians[1] / medians[0];
    let disturbed = new.disturbed.clone().or(old.disturbed.clone());
    Some(Row { setting, medians, ratio, interval: [ratio * (-width).exp(), ratio * width.exp()], machine, disturbed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, algorithm: &str, ns: f64) -> Record {
        Record {
            name: name.into(),
            algorithm: Some(algorithm.into()),
            isa: "avx2".into(),
            threads: 1,
            median_ns: Some(ns),
            mad_ns: Some(ns / 100.0),
            interval_ns: Some([0.99 * ns, 1.01 * ns]),
            peak_gflops: Some(100.0),
            ..Record::default()
        }
    }

    /// Twenty problems, each by two algorithms, that take `factor` of their time, give or take a percent.
    fn run(factor: impl Fn(usize, &str) -> f64) -> Vec<Record> {
        let rows = (0..20).flat_map(|i| ["direct/nhwc", "fft/t8"].map(|algorithm| (i, algorithm)));
        let noise = |i: usize| [1.0, 0.99, 1.01, 1.005, 0.995][i % 5];
        rows.map(|(i, algorithm)| {
            record(&format!("net/{i}"), algorithm, 1e6 * (i + 1) as f64 * factor(i, algorithm) * noise(i))
        })
        .collect()
    }

    fn verdicts(old: &[Record], new: &[Record]) -> Vec<(String, Verdict)> {
        let (rows, _) = of_records(old, new);
        let called = rows.iter().map(|row| (row.setting.name.clone() + " " + &row.setting.method, row.verdict(0.03)));
        called.filter(|(_, verdict)| *verdict != Verdict::Undecided).collect()
    }

    #[test]
    fn nothing_is_said_of_runs_that_differ_by_chance() {
        let old = run(|_, _| 1.0);
        let new = run(|i, _| [1.0, 1.02, 0.98, 1.03, 0.97, 1.04, 0.96][i % 7]);
        assert_eq!(verdicts(&old, &new), []);
    }

    #[test]
    fn the_row_that_changed_is_named_and_no_other() {
        let old = run(|_, _| 1.0);
        let new = run(|i, algorithm| if (i, algorithm) == (7, "fft/t8") { 1.2 } else { 1.0 });
        assert_eq!(verdicts(&old, &new), [("net/7 fft/t8".into(), Verdict::Slower)]);
        assert_eq!(verdicts(&new, &old), [("net/7 fft/t8".into(), Verdict::Faster)]);
    }

    /// One row of a hundred is far off in every second pair of runs: nobody knows which.
    #[test]
    fn a_tail_of_chance_is_not_called() {
        let old = run(|_, _| 1.0);
        let new = run(|i, algorithm| if (i, algorithm) == (3, "fft/t8") { 1.09 } else { [1.0, 1.01, 0.99][i % 3] });
        assert_eq!(verdicts(&old, &new), []);
    }

    /// What is prepared scatters more, and takes nothing from what is known of runs.
    #[test]
    fn preparing_is_held_against_preparing() {
        let both = |run_factor: f64, scatter: f64| {
            let mut records = run(|i, algorithm| if (i, algorithm) == (7, "fft/t8") { run_factor } else { 1.0 });
            let mut prepare = run(|i, _| 1.0 + scatter * [0.0, 1.0, -0.7, 0.5, -0.5, 0.8, -0.2][i % 7]);
            records.iter_mut().for_each(|record| record.model = Some(Model::Run));
            prepare.iter_mut().for_each(|record| record.model = Some(Model::Prepare));
            records.extend(prepare);
            records
        };
        assert_eq!(verdicts(&both(1.0, 0.0), &both(1.25, 0.5)), [("net/7 fft/t8".into(), Verdict::Slower)]);
    }

    #[test]
    fn disturbed_rows_and_slower_machines_decide_nothing() {
        let old = run(|_, _| 1.0);
        let mut new = run(|i, _| if i == 7 { 1.5 } else { 1.0 });
        new.iter_mut().for_each(|record| record.disturbed = (record.name == "net/7").then(|| "a neighbour".into()));
        assert_eq!(verdicts(&old, &new), []);
        let mut slower = run(|_, _| 1.25);
        slower.iter_mut().for_each(|record| record.peak_gflops = Some(80.0));
        assert_eq!(verdicts(&old, &slower), []);
        assert_eq!(verdicts(&old, &run(|_, _| 1.25)).len(), 40, "the code is slower where the machine is not");
    }

    #[test]
    fn what_is_in_one_alone_is_counted() {
        let old = [record("a", "direct/nhwc", 1.0), record("b", "direct/nhwc", 1.0)];
        let new = [record("b", "direct/nhwc", 1.0), record("c", "direct/nhwc", 1.0), record("c", "fft/t8", 1.0)];
        let (rows, alone) = of_records(&old, &new);
        assert_eq!((rows.len(), alone), (1, [1, 2]));
        assert!(rows[0].interval[0] > 0.85 && rows[0].interval[1] < 1.2, "{:?}", rows[0].interval);
    }

    #[test]
    fn of_several_of_one_setting_the_first_is_the_old_one() {
        let records = |times: &[f64]| times.iter().map(|&ns| record("a", "direct/nhwc", ns)).collect::<Vec<_>>();
        let (rows, alone) = of_records(&records(&[1.0, 2.0, 3.0]), &records(&[4.0, 5.0]));
        assert_eq!(rows.iter().map(|row| row.medians).collect::<Vec<_>>(), [[1.0, 4.0], [1.0, 5.0]]);
        assert_eq!(alone, [0, 0]);
    }
}
