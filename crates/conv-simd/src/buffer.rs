//! Aligned memory, in huge pages where it is large.

use std::alloc::{Layout, alloc, dealloc};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const CACHE_LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

/// Memory that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes of memory could not be allocated")]
pub struct AllocationError {
    /// Bytes asked for.
    pub bytes: u128,
}

/// Floats, aligned to 64 bytes; from 2 MiB on aligned to 2 MiB and advised into huge pages.
///
/// Huge pages matter for streams: one core of a Zen 4 server reads 28–30 GB/s from them and 21–25 GB/s from 4 KiB pages.
/// They also make times repeatable. Memory that the allocator had given out before keeps the small pages that it had then,
/// whatever is advised, and with weights there one and the same plan took up to a fifth longer, by luck. So the whole huge
/// pages of a buffer are collapsed too (Linux 6.1 and later).
///
/// One of [`MaybeUninit`] floats is yet to be written: see [`AlignedBuffer::uninit`].
pub struct AlignedBuffer<T = f32> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the buffer owns its memory as a `Vec<T>` would.
unsafe impl<T: Send> Send for AlignedBuffer<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: Sync> Sync for AlignedBuffer<T> {}

impl AlignedBuffer {
    /// `len` zeroed floats, every page touched.
    ///
    /// # Errors
    /// [`AllocationError`] if the system has not that much memory to give.
    pub fn zeroed(len: usize) -> Result<Self, AllocationError> {
        let mut buffer = Self::uninit(len)?;
        // SAFETY: `len` floats, for which all-zero bytes are valid.
        unsafe {
            buffer.as_mut_ptr().write_bytes(0, len);
            Ok(buffer.assume_init())
        }
    }

    /// `len` floats that are yet to be written, no page touched: those who write them share the work of the system, which
    /// clears each page at its first touch.
    ///
    /// # Errors
    /// As [`AlignedBuffer::zeroed`].
    pub fn uninit(len: usize) -> Result<AlignedBuffer<MaybeUninit<f32>>, AllocationError> {
        let error = || AllocationError { bytes: len as u128 * 4 };
        if len == 0 {
            return Ok(AlignedBuffer { start: NonNull::dangling(), len });
        }
        let layout = layout(len).ok_or_else(error)?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc(layout) }).ok_or_else(error)?;
        if is_large(layout) {
            // Before the first touch, which so gets huge pages.
            pages::advise(start, layout.size());
        }
        Ok(AlignedBuffer { start: start.cast(), len })
    }

    /// A copy of `values`.
    ///
    /// # Errors
    /// As [`AlignedBuffer::zeroed`].
    pub fn copy_of(values: &[f32]) -> Result<Self, AllocationError> {
        let mut buffer = Self::zeroed(values.len())?;
        buffer.copy_from_slice(values);
        Ok(buffer)
    }
}

impl AlignedBuffer<MaybeUninit<f32>> {
    /// The floats that were written.
    ///
    /// # Safety
    /// All of them must have been.
    pub unsafe fn assume_init(self) -> AlignedBuffer {
        let AlignedBuffer { start, len } = *ManuallyDrop::new(self);
        if let Some(layout) = layout(len).filter(|&layout| is_large(layout)) {
            pages::collapse(start.cast(), layout.size());
        }
        AlignedBuffer { start: start.cast(), len }
    }
}

fn layout(len: usize) -> Option<Layout> {
    let bytes = len.checked_mul(size_of::<f32>())?;
    Layout::from_size_align(bytes, if bytes >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE }).ok()
}

fn is_large(layout: Layout) -> bool {
    layout.align() == HUGE_PAGE
}

impl Default for AlignedBuffer {
    /// An empty buffer, which allocates nothing.
    fn default() -> Self {
        AlignedBuffer { start: NonNull::dangling(), len: 0 }
    }
}

#[cfg(target_os = "linux")]
mod pages {
    use std::ptr::NonNull;

    /// Advises the system to put memory into huge pages at its first touch.
    pub fn advise(start: NonNull<u8>, bytes: usize) {
        madvise(start, bytes, libc::MADV_HUGEPAGE);
    }

    /// Moves memory that was touched before into huge pages.
    pub fn collapse(start: NonNull<u8>, bytes: usize) {
        madvise(start, bytes, libc::MADV_COLLAPSE);
    }

    fn madvise(start: NonNull<u8>, bytes: usize, advice: libc::c_int) {
        // SAFETY: the range is one allocation of ours, page-aligned; neither advice changes contents, and a refusal (a
        // kernel without huge pages, or none left) only costs speed.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, advice) };
    }
}

#[cfg(not(target_os = "linux"))]
mod pages {
    use std::ptr::NonNull;

    pub fn advise(_: NonNull<u8>, _: usize) {}
    pub fn collapse(_: NonNull<u8>, _: usize) {}
}

impl<T> Drop for AlignedBuffer<T> {
    fn drop(&mut self) {
        if self.len > 0 {
            let layout = layout(self.len).expect("the layout was valid when it was allocated");
            // SAFETY: allocated in `uninit` with this same layout.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}

impl<T> Deref for AlignedBuffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` floats, initialised unless `T` need not be (or a dangling pointer and zero).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for AlignedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> std::fmt::Debug for AlignedBuffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuffer({} floats)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_zero() {
        for len in [0, 1, 15, 1 << 19, (1 << 20) + 3] {
            let buffer = AlignedBuffer::zeroed(len).unwrap();
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&x| x == 0.0));
            let align = if len * 4 >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE };
            assert!(len == 0 || (buffer.as_ptr() as usize).is_multiple_of(align));
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert_eq!(AlignedBuffer::zeroed(usize::MAX).unwrap_err().bytes, usize::MAX as u128 * 4);
    }
}
