//! Two programs that are timed in turn.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use conv_measure::{Pairs, Stop};
use conv_report::compare::{Row, Setting};
use conv_report::record::{Cache, Clock, Kind, Model};
use conv_simd::Isa;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::cli::CliError;
use crate::cli::check::progress;
use crate::cli::turn::Turns;

/// How often plans are prepared anew.
const PREPARATIONS: usize = 5;

/// Pairs by each preparation at most, and at least.
const ROUNDS: usize = 9;
const LEAST_ROUNDS: usize = 3;

/// Time a method and a preparation, after which no round begins.
const BUDGET: Duration = Duration::from_millis(150);

/// Times what `words` select by both `programs`, the older one first.
///
/// # Errors
/// [`CliError::Input`] if one of them ends early, they have no method in common, or the end was asked for.
pub fn timed(
    programs: [&Path; 2],
    words: &[String],
    (isa, threads): (Isa, usize),
    (cases, stop): (usize, &Stop),
) -> Result<Vec<Row>, CliError> {
    let start = |program| Program::start(program, words, (isa, threads));
    let mut programs = [start(programs[0])?, start(programs[1])?];
    let bar = progress(cases as u64);
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut rows = Vec::new();
    loop {
        let [old, new] = &mut programs;
        let (Some(old), Some(new)) = (old.next()?, new.next()?) else { break };
        bar.set_message(new.name.clone());
        if (&old.name, &old.problem) != (&new.name, &new.problem) {
            return Err(CliError::input(format_args!("the two programs differ about {} and {}", old.name, new.name)));
        }
        // Numbers of the same method in both.
        let number = |method: &String| old.methods.iter().position(|other| other == method);
        let both: Vec<(String, [usize; 2])> = new
            .methods
            .iter()
            .enumerate()
            .filter_map(|(i, method)| Some((method.clone(), [number(method)?, i])))
            .collect();
        let mut pairs = vec![Pairs::default(); both.len()];
        for preparation in 0..PREPARATIONS {
            if preparation > 0 {
                programs.iter_mut().try_for_each(Program::prepare)?;
            }
            pairs.iter_mut().for_each(Pairs::prepare);
            let end = Instant::now() + BUDGET * both.len() as u32;
            for round in 0..ROUNDS {
                if round >= LEAST_ROUNDS && Instant::now() >= end {
                    break;
                }
                stop.check().map_err(CliError::input)?;
                let mut order: Vec<usize> = (0..both.len()).collect();
                order.shuffle(&mut rng);
                for method in order {
                    let first = rng.random_range(0..2);
                    let mut times = [0.0; 2];
                    for which in [first, 1 - first] {
                        times[which] = programs[which].time(both[method].1[which])?;
                    }
                    pairs[method].push(times[0], times[1]);
                }
            }
        }
        for ((method, _), pairs) in both.into_iter().zip(pairs) {
            let setting = Setting {
                kind: Kind::Conv,
                name: new.name.clone(),
                method,
                isa: isa.name().into(),
                batch: new.batch,
                threads,
                model: Some(Model::Run),
                cache: Some(Cache::Warm),
                clock: Some(Clock::Convlab),
            };
            let ratio = pairs.ratio();
            rows.push(Row::of_pairs(setting, pairs.medians(), ratio, pairs.interval().unwrap_or([ratio; 2])));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if rows.is_empty() {
        return Err(CliError::input("the two programs have no method in common that computes this"));
    }
    Ok(rows)
}

/// `convlab turn`, waiting for its turn.
struct Program {
    name: String,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(program: &Path, words: &[String], (isa, threads): (Isa, usize)) -> Result<Self, CliError> {
        let name = program.display().to_string();
        let mut command = Command::new(program);
        command.arg("turn").args(words).args(["--isa", isa.name(), "--threads", &threads.to_string()]);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.map_err(|error| CliError::input(format_args!("cannot start {name}: {error}")))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(CliError::input(format_args!("{name} has no standard input and output")));
        };
        Ok(Program { name, process, input, output: BufReader::new(output) })
    }

    /// What it answers to a command, a line.
    fn ask(&mut self, command: &str) -> Result<String, CliError> {
        let mut line = String::new();
        let asked = writeln!(self.input, "{command}").and_then(|()| self.output.read_line(&mut line));
        match asked {
            Ok(1..) => Ok(line.trim().into()),
            Ok(0) | Err(_) => Err(CliError::input(format_args!(
                "{} ended early; of a revision that cannot be timed in turn, compare records of two runs",
                self.name
            ))),
        }
    }

    fn next(&mut self) -> Result<Option<Turns>, CliError> {
        serde_json::from_str(&self.ask("next")?).map_err(CliError::input)
    }

    fn prepare(&mut self) -> Result<(), CliError> {
        self.ask("prepare").map(drop)
    }

    /// Nanoseconds a run of a method.
    fn time(&mut self, method: usize) -> Result<f64, CliError> {
        self.ask(&method.to_string())?.parse().map_err(CliError::input)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
