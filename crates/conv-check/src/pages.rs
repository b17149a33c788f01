//! An allocator for tests that puts every buffer between pages that nobody may touch: what reads or writes beside one ends the
//! program at once, where canaries would only tell of what was written, or of what was read and mattered.

// One of the workspace's rooms of `unsafe`.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Alignment from which memory is taken for a buffer. Texts have less, and are left to the system.
const LEAST_ALIGN: usize = 4;

/// The allocator: `#[global_allocator] static PAGES: GuardPages = GuardPages;` in a test's file.
///
/// Each allocation has its pages to itself, with one before and one behind them that fault. About every other one ends where
/// its pages end, as far as its alignment allows, the others begin where they begin; so in a suite that makes thousands
/// every kind of buffer has been both. What is not asked for in these pages is NaN (all bits set), and so is what has not been
/// written yet.
///
/// Buffers aligned to 64 bytes may have up to 15 floats behind them before the page ends; a sanitizer sees what reads there
/// (`scripts/sanitize`, under which this is the system's allocator, as it is on systems other than Linux).
#[derive(Debug)]
pub struct GuardPages;

/// How many buffers there were.
static BUFFERS: AtomicUsize = AtomicUsize::new(0);

/// Buffers that had guard pages so far.
pub fn guarded_buffers() -> usize {
    BUFFERS.load(Ordering::Relaxed)
}

// SAFETY: memory is of the layout asked for, and nobody else's until it is given back: see `guarded`. `System` is an allocator.
unsafe impl GlobalAlloc for GuardPages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_buffer(layout) {
            return guarded::alloc(layout);
        }
        // SAFETY: as this function's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        if is_buffer(layout) {
            // SAFETY: as this function's; the same layouts come from `guarded::alloc`.
            unsafe { guarded::dealloc(start, layout) };
        } else {
            // SAFETY: as this function's.
            unsafe { System.dealloc(start, layout) };
        }
    }
}

fn is_buffer(layout: Layout) -> bool {
    cfg!(all(target_os = "linux", not(sanitized))) && layout.align() >= LEAST_ALIGN
}

#[cfg(target_os = "linux")]
mod guarded {
    use std::alloc::Layout;
    use std::cell::UnsafeCell;
    use std::hint;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The least of x86-64 and of most others; with larger ones `mprotect` fails, and so does every allocation.
    const PAGE: usize = 4096;

    /// Pages that were given back: how many, how they are aligned, and where they begin.
    #[derive(Clone, Copy)]
    struct Pages {
        bytes: usize,
        align: usize,
        start: *mut u8,
    }

    const NONE: Pages = Pages { bytes: 0, align: 0, start: ptr::null_mut() };

    /// Those that are kept, in a ring of which the oldest go first: an allocator cannot ask for memory, so there is a place for
    /// a fixed number.
    struct Kept {
        locked: AtomicBool,
        ring: UnsafeCell<([Pages; 512], usize)>,
    }

    // SAFETY: the pages are touched by who holds the lock alone.
    unsafe impl Sync for Kept {}

    static KEPT: Kept = Kept { locked: AtomicBool::new(false), ring: UnsafeCell::new(([NONE; 512], 0)) };

    impl Kept {
        /// What `of` makes of the ring and the place of the oldest, which are its own meanwhile.
        fn with<T>(&self, of: impl FnOnce(&mut [Pages], &mut usize) -> T) -> T {
            while self.locked.swap(true, Ordering::Acquire) {
                hint::spin_loop();
            }
            // SAFETY: nobody else has the lock, and `of`, which is in this file, does not ask for it.
            let (ring, oldest) = unsafe { &mut *self.ring.get() };
            let result = of(ring, oldest);
            self.locked.store(false, Ordering::Release);
            result
        }
    }

    /// Bytes of the pages that hold an allocation, and how these are aligned.
    fn body(layout: Layout) -> Option<(usize, usize)> {
        Some((layout.size().max(1).checked_next_multiple_of(PAGE)?, layout.align().max(PAGE)))
    }

