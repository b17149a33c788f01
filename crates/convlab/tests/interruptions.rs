//! What is finished is kept: runs that are interrupted, resumed, or short of memory.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, text};
use conv_core::file;
use conv_net::npy;
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
    folder.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
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

    // A part takes the place of no whole: of the same version its layers come in, another's plan stays as it is.
    let whole = fs::read_to_string(folder.path("plan.toml")).unwrap();
    let commit = whole.lines().find(|line| line.starts_with("commit = ")).unwrap();
    folder.write("old.toml", &whole.replace(commit, "commit = \"0000000\""));
    let plans = ["plan.toml", "old.toml"];
    let children =
        plans.map(|plan| start(&folder, &format!("tune set.txt --algorithm direct --threads 1 --time 1h -o {plan}")));
    thread::sleep(Duration::from_millis(1000));
    for (child, plan) in children.into_iter().zip(plans) {
        let output = interrupt(child, "-INT");
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        let layers = fs::read_to_string(folder.path(plan)).unwrap().matches("[[layer]]").count();
        assert_eq!(layers, 37, "{plan}: {}", text(&output.stderr));
    }
    assert!(fs::read_to_string(folder.path("old.toml")).unwrap().contains("0000000"));
}

/// Standard outputs that take nothing: a pipe whose reader has gone, and a disk that is full.
fn deaf() -> [(Stdio, i32); 2] {
    let (_, closed) = io::pipe().unwrap();
    [(closed.into(), 0), (File::options().write(true).open("/dev/full").unwrap().into(), 2)]
}

#[test]
fn what_is_asked_for_is_done_where_nobody_reads_about_it() {
    for (stdout, code) in deaf() {
        let folder = Folder::new();
        let run = |arguments: &str, stdout: Stdio| {
            let output = folder.command(arguments).stdout(stdout).output().unwrap();
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments}: {told}");
            assert_eq!(told.contains("standard output: No space left"), code == 2, "{arguments}: {told}");
        };
        run("tune mb1ic16ih12oc16kh3ph1 --threads 1 --time 100ms -o plan.toml --records tuned", stdout);
        assert!(folder.path("plan.toml").exists() && !records(&folder.path("tuned/records.jsonl")).is_empty());
        assert_eq!(fs::read_dir(folder.path("cache/convlab/plans")).unwrap().count(), 2, "the plan and its lock");
        assert!(folder.path("tuned/report.html").exists());
        let again = || deaf().into_iter().find(|(_, other)| *other == code).unwrap().0;
        run("check mb1ic8ih9oc8kh3 ic4ih9oc8kh3 --algorithm direct/nhwc --isa portable --out checked", again());
        assert_eq!(records(&folder.path("checked/records.jsonl")).len(), 2);
        if code > 0 {
            continue;
        }
        run("bench mb1ic8ih9oc8kh3 --algorithm direct/nhwc --threads 1 --quick --out measured", again());
        assert!(measured(&records(&folder.path("measured/records.jsonl"))).len() > 1);
        assert!(folder.path("measured/report.html").exists());
        run("forward --network squeezenet1_1 --threads 1 --algorithm direct --output y.npy", again());
        assert_eq!(npy::read(&folder.path("y.npy"), usize::MAX).unwrap().shape, [1, 1000]);
    }
}

#[test]
fn what_became_slower_is_slower_where_nobody_reads_about_it() {
    let folder = Folder::new();
    for (name, factor) in [("old", 1.0), ("new", 2.0)] {
        let record = |i: u32| Record {
            name: format!("net/{i}"),
            algorithm: Some("direct/nhwc".into()),
            median_ns: Some(f64::from(i + 1) * factor),
            interval_ns: Some([f64::from(i + 1) * factor; 2]),
            ..Record::default()
        };
        fs::create_dir(folder.path(name)).unwrap();
        record::merge_into(&folder.path(name), &(0..20).map(record).collect::<Vec<_>>()).unwrap();
    }
    let [(closed, _), (full, _)] = deaf();
    for (more, stdout, code) in [("", closed, 1), (" --json", full, 2)] {
        let output = folder.command(&format!("compare old new{more}")).stdout(stdout).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    }
}

#[test]
fn what_another_process_keeps_meanwhile_is_kept_too() {
    let folder = Folder::new();
    let of_other = |name: &str| Record { name: name.into(), ..Record::default() };
    fs::create_dir(folder.path("out")).unwrap();
    let path = folder.path("out/records.jsonl");
    record::merge_into(&folder.path("out"), &[of_other("first")]).unwrap();
    let lock = file::lock(&path, Duration::ZERO).unwrap();
    let mut child = start(&folder, "check mb1ic8ih9oc8kh3 --algorithm direct/nhwc --isa portable --out out");
    thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it waits for the lock");
    let line = |name: &str| serde_json::to_string(&of_other(name)).unwrap() + "\n";
    file::write(&path, (line("first") + &line("second")).as_bytes()).unwrap();
    drop(lock);
    assert!(child.wait().unwrap().success());
    let kept = records(&path);
    let names: Vec<&str> = kept.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names[..2], ["first", "second"]);
    assert_eq!(kept.len(), 3, "{names:?}");
}

#[test]
fn passes_and_comparisons_end_when_they_are_asked_to() {
    let folder = Folder::new();
    // A revision that was built already: this one.
    for line in [
        "git init --quiet",
        "git -c user.name=a -c user.email=a@b commit --quiet --allow-empty -m first",
        "mkdir -p target/compare/$(git rev-parse HEAD)",
    ] {
        let output = folder.shell(line);
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    }
    let commit = text(&folder.shell("git rev-parse HEAD").stdout);
    let program = folder.path("target/compare").join(commit.trim()).join("convlab");
    symlink(env!("CARGO_BIN_EXE_convlab"), program).unwrap();
    for command in [
        "forward --network owt --batch 4 --threads 1 --output y.npy",
        "compare --build HEAD vgg16 --algorithm direct --threads 1",
    ] {
        let mut child = start(&folder, command);
        thread::sleep(Duration::from_millis(250));
        assert!(child.try_wait().unwrap().is_none(), "{command} has ended already");
        let output = interrupt(child, "-INT");
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(130) && told.contains("convlab: interrupted; "), "{command}: {told}");
    }
    assert_eq!(folder.unfinished(""), [""; 0]);
}

#[test]
fn scale_keeps_what_it_predicts_and_measures_batch_by_batch() {
    let folder = Folder::new();
    let path = folder.path("r/records.jsonl");
    let child = start(&folder, "scale owt --batch 1,2 --split channels --link 10 --algorithm direct --out r");
    wait_for(&path, |records| !records.is_empty());
    let output = interrupt(child, "-INT");
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{printed} {}", text(&output.stderr));
    assert!(printed.contains("towers (channels)") && printed.contains("one machine"), "{printed}");
    assert!(printed.contains("interrupted; the batches that were finished are kept"), "{printed}");
    let records = records(&path);
    assert!(records.iter().all(|record| record.batch == Some(1)) && folder.path("r/report.html").exists());
    let of =
        |link: Option<f64>, ranks| records.iter().find(|r| r.link_gbit_s == link && r.ranks == Some(ranks)).unwrap();
    for ranks in [1, 2] {
        let here = of(None, ranks);
        assert!(here.median_ns.unwrap() > 0.0 && here.predicted_ns.unwrap() > 0.0);
        assert_eq!(here.transport.as_deref(), Some("memory"));
    }
    assert!(of(Some(10.0), 64).median_ns.is_none() && of(Some(10.0), 64).predicted_ns.unwrap() > 0.0);
}
