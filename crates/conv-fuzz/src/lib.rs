//! Hostile input: a [`Target`] for each format that convlab reads, and one that asks every algorithm for something and holds
//! it against the oracle.
//!
//! A target takes any bytes. It panics if something is wrong, and returns if they are refused or taken as they should be.
//! Who makes the bytes does not matter here: `tests/corpus.rs` takes those in `corpus/` and simple mutations of them,
//! `scripts/fuzz/run` lets libFuzzer make them by what they reach. `README.md` says how to run it and what was found.

#![forbid(unsafe_code)]

mod differential;
mod files;
mod formats;
mod numbers;

/// Something that takes any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called; its corpus is the folder of this name.
    pub name: &'static str,
    /// Takes the bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    Target { name: "descriptor", run: formats::descriptor },
    Target { name: "problems", run: formats::problems },
    Target { name: "npy", run: formats::npy },
    Target { name: "safetensors", run: formats::safetensors },
    Target { name: "onnx", run: formats::onnx },
    Target { name: "image", run: formats::image },
    Target { name: "plan", run: formats::plan },
    Target { name: "records", run: formats::records },
    Target { name: "page", run: formats::page },
    Target { name: "differential", run: differential::differential },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
