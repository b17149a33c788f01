//! `convlab tune`: plans that are made, read, kept and refused.

mod common;

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, text};
use conv_core::file;
use conv_measure::Machine;
use conv_report::record::{self, Cache, Kind};
use conv_tune::TunedPlan;

const TINY: &str = "mb1ic16ih12oc16kh3ph1";

/// Tunes [`TINY`] in as little time as can be, with more arguments.
fn tune(folder: &Folder, arguments: &str) -> String {
    folder.ok(&format!("tune {TINY} --threads 1 --time 1s {arguments}"))
}

#[test]
fn a_plan_says_what_was_measured_and_can_be_read() {
    let folder = Folder::new();
    // Long enough for a runner-up on a machine that others use too.
    let output = folder.ok(&format!("tune {TINY} --threads 1 --time 4s -o plan.toml --records records"));
    assert!(output.contains("methods considered") && output.contains("kept for --algorithm auto in"), "{output}");
    let plan = TunedPlan::read(&folder.path("plan.toml")).unwrap();
    let problem = TINY.parse().unwrap();
    let (layer, method) = (&plan.layers()[0], plan.method(&problem).unwrap());
    assert_eq!(layer.choice.algorithm, method.algorithm.name());
    assert!(layer.choice.network_ms > 0.0 && layer.choice.max_error <= 1e-5 && !layer.runner_up.is_empty());
    let machine = Machine::detect();
    assert_eq!(plan.foreign(&machine, &plan.origin.isa, 1), None);
    assert!(plan.foreign(&machine, &plan.origin.isa, 2).unwrap().contains("\n  convlab tune"));
    let elsewhere = Machine { cpu: "another".into(), ..machine };
    assert!(plan.foreign(&elsewhere, &plan.origin.isa, 1).unwrap().contains("another processor"));
    // What is written is what is read.
    plan.write(&folder.path("again.toml")).unwrap();
    assert_eq!(fs::read(folder.path("plan.toml")).unwrap(), fs::read(folder.path("again.toml")).unwrap());

    let records = record::read(&folder.path("records/records.jsonl")).unwrap();
    let chosen = |by: &str| records.iter().filter(|r| r.chosen_by.iter().any(|name| name == by)).count();
    assert_eq!((chosen("tuned"), chosen("auto")), (2, 2), "warm and in a network");
    let tuned = records.iter().find(|record| record.kind == Kind::Tune).unwrap();
    assert!(tuned.measured <= tuned.considered && tuned.tuned_in_ns > Some(0.0));
    assert_eq!((tuned.cache, tuned.layers.len()), (Some(Cache::Network), 1));
}

#[test]
fn limits_are_kept_or_refused_by_name() {
    let folder = Folder::new();
    tune(&folder, "--workspace-limit 8KiB -o plan.toml");
    let plan = TunedPlan::read(&folder.path("plan.toml")).unwrap();
    assert!(plan.layers()[0].choice.scratch_bytes <= 8 << 10);
    assert!(!folder.path("cache").exists(), "a plan within limits is not for auto");
    for (arguments, part) in [
        ("--max-error 1e-9", "no method has an error below 1e-9; the smallest is "),
        ("--workspace-limit 1KiB --algorithm winograd", "of scratch; the least is "),
        ("--weights-limit 1KiB", "need at least "),
        ("--workspace-limit 64Mb", "give a number and B, KiB, MiB or GiB, for example 64MiB"),
        ("--workspace-limit -1", "give a number and B"),
        ("--workspace-limit 1e99", "give a number and B, KiB"),
        ("--time 0s", "give 1us to 24h"),
        ("--time 60", "give a number and us, ms, s, m or h, for example 60s"),
        ("--max-error -1", "give a number above 0"),
        ("--max-error nan", "give a number above 0"),
        ("--workspace-limit 0,1MiB -o plan.toml", "give one --workspace-limit"),
        ("--explain conv9", "there is no such layer"),
    ] {
        let time = if arguments.contains("--time") { "" } else { "--time 1s" };
        let message = folder.fail(&format!("tune {TINY} --threads 1 {time} {arguments}"), 2);
        assert!(message.contains(part), "{arguments}: {message}");
    }
}

