//! `convlab bench --retry`: what was disturbed is measured again, and nothing else.

use std::process::Command;

use conv_report::record;

#[test]
fn only_what_was_disturbed_is_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let bench = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convlab"));
        command.args(["bench", "mb1ic8ih9oc16kh3ph1", "mb1ic8ih9oc16kh1", "--algorithm", "direct", "--threads", "1"]);
        let output = command.arg("--quick").arg("--out").arg(folder.path()).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    bench(&[]);
    let path = record::file_in(folder.path());
    let mut records = record::read(&path).unwrap();
    for record in &mut records {
        record.disturbed = record.name.contains("kh3").then(|| "by this test".into());
        // No time that a run could have.
        record.median_ns = record.median_ns.map(|_| 1.0);
    }
    record::merge_into(folder.path(), &records).unwrap();

    let said = bench(&["--retry"]);
    let records = record::read(&path).unwrap();
    let times = |part: &str| -> Vec<f64> {
        records.iter().filter(|record| record.name.contains(part)).filter_map(|record| record.median_ns).collect()
    };
    assert!(!times("kh3").is_empty() && times("kh3").iter().all(|&time| time > 1.0), "{said}");
    assert!(!times("kh1").is_empty() && times("kh1").iter().all(|&time| time == 1.0), "{said}");
    assert!(records.iter().all(|record| record.disturbed.as_deref() != Some("by this test")), "{said}");
}
