//! Tells the program which compiler and which commit it was built from, for its records.

use std::env;
use std::path::Path;
use std::process::Command;

/// What the program is made of: changes elsewhere do not make a build "dirty".
const SOURCES: [&str; 4] = ["crates", "benches", "Cargo.toml", "Cargo.lock"];

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(&root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };

    let rustc = run(&env::var("RUSTC").unwrap_or("rustc".into()), &["--version"]).unwrap_or_default();
    let version = rustc.split_whitespace().nth(1).unwrap_or("unknown");
    println!("cargo::rustc-env=CONVLAB_RUSTC={version}");

    let commit = run("git", &["rev-parse", "--short=10", "HEAD"]).map_or("unknown".into(), |commit| {
        let status = [&["--no-optional-locks", "status", "--porcelain", "--"], SOURCES.as_slice()].concat();
        let clean = run("git", &status).is_some_and(|changes| changes.is_empty());
        if clean { commit } else { format!("{commit}-dirty") }
    });
    println!("cargo::rustc-env=CONVLAB_COMMIT={commit}");

    let git_log = run("git", &["rev-parse", "--git-path", "logs/HEAD"]).unwrap_or_default();
    for path in SOURCES.into_iter().chain([git_log.as_str()]) {
        let path = root.join(path);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}
