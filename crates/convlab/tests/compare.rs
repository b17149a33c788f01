//! `convlab compare` and the program that it times in turn.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use conv_report::Record;
use conv_report::record;

fn convlab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_convlab")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into()
}

/// A folder with twenty records, of which number 7 takes `factor` of its time.
fn folder(factor: f64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let record = |i: usize| {
        let ns = 1e6 * (i + 1) as f64 * if i == 7 { factor } else { 1.0 };
        Record {
            name: format!("net/{i}"),
            algorithm: Some("direct/nhwc".into()),
            isa: "avx2".into(),
            threads: 1,
            median_ns: Some(ns),
            interval_ns: Some([0.99 * ns, 1.01 * ns]),
            ..Record::default()
        }
    };
    record::merge_into(folder.path(), &(0..20).map(record).collect::<Vec<_>>()).unwrap();
    folder
}

fn compare(old: &Path, new: &Path, more: &[&str]) -> Output {
    convlab(&[&["compare", old.to_str().unwrap(), new.to_str().unwrap()], more].concat())
}

#[test]
fn what_became_slower_is_named_and_the_exit_code_says_so() {
    let (same, slower) = (folder(1.0), folder(1.3));
    let output = compare(same.path(), slower.path(), &[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.contains("net/7") && !said.contains("net/6") && said.contains("1 slower, 0 faster"), "{said}");
    let output = compare(slower.path(), same.path(), &["--markdown"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("| name |") && said.contains("| faster |"), "{said}");
    let output = compare(same.path(), same.path(), &["--all"]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.matches("undecided").count() == 21, "{said}");
    let output = compare(same.path(), slower.path(), &["--threshold", "40%"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn bad_usage_is_told() {
    let folder = folder(1.0);
    let here = folder.path().to_str().unwrap();
    let empty = tempfile::tempdir().unwrap();
    fs::write(record::file_in(empty.path()), "").unwrap();
    for (arguments, said) in [
        (vec!["compare", here], "two folders"),
        (vec!["compare", here, "/no/such/folder"], "/no/such/folder"),
        (vec!["compare", here, empty.path().to_str().unwrap()], "in common"),
        (vec!["compare", here, here, "--threshold", "many"], "'many' is no percentage"),
        (vec!["compare", here, here, "--threshold=-3%"], "'-3%'"),
        (vec!["compare", "--build", "no-such-revision", "paper/conv3"], "no-such-revision"),
        (vec!["compare", "--build", "HEAD", "paper/conv9"], "'conv9'"),
        (vec!["compare", here, here, "--threads", "1"], "--build"),
    ] {
        let output = convlab(&arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
}

#[test]
fn a_program_waits_for_its_turn() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convlab"));
    command.args([
        "turn",
        "mb1ic8ih9oc16kh3ph1",
        "--algorithm=direct,im2col/faer",
        "--isa",
        "portable",
        "--threads",
        "1",
    ]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input = b"next\n0\n1\nprepare\n1\nnext\n";
    process.stdin.take().unwrap().write_all(input).unwrap();
    let output = process.wait_with_output().unwrap();
    let said = text(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    let [turns, first, second, prepared, again, end] = lines[..] else { panic!("{said}{}", text(&output.stderr)) };
    assert!(turns.contains("direct/nhwc") && turns.contains("im2col/faer") && turns.contains("\"batch\":1"), "{turns}");
    for time in [first, second, again] {
        assert!(time.parse::<f64>().unwrap() > 0.0, "{time}");
    }
    assert_eq!((prepared, end), ("prepared", "null"));
    assert!(output.status.success());
}

#[test]
fn a_command_that_is_none_ends_it() {
    for input in ["0\n", "next\n9\n", "next\nfaster\n"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convlab"));
        command.args(["turn", "mb1ic8ih9oc16kh3ph1", "--algorithm=direct", "--isa", "portable", "--threads", "1"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{input}: {}", text(&output.stdout));
    }
}
