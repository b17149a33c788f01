//! Another revision of this program, built from the repository that the current folder is in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use conv_core::file;

use crate::cli::{CliError, tell};

/// How long to wait for others that build.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The program of `revision`, which is built if it was not before: under `target/compare`, one folder of objects for all of them,
/// so that the second build is short.
///
/// # Errors
/// [`CliError::Input`] if there is no such revision, or it does not build.
pub fn built(revision: &str) -> Result<PathBuf, CliError> {
    let folder = env::current_dir().map_err(CliError::input)?;
    let root = PathBuf::from(git(&folder, &["rev-parse", "--show-toplevel"])?);
    let commit = git(&root, &["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
        .map_err(|_| CliError::input(format_args!("this repository has no revision '{revision}'")))?;
    let place = root.join("target/compare");
    let program = place.join(&commit).join("convlab");
    if program.is_file() {
        return Ok(program);
    }
    let unable = |error| CliError::input(format_args!("cannot keep {}: {error}", program.display()));
    fs::create_dir_all(place.join(&commit)).map_err(unable)?;
    // Of several at once each builds in its turn: they check out into the same folder.
    let build = place.join("build");
    let lock = file::lock(&build, Duration::ZERO).or_else(|_| {
        tell(format_args!("another program builds in {}; waiting for it", place.display()));
        file::lock(&build, PATIENCE)
    });
    let _lock = lock.map_err(unable)?;
    if program.is_file() {
        return Ok(program);
    }
    let sources = place.join("sources");
    tell(format_args!("building {revision} ({}), which takes minutes the first time", &commit[..commit.len().min(12)]));
    if sources.exists() {
        git(&root, &["worktree", "remove", "--force", &sources.to_string_lossy()])?;
    }
    git(&root, &["worktree", "add", "--quiet", "--detach", "--force", &sources.to_string_lossy(), &commit])?;
    let built = make(&sources, &place.join("objects"));
    git(&root, &["worktree", "remove", "--force", &sources.to_string_lossy()])?;
    // Beside it first: a copy that was cut short would be taken for the program.
    let beside = program.with_extension("part");
    fs::copy(built?, &beside).and_then(|_| fs::rename(&beside, &program)).map_err(unable)?;
    Ok(program)
}

fn make(sources: &Path, objects: &Path) -> Result<PathBuf, CliError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(sources).args(["build", "--release", "--locked", "-p", "convlab", "--bin", "convlab"]);
    command.env("CARGO_TARGET_DIR", objects).env("CARGO_INCREMENTAL", "0").stdout(Stdio::null());
    let status = command.status().map_err(|error| CliError::input(format_args!("cannot run cargo: {error}")))?;
    if !status.success() {
        return Err(CliError::input(format_args!("that revision does not build ({status})")));
    }
    Ok(objects.join("release/convlab"))
}

/// What git says, without the newline at its end.
fn git(folder: &Path, arguments: &[&str]) -> Result<String, CliError> {
    let output = Command::new("git").current_dir(folder).args(arguments).output();
    let output = output.map_err(|error| CliError::input(format_args!("cannot run git: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::input(format_args!("git {}: {}", arguments.join(" "), said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}
