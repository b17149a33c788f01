//! From the arguments to a pass that is ready to run.

use std::path::PathBuf;

use conv_core::PlanOptions;
use conv_measure::memory::{self, Counts, counted};
use conv_measure::pool;
use conv_net::{Network, Weights};
use conv_tune::Chooser;
use rayon::ThreadPool;

use super::args::Args;
use crate::cli::CliError;
use crate::cli::plan::{Asked, Setting, covers};
use crate::cli::selection::shape_arguments;
use crate::forward::TimedPass;

/// How convolutions are chosen, by the plan or the name that was given.
///
/// # Errors
/// [`CliError::Input`] for a name that nothing has, or a plan that is damaged or cannot be used here.
pub(super) fn setting(args: &Args) -> Result<Setting, CliError> {
    let asked = Asked { isa: args.isa.as_deref(), threads: args.threads };
    match &args.plan {
        Some(path) => Setting::planned(path, asked).map(|(setting, _)| setting),
        None => Setting::named(&args.algorithm, asked),
    }
}

/// The pass of `network`, and the threads to run it on.
///
/// # Errors
/// [`CliError::Input`] if the plan that was given does not cover the network, the network is not computed here, weights are
/// missing, or memory does not suffice.
pub(super) fn prepare(
    args: &Args,
    setting: &Setting,
    network: &Network,
    weights: &mut dyn Weights,
) -> Result<(ThreadPool, TimedPass, Option<Counts>), CliError> {
    let Setting { chooser, isa, threads } = setting;
    covered(args, chooser, network)?;
    let pool = pool(*threads).map_err(CliError::input)?;
    let options = PlanOptions::new(*threads).isa(*isa);
    let options = options.memory_limit(memory::available_bytes().min(options.memory_limit));
    let (pass, counts) = counted(|| pool.install(|| TimedPass::new(network, weights, chooser, &options)));
    Ok((pool, pass.map_err(CliError::input)?, counts))
}

/// Whether the plan that was given, if one was, has the layers of `network`.
pub(super) fn covered(args: &Args, chooser: &Chooser, network: &Network) -> Result<(), CliError> {
    let (Some(path), Chooser::Planned { plan, .. }) = (&args.plan, chooser) else { return Ok(()) };
    let model = |model: &PathBuf| model.display().to_string() + &shape_arguments(&args.shape);
    let named = args.model.as_ref().map_or_else(|| network.name().into(), model);
    covers(plan, path, &network.problems(), &named)
}
