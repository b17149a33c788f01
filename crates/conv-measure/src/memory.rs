//! Memory: a counting allocator, and how much the system has left.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use conv_check::{Failure, Flaw};
use conv_core::PlanError;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted. The program, the benches and the tests install it:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: conv_measure::memory::CountingAllocator = conv_measure::memory::CountingAllocator;
///
/// let (kept, counts) = conv_measure::memory::counted(|| vec![1.0_f32; 100]);
/// assert_eq!(counts.unwrap().retained_bytes, 4 * kept.len() as isize);
/// ```
#[derive(Debug)]
pub struct CountingAllocator;

fn grown(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Relaxed);
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every method forwards to `System` with the caller's own arguments, whose contract is the same.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let start = unsafe { System.alloc(layout) };
        if !start.is_null() {
            grown(layout.size());
        }
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let start = unsafe { System.alloc_zeroed(layout) };
        if !start.is_null() {
            grown(layout.size());
        }
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(start, layout) };
        LIVE.fetch_sub(layout.size(), Relaxed);
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { System.realloc(start, layout, size) };
        if !moved.is_null() {
            // Counted as if both lived for a moment, which they do where the block moves.
            grown(size);
            LIVE.fetch_sub(layout.size(), Relaxed);
        }
        moved
    }
}

/// What a piece of code allocated, on all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Allocations and reallocations.
    pub allocations: usize,
    /// Most bytes alive at once, above those alive before.
    pub peak_bytes: usize,
    /// Bytes that are still alive afterwards; negative if older memory was freed.
    pub retained_bytes: isize,
}

/// Runs `work` and counts what is allocated meanwhile, by whatever thread: only one thing may be counted at a time.
/// `None` where [`CountingAllocator`] is not the global allocator.
pub fn counted<T>(work: impl FnOnce() -> T) -> (T, Option<Counts>) {
    let (live, allocations) = (LIVE.load(Relaxed), ALLOCATIONS.load(Relaxed));
    PEAK.store(live, Relaxed);
    let result = work();
    let counts = Counts {
        allocations: ALLOCATIONS.load(Relaxed) - allocations,
        peak_bytes: PEAK.load(Relaxed) - live,
        retained_bytes: LIVE.load(Relaxed).wrapping_sub(live).cast_signed(),
    };
    // Any Rust program has allocated by the time it gets here.
    (result, (LIVE.load(Relaxed) > 0).then_some(counts))
}

/// Bytes that may be allocated without the system swapping or killing: Linux's `MemAvailable`, elsewhere 4 GiB; and no more than
/// control groups and the limits of this process leave it.
pub fn available_bytes() -> usize {
    let of_machine = proc_bytes("/proc/meminfo", "MemAvailable:").unwrap_or(4 << 30);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let of_group = left_by_groups(&groups, Path::new("/sys/fs/cgroup"));
    let of_process = left_by_limits(&limits, |label| proc_bytes("/proc/self/status", label));
    of_machine.min(of_group).min(of_process) / SHARERS.load(Relaxed)
}

/// What the control groups that `groups` names, and those that hold them, have left: of version 2 and, where controllers are apart,
/// of version 1. Pages of files, which make room, count as left.
fn left_by_groups(groups: &str, root: &Path) -> usize {
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/').to_owned());
        let (root, limit, used, cached) = match controllers {
            "" => (root.to_owned(), "memory.max", "memory.current", ["inactive_file ", "active_file "]),
            _ if controllers.split(',').any(|name| name == "memory") => {
                let cached = ["total_inactive_file ", "total_active_file "];
                (root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", cached)
            }
            _ => return None,
        };
        let left = |group: &Path| {
            let text = |name| fs::read_to_string(root.join(group).join(name)).ok();
            // Without a limit it says `max`.
            let bytes = |name| text(name)?.trim().parse::<usize>().ok();
            let pages = text("memory.stat").unwrap_or_default();
            let cached = pages.lines().filter_map(|line| cached.iter().find_map(|name| line.strip_prefix(name)));
            let cached: usize = cached.filter_map(|bytes| bytes.parse::<usize>().ok()).sum();
            Some(bytes(limit)?.saturating_sub(bytes(used)?.saturating_sub(cached)))
        };
        Path::new(&path).ancestors().filter_map(left).min()
    };
    groups.lines().filter_map(of_line).min().unwrap_or(usize::MAX)
}

