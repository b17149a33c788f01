//! Measuring the methods of one problem: first all that the cost model does not rule out, a few samples each; then the
//! finalists in turn.

use std::time::{Duration, Instant};

use conv_check::Failure;
use conv_core::{Algorithm, Footprint, Method, PlanOptions, Problem, Work};
use conv_measure::memory::{plannable_bytes, refused};
use conv_measure::{
    COLD_BYTES, Candidate, MIN_SAMPLE, MeasureError, PREPARATIONS, Samples, Stop, Stream, Subject, Workload, sample,
    sample_in_network,
};
use conv_simd::Isa;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use crate::cost::{CostModel, expected_error};
use crate::optimise::{Cost, Limits};
use crate::registry::direct;

/// A method whose estimate is so many times the best one's is not measured. The model's estimates scatter by 16% about times
/// that it was not fitted to (root mean square of the logarithms), and on 319 of 320 layers the fastest method found was
/// estimated at no more than 1.41 times the least estimate.
const MARGIN: f64 = 1.7;
/// A method that took so many times as long as another at the first look is not looked at again.
const SLACK: f64 = 1.1;
/// A method that takes so many times as long as the fastest one so far is looked at no longer than it takes to see that,
/// and neither are other parameters of its algorithm, of which the most promising come first.
const HOPELESS: f64 = 1.5;
/// Samples of a first look, and of a hopeless method's.
const SCREEN_SAMPLES: usize = 3;
const MIN_SCREEN_SAMPLES: usize = 2;
/// Finalists, at most.
const FINALISTS: usize = 8;
/// Samples of a finalist by each of its preparations, at most, and by the first one at least.
const FINAL_SAMPLES: usize = 7;
const MIN_FINAL_SAMPLES: usize = 5;
/// Warm samples of a finalist: they decide nothing.
const WARM_SAMPLES: usize = 5;
/// Differences below this share are none, whatever the samples say.
const INDIFFERENCE: f64 = 0.01;

const OUT_OF_TIME: &str = "out of time";

/// One method as it was measured.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The method.
    pub method: Method,
    /// What it costs in memory.
    pub footprint: Footprint,
    /// Its largest error over the largest output.
    pub error: f64,
    /// What the cost model says, ns; `None` where it says nothing.
    pub estimate_ns: Option<f64>,
    /// Single runs in a network's conditions: of finalists in turn with each other, of others at the first look.
    pub network: Samples,
    /// Time at the first look, over that of the first method looked at.
    relative: f64,
    /// Runs with everything in the caches; finalists only.
    pub warm: Samples,
    /// Whether it was among the last.
    pub finalist: bool,
}

/// What came of one problem.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// The problem.
    pub problem: Problem,
    /// Everything measured, finalists first, then by time.
    pub trials: Vec<Trial>,
    /// Methods that compute the problem.
    pub considered: usize,
    /// Those that were left out, and why.
    pub left_out: Vec<(&'static str, usize)>,
    /// The cost model's choice.
    pub model: Method,
    /// How long it took.
    pub took: Duration,
}

/// Searches on one pool.
pub struct Search {
    algorithms: Vec<&'static dyn Algorithm>,
    isa: Isa,
    model: CostModel,
    limits: Limits,
    /// What is read between two samples.
    others: Stream,
    stop: Stop,
}

/// A method that may be measured.
#[derive(Clone, Copy)]
struct Possible {
    method: Method,
    work: Option<Work>,
    /// What the model says; for what cannot tell, the least that it can be.
    estimate_ns: f64,
}

impl Possible {
    /// Nothing where it is not known.
    fn footprint(&self) -> Footprint {
        self.work.map_or(Footprint::default(), |work| work.footprint)
    }
}

