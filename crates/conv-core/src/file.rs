//! Files that are whole at each moment, what may be read as one, and who may write it.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Symbolic links from one to the next that are followed at most, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// Names that are tried for a file beside another: those of ended processes may be taken.
const MAX_NAMES: usize = 100;

/// Where the system keeps what is open already.
const OPEN_ALREADY: [&str; 3] = ["/dev/stdin", "/dev/fd", "/proc/self/fd"];

/// How often a lock that another holds is tried.
const AGAIN: Duration = Duration::from_millis(10);

/// Opens a file to be read. What is no regular file is refused: opening a FIFO waits for whoever writes into it, and a device may
/// have no end. What a shell has opened, `/dev/stdin` and the `/dev/fd/63` of its `<(...)`, is taken whatever it is.
///
/// # Errors
/// Then, and whatever the system says.
pub fn open(path: &Path) -> io::Result<File> {
    let open_already = OPEN_ALREADY.iter().any(|place| path.starts_with(place));
    if !open_already {
        regular(&fs::metadata(path)?)?;
    }
    File::open(path)
}

/// Reads the file at `path`, which [`open`] takes and which has at most `limit` bytes.
///
/// # Errors
/// Then, and if it is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// The same of text.
///
/// # Errors
/// Then, and if it is not UTF-8.
pub fn read_to_string(path: &Path, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Writes `bytes` as [`replace`] does.
///
/// # Errors
/// As there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |out| out.write_all(bytes))
}

/// Writes a file by `write`, beside `path` first, where it is on disk before it is renamed: a reader never sees half a file, and
/// an older one stays if this fails. Behind a symbolic link it is the link's target that is replaced.
///
/// # Errors
/// Whatever `write` or the system says, and if there is something at `path` that is no regular file.
pub fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let target = target(path)?;
    let beside = Beside::new(&target)?;
    let mut out = BufWriter::new(&beside.file);
    write(&mut out)?;
    out.flush()?;
    beside.file.sync_all()?;
    fs::rename(&beside.path, target)
}

/// Makes sure that [`replace`] can write at `path`.
///
/// # Errors
/// As there.
pub fn writable(path: &Path) -> io::Result<()> {
    Beside::new(&target(path)?).map(drop)
}

/// Whether `a` and `b` are one file, or would be.
pub fn same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let target = target(path).ok()?;
        let folder = folder_of(&target).canonicalize().ok()?;
        target.canonicalize().ok().or_else(|| Some(folder.join(target.file_name()?)))
    };
    place(a).zip(place(b)).is_some_and(|(a, b)| a == b)
}

/// The right to read and write a file while nobody else does who asks for it too.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Lock {
    _file: File,
}

/// Waits for the lock of the file at `path` until `patience` is at its end. It lies beside, `.NAME.lock`, and stays there: removed
/// it would be two files for those who wait. A file system without locks has none to wait for.
///
/// # Errors
/// If another process held it all the time, and whatever the system says.
pub fn lock(path: &Path, patience: Duration) -> io::Result<Lock> {
    let target = target(path)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = target.with_file_name(format!(".{name}.lock"));
    let made = File::options().read(true).append(true).create(true).open(&beside);
    // Another user's can be held without being written.
    let file = made.or_else(|error| File::open(&beside).map_err(|_| error))?;
    let end = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => break,
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(AGAIN),
            Err(TryLockError::WouldBlock) => {
                let (lock, seconds) = (beside.display(), patience.as_secs());
                return Err(io::Error::other(format!(
                    "another process has held {lock} for {seconds} s; end it, or wait for it"
                )));
            }
        }
    }
    Ok(Lock { _file: file })
}

/// Removes what is being written, for a process that ends at once.
pub fn remove_unfinished() {
    for path in unfinished().drain(..) {
        // It may have been renamed meanwhile.
        let _ = fs::remove_file(path);
    }
}

/// Files of this process that have not got their names yet.
fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new file that is removed unless it is renamed.
struct Beside {
    path: PathBuf,
    file: File,
}

impl Beside {
    fn new(target: &Path) -> io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        for _ in 0..MAX_NAMES {
            let name = format!(".convlab-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
            let path = folder_of(target).join(name);
            let mut unfinished = unfinished();
            match File::create_new(&path) {
                Ok(file) => {
                    unfinished.push(path.clone());
                    return Ok(Beside { path, file });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Renamed, it is not there.
        let _ = fs::remove_file(&self.path);
        unfinished().retain(|path| *path != self.path);
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a file at `path` is, or would be: behind symbolic links, if it is one.
fn target(path: &Path) -> io::Result<PathBuf> {
    // A folder that is not there yet.
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(link) = fs::read_link(&target) else {
            return fs::metadata(&target).map_or(Ok(()), |existing| regular(&existing)).map(|()| target);
        };
        target = folder_of(&target).join(link);
    }
    Err(io::Error::other(format!("more than {MAX_LINKS} symbolic links follow each other")))
}

/// Whether what is there is a regular file.
fn regular(existing: &fs::Metadata) -> io::Result<()> {
    match existing {
        existing if existing.is_file() => Ok(()),
        existing if existing.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("it is no regular file")),
    }
}
