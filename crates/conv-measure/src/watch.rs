//! What the machine does while candidates take turns. A neighbour on a shared host comes and goes within seconds: it shows in the
//! multiply-add peak, which is sampled between rounds, and in the processor time that the host gives to others.

use std::fs;

use rayon::ThreadPool;

use crate::limits::{PeakProbe, core_to_core_ns};
use crate::samples::Samples;

/// Share of the best peak of this machine that a quiet round has before and after it. Where nobody else computed, samples of 10 ms
/// lay within 3% of each other; beside a neighbour they fell to 0.5 to 0.9.
const LEAST_PEAK: f64 = 0.93;

/// Share of the processors' time that others had, at most, in a quiet round.
const MOST_STOLEN: f64 = 0.05;

/// Samples of the machine, before each round and after the last one.
#[derive(Debug, Default)]
pub struct Watch {
    /// By instruction set, GFLOP/s.
    peaks: Vec<Samples>,
    /// The best of each instruction set.
    best: Vec<f64>,
    core_to_core: Samples,
    rounds: Vec<Round>,
    /// The last sample: peaks, and the processors' time then.
    last: Option<(Vec<f64>, ProcessorTime)>,
}

/// What was seen at both ends of a round.
#[derive(Debug)]
struct Round {
    /// The lower peak by instruction set, GFLOP/s.
    peaks: Vec<f64>,
    /// What others had of the processors' time meanwhile.
    stolen: f64,
}

impl Watch {
    /// Nothing yet; `best` are the best peaks that this machine showed on each instruction set, GFLOP/s.
    pub fn new(best: Vec<f64>) -> Self {
        Watch { peaks: vec![Samples::default(); best.len()], best, ..Watch::default() }
    }

    /// Samples the peak by each of `probes` and the cores' distance on `pool`, which ends a round unless it is the first sample,
    /// or the first after a [break](Self::pause). Returns whether that round was quiet.
    pub fn sample<'a>(&mut self, probes: impl Iterator<Item = &'a PeakProbe>, pool: &ThreadPool) -> bool {
        let peaks = probes.map(|probe| probe.gflops(pool, 1)).collect();
        core_to_core_ns(pool).into_iter().for_each(|sample| self.core_to_core.push(sample));
        self.add(peaks, ProcessorTime::now())
    }

    fn add(&mut self, peaks: Vec<f64>, time: ProcessorTime) -> bool {
        for ((samples, best), &peak) in self.peaks.iter_mut().zip(&mut self.best).zip(&peaks) {
            samples.push(peak);
            *best = best.max(peak);
        }
        let round = self.last.as_ref().map(|(before, since)| Round {
            peaks: peaks.iter().zip(before).map(|(&after, &before)| after.min(before)).collect(),
            stolen: time.stolen_since(*since),
        });
        self.last = Some((peaks, time));
        let quiet = round.as_ref().is_some_and(|round| self.is_quiet(round));
        self.rounds.extend(round);
        quiet
    }

    /// What comes before the next sample belongs to no round.
    pub fn pause(&mut self) {
        self.last = None;
    }

    fn is_quiet(&self, round: &Round) -> bool {
        let calm = round.peaks.iter().zip(&self.best).all(|(peak, best)| *peak >= LEAST_PEAK * best);
        calm && round.stolen <= MOST_STOLEN
    }

    /// The best peak of each instruction set, GFLOP/s.
    pub fn best(&self) -> &[f64] {
        &self.best
    }

    /// The median peak of instruction set number `isa` in the rounds that count: in quiet ones, or in all where none was quiet;
    /// GFLOP/s.
    pub fn peak(&self, isa: usize) -> f64 {
        let mut quiet = Samples::default();
        self.rounds.iter().filter(|round| self.is_quiet(round)).for_each(|round| quiet.push(round.peaks[isa]));
        if quiet.count() > 0 { quiet.median() } else { self.peaks[isa].median() }
    }

    /// The median time of a cache line from one thread's core to another's, nanoseconds; none on one thread.
    pub fn core_to_core_ns(&self) -> Option<f64> {
        (self.core_to_core.count() > 0).then(|| self.core_to_core.median())
    }

    /// Of `samples`, one a round, those of quiet rounds; all of them, and what disturbed, if fewer than `enough` were quiet.
    pub fn judge(&self, samples: &Samples, enough: usize) -> (Samples, Option<String>) {
        let marked: Vec<bool> = self.rounds.iter().map(|round| self.is_quiet(round)).collect();
        let quiet = samples.of_rounds(&marked);
        if quiet.count() >= enough.min(samples.count()) { (quiet, None) } else { (samples.clone(), Some(self.noise())) }
    }

    /// What disturbed.
    fn noise(&self) -> String {
        let mut stolen = Samples::default();
        self.rounds.iter().for_each(|round| stolen.push(round.stolen));
        let shares = self.peaks.iter().zip(&self.best).map(|(peaks, best)| peaks.median() / best);
        let share = shares.fold(1.0, f64::min);
        let best = self.best.iter().fold(0.0, |a: f64, &b| a.max(b));
        if stolen.median() > MOST_STOLEN {
            return format!("others had {:.0}% of the processors", 100.0 * stolen.median());
        }
        format!("peak at {:.0}% of {best:.0} GFLOP/s, in few rounds above {:.0}%", 100.0 * share, 100.0 * LEAST_PEAK)
    }
}

