//! A mutable slice that several workers write at once, each its own part.

use std::marker::PhantomData;

/// A `&mut [T]` whose disjoint parts are written from several threads.
///
/// NHWC output tiles interleave (a block of channels of every pixel), so they cannot be split into Rust slices;
/// whoever dereferences [`SharedSlice::as_ptr`] promises that no two tasks touch the same element.
pub struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer is only dereferenced in unsafe code that promises disjoint elements.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    /// Borrows `slice` for as long as tasks write to it.
    pub fn new(slice: &'a mut [T]) -> Self {
        SharedSlice { start: slice.as_mut_ptr(), len: slice.len(), lifetime: PhantomData }
    }

    /// The first element's address.
    pub fn as_ptr(&self) -> *mut T {
        self.start
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements `start..start + len`, which may be those of several tasks.
    ///
    /// # Panics
    /// If they are out of bounds.
    pub fn part(&self, start: usize, len: usize) -> *mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        std::ptr::slice_from_raw_parts_mut(self.start.wrapping_add(start), len)
    }

    /// The elements `start..start + len` as a slice of one task's own.
    ///
    /// # Safety
    /// No other task may touch these elements while the slice lives.
    ///
    /// # Panics
    /// As [`SharedSlice::part`].
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, start: usize, len: usize) -> &mut [T] {
        // SAFETY: a part is in bounds, and exclusive by the caller's promise.
        unsafe { &mut *self.part(start, len) }
    }
}