/// What there is to measure.
struct Candidates {
    /// Most promising first.
    possible: Vec<Possible>,
    /// Those of them that are measured in any case.
    required: Vec<Method>,
    /// Methods that compute the problem.
    considered: usize,
    /// Those that are not possible, and why.
    left_out: Vec<(&'static str, usize)>,
}

impl Trial {
    fn new(option: &Possible, subject: &Subject) -> Self {
        Trial {
            method: option.method,
            footprint: subject.footprint(),
            error: subject.errors()[0],
            estimate_ns: option.work.is_some().then_some(option.estimate_ns),
            network: Samples::default(),
            relative: 1.0,
            warm: Samples::default(),
            finalist: false,
        }
    }
}

/// The first look: methods still in the running, and those that no longer are.
#[derive(Default)]
struct Screen {
    running: Vec<(Trial, Subject)>,
    dropped: Vec<Trial>,
}

impl Search {
    /// A search among `algorithms` on `isa`, within `limits`. It ends early when `stop` asks it to.
    ///
    /// # Errors
    /// [`MeasureError::Allocation`] if there is no memory to read between samples.
    pub fn new(
        algorithms: Vec<&'static dyn Algorithm>,
        isa: Isa,
        model: CostModel,
        limits: Limits,
        stop: Stop,
    ) -> Result<Self, MeasureError> {
        Ok(Search { algorithms, isa, model, limits, others: Stream::with_bytes(COLD_BYTES)?, stop })
    }

    /// What may be chosen at most.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn is_limited(&self) -> bool {
        self.limits.workspace_bytes.is_some() || self.limits.weights_bytes.is_some()
    }

    fn options(&self) -> PlanOptions {
        PlanOptions::new(rayon::current_num_threads()).isa(self.isa)
    }

    /// Measures the methods for `problem` on the current pool, until `deadline` if it takes so long; the model's choice
    /// and `direct/nhwc` in any case.
    ///
    /// # Errors
    /// [`MeasureError`] if the problem's data does not fit into memory, or the end was asked for.
    pub fn tune(&self, problem: &Problem, deadline: Instant) -> Result<(Tuned, Vec<Failure>), MeasureError> {
        let start = Instant::now();
        let mut workload = Workload::new(problem)?;
        let model = self.model.choose(&self.algorithms, problem, &self.options()).unwrap_or(direct()).into();
        let Candidates { possible, required, considered, mut left_out } = self.candidates(problem, model);
        let screen_end = start + deadline.saturating_duration_since(start) * 3 / 5;
        let mut screen = Screen::default();
        let (mut failures, mut late, mut hopeless) = (Vec::new(), 0, 0);
        for option in &possible {
            self.stop.check()?;
            if !required.contains(&option.method) {
                if self.is_hopeless(&screen, option) {
                    hopeless += 1;
                    continue;
                }
                if Instant::now() > screen_end {
                    late += 1;
                    continue;
                }
            }
            let candidate = Candidate { method: option.method, isa: self.isa };
            match Subject::new(candidate, &mut workload, plannable_bytes()) {
                Ok(subject) => {
                    self.look(&mut screen, (Trial::new(option, &subject), subject), &mut workload, &required)?;
                }
                Err(failure) => failures.push(failure),
            }
        }
        left_out.extend([("slow or inexact with other parameters", hopeless), (OUT_OF_TIME, late)]);
        left_out.retain(|(_, count)| *count > 0);
        let Screen { mut running, mut dropped } = screen;
        running.sort_by(|a, b| a.0.relative.total_cmp(&b.0.relative));
        if !self.is_limited() {
            let others = running.split_off(running.len().min(FINALISTS));
            let (model, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|(trial, _)| trial.method == model);
            running.extend(model);
            dropped.extend(others.into_iter().map(|(trial, _)| trial));
        }
        failures.extend(self.finals(&mut running, &mut workload, deadline)?);
        failures.retain(|failure| !refused(failure));
        let mut trials: Vec<Trial> = running.into_iter().map(|(trial, _)| trial).collect();
        trials.sort_by(|a, b| a.network.median().total_cmp(&b.network.median()));
        dropped.sort_by(|a, b| a.relative.total_cmp(&b.relative));
        trials.extend(dropped);
        Ok((Tuned { problem: problem.clone(), trials, considered, left_out, model, took: start.elapsed() }, failures))
    }

