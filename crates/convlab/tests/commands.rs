//! The program's commands as a user runs them: what they print, what they write.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{Folder, WORKSPACE, text};
use conv_measure::Machine;
use conv_net::{Activation, Binary, Builder, Operator, Synthetic, npy, onnx};
use conv_report::record::{self, Kind, Model, Record};
use conv_tune::{algorithms, families};
use serde_json::Value;

/// 3×3 at stride 1, computed by every family.
const TINY: &str = "g2mb1ic8ih9oc12kh3ph1";

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// The field `name` of every object of an array.
fn fields<'a>(array: &'a Value, name: &str) -> Vec<&'a str> {
    array.as_array().unwrap().iter().map(|object| object[name].as_str().unwrap()).collect()
}

#[test]
fn help_names_every_command_and_shows_examples() {
    let folder = Folder::new();
    let help = folder.ok("help");
    for command in ["list", "describe", "check", "bench", "forward", "export", "conv", "plot", "report", "tune"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let help = folder.ok(&format!("{command} --help"));
        assert!(help.contains(&format!("\n  convlab {command} ")), "no example: {help}");
    }
    assert!(folder.ok("--version").starts_with("convlab "));
    folder.fail("", 2);
}

#[test]
fn lists_as_text_and_as_json() {
    let folder = Folder::new();
    let listed = parse(&folder.ok("list algorithms --json"));
    let names: Vec<&str> = algorithms().iter().map(|algorithm| algorithm.name()).collect();
    assert_eq!(fields(&listed, "algorithm"), names);
    assert_eq!(fields(&listed, "family").into_iter().collect::<BTreeSet<_>>(), families().into_iter().collect());
    let table = folder.ok("list algorithms");
    for name in names {
        assert!(table.lines().any(|line| line.split_whitespace().next() == Some(name)), "{table}");
    }

    let problems = parse(&folder.ok("list problems --json"));
    assert_eq!(fields(&problems, "name")[1], "paper/conv2");
    assert_eq!(fields(&problems, "descriptor")[1], "g2mb1ic96ih27oc256oh27kh5ph2");
    assert_eq!(problems[1]["gflop"], 0.448);
    let table = folder.ok("list problems");
    let line = table.lines().find(|line| line.starts_with("paper/conv2 ")).unwrap();
    assert_eq!(line.split_whitespace().nth(1), Some("g2mb1ic96ih27oc256oh27kh5ph2"));
    let own = parse(&folder.ok("list problems mb1ic8ih9oc8kh3n\"own\" owt --batch 1,2 --json"));
    assert_eq!(fields(&own, "descriptor")[..2], ["mb1ic8ih9oc8oh7kh3ph0", "mb2ic8ih9oc8oh7kh3ph0"]);
    assert_eq!((fields(&own, "name").len(), fields(&own, "name")[2]), (12, "owt/conv1"));
    assert_eq!(own[0]["families"].as_array().unwrap().len(), families().len());

    let networks = parse(&folder.ok("list networks --json"));
    assert_eq!(fields(&networks, "network")[..4], ["paper", "owt", "vgg16", "resnet50"]);
    assert_eq!(networks[0]["parameters"], 60_965_224);
    assert!(folder.ok("list networks").contains("227x227x3"));
}

#[test]
fn describes_a_network() {
    let text = Folder::new().ok("describe paper");
    assert!(text.starts_with("paper: 1x3x227x227 in, 1x1000 out, 60,965,224 parameters"), "{text}");
    assert!(text.contains("363 x 3025") && text.contains("In 2 towers, 8 phases:"), "{text}");
    let described = parse(&Folder::new().ok("describe paper --json"));
    assert_eq!(described["nodes"][0]["problem"], "mb1ic3ih227oc96oh55kh11sh4ph0");
    assert_eq!(described["outputs"][0]["shape"], serde_json::json!([1, 1000]));
}

