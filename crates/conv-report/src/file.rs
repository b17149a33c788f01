//! Files that are whole at each moment.

use std::fs;
use std::io;
use std::path::Path;

/// Writes `bytes` beside `path` and renames: a reader never sees half a file, and an older one stays if this fails.
///
/// # Errors
/// Whatever the system says of the folder or the file.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // Whatever went wrong, half a file is of no use; that it may not exist is no second error.
        let _ = fs::remove_file(&beside);
    }
    written
}
