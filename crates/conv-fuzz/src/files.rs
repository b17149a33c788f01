//! Bytes as files, which is what convlab reads.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A memory file system, where there is one: a fuzzer writes a hundred thousand files a second.
const IN_MEMORY: &str = "/dev/shm";

thread_local! {
    static FOLDER: TempDir = {
        let in_memory = Path::new(IN_MEMORY);
        let folder = if in_memory.is_dir() { tempfile::tempdir_in(in_memory) } else { tempfile::tempdir() };
        folder.expect("a folder for temporary files")
    };
}

/// Calls `read` with the path of a file `name` that holds `bytes`, in a folder of this thread that is removed at its end.
pub fn with_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let path: PathBuf = FOLDER.with(|folder| folder.path().join(name));
    fs::write(&path, bytes).expect("a file in a folder for temporary files");
    read(&path)
}
