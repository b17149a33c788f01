//! What makes the program at home in a shell: completions and manual pages.

use std::fs;
use std::process::{Command, Output};

fn convlab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_convlab")).args(arguments).output().unwrap()
}

#[test]
fn shells_complete_commands_but_not_hidden_ones() {
    for shell in ["bash", "zsh", "fish"] {
        let output = convlab(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shell}");
        assert!(script.contains("convlab") && script.contains("threshold"), "{shell}");
    }
    assert_eq!(convlab(&["completions", "smoke-signals"]).status.code(), Some(2));
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert!(convlab(&["manual", pages.to_str().unwrap()]).status.success());
    for command in ["convlab", "convlab-bench", "convlab-compare", "convlab-tune"] {
        let page = fs::read_to_string(pages.join(format!("{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains("convlab"), "{command}");
    }
    assert!(!pages.join("convlab-turn.1").exists());
    fs::write(folder.path().join("usual"), "").unwrap();
    let permissions = |path: &std::path::Path| fs::metadata(path).unwrap().permissions();
    assert_eq!(
        permissions(&pages.join("convlab.1")),
        permissions(&folder.path().join("usual")),
        "whoever asks may read"
    );
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(convlab(&["manual", file.to_str().unwrap()]).status.code(), Some(2));
}