/// Ticks of all processors together: all, and those that the host gave to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ProcessorTime {
    all: u64,
    stolen: u64,
}

impl ProcessorTime {
    /// As Linux counts them; zeros elsewhere.
    fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// The first line: `cpu` and ticks as user, nice, system, idle, waiting, interrupts (two), stolen, and two that are
    /// contained in the first ones.
    fn parse(stat: &str) -> Self {
        let ticks = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
        let ticks: Vec<u64> = ticks.map_while(|word| word.parse().ok()).take(8).collect();
        ProcessorTime { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or(0) }
    }

    fn stolen_since(self, before: Self) -> f64 {
        self.stolen.saturating_sub(before.stolen) as f64 / self.all.saturating_sub(before.all).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After samples of these peaks, and so many ticks that others had meanwhile, of a hundred each.
    fn watch(samples: &[(f64, u64)]) -> Watch {
        let (mut watch, mut time) = (Watch::new(vec![100.0]), ProcessorTime::default());
        for &(peak, stolen) in samples {
            time = ProcessorTime { all: time.all + 100, stolen: time.stolen + stolen };
            watch.add(vec![peak], time);
        }
        watch
    }

    fn samples(values: &[f64]) -> Samples {
        let mut samples = Samples::default();
        values.iter().for_each(|&value| samples.push(value));
        samples
    }

    #[test]
    fn a_round_is_quiet_if_the_machine_was_at_both_of_its_ends() {
        let mut watch = watch(&[(99.0, 0), (98.0, 0), (70.0, 0), (97.0, 0), (96.0, 0), (99.0, 20)]);
        let all = samples(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(watch.judge(&all, 2), (samples(&[1.0, 4.0]), None));
        let (kept, noise) = watch.judge(&all, 3);
        assert_eq!((kept.count(), noise.is_some()), (5, true));
        // What happens in a break is nobody's.
        watch.pause();
        assert!(!watch.add(vec![20.0], ProcessorTime::default()) && !watch.add(vec![99.0], ProcessorTime::default()));
        assert_eq!(watch.judge(&samples(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 2), (samples(&[1.0, 4.0]), None));
        assert_eq!((watch.best(), watch.peak(0)), (&[100.0][..], 97.0), "of the two rounds that were quiet");
    }

    #[test]
    fn a_better_peak_tells_that_rounds_before_were_slow() {
        let mut watch = watch(&[(99.0, 0), (99.0, 0)]);
        assert_eq!(watch.judge(&samples(&[1.0]), 1).1, None);
        watch.add(vec![140.0], ProcessorTime::default());
        assert!(watch.judge(&samples(&[1.0, 2.0]), 1).1.is_some());
    }

    #[test]
    fn what_disturbed_is_named() {
        let slow = watch(&[(70.0, 0), (71.0, 0), (72.0, 0)]);
        assert!(slow.noise().starts_with("peak at 71% of 100 GFLOP/s"), "{}", slow.noise());
        let stolen = watch(&[(99.0, 0), (99.0, 30), (99.0, 30)]);
        assert_eq!(stolen.noise(), "others had 30% of the processors");
    }

    #[test]
    fn stolen_time_is_the_eighth_number() {
        let before = ProcessorTime::parse("cpu  10 0 10 60 0 0 0 20 3 0\ncpu0 1 2 3\n");
        assert_eq!(before, ProcessorTime { all: 100, stolen: 20 });
        let now = ProcessorTime::parse("cpu  20 0 20 100 0 0 0 60 9 0");
        assert_eq!(now.stolen_since(before), 0.4);
        assert_eq!(ProcessorTime::parse("no such thing"), ProcessorTime::default());
    }
}