    /// A few samples of one more method, in turn with as many of the fastest so far: what drifts meets both. Of those
    /// running it takes out whatever is beaten, and not required.
    fn look(
        &self,
        screen: &mut Screen,
        (mut trial, mut subject): (Trial, Subject),
        workload: &mut Workload,
        required: &[Method],
    ) -> Result<(), MeasureError> {
        let mut leader = screen.running.iter_mut().min_by(|a, b| a.0.relative.total_cmp(&b.0.relative));
        let mut beside = Samples::default();
        for _ in 0..SCREEN_SAMPLES {
            trial.network.push(sample_in_network(&mut subject, workload, &self.others)?);
            if let Some((_, leading)) = &mut leader {
                beside.push(sample_in_network(leading, workload, &self.others)?);
                let samples = trial.network.count();
                if samples >= MIN_SCREEN_SAMPLES && trial.network.min() > HOPELESS * beside.median() {
                    break;
                }
            }
        }
        if let Some((leading, _)) = leader {
            trial.relative = leading.relative * trial.network.median() / beside.median();
        }
        screen.running.push((trial, subject));
        let trials: Vec<Trial> = screen.running.iter().map(|(trial, _)| trial.clone()).collect();
        let beaten = |trial: &Trial| trials.iter().any(|other| self.beats(other, trial));
        let out =
            |trial: &Trial| !required.contains(&trial.method) && (trial.error > self.limits.error || beaten(trial));
        let dropped = screen.running.extract_if(.., |(trial, _)| out(trial)).map(|(trial, _)| trial);
        screen.dropped.extend(dropped);
        Ok(())
    }

    /// Whether `a`, which is exact enough and needs no more of what is limited, leaves `b` no hope.
    fn beats(&self, a: &Trial, b: &Trial) -> bool {
        a.error <= self.limits.error && self.no_larger(&a.footprint, &b.footprint) && a.relative * SLACK < b.relative
    }

    /// Whether another method of the same algorithm was so inexact, or so much slower than one that needs no more of what is
    /// limited, that this one has no chance.
    fn is_hopeless(&self, screen: &Screen, option: &Possible) -> bool {
        let running = || screen.running.iter().map(|(trial, _)| trial);
        let exact = |trial: &&Trial| trial.error <= self.limits.error;
        let smaller = running().filter(exact).filter(|trial| self.no_larger(&trial.footprint, &option.footprint()));
        let least = smaller.map(|trial| trial.relative).fold(f64::INFINITY, f64::min);
        let same = |trial: &&Trial| trial.method.algorithm.name() == option.method.algorithm.name();
        let seen = running().chain(&screen.dropped).filter(same).collect::<Vec<_>>();
        let slow = !seen.is_empty() && seen.iter().all(|trial| trial.relative > HOPELESS * least);
        slow || seen.iter().any(|trial| !exact(trial))
    }

    /// Every method for `problem` that is worth measuring.
    fn candidates(&self, problem: &Problem, model: Method) -> Candidates {
        let options = self.options();
        let mut methods: Vec<Possible> = Vec::new();
        for &algorithm in self.algorithms.iter().filter(|algorithm| algorithm.supports(problem).is_ok()) {
            let mut tunings = algorithm.tunings(problem, &options);
            tunings.insert(0, conv_core::Parameters::default());
            for parameters in tunings {
                let work = algorithm.work(problem, &options.parameters(parameters));
                let estimate_ns = match &work {
                    Some(work) => self.model.nanoseconds(problem, work, &options),
                    None => self.model.least_nanoseconds(problem),
                };
                methods.push(Possible { method: Method { algorithm, parameters }, work, estimate_ns });
            }
        }
        // Parameters that come to the same are one method.
        let mut once: Vec<Possible> = Vec::with_capacity(methods.len());
        for option in methods {
            let same = |other: &Possible| {
                other.method.algorithm.name() == option.method.algorithm.name() && other.work == option.work
            };
            if !once.iter().any(same) {
                once.push(option);
            }
        }
        let mut methods = once;
        let considered = methods.len();
        let exact = |option: &Possible| expected_error(option.method.algorithm, problem) <= 4.0 * self.limits.error;
        let mut required = vec![model, direct().into()];
        if self.is_limited() {
            // What needs the least, to tell how low a limit may be.
            let least = |of: fn(&Footprint) -> usize| {
                let known = methods.iter().filter(|option| option.work.is_some() && exact(option));
                known.min_by_key(|option| of(&option.footprint())).map(|option| option.method)
            };
            required.extend(least(|footprint| footprint.scratch_bytes));
            required.extend(least(|footprint| footprint.prepared_bytes));
        }
        let mut left_out = Vec::new();
        let mut leave_out = |why, keep: &dyn Fn(&Possible) -> bool, methods: &mut Vec<Possible>| {
            let before = methods.len();
            methods.retain(|option| keep(option) || required.contains(&option.method));
            if methods.len() < before {
                left_out.push((why, before - methods.len()));
            }
        };
        let fits = |option: &Possible| option.work.is_none_or(|work| self.fits(&work.footprint));
        leave_out("beyond the memory limits", &fits, &mut methods);
        // An error is measured; but what should be far beyond it need not be.
        leave_out("too inexact", &exact, &mut methods);
        methods.sort_by(|a, b| a.estimate_ns.total_cmp(&b.estimate_ns));
        let all = methods.clone();
        let promising = |option: &Possible| {
            !all.iter().any(|other| {
                other.estimate_ns * MARGIN < option.estimate_ns
                    && self.no_larger(&other.footprint(), &option.footprint())
            })
        };
        leave_out("too slow by the cost model", &promising, &mut methods);
        Candidates { possible: methods, required, considered, left_out }
    }

