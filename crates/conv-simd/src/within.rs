//! Whether a pointer stays in what it was computed from.

/// Whether `count` elements from `at` on lie in `of`; none do wherever `at` is. Nothing is dereferenced.
///
/// For debug assertions before accesses through computed pointers. Between pages that fault a test sees what leaves its buffer;
/// so it also sees what leaves a row for the next one, or a task's part of a buffer for another's:
///
/// ```
/// let image = [0.0_f32; 12];
/// let row = &image[4..8];
/// assert!(conv_simd::within(row, &image[5], 3));
/// assert!(!conv_simd::within(row, &image[5], 4));
/// ```
#[inline(always)]
pub fn within<T>(of: *const [T], at: *const T, count: usize) -> bool {
    let before = at.addr().checked_sub(of.addr()).map(|bytes| bytes.div_ceil(size_of::<T>().max(1)));
    count == 0 || before.and_then(|before| of.len().checked_sub(before)).is_some_and(|rest| count <= rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_overflows() {
        let floats = [0.0_f32; 8];
        let (of, start) = (&floats[2..6], floats.as_ptr());
        for (first, count, inside) in [
            (2, 4, true),
            (2, 5, false),
            (5, 1, true),
            (6, 0, true),
            (6, 1, false),
            (1, 1, false),
            (0, 0, true),
            (3, usize::MAX, false),
        ] {
            assert_eq!(within(of, start.wrapping_add(first), count), inside, "{count} from {first} on");
        }
        let between = start.wrapping_add(2).wrapping_byte_add(1);
        assert!(within(of, between, 3) && !within(of, between, 4));
        let last = std::ptr::without_provenance(usize::MAX);
        assert!(within(of, last, 0) && !within(of, last, 1));
        assert!(within(&[], std::ptr::null::<f32>(), 0) && !within(&[], std::ptr::null::<f32>(), 1));
    }
}