/// What is left of the address space and of the data that the `limits` of this process, as Linux tells them, let it have.
/// `used` reads how much it has.
fn left_by_limits(limits: &str, used: impl Fn(&str) -> Option<usize>) -> usize {
    let left = |(name, label)| {
        let soft = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
        Some(soft.parse::<usize>().ok()?.saturating_sub(used(label).unwrap_or(0)))
    };
    let limited = [("Max address space", "VmSize:"), ("Max data size", "VmData:")];
    limited.into_iter().filter_map(left).min().unwrap_or(usize::MAX)
}

/// Processes that share this machine's memory by agreement.
static SHARERS: AtomicUsize = AtomicUsize::new(1);

/// From now on this process takes its part alone of what is available: it is one of `processes` that do the same at the same time.
pub fn share_between(processes: usize) {
    SHARERS.store(processes.max(1), Relaxed);
}

/// Bytes of the available ones that no plan may take: what is read between cold runs, and room for the system.
const RESERVED_BYTES: usize = 512 << 20;

/// Bytes that a plan may take: of those available all but half a gigabyte.
pub fn plannable_bytes() -> usize {
    available_bytes().saturating_sub(RESERVED_BYTES).min(isize::MAX as usize)
}

/// The most memory that this process had resident so far: Linux's `VmHWM`, elsewhere unknown.
pub fn peak_resident_bytes() -> Option<usize> {
    proc_bytes("/proc/self/status", "VmHWM:")
}

/// The line of a file of Linux's that begins with `label` and tells KiB.
fn proc_bytes(file: &str, label: &str) -> Option<usize> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? << 10)
}

/// Work that needs more memory than there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} needs {needed} bytes; {available} are available: choose a smaller problem or batch, or free some memory"
)]
pub struct TooLittleMemory {
    /// What needs it.
    pub what: String,
    /// Bytes needed.
    pub needed: u128,
    /// Bytes available.
    pub available: usize,
}

/// Checks that `needed` bytes are available before any of them is allocated.
///
/// # Errors
/// [`TooLittleMemory`] naming `what`.
pub fn admit(what: &str, needed: u128) -> Result<(), TooLittleMemory> {
    let available = available_bytes();
    if needed > available as u128 {
        return Err(TooLittleMemory { what: what.into(), needed, available });
    }
    Ok(())
}

/// Whether `failure` is no mistake of the algorithm: its plan would need more memory than there is.
pub fn refused(failure: &Failure) -> bool {
    matches!(*failure.flaw, Flaw::Plan(PlanError::Memory { .. } | PlanError::Allocation(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_bound_what_is_available() {
        let root = std::env::temp_dir().join(format!("convlab-groups-{}", std::process::id()));
        let group = |path: &str, files: &[(&str, &str)]| {
            let folder = root.join(path);
            fs::create_dir_all(&folder).unwrap();
            files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        };
        group("a", &[("memory.max", "5000\n"), ("memory.current", "2000\n")]);
        group("a/b", &[("memory.max", "max\n"), ("memory.current", "2000\n")]);
        group("c", &[("memory.max", "900\n"), ("memory.current", "950\n")]);
        group(
            "memory/d",
            &[
                ("memory.limit_in_bytes", "1000"),
                ("memory.usage_in_bytes", "900"),
                ("memory.stat", "active_file 1\ntotal_inactive_file 500\ntotal_active_file 20\n"),
            ],
        );
        let left = |groups: &str| left_by_groups(groups, &root);
        assert_eq!(left("0::/a/b\n"), 3000, "of the group above");
        assert_eq!(left("0::/c\n"), 0);
        assert_eq!(left("5:cpu:/c\n4:memory:/d\n0::/a\n"), 620, "the least");
        assert_eq!([left("0::/none\n"), left("4:memory\nx"), left("")], [usize::MAX; 3]);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn limits_of_the_process_bound_what_is_available() {
        let head = "Limit                     Soft Limit           Hard Limit           Units\n";
        let line = |name: &str, soft: &str| format!("{name:<25} {soft:<20} unlimited            bytes\n");
        let limits = |data: &str, space: &str| {
            head.to_owned() + &line("Max data size", data) + &line("Max address space", space)
        };
        let used = |label: &str| Some(if label == "VmSize:" { 300 } else { 100 });
        assert_eq!(left_by_limits(&limits("unlimited", "unlimited"), used), usize::MAX);
        assert_eq!(left_by_limits(&limits("1000", "unlimited"), used), 900);
        assert_eq!(left_by_limits(&limits("1000", "1000"), used), 700);
        assert_eq!(left_by_limits(&limits("50", "1000"), used), 0);
        assert_eq!(left_by_limits("", used), usize::MAX);
    }
}