    /// Memory of this layout; null if there is none.
    pub fn alloc(layout: Layout) -> *mut u8 {
        let Some((bytes, align)) = body(layout) else { return ptr::null_mut() };
        let kept = KEPT.with(|ring, _| {
            let same = ring.iter_mut().find(|pages| pages.bytes == bytes && pages.align == align);
            same.map(|pages| std::mem::replace(pages, NONE).start)
        });
        let start = kept.unwrap_or_else(|| map(bytes, align));
        if start.is_null() {
            return start;
        }
        // As good as at random, and the same again: whatever repeats itself must not always get the same side.
        let number = super::BUFFERS.fetch_add(1, Ordering::Relaxed);
        let at_end = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).count_ones().is_multiple_of(2);
        // Less than a page, so that the allocation begins in the first of its pages.
        let before = if at_end { (bytes - layout.size()) / layout.align() * layout.align() } else { 0 };
        // SAFETY: the allocation and what lies before and behind it are the body.
        unsafe {
            if bytes <= 16 * PAGE {
                start.write_bytes(0xff, bytes);
            } else {
                let behind = before + layout.size();
                start.write_bytes(0xff, before);
                start.add(behind).write_bytes(0xff, bytes - behind);
            }
            start.add(before)
        }
    }

    /// New pages with a guard before and one behind them; null if there are none.
    fn map(bytes: usize, align: usize) -> *mut u8 {
        // Larger alignments are had by taking more, and giving back what lies before and behind.
        let Some(all) = bytes.checked_add(PAGE + align) else { return ptr::null_mut() };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new memory, which nobody may touch yet.
        let start = unsafe { libc::mmap(ptr::null_mut(), all, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return ptr::null_mut();
        }
        let start = start.cast::<u8>();
        let first = (start as usize + PAGE).next_multiple_of(align) - start as usize;
        let behind = first + bytes + PAGE;
        // SAFETY: all of it lies in what was mapped, in whole pages: `first` is at most `align`. What is unmapped lies outside
        // the body and its two guards.
        unsafe {
            let body = start.add(first);
            let usable = libc::mprotect(body.cast(), bytes, libc::PROT_READ | libc::PROT_WRITE) == 0;
            if first > PAGE {
                libc::munmap(start.cast(), first - PAGE);
            }
            if behind < all {
                libc::munmap(start.add(behind).cast(), all - behind);
            }
            if usable {
                return body;
            }
            unmap(body, bytes);
            ptr::null_mut()
        }
    }

    /// Gives pages and their guards back to the system.
    ///
    /// # Safety
    /// They must come from [`map`], and be nobody's.
    unsafe fn unmap(body: *mut u8, bytes: usize) {
        // SAFETY: as this function's.
        unsafe { libc::munmap(body.sub(PAGE).cast(), bytes + 2 * PAGE) };
    }

    /// Gives back what `alloc` gave.
    ///
    /// # Safety
    /// `start` must come from [`alloc`] with the same layout, and not have been given back.
    pub unsafe fn dealloc(start: *mut u8, layout: Layout) {
        let Some((bytes, align)) = body(layout) else { return };
        // SAFETY: the allocation begins in the first of its pages.
        let body = unsafe { start.sub(start as usize % PAGE) };
        let given = Pages { bytes, align, start: body };
        let oldest = KEPT.with(|ring, oldest| {
            *oldest = (*oldest + 1) % ring.len();
            std::mem::replace(&mut ring[*oldest], given)
        });
        if oldest.bytes > 0 {
            // SAFETY: pages of the ring are nobody's, and these have left it.
            unsafe { unmap(oldest.start, oldest.bytes) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod guarded {
    use std::alloc::Layout;

    pub fn alloc(_: Layout) -> *mut u8 {
        std::ptr::null_mut()
    }

    pub unsafe fn dealloc(_: *mut u8, _: Layout) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::env;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// How the child below is told where to read.
    const WHERE: &str = "CONV_CHECK_READS";

    fn buffer(layout: Layout, at_end: bool) -> *mut u8 {
        loop {
            let start = guarded::alloc(layout);
            assert!(!start.is_null());
            let ends = (start as usize + layout.size()).is_multiple_of(4096);
            let begins = (start as usize).is_multiple_of(4096);
            if if at_end { ends } else { begins } {
                return start;
            }
        }
    }

    #[test]
    fn memory_is_as_asked_for() {
        for (size, align) in [(4, 4), (12, 4), (4096, 4), (4097 * 4, 64), (100, 64), (5 << 20, 2 << 20), (8, 8)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            for _ in 0..3 {
                let start = guarded::alloc(layout);
                assert!((start as usize).is_multiple_of(align));
                // SAFETY: the memory is this test's.
                unsafe {
                    assert!(size > 1 << 16 || start.cast::<f32>().read().is_nan());
                    start.write_bytes(1, size);
                    assert_eq!(start.add(size - 1).read(), 1);
                    guarded::dealloc(start, layout);
                }
            }
        }
        let absurd = Layout::from_size_align(isize::MAX as usize - 4095, 4).unwrap();
        assert!(guarded::alloc(absurd).is_null());
    }

    /// Reads one float beside a buffer, in the process that [`one_float_outside_faults`] makes, and nothing in any other.
    #[test]
    fn reader() {
        let layout = Layout::array::<f32>(33).unwrap();
        let place = match env::var(WHERE).as_deref() {
            Ok("before") => -1,
            Ok("behind") => 33,
            Ok("inside") => 32,
            _ => return,
        };
        let start = buffer(layout, place > 0).cast::<f32>();
        // SAFETY: none, on purpose.
        let float = unsafe { start.offset(place).read_volatile() };
        assert!(float.is_nan());
    }

    #[test]
    fn one_float_outside_faults() {
        for (place, signal) in [("before", Some(libc::SIGSEGV)), ("inside", None), ("behind", Some(libc::SIGSEGV))] {
            let mut child = Command::new(env::current_exe().unwrap());
            let status = child.args(["--exact", "pages::tests::reader"]).env(WHERE, place).output().unwrap().status;
            assert_eq!(status.signal(), signal, "{place}: {status}");
            assert!(signal.is_some() || status.success());
        }
    }
}
