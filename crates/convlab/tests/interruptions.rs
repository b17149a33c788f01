//! What is finished is kept: runs that are interrupted, resumed, or short of memory.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, text};
use conv_report::record::{self, Kind, Record};

/// Small problems, each of which takes a moment.
const PROBLEMS: &str = "\
mb1ic16ih28oc16kh3ph1n\"a\"
mb1ic16ih28oc16kh5ph2n\"b\"
mb1ic32ih14oc32kh3ph1n\"c\"
mb1ic32ih14oc32kh1n\"d\"
g16mb1ic16ih28oc16kh3ph1n\"e\"
mb1ic24ih14oc24kh3sh2ph1n\"f\"
";

fn start(folder: &Folder, arguments: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convlab"));
    command.env("XDG_CACHE_HOME", folder.path("cache")).current_dir(folder.path("")).args(arguments.split(' '));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends `signal` to the program and waits for its end.
fn interrupt(child: Child, signal: &str) -> Output {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap()
}

/// Whole lines of records, whenever it is looked.
fn records(path: &Path) -> Vec<Record> {
    if path.exists() { record::read(path).unwrap_or_else(|error| panic!("{error}")) } else { Vec::new() }
}

fn wait_for(path: &Path, enough: impl Fn(&[Record]) -> bool) {
    let end = Instant::now() + Duration::from_secs(300);
    while !enough(&records(path)) {
        assert!(Instant::now() < end, "no such records after five minutes");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What was measured, but not how fast.
fn measured(records: &[Record]) -> BTreeSet<String> {
    let described = |record: &Record| {
        format!("{:?} {} {:?} {:?} {:?}", record.kind, record.name, record.algorithm, record.model, record.cache)
    };
    records.iter().filter(|record| record.kind != Kind::Machine).map(described).collect()
}

#[test]
fn an_interrupted_bench_is_resumed_to_the_same_records() {
    let folder = Folder::new();
    folder.write("set.txt", PROBLEMS);
    let command = "bench set.txt --quick --algorithm direct,winograd,im2col/blocked --threads 1 --out";
    folder.ok(&format!("{command} whole"));
    let whole = measured(&records(&folder.path("whole/records.jsonl")));
    let path = folder.path("parts/records.jsonl");
    let names = |records: &[Record]| {
        records
            .iter()
            .filter(|record| record.kind == Kind::Conv)
            .map(|record| record.name.clone())
            .collect::<BTreeSet<_>>()
    };
    for (finished, signal) in [(1, "-INT"), (3, "-TERM")] {
        let child = start(&folder, &format!("{command} parts --resume"));
        wait_for(&path, |records| names(records).len() >= finished);
        let output = interrupt(child, signal);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(130), "{said} {}", text(&output.stderr));
        assert!(said.contains("go on with\n  convlab bench set.txt --quick"), "{said}");
        assert!(said.contains("parts --resume\n") && said.contains("records: parts/records.jsonl"), "{said}");
        let kept = records(&path);
        assert!(names(&kept).len() >= finished && names(&kept).len() < 6, "{:?}", names(&kept));
        assert!(folder.path("parts/tables.md").exists());
    }
    let before = records(&path);
    let said = folder.ok(&format!("{command} parts --resume"));
    assert!(said.contains("problems were there already"), "{said}");
    let after = records(&path);
    assert_eq!(measured(&after), whole);
    for record in before.iter().filter(|record| record.kind == Kind::Conv) {
        assert!(after.contains(record), "{} was measured again", record.name);
    }
    let said = folder.ok(&format!("{command} parts --resume"));
    assert!(said.contains("6 problems were there already"), "{said}");
}

#[test]
fn check_and_tune_keep_what_is_finished() {
    let folder = Folder::new();
    let many: String = (3..40).map(|i| format!("mb1ic{i}ih28oc16kh3ph1n\"p{i}\"\n")).collect();
    folder.write("set.txt", &many);
    let path = folder.path("out/records.jsonl");
    let child = start(&folder, "check set.txt --algorithm direct,winograd --out out");
    wait_for(&path, |records| !records.is_empty());
    let output = interrupt(child, "-INT");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("convlab check set.txt --algorithm direct,winograd --out out --resume"), "{said}");
    let some = records(&path).len();
    folder.ok("check set.txt --algorithm direct,winograd --out out --resume");
    assert!(records(&path).len() > some);

    let child = start(&folder, "tune set.txt --algorithm direct --time 1h -o plan.toml");
    thread::sleep(Duration::from_millis(1500));
    let output = interrupt(child, "-INT");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{said} {}", text(&output.stderr));
    assert!(said.contains("convlab tune set.txt --algorithm direct --time 1h -o plan.toml --resume"), "{said}");
    let tuned = || fs::read_to_string(folder.path("plan.toml")).map_or(0, |plan| plan.matches("[[layer]]").count());
    let some = tuned();
    assert!(some < 37, "{some}");
    folder.ok("tune set.txt --algorithm direct --time 1s -o plan.toml --resume");
    assert_eq!(tuned(), 37);
}

#[test]
fn what_does_not_fit_side_by_side_is_measured_in_waves_and_what_does_not_fit_at_all_is_left_out() {
    let folder = Folder::new();
    // Direct needs 37 KB, Winograd's f2x3, f4x3 and f6x3 about 66, 147 and 262 KB, the FFT's largest tile more than a MB.
    let command = "bench mb1ic32ih14oc32kh3ph1n\"x\" --quick --threads 1 --out out --algorithm";
    folder.ok(&format!("{command} direct/nhwc,winograd/f2x3,winograd/f4x3,fft/t32 --memory-limit 600KiB"));
    let all = records(&folder.path("out/records.jsonl"));
    let of = |algorithm: &str| {
        let mut found = all.iter().filter(|record| record.algorithm.as_deref() == Some(algorithm));
        found.find(|record| record.model == Some(record::Model::Run)).unwrap_or_else(|| panic!("no {algorithm}"))
    };
    assert!(of("direct/nhwc").median_ns.is_some() && of("direct/nhwc").reference_ns.is_none());
    assert!(of("winograd/f2x3").median_ns.is_some());
    assert!(of("winograd/f4x3").median_ns.is_some());
    let left_out = of("fft/t32");
    assert_eq!(left_out.median_ns, None);
    assert!(left_out.failure.as_deref().unwrap().contains("the limit is"), "{:?}", left_out.failure);
    let later = all.iter().filter(|record| record.reference_ns.is_some()).count();
    assert!(later > 0, "everything fitted: {all:?}");

    let message = folder.fail(&format!("{command} direct --memory-limit 1KiB"), 3);
    assert!(message.contains("nothing was measured"), "{message}");
    assert!(folder.path("out/records.jsonl").exists(), "nothing is lost");
}