#[test]
fn towers_send_what_describe_tells() {
    let folder = Folder::new();
    let told = parse(&folder.ok("describe paper --towers 2 --batch 2 --json"));
    let forward = parse(&folder.ok("forward --network paper --towers 2 --threads 2 --batch 2 --output two.npy --json"));
    assert_eq!(told["crossings"], forward["crossings"]);
    let sent = |worker: usize| {
        let crossings = told["crossings"].as_array().unwrap().iter();
        crossings.map(|crossing| crossing["sent_bytes"][worker].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((forward["transport"].as_str(), forward["shard"].as_str()), (Some("memory"), Some("groups")));
    for worker in 0..2 {
        assert_eq!(forward["towers"][worker]["sent_bytes"], sent(worker));
    }
    let wide = folder.run("forward --network paper --towers 2 --algorithm winograd/f2x3");
    assert!(text(&wide.stderr).contains("conv1 by direct/nhwc: winograd/f2x3"), "{}", text(&wide.stderr));
    folder.ok("forward --network paper --threads 2 --batch 2 --output one.npy");
    assert!(fs::read(folder.path("one.npy")).unwrap() == fs::read(folder.path("two.npy")).unwrap(), "the same bits");
    for (arguments, message) in [
        ("forward --network owt --towers 2", "has no convolution with groups that 2 workers could share"),
        ("forward --network paper --towers 65", "a network is cut for 2 to 64"),
        ("forward --network paper --towers two", "write how many workers"),
        ("forward --network paper --towers 2 --batch 3 --chunks 2", "2 chunks of a batch of 3"),
        ("forward --network paper --split channels", "--towers"),
        ("describe owt --towers 2", "--split channels"),
        ("scale paper --link 0", "give Gbit/s from 0.001"),
        ("scale nowhere", "nowhere"),
    ] {
        let told = folder.fail(arguments, 2);
        assert!(told.contains(message), "{arguments}: {told}");
    }
}

#[test]
fn checks_every_algorithm_on_every_instruction_set() {
    let folder = Folder::new();
    let all = folder.ok(&format!("check {TINY}"));
    for family in families() {
        assert!(all.contains(&format!("\n  {family}/")), "{all}");
    }
    assert!(all.trim_end().ends_with("checks, 0 failed"), "{all}");
    let some = folder.ok(&format!("check {TINY} --algorithm direct,*/f2x3 --isa portable,portable --batch 2"));
    assert!(some.contains("mb2ic8ih9") && some.trim_end().ends_with("2 checks, 0 failed"), "{some}");
}

#[test]
fn errors_are_recorded_by_kind_of_data() {
    let folder = Folder::new();
    let check = format!("check {TINY} --algorithm direct,winograd --isa portable --data relu,adversarial --out out");
    assert!(folder.ok(&check).contains("records.jsonl"));
    // Another time takes the place of the first.
    folder.ok(&check);
    let records = record::read(&folder.path("out/records.jsonl")).unwrap();
    let candidates = records.iter().filter(|record| record.data == Some(record::Data::Relu)).count();
    assert!(candidates > 1 && records.len() == 2 * candidates, "{} of {}", candidates, records.len());
    assert!(records.iter().all(|record| record.kind == Kind::Check && record.l2_rel_error > Some(0.0)));
    let table = folder.ok("report out --table errors --algorithm direct,winograd/f2x3 --markdown");
    assert_eq!(table.lines().filter(|line| line.starts_with("| g2mb1ic8ih9")).count(), 2, "{table}");
    folder.fail("plot out", 2);
}

#[test]
fn checks_a_file_of_problems() {
    let folder = Folder::new();
    folder.write("set.txt", "# two\nic3ih9oc4kh3n\"a\"\n\nic3ih9oc4kh3sh2n\"b\" # strided\n");
    let text = folder.ok("check set.txt --algorithm direct,winograd/f2x3 --isa portable");
    assert!(text.contains("set/a  mb2ic3ih9") && text.contains("set/b  mb2ic3ih9"), "{text}");
    assert!(text.contains("not computed by winograd/f2x3"), "{text}");
}

/// As benchdnn's files are: what convlab does not compute is told in one line on standard error, and the rest is checked.
#[test]
fn checks_what_it_computes_of_a_file() {
    let folder = Folder::new();
    folder.write("deep.txt", "--mb=3 --stag=axb --attr-post-ops=relu\nic3oc4id5kd3 ic3oc4id5kd3pd1\n");
    folder.write("set.txt", "--batch=deep.txt\nic3oc4_iw9kw3n\"a\" ic3oc4_id1kd1ih9kh3iw9kw3_n\"a\"\n");
    for command in ["check --algorithm direct/nhwc --isa portable", "bench --algorithm direct/nhwc --quick --out out"] {
        let output = folder.run(&format!("{command} set.txt"));
        let (printed, told) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{command}: {told}");
        assert!(printed.contains("set/a  mb3ic3ih1iw9") && printed.contains("set/a#2  mb3ic3ih9oc4oh7"), "{printed}");
        let notice = "convlab: set.txt: left out 2 three-dimensional problems, 2 options that convlab does not have \
                      (--attr-post-ops, --stag)\n";
        assert_eq!(told.matches("left out").count(), 1, "{told}");
        assert!(told.contains(notice), "{told}");
    }
    let folder = Folder::new();
    folder.write("set.txt", "ic3oc4id5kd3 mb1ic3oc4ih9kh1\n");
    let output = folder.run("tune set.txt --algorithm direct/nhwc --isa portable --threads 1 --time 1s");
    let told = text(&output.stderr);
    assert!(output.status.success() && told.contains("set.txt: left out 1 three-dimensional problem\n"), "{told}");
}

#[test]
fn benches_into_a_folder_then_plots_and_reports() {
    let folder = Folder::new();
    let arguments = format!("bench {TINY} {TINY} --threads 1,1 --quick --out out/of");
    let output = folder.run(&arguments);
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    // Only the release build is worth measuring, and only the other one says so.
    assert_eq!(message.contains("cargo run --release -- bench"), cfg!(debug_assertions), "{message}");

    let records = record::read(&folder.path("out/of/records.jsonl")).unwrap();
    let runs: Vec<&Record> = records.iter().filter(|record| record.model == Some(Model::Run)).collect();
    let names: BTreeSet<&str> = runs.iter().map(|record| record.algorithm.as_deref().unwrap()).collect();
    assert_eq!(runs.len(), names.len(), "nothing is measured twice");
    let machines: Vec<&Record> = records.iter().filter(|record| record.kind == Kind::Machine).collect();
    assert_eq!(machines.len(), 1);
    assert_eq!(machines[0].cache_gb_s.len(), machines[0].caches.len());
    assert!(machines[0].cache_gb_s.iter().all(|&rate| rate > 0.01), "{machines:?}");
    for record in runs {
        assert!(record.median_ns > Some(0.0) && record.max_rel_error < Some(1e-4), "{record:?}");
        assert_eq!(record.scratch_counted_bytes, record.scratch_bytes, "{record:?}");
    }

    let kinds = ["throughput", "memory", "price", "phases", "roofline"];
    let charts = kinds.iter().flat_map(|kind| ["svg", "png"].map(|format| format!("{kind}-b1-t1.{format}")));
    let charts: Vec<String> = charts.collect();
    let printed = text(&output.stdout);
    for chart in &charts {
        assert!(folder.path("out/of").join(chart).exists(), "{printed}");
    }
    assert!(printed.contains("charts:  out/of/*.svg (5, and each as PNG)"), "{printed}");
    assert!(folder.path("out/of/tables.md").exists() && printed.contains("out/of/tables.md"), "{printed}");
    let plotted = folder.ok("plot out/of/records.jsonl --out charts");
    assert_eq!(plotted.lines().count(), charts.len());
    assert_eq!(
        fs::read(folder.path("charts/memory-b1-t1.svg")).unwrap(),
        fs::read(folder.path("out/of/memory-b1-t1.svg")).unwrap()
    );

    let best = folder.ok("report out/of --markdown");
    for family in families() {
        assert_eq!(best.matches(&format!("| {family}/")).count(), 1, "{best}");
    }
    let of_terminal = folder.ok("report out/of");
    let wide = of_terminal.lines().skip(1).find(|line| line.chars().count() > 80 && !line.starts_with('~'));
    assert_eq!(wide, None, "only captions and notes are wider than a terminal");
    let every = folder.ok("report out/of/records.jsonl --all --markdown --threads 1 --batch 1 --name *ih9*");
    assert_eq!(every.lines().filter(|line| line.starts_with("| g2mb1ic8ih9")).count(), names.len(), "{every}");

    assert!(printed.contains("page:    out/of/report.html"), "{printed}");
    let page = fs::read_to_string(folder.path("out/of/report.html")).unwrap();
    assert_eq!(folder.ok("report out/of -o page.html").trim(), "page.html");
    assert_eq!(fs::read_to_string(folder.path("page.html")).unwrap(), page);
    assert_eq!(folder.ok("report out/of out/of -o twice.html").trim(), "twice.html");
    assert_eq!(fs::read_to_string(folder.path("twice.html")).unwrap(), page, "the same measurements are the same page");
    let nowhere = folder.run("report out/of -o nowhere/page.html");
    assert!(nowhere.status.code() == Some(2) && text(&nowhere.stderr).contains("cannot write nowhere/page.html"));
    let csv = folder.ok("report out/of --csv --table summary");
    assert_eq!(csv.lines().filter(|line| line.starts_with("g2mb1ic8ih9")).count(), names.len(), "{csv}");
    let files = folder.ok("report out/of --csv -o tables");
    for topic in ["summary", "best", "memory", "phases", "roofline"] {
        let file = files.lines().find(|file| file.starts_with(&format!("tables/{topic}-")));
        let rows = fs::read_to_string(folder.path(file.unwrap_or_else(|| panic!("{topic}: {files}")))).unwrap();
        assert!(rows.starts_with("layer,algorithm,"), "{rows}");
        // Which of them is the fastest is up to the machine.
        assert!(names.iter().any(|name| rows.contains(&format!(",{name},"))), "{rows}");
    }

    // Another run takes the place of the first.
    folder.ok(&arguments);
    assert_eq!(record::read(&folder.path("out/of/records.jsonl")).unwrap().len(), records.len());
}

#[test]
fn every_family_sees_the_same_in_a_photograph() {
    let folder = Folder::new();
    let photograph = format!("{WORKSPACE}/crates/conv-net/images/chelsea.jpg");
    let mut first: Option<Vec<(u64, f64)>> = None;
    for algorithm in families().into_iter().chain(["auto"]) {
        let json = folder.ok(&format!(
            "forward --network paper --image {photograph} --algorithm {algorithm} --json --output {algorithm}.npy"
        ));
        let report = parse(&json);
        let record: Record = serde_json::from_value(report.clone()).unwrap();
        assert_eq!((record.name.as_str(), record.algorithm.as_deref()), ("paper", Some(algorithm)));
        if cfg!(target_os = "linux") {
            assert!(
                record.peak_resident_bytes >= report["total_bytes"].as_u64().map(|bytes| bytes as usize),
                "{report}"
            );
        }
        assert!(record.layers.len() >= 11 && record.layers.iter().all(|layer| layer.median_ns >= 0.0));
        let connected = record.layers.iter().find(|layer| layer.name == "fc6").unwrap();
        // For one image the weights are what bounds it, where no cache holds all of the network's.
        if Machine::detect().caches.last().is_none_or(|&bytes| bytes < 4 * 60_965_224) {
            let bound = 4.0 * (9216.0 * 4096.0 + 4096.0) / record.bandwidth_gb_s.unwrap();
            assert!((connected.bound_ns.unwrap() / bound - 1.0).abs() < 1e-2, "{connected:?}: {bound}");
        }
        assert!(record.layers.iter().all(|layer| layer.bound_ns.is_some_and(|bound| bound > 0.0)));
        for layer in record.layers.iter().filter(|layer| layer.name.starts_with("conv")) {
            let used = layer.algorithm.as_deref().unwrap();
            let said = report["layers"].as_array().unwrap().iter().find(|said| said["name"] == *layer.name).unwrap();
            let replaced = algorithm != "auto" && !used.starts_with(algorithm);
            assert_eq!(said["fallback"].is_string(), replaced, "{algorithm}: {said}");
        }
        let class = |class: &Value| (class["class"].as_u64().unwrap(), class["probability"].as_f64().unwrap());
        let top: Vec<_> = report["images"][0]["top"].as_array().unwrap().iter().map(class).collect();
        assert_eq!(top.len(), 5);
        let first = first.get_or_insert_with(|| top.clone());
        for (one, other) in first.iter().zip(&top) {
            assert!(one.0 == other.0 && (one.1 - other.1).abs() < 1e-3, "{algorithm}: {first:?} and {top:?}");
        }
        let probabilities = npy::read(&folder.path(&format!("{algorithm}.npy")), usize::MAX).unwrap();
        assert_eq!(probabilities.shape, [1, 1000]);
        assert!((probabilities.data.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
}

#[test]
fn forward_as_text_on_random_input() {
    let text = Folder::new().ok("forward --network owt --batch 2 --seed 3 --top 2 --threads 1 --isa portable");
    assert!(text.contains("random image 1") && text.contains("conv5 ") && text.contains("fc8 "), "{text}");
    // Names of columns take several lines, and what does not fit into 80 columns stands below.
    let header: Vec<&str> =
        text.lines().filter(|line| line.starts_with("layer ")).flat_map(str::split_whitespace).collect();
    for column in ["layer", "algorithm", "ms", "%", "bound", "prepared", "scratch", "output"] {
        assert!(header.contains(&column), "{column}: {text}");
    }
    let layers = text.lines().filter(|line| line.starts_with("conv") || line.starts_with("fc"));
    assert!(layers.clone().count() >= 8 && layers.into_iter().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("Bound: the larger of the direct method's operations at "), "{text}");
}

#[test]
fn classes_have_the_names_of_a_file() {
    let folder = Folder::new();
    let labels: String = (0..1000).map(|class| format!("name {class}\n")).collect();
    folder.write("labels.txt", &labels);
    let forward = "forward --network owt --algorithm direct --labels labels.txt --top 1 --output y.npy";
    let report = parse(&folder.ok(&format!("{forward} --json")));
    let top = &report["images"][0]["top"][0];
    assert_eq!(top["label"], format!("name {}", top["class"]), "{report}");
    assert_eq!(report["outputs"][0]["file"], "y.npy");
    assert!(folder.ok(forward).lines().any(|line| line.ends_with(&format!("%  name {}", top["class"]))));
    folder.write("labels.txt", "a\nb\n");
    let message = folder.fail(forward, 2);
    assert!(message.contains("labels.txt has 2 lines; owt has 1000 classes"), "{message}");
}

#[test]
fn a_model_is_the_network_it_was_exported_from() {
    let folder = Folder::new();
    let said = folder.ok("export --network owt --seed 3 --onnx owt.onnx");
    assert!(said.starts_with("owt.onnx: owt with 61100840 parameters of seed 3"), "{said}");
    folder.ok("forward --network owt --seed 3 --batch 2 --output network.npy");
    let said = folder.ok("forward --model owt.onnx --seed 3 --batch 2 --output model.npy");
    assert!(said.starts_with("owt, 2 images, auto, weights of owt.onnx"), "{said}");
    assert_eq!(fs::read(folder.path("network.npy")).unwrap(), fs::read(folder.path("model.npy")).unwrap());
    assert!(folder.ok("describe owt.onnx").starts_with("owt: 1x3x224x224 in, 1x1000 out, 61,100,840 parameters"));
    let checked = folder.ok("check owt.onnx/conv5 --algorithm direct --isa portable");
    let output = folder.run("check owt.onnx --algorithm direct/nhwc --isa portable --batch 2");
    assert_eq!(text(&output.stderr), "convlab: owt.onnx: 5 convolutions, 5 distinct\n");
    assert_eq!(text(&output.stdout).matches("  mb2ic").count(), 5, "{}", text(&output.stdout));
    assert!(checked.starts_with("owt/conv5") && checked.trim_end().ends_with("1 checks, 0 failed"), "{checked}");
}

#[test]
fn equal_convolutions_of_a_network_are_measured_once() {
    let folder = Folder::new();
    let output = folder.run("bench squeezenet1_1 --algorithm direct/nhwc --quick --threads 1 --out out");
    let (printed, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(told.contains("convlab: squeezenet1_1: 26 convolutions, "), "{told}");
    assert!(printed.contains("squeezenet1_1, batch 1, threads 1: its 26 convolutions take "), "{printed}");
}

#[test]
fn several_inputs_and_outputs_go_by_name() {
    let folder = Folder::new();
    let mut builder = Builder::new("pair");
    let [left, right] = ["left", "right"].map(|name| builder.input(name, &[1, 3, 2, 2]).unwrap());
    let sum = builder.node("sum", Operator::Binary(Binary::Add), &[left, right]).unwrap();
    let rectified = builder.node("rectified", Operator::Activation(Activation::Relu), &[sum]).unwrap();
    let network = builder.finish(&[sum, rectified]).unwrap();
    onnx::write(&folder.path("pair.onnx"), &network, true, &mut Synthetic::new(&network, 0)).unwrap();
    let values: Vec<f32> = (0..24).map(|value| value as f32).collect();
    npy::write(&folder.path("left.npy"), &[2, 3, 2, 2], &values).unwrap();
    npy::write(&folder.path("right.npy"), &[2, 3, 2, 2], &[-11.5; 24]).unwrap();

    let said = folder.ok("forward --model pair.onnx --input right=right.npy --input left=left.npy --output y.npy");
    assert!(said.contains("output rectified: 2x3x2x2 in y-rectified.npy"), "{said}");
    let sums: Vec<f32> = values.iter().map(|value| value - 11.5).collect();
    let got = npy::read(&folder.path("y-sum.npy"), usize::MAX).unwrap();
    assert_eq!((got.shape, &got.data), (vec![2, 3, 2, 2], &sums));
    let got = npy::read(&folder.path("y-rectified.npy"), usize::MAX).unwrap();
    assert_eq!(got.data, sums.iter().map(|value| value.max(0.0)).collect::<Vec<_>>());

    for (arguments, part) in [
        ("--input left=left.npy", "pair has the inputs left, right; add --input right=FILE.npy"),
        ("--input left.npy", "pair has the inputs left, right; give each as --input NAME=FILE.npy"),
        ("--labels left.npy", "is 1x3x2x2, which is no classes of images; leave --labels out"),
    ] {
        let message = folder.fail(&format!("forward --model pair.onnx {arguments}"), 2);
        assert!(message.contains(part), "{arguments}: {message}");
    }
}
