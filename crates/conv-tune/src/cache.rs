//! Plans that are kept for this user: one for each processor, instruction set and number of threads.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use conv_core::file;
use conv_measure::Machine;
use directories::ProjectDirs;

use crate::choose::Chooser;
use crate::plan_file::{PlanError, TunedPlan};

/// How long to wait for another process that keeps a plan, which takes it a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// The file for a processor; `None` where the system has no folder for a user's caches.
pub fn path(machine: &Machine, isa: &str, threads: usize) -> Option<PathBuf> {
    let words = machine.cpu.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let processor: String = words.collect::<Vec<_>>().join("-").to_ascii_lowercase().chars().take(64).collect();
    let folders = ProjectDirs::from("", "", "convlab")?;
    Some(folders.cache_dir().join("plans").join(format!("{processor}-{isa}-t{threads}.toml")))
}

/// The plan that is kept, if there is one.
///
/// # Errors
/// [`PlanError`] if it is damaged.
pub fn read(machine: &Machine, isa: &str, threads: usize) -> Result<Option<TunedPlan>, PlanError> {
    match path(machine, isa, threads) {
        Some(path) if path.exists() => TunedPlan::read(&path).map(Some),
        _ => Ok(None),
    }
}

/// `auto`: by the plan that is kept for this machine, if it was made here by this version, and else by the cost model.
/// With it, what to tell where a plan is there but of another version.
///
/// # Errors
/// [`PlanError`] if the plan is damaged.
pub fn chooser(isa: &str, threads: usize) -> Result<(Chooser, Option<String>), PlanError> {
    let machine = Machine::detect();
    let plan = match read(&machine, isa, threads) {
        Ok(Some(plan)) => plan,
        Ok(None) => return Ok((Chooser::Auto, None)),
        Err(error @ PlanError::Version { .. }) => return Ok((Chooser::Auto, Some(format!("not used: {error}")))),
        Err(error) => return Err(error),
    };
    match plan.foreign(&machine, isa, threads) {
        Some(why) => Ok((Chooser::Auto, Some(format!("not used: {why}")))),
        None => Ok((Chooser::Planned { name: "auto", plan: Arc::new(plan) }, None)),
    }
}

/// Keeps `plan`, with what was kept before of other problems by the same version, and of several processes at once by each.
/// Returns the file.
///
/// # Errors
/// [`PlanError`] if it cannot be written.
pub fn keep(machine: &Machine, plan: &TunedPlan) -> Result<Option<PathBuf>, PlanError> {
    let origin = &plan.origin;
    let Some(path) = path(machine, &origin.isa, origin.threads) else { return Ok(None) };
    let folder = path.parent().unwrap_or(&path);
    let unwritten = |source| PlanError::Write { path: folder.into(), source };
    fs::create_dir_all(folder).map_err(unwritten)?;
    let _lock = file::lock(&path, PATIENCE).map_err(unwritten)?;
    // What is damaged or of another version is replaced: this is a cache.
    let older = TunedPlan::read(&path).ok().filter(|older| older.origin.commit == origin.commit);
    let merged = older.map_or_else(|| plan.clone(), |older| plan.clone().merged_with(older));
    merged.write(&path)?;
    Ok(Some(path))
}
