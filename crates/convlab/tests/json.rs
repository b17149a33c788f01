//! `--json`: standard output holds results alone, a line each, and everything else goes to standard error.

mod common;

use common::{Folder, text};
use conv_report::record::{self, Record};
use serde_json::Value;

const TINY: &str = "mb1ic4ih6oc4kh3ph1";

/// The lines of a command's standard output.
fn lines(folder: &Folder, arguments: &str) -> Vec<Value> {
    let output = folder.run(&format!("{arguments} --json"));
    assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
    let printed = text(&output.stdout);
    let parsed =
        printed.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    parsed.collect()
}

/// The same as records.
fn records(folder: &Folder, arguments: &str) -> Vec<Record> {
    let lines = lines(folder, arguments).into_iter();
    lines.map(|line| serde_json::from_value(line).unwrap()).collect()
}

#[test]
fn what_is_printed_is_what_is_kept() {
    let folder = Folder::new();
    let measuring =
        ["bench --quick --threads 1 --out", "check --isa portable --out", "tune --threads 1 --time 1s --records"];
    for (index, command) in measuring.iter().enumerate() {
        let printed = records(&folder, &format!("{command} out{index} {TINY} --algorithm direct"));
        let kept = record::read(&folder.path(&format!("out{index}/records.jsonl"))).unwrap();
        assert!(!printed.is_empty(), "{command}");
        assert_eq!(printed, kept, "{command}");
    }
    let compared = lines(&folder, "compare out0 out0");
    let means = compared.iter().filter(|row| row["kind"] == "mean").count();
    assert!(means > 0 && means < compared.len(), "{compared:?}");
    for row in compared {
        let named = row["algorithm"].is_string() != (row["kind"] == "mean" && row["name"].is_string());
        assert!(row["verdict"] == "undecided" && row["ratio"] == 1.0 && named, "{row}");
    }
}

#[test]
fn charts_and_models_are_named() {
    let folder = Folder::new();
    folder.ok(&format!("bench --quick --threads 1 --out out {TINY} --algorithm direct"));
    let charts = lines(&folder, "plot out");
    assert!(!charts.is_empty());
    for chart in charts {
        assert!(folder.path(chart["chart"].as_str().unwrap()).is_file(), "{chart}");
    }
    let told = lines(&folder, "export --network squeezenet1_1 --onnx model.onnx --seed 3");
    assert!(told.len() == 1 && told[0]["model"] == "model.onnx" && told[0]["seed"] == 3, "{told:?}");
}

/// Lists and walks are no wider than a terminal.
#[test]
fn lists_and_walks_fit_a_terminal() {
    let folder = Folder::new();
    for command in ["list algorithms", "list networks", "list problems", "describe paper", "describe densenet121"] {
        let printed = folder.ok(command);
        let widest = printed.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 80), "{command}: {widest:?}");
    }
}

#[test]
fn tables_are_objects_by_the_names_of_their_columns() {
    let folder = Folder::new();
    folder.ok(&format!("bench --quick --threads 1 --out out {TINY} --algorithm direct,im2col"));
    let tables = lines(&folder, "report out");
    let topics: Vec<&str> = tables.iter().filter_map(|table| table["topic"].as_str()).collect();
    assert!(topics.contains(&"summary") && topics.contains(&"best") && topics.contains(&"roofline"), "{topics:?}");
    let rows = tables[0]["rows"].as_array().unwrap();
    // What a neighbour disturbed is marked, and then no number.
    let is_time = |ms: &serde_json::Value| ms.is_f64() || ms.as_str().is_some_and(|text| text.ends_with('~'));
    assert!(rows.len() > 1 && rows.iter().all(|row| row["layer"].is_string() && is_time(&row["ms"])), "{rows:?}");
    let one = lines(&folder, "report out --table best");
    assert!(one.len() == 1 && one[0]["rows"].as_array().unwrap().len() == 1, "{one:?}");
}

#[test]
fn one_convolution_tells_what_computed_it() {
    let folder = Folder::new();
    let write = |name: &str, shape: &[usize]| {
        let data = vec![1.0; shape.iter().product()];
        conv_net::npy::write(&folder.path(name), shape, &data).unwrap();
    };
    write("x.npy", &[1, 3, 5, 5]);
    write("w.npy", &[2, 3, 3, 3]);
    let told = lines(&folder, "conv --input x.npy --weights w.npy --algorithm direct --output y.npy");
    assert_eq!(told.len(), 1);
    assert!(told[0]["shape"] == serde_json::json!([1, 2, 3, 3]) && told[0]["output"] == "y.npy", "{told:?}");
    assert!(told[0]["algorithm"].as_str().unwrap().starts_with("direct/"), "{told:?}");
}
