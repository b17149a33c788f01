//! Files that are whole or not there, and nothing else than files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Opens a file to read; also its length. Something else is refused before it is opened: a pipe would wait for whoever writes.
///
/// # Errors
/// If it cannot be opened, or is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    let regular = |metadata: &fs::Metadata| match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(io::Error::other("it is no regular file")),
    };
    regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    let length = regular(&file.metadata()?)?;
    Ok((file, length))
}

/// Writes a file by `write`, beside `path` first and then renamed.
///
/// # Errors
/// What `write` says, or if `path` is something else than a file, or its folder cannot be written.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
        return Err(io::Error::other("it exists and is no regular file"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    // As any new file, not closed to others as temporary files are.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // Without the temporary file's name, which tells a user nothing.
    let file = builder.tempfile_in(folder).map_err(|error| io::Error::from(error.kind()))?;
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.into_inner()?.persist(path)?;
    Ok(())
}
