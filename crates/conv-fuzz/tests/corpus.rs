//! What was found once stays mended: every target takes its corpus, and, at length, mutations of it.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use conv_fuzz::{TARGETS, Target};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Inputs that are made of each target's corpus.
const MUTATIONS: usize = 20_000;

/// Bytes of an input at most.
const MAX_BYTES: usize = 1 << 13;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The files of a target's corpus, by name.
fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(corpus().join(target.name)).unwrap();
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()) //
    };
    let mut inputs: Vec<_> = entries.map(|entry| read(entry.unwrap())).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_target_takes_its_corpus() {
    let mut failed = Vec::new();
    for target in TARGETS {
        let inputs = inputs(&target);
        assert!(inputs.len() > 2, "{} has a corpus of {} files", target.name, inputs.len());
        for (name, bytes) in inputs {
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                failed.push(format!("{}/{name}", target.name));
            }
        }
    }
    assert!(failed.is_empty(), "these inputs break what reads them: {failed:?}");
    let folders = fs::read_dir(corpus()).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "each corpus has a target");
}

/// Numbers at which sizes and indices break.
const NUMBERS: [&str; 8] =
    ["0", "-1", "1", "4294967296", "9223372036854775807", "18446744073709551615", "1e999", "NaN"];

/// One change, of bytes or of a text's number.
fn mutate(rng: &mut Pcg64Mcg, bytes: &mut Vec<u8>, others: &[(String, Vec<u8>)]) {
    let at = rng.random_range(0..=bytes.len());
    let end = rng.random_range(at..=bytes.len().min(at + 64));
    match rng.random_range(0..7) {
        0 => bytes[at..end].fill_with(|| rng.random()),
        1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        4 => {
            let digit = |byte: &u8| byte.is_ascii_digit();
            let start = bytes[at..].iter().position(digit).map_or(at, |first| at + first);
            let end = bytes[start..].iter().position(|byte| !digit(byte)).map_or(bytes.len(), |length| start + length);
            bytes.splice(start..end, NUMBERS[rng.random_range(0..NUMBERS.len())].bytes());
        }
        5 => {
            let (_, other) = &others[rng.random_range(0..others.len())];
            let from = rng.random_range(0..=other.len());
            bytes.splice(at..end, other[from..other.len().min(from + 256)].iter().copied());
        }
        _ => bytes.truncate(at),
    }
    bytes.truncate(MAX_BYTES);
}

/// `cargo test --release -p conv-fuzz -- --ignored`. What fails is printed as hexadecimal digits.
#[test]
#[ignore = "minutes: part of the long tests"]
fn every_target_takes_mutations_of_its_corpus() {
    for target in TARGETS {
        let inputs = inputs(&target);
        let mut rng = Pcg64Mcg::seed_from_u64(26);
        for _ in 0..MUTATIONS {
            let (_, start) = &inputs[rng.random_range(0..inputs.len())];
            let mut bytes = start.clone();
            for _ in 0..rng.random_range(1..=4) {
                mutate(&mut rng, &mut bytes, &inputs);
            }
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                panic!("{} breaks on {hex}", target.name);
            }
        }
    }
}
