//! `--plan`: what `convlab tune` wrote.

use std::path::Path;
use std::sync::Arc;

use conv_core::Problem;
use conv_measure::{Machine, hardware_threads};
use conv_simd::Isa;
use conv_tune::{Chooser, TUNED};
use conv_tune::{TunedPlan, cache};

use crate::cli::{CliError, tell};
use crate::suite::is_model;

/// How convolutions are chosen, on which instruction set and how many threads.
pub struct Setting {
    /// By the plan, a name, or `auto`.
    pub chooser: Chooser,
    /// As asked for, or else as the plan has it, or else this machine's best.
    pub isa: Isa,
    /// As asked for, or else as the plan has it, or else all.
    pub threads: usize,
}

/// What was asked for about instruction set and threads.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// `--isa`.
    pub isa: Option<&'a str>,
    /// `--threads`.
    pub threads: Option<u64>,
}

impl Setting {
    /// By the plan in `path`. Says on standard error if it was made for something else.
    ///
    /// # Errors
    /// [`CliError::Input`] if the plan is damaged, or its instruction set is not there.
    pub fn planned(path: &Path, asked: Asked<'_>) -> Result<(Self, Arc<TunedPlan>), CliError> {
        let plan = Arc::new(TunedPlan::read(path).map_err(CliError::input)?);
        let isa = Isa::by_name(asked.isa.unwrap_or(&plan.origin.isa)).map_err(|error| {
            CliError::input(format_args!(
                "{}: {error}; make a plan here with\n  {}",
                path.display(),
                plan.origin.command
            ))
        })?;
        let threads = asked.threads.map_or_else(|| plan.origin.threads.min(hardware_threads()), |count| count as usize);
        if let Some(why) = plan.foreign(&Machine::detect(), isa.name(), threads) {
            tell(format_args!("{}: {why}", path.display()));
        }
        Ok((Setting { chooser: Chooser::Planned { name: TUNED, plan: plan.clone() }, isa, threads }, plan))
    }

    /// By `algorithm`: for `auto` by the plan that is kept for this user, if there is one.
    ///
    /// # Errors
    /// [`CliError::Input`] for a name that nothing has, or a kept plan that is damaged.
    pub fn named(algorithm: &str, asked: Asked<'_>) -> Result<Self, CliError> {
        let mut chooser = Chooser::by_name(algorithm).map_err(CliError::input)?;
        let isa = asked.isa.map_or(Ok(Isa::best()), Isa::by_name).map_err(CliError::input)?;
        let threads = asked.threads.map_or_else(hardware_threads, |count| count as usize);
        if matches!(chooser, Chooser::Auto) {
            let (kept, why) = cache::chooser(isa.name(), threads)
                .map_err(|error| CliError::input(format_args!("{error}; delete it, or tune again")))?;
            if let Some(why) = why {
                tell(format_args!("the plan that is kept for auto is {why}"));
            }
            chooser = kept;
        }
        Ok(Setting { chooser, isa, threads })
    }
}

/// Checks that `plan` has all of `problems`, which are what `of` names, with the shapes of a model's inputs after it.
///
/// # Errors
/// [`CliError::Input`] naming the first that it has not, and the command that makes such a plan.
pub fn covers(plan: &TunedPlan, path: &Path, problems: &[Problem], of: &str) -> Result<(), CliError> {
    let model = if is_model(Path::new(of.split(" --shape ").next().unwrap_or(of))) { "--model " } else { "" };
    match problems.iter().find(|problem| plan.method(problem).is_none()) {
        None => Ok(()),
        Some(missing) => Err(CliError::input(format_args!(
            "{} has no layer {} with a batch of {}; make a plan that has it with\n  convlab tune {model}{of} --batch {} -o {}",
            path.display(),
            missing.label(),
            missing.batch(),
            missing.batch(),
            path.display()
        ))),
    }
}
