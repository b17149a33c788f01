//! Holds the arrows between crates and the rooms of `unsafe`, as ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The workspace crates that each workspace crate is built with, dev-dependencies apart.
fn arrows(kind: Option<&str>) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let arrows = packages.iter().map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let of_kind = dependencies.filter(|d| d["kind"].as_str() == kind).map(|d| d["name"].as_str().unwrap());
        let inner = of_kind.filter(|name| names.contains(name)).map(String::from).collect();
        (package["name"].as_str().unwrap().to_string(), inner)
    });
    arrows.collect()
}

const KERNEL_CRATES: [&str; 4] = ["conv-direct", "conv-im2col", "conv-fft", "conv-winograd"];

#[test]
fn arrows_point_one_way() {
    let arrows = arrows(None);
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<BTreeSet<_>>();
    let base = set(&["conv-core", "conv-simd"]);
    assert_eq!(arrows["conv-simd"], set(&[]));
    assert_eq!(arrows["conv-core"], set(&["conv-simd"]));
    for name in KERNEL_CRATES.iter().chain(&["conv-check", "conv-net", "conv-report"]) {
        assert_eq!(arrows[*name], base, "{name}");
    }
    assert_eq!(arrows["conv-measure"], &base | &set(&["conv-check"]));
    assert_eq!(arrows["conv-tune"], &(&base | &set(&["conv-check", "conv-measure"])) | &set(&KERNEL_CRATES));
    let above = ["convlab", "conv-fuzz"];
    let below = arrows.keys().filter(|name| !above.contains(&name.as_str()) && !KERNEL_CRATES.contains(&name.as_str()));
    assert_eq!(arrows["convlab"], below.cloned().collect());
    // Hostile input for everything that reads, whose reading is the same as the program's.
    let read = set(&["convlab", "conv-check", "conv-net", "conv-report", "conv-tune"]);
    assert_eq!(arrows["conv-fuzz"], &base | &read);
}

#[test]
fn tests_only_reach_for_the_checks() {
    for (name, inner) in arrows(Some("dev")) {
        let extra: Vec<_> = inner.iter().filter(|dependency| *dependency != "conv-check").collect();
        assert!(extra.is_empty(), "{name} is tested with {extra:?}");
    }
}

/// Every Rust file of the workspace.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The files of a crate that each of its files names in a `use` or in a path, tests apart. A folder's `mod.rs` is named by
/// those below it for what it holds itself; that it re-exports what they hold makes no arrow.
fn imports(crate_folder: &Path) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let root = crate_folder.join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let module = |file: &Path| -> Vec<String> {
        let inner = file.strip_prefix(&root).unwrap().with_extension("");
        let names = inner.iter().map(|part| part.to_str().unwrap().to_owned());
        names.filter(|name| !["lib", "main", "mod"].contains(&name.as_str())).collect()
    };
    let by_module: BTreeMap<Vec<String>, PathBuf> = files.iter().map(|file| (module(file), file.clone())).collect();
    let targets = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let own = module(file);
        let mut found = BTreeSet::new();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (start, base) in [("crate::", &[][..]), ("super::", &own[..own.len().saturating_sub(1)])] {
                for rest in line.split(start).skip(1) {
                    let braces = rest.strip_prefix('{').map(|inner| inner.split('}').next().unwrap_or(inner));
                    for path in braces.map_or(vec![rest], |inner| inner.split(", ").collect()) {
                        let path = path.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next().unwrap();
                        let steps = path.split("::").map(String::from);
                        let full: Vec<String> = base.iter().cloned().chain(steps).collect();
                        let file = (1..=full.len()).rev().find_map(|length| by_module.get(&full[..length]));
                        found.extend(file.cloned());
                    }
                }
            }
        }
        found.remove(file);
        found
    };
    files.iter().map(|file| (file.clone(), targets(file))).collect()
}

/// Files that reach themselves, if there are any.
fn circle(arrows: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Vec<&PathBuf> {
    let reaches_itself = |start: &&PathBuf| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![*start]);
        while let Some(file) = next.pop() {
            next.extend(arrows[file].iter().filter(|target| seen.insert(*target)));
        }
        seen.contains(*start)
    };
    arrows.keys().filter(reaches_itself).collect()
}

/// The picture of the workspace, and that no files import each other in a circle:
/// `cargo test -p convlab --test architecture -- --nocapture picture`
#[test]
fn picture_without_circles() {
    let mut circles = Vec::new();
    println!("{:<14} {:>6} {:>6}  built with", "crate", "lines", "tests");
    for (name, inner) in arrows(None) {
        let folder = workspace().join("crates").join(&name);
        let lines = |folder: PathBuf| {
            let mut files = Vec::new();
            if folder.exists() {
                sources(&folder, &mut files);
            }
            files.iter().map(|file| std::fs::read_to_string(file).unwrap().lines().count()).sum::<usize>()
        };
        let inner: Vec<String> = inner.into_iter().collect();
        println!(
            "{name:<14} {:>6} {:>6}  {}",
            lines(folder.join("src")),
            lines(folder.join("tests")),
            inner.join(", ")
        );
        let imports = imports(&folder);
        circles.extend(circle(&imports).into_iter().map(|file| file.display().to_string()));
    }
    assert!(circles.is_empty(), "these files import each other in circles:\n{}", circles.join("\n"));
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let mut files = Vec::new();
    for folder in ["crates", "benches"] {
        sources(&workspace().join(folder), &mut files);
    }
    assert!(files.len() > 30, "only {} files found", files.len());
    for path in files {
        let file = path.file_name().unwrap();
        let allowed = file == "kernel.rs"
            || path.starts_with(workspace().join("crates/conv-simd"))
            || path == workspace().join("crates/conv-measure/src/memory.rs")
            || path == workspace().join("crates/conv-check/src/pages.rs")
            || path == workspace().join("crates/convlab/tests/architecture.rs");
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let uses = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe");
            assert!(allowed || !uses, "{}:{}: unsafe outside its rooms", path.display(), number + 1);
        }
    }
}
