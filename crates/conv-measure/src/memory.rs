//! Memory: a counting allocator, and how much the system has left.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
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

/// Bytes that may be allocated without the system swapping or killing: Linux's `MemAvailable`, elsewhere 4 GiB.
pub fn available_bytes() -> usize {
    proc_bytes("/proc/meminfo", "MemAvailable:").unwrap_or(4 << 30) / SHARERS.load(Relaxed)
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
    let text = std::fs::read_to_string(file).ok()?;
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