#[test]
fn tunes_the_convolutions_of_a_model() {
    let folder = Folder::new();
    folder.ok("export --network owt --onnx owt.onnx");
    folder.ok("tune --model owt.onnx --algorithm direct/nhwc --threads 1 --time 1s -o plan.toml");
    let plan = TunedPlan::read(&folder.path("plan.toml")).unwrap();
    let names: Vec<&str> = plan.layers().iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["owt/conv1", "owt/conv2", "owt/conv3", "owt/conv4", "owt/conv5"]);
    assert!(plan.origin.command.contains("tune --model owt.onnx"), "{}", plan.origin.command);
    for command in ["bench owt.onnx", "forward --model owt.onnx"] {
        let message = folder.fail(&format!("{command} --batch 2 --plan plan.toml"), 2);
        assert!(message.contains("\n  convlab tune --model owt.onnx --batch 2 -o plan.toml"), "{message}");
    }
}

#[test]
fn models_to_tune_that_are_none() {
    let folder = Folder::new();
    for (arguments, part) in [
        ("small.onnx", "give a model as --model small.onnx"),
        ("--model small.onnx owt", "cannot be used with"),
        ("--shape 1x3x9x9 owt", "--shape is for the inputs of models"),
        ("--model none.onnx", "cannot read the model none.onnx"),
        ("--model plan.toml", "--model plan.toml: a model's name ends in .onnx"),
    ] {
        let message = folder.fail(&format!("tune {arguments} --time 1s"), 2);
        assert!(message.contains(part), "{arguments}: {message}");
    }
}

#[test]
fn explains_a_layer() {
    let folder = Folder::new();
    let table = folder.ok(&format!("tune --explain {TINY} --threads 1 --time 1s"));
    assert!(table.contains("verdict") && table.contains("chosen") && table.contains("direct/nhwc"), "{table}");
}

#[test]
fn damaged_plans_are_refused() {
    let folder = Folder::new();
    tune(&folder, "-o plan.toml");
    let good = fs::read_to_string(folder.path("plan.toml")).unwrap();
    let forward = |plan: &str| {
        folder.write("bad.toml", plan);
        folder.fail("forward --network owt --plan bad.toml", 2)
    };
    let choice = good.split("[layer.choice]\n").nth(1).unwrap().lines().next().unwrap();
    for (from, to, part) in [
        ("format = 1", "format = 2", "its format is 2, not 1"),
        ("format = 1", "format = ", "is no plan of this program: TOML parse error at line"),
        ("threads = 1", "threads = 1\nmore = 1", "unknown field `more`"),
        ("threads = 1", "threads = -1", "invalid value"),
        (choice, "algorithm = \"winograd/f9x9\"", "no algorithm is called 'winograd/f9x9'"),
        (choice, "algorithm = \"*\"", "no algorithm is called '*'"),
        (choice, "algorithm = \"winograd/f4x5\"", "computes 5x5"),
        (choice, "algorithm = \"direct/nhwc\"\nparameters = { tiles = 3 }", "has no parameter 'tiles'"),
        (
            choice,
            "algorithm = \"winograd/f4x3\"\nparameters = { block_tiles = 0 }",
            "winograd/f4x3 takes a block_tiles from 1 to 65536, not 0",
        ),
        ("problem = \"mb1", "problem = \"mb0", "batch is 0"),
        ("network_ms = ", "network_ms = -", "network_ms is -"),
    ] {
        assert!(good.contains(from), "{from}");
        // A parameter table of the old choice would come second.
        let bad = if to.contains("parameters") {
            good.replacen("[layer.choice.parameters]", "[layer.choice.old]", 1)
        } else {
            good.clone()
        };
        let message = forward(&bad.replacen(from, to, 1));
        assert!(message.contains("bad.toml") && (message.contains(part) || message.contains("old")), "{to}: {message}");
    }
    let message = forward(&good);
    assert!(
        message.contains("has no layer owt/conv1 with a batch of 1") && message.contains("\n  convlab tune owt"),
        "{message}"
    );
    assert!(folder.fail("forward --network owt --plan none.toml", 2).contains("cannot read the plan none.toml"));

    let kept = convlab_cache(&folder);
    fs::write(&kept, "format = 1").unwrap();
    let message = folder.fail("forward --network owt --threads 1", 2);
    assert!(message.contains("is no plan of this program") && message.contains("tune again"), "{message}");
}

