//! The committed files of problems.

use std::fs;
use std::path::{Path, PathBuf};

use conv_check::Kind;
use conv_measure::{Stop, hardware_threads, pool};
use conv_simd::Isa;
use conv_tune::algorithms;
use convlab::check::check;
use convlab::problem_file;
use convlab::suite::cases;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/problems");

fn files() -> Vec<PathBuf> {
    fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_committed_problem_is_computed_and_has_a_name_of_its_own() {
    let files = files();
    assert!(files.len() >= 7, "{files:?}");
    for path in files {
        let file = problem_file::read(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!file.problems.is_empty() && file.left_out.is_empty(), "{}", file.left_out);
        for problem in file.problems {
            let name = problem.label();
            assert!(problem.name().is_some() && !name.contains('#'), "{}: {name}", path.display());
        }
    }
}

/// Real networks' convolutions of every kind, each by everyone who computes it.
#[test]
#[ignore = "takes minutes: cargo test --release -p convlab --test problem_files -- --ignored"]
fn everyone_is_right_on_a_sample_of_what_networks_have() {
    let problems = problem_file::read(&Path::new(FOLDER).join("convbench.txt")).unwrap().problems;
    let pool = pool(hardware_threads()).unwrap();
    let mut failures = Vec::new();
    for case in cases(problems, &algorithms(), &Isa::available()) {
        let report = check(&case, Kind::ReluLike, &pool, &Stop::default()).unwrap();
        assert_eq!(report.results.len(), case.candidates.len());
        failures.extend(report.results.into_iter().filter_map(|(_, result)| result.err()));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
