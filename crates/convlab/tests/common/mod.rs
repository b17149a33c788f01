//! The program, run as a user runs it, in a temporary folder of its own.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The workspace.
pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A folder to run the program in.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs the program with arguments that are separated by blanks.
    pub fn run(&self, arguments: &str) -> Output {
        convlab(self.0.path(), arguments)
    }

    /// The program that is to run with arguments that are separated by blanks.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = command(self.0.path(), env!("CARGO_BIN_EXE_convlab"));
        command.args(arguments.split_whitespace());
        command
    }

    /// Runs a line of a shell, in which `$convlab` is the program.
    pub fn shell(&self, line: &str) -> Output {
        let mut command = command(self.0.path(), "sh");
        command.args(["-c", line]).env("convlab", env!("CARGO_BIN_EXE_convlab")).output().unwrap()
    }

    /// Names in a folder that no command is asked for: files that were not finished.
    pub fn unfinished(&self, name: &str) -> Vec<String> {
        let names = fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(".convlab-") || name.starts_with(".tmp")).collect()
    }

    /// Runs what must succeed and returns its standard output.
    pub fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs what must end with `code`, and returns its message.
    pub fn fail(&self, arguments: &str, code: i32) -> String {
        let output = self.run(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {message}");
        message
    }
}

/// Runs the program in `folder`.
pub fn convlab(folder: &Path, arguments: &str) -> Output {
    command(folder, env!("CARGO_BIN_EXE_convlab")).args(arguments.split_whitespace()).output().unwrap()
}

/// A `program` that runs in `folder`.
fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    // Plans that this machine's user keeps are none of a test's.
    command.env("XDG_CACHE_HOME", folder.join("cache")).current_dir(folder);
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