    fn fits(&self, footprint: &Footprint) -> bool {
        let below = |bytes: usize, limit: Option<usize>| limit.is_none_or(|limit| bytes <= limit);
        below(footprint.scratch_bytes, self.limits.workspace_bytes)
            && below(footprint.prepared_bytes, self.limits.weights_bytes)
    }

    /// Whether `a` is no larger than `b` in whatever is limited.
    fn no_larger(&self, a: &Footprint, b: &Footprint) -> bool {
        (self.limits.workspace_bytes.is_none() || a.scratch_bytes <= b.scratch_bytes)
            && (self.limits.weights_bytes.is_none() || a.prepared_bytes <= b.prepared_bytes)
    }

    /// Samples the best of `running` in turn, each prepared anew several times: what decides is the median of the samples of
    /// all preparations. Returns the preparations that failed.
    fn finals(
        &self,
        running: &mut [(Trial, Subject)],
        workload: &mut Workload,
        deadline: Instant,
    ) -> Result<Vec<Failure>, MeasureError> {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut order: Vec<usize> = (0..running.len()).collect();
        let mut failures = Vec::new();
        for (trial, _) in running.iter_mut() {
            trial.finalist = true;
            trial.network = Samples::default();
        }
        for round in 0..PREPARATIONS * FINAL_SAMPLES {
            if round >= MIN_FINAL_SAMPLES && Instant::now() > deadline {
                break;
            }
            order.shuffle(&mut rng);
            if round > 0 && round.is_multiple_of(FINAL_SAMPLES) {
                for &index in &order {
                    failures.extend(running[index].1.prepare_anew(workload).err());
                }
            }
            for &index in &order {
                self.stop.check()?;
                let (trial, subject) = &mut running[index];
                trial.network.push(sample_in_network(subject, workload, &self.others)?);
            }
        }
        for (trial, subject) in running.iter_mut() {
            subject.run(workload)?;
            let mut runs = 1;
            for _ in 0..WARM_SAMPLES {
                trial.warm.push(sample(MIN_SAMPLE, &mut runs, || subject.run(workload))?);
            }
        }
        Ok(failures)
    }
}

impl Tuned {
    /// The cost model's choice as it was measured, if it could be.
    pub fn model_trial(&self) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.method == self.model)
    }

    /// Methods that there was no time for.
    pub fn out_of_time(&self) -> usize {
        self.left_out.iter().filter(|(why, _)| *why == OUT_OF_TIME).map(|(_, count)| count).sum()
    }

    /// What each finalist costs; they come first among the trials. Times that differ from the best by less than samples
    /// scatter count as the best, so that among them memory decides, and the same choice comes out again.
    pub fn costs(&self) -> Vec<Cost> {
        // Where no finalist is exact enough, the others tell how exact one could be.
        let finalists = || self.trials.iter().filter(|trial| trial.finalist);
        let Some(best) = finalists().min_by(|a, b| a.network.median().total_cmp(&b.network.median())) else {
            return Vec::new();
        };
        let (least, mad) = (best.network.median(), best.network.mad());
        let cost = |trial: &Trial| {
            let time = trial.network.median();
            let noise = (mad + trial.network.mad()).max(INDIFFERENCE * least);
            Cost {
                time_ns: if time <= least + noise { least } else { time }.round() as u64,
                scratch_bytes: trial.footprint.scratch_bytes,
                prepared_bytes: trial.footprint.prepared_bytes,
                error: trial.error,
            }
        };
        finalists().map(cost).collect()
    }
}