/// The one plan that is kept.
fn convlab_cache(folder: &Folder) -> std::path::PathBuf {
    let plans = folder.path("cache/convlab/plans");
    let mut kept = fs::read_dir(&plans).unwrap().map(|entry| entry.unwrap().path());
    kept.find(|path| path.extension().is_some_and(|extension| extension == "toml")).unwrap()
}

#[test]
fn auto_uses_what_is_kept_and_says_when_it_is_old() {
    let folder = Folder::new();
    tune(&folder, "");
    let kept = convlab_cache(&folder);
    let old = fs::read_to_string(&kept).unwrap();
    let commit = old.lines().find(|line| line.starts_with("commit = ")).unwrap();
    fs::write(&kept, old.replace(commit, "commit = \"0000000000\"")).unwrap();
    let told = || text(&folder.run("forward --network owt --threads 1 --batch 0").stderr);
    assert!(told().contains("not used: the plan was made for another version: 0000000000"));

    // What another version knows, and this one does not, is no damage.
    let other = old.replace(commit, "commit = \"0000000000\"");
    let choice = old.split("[layer.choice]\n").nth(1).unwrap().lines().next().unwrap();
    for (plan, why) in [
        (other.replace(choice, "algorithm = \"winograd/f9x9\""), "no algorithm is called 'winograd/f9x9'"),
        (other.replace("threads = 1", "threads = 1\ncolour = \"red\""), "unknown field `colour`"),
        (old.replace("format = 1", "format = 2\ncolour = \"red\""), "its format is 2, not 1"),
    ] {
        fs::write(&kept, &plan).unwrap();
        let told = told();
        assert!(told.contains("kept for auto is not used: ") && told.contains(why), "{told}");
        assert!(told.contains("it was made by another version, so tune again"), "{told}");
        // It is no reason to tune nothing, and is replaced.
        folder.ok(&format!("tune {TINY} --threads 1 --time 10ms --resume"));
        assert!(TunedPlan::read(&kept).is_ok());
        folder.write("plan.toml", &plan);
        assert!(folder.fail("forward --network owt --plan plan.toml", 2).contains(why));
    }
}

#[test]
fn what_can_be_kept_is_kept_where_something_cannot() {
    let folder = Folder::new();
    folder.write("small.txt", "mb1ic4ih9oc4kh3n\"a\"");
    folder.write("large.txt", "mb1ic64ih9oc64kh3n\"a\"");
    let tune = "tune small.txt large.txt --algorithm direct --threads 1 --time 100ms";
    let message = folder.fail(&format!("{tune} --weights-limit 20KiB -o plan.toml --records r"), 2);
    assert!(message.contains("need at least "), "{message}");
    let layers = || TunedPlan::read(&folder.path("plan.toml")).unwrap().layers().len();
    assert_eq!(layers(), 1);
    assert!(!record::read(&folder.path("r/records.jsonl")).unwrap().is_empty() && folder.path("r/tables.md").exists());
    assert_eq!(fs::read_to_string(folder.path("plan.toml")).unwrap().matches("name = \"small/a\"").count(), 1);

    // The place of the plan is gone when it is to be written.
    fs::create_dir(folder.path("gone")).unwrap();
    let tune = "tune mb1ic8ih9oc8kh3 mb1ic8ih9oc8kh5 --threads 1 --time 10ms -o gone/plan.toml --records all";
    let child = folder.command(tune).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(100));
    fs::remove_dir(folder.path("gone")).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("cannot write the plan gone/plan.toml"), "{told}");
    assert_eq!(TunedPlan::read(&convlab_cache(&folder)).unwrap().layers().len(), 2);
    assert!(folder.path("all/tables.md").exists());
}

#[test]
fn two_processes_keep_the_layers_of_both() {
    let folder = Folder::new();
    tune(&folder, "");
    let kept = convlab_cache(&folder);
    let plan = fs::read(&kept).unwrap();
    fs::remove_file(&kept).unwrap();
    let lock = file::lock(&kept, Duration::ZERO).unwrap();
    let mut child = folder
        .command("tune mb1ic8ih9oc8kh3 --threads 1 --time 10ms -o plan.toml")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !folder.path("plan.toml").exists() && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none(), "it waits for the lock");
    file::write(&kept, &plan).unwrap();
    drop(lock);
    assert!(child.wait().unwrap().success());
    assert_eq!(TunedPlan::read(&kept).unwrap().layers().len(), 2);
}
