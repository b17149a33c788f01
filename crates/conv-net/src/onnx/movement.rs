//! The arithmetic of reshaping and slicing.

use super::listed;

/// The most dimensions of a constant; NumPy's own limit.
pub(super) const MAX_RANK: usize = 64;

/// The sizes that a Reshape's `target` means for a tensor of `sizes`: 0 is the size that was unless `allow_zero`, one −1 what
/// is left. `None` if it cannot be.
pub(super) fn target(sizes: &[usize], target: &[i64], allow_zero: bool) -> Option<Vec<usize>> {
    if target.len() > MAX_RANK {
        return None;
    }
    let all = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
    let mut made = Vec::with_capacity(target.len());
    let mut open = None;
    for (axis, &size) in target.iter().enumerate() {
        made.push(match size {
            0 if !allow_zero => *sizes.get(axis)?,
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            size => usize::try_from(size).ok()?,
        });
    }
    if let Some(open) = open {
        let others = made.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
        made[open] = all.checked_div(others)?;
    }
    // A size of zero does not make up for others that overflow.
    let fits = made.iter().try_fold(1_usize, |product, &size| product.checked_mul(size.max(1))).is_some();
    fits.then_some(made)
}

/// The first element and the number of those that a Slice takes of `len`.
pub(super) fn range(len: usize, start: i64, end: i64, step: i64) -> Option<(usize, usize)> {
    let len = i64::try_from(len).ok()?;
    let from_end = |place: i64| if place < 0 { place.saturating_add(len) } else { place };
    if step == 0 {
        return None;
    }
    if len == 0 {
        return Some((0, 0));
    }
    let (start, end) = (from_end(start), from_end(end));
    let (start, end) = if step > 0 {
        (start.clamp(0, len), end.clamp(0, len))
    } else {
        (start.clamp(0, len - 1), end.clamp(-1, len - 1))
    };
    let distance = if step > 0 { end - start } else { start - end };
    let count = if distance > 0 { (distance - 1) / step.saturating_abs() + 1 } else { 0 };
    Some((usize::try_from(start).ok()?, usize::try_from(count).ok()?))
}

/// The axes of a list, each once and ascending.
pub(super) fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let axes: Option<Vec<usize>> = given.iter().map(|&axis| index(axis, rank)).collect();
    let mut axes = axes.ok_or_else(|| format!("has axes = {}, of a tensor of {rank} dimensions", listed(given)))?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

/// An axis, or a place on one, counted from the end if it is negative.
pub(super) fn index(value: i64, of: usize) -> Option<usize> {
    let value = if value < 0 { value.checked_add(of as i64)? } else { value };
    usize::try_from(value).ok().filter(|&value| value < of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_as_ranges() {
        for (len, start, end, step, first, count) in [
            (5, 0, 5, 1, 0, 5),
            (5, 1, -1, 2, 1, 2),
            (5, -1, i64::MIN, -1, 4, 5),
            (5, 4, i64::MIN, -2, 4, 3),
            (6, -1, -100, -4, 5, 2),
            (5, 9, 1, -1, 4, 3),
            (5, 3, 3, 1, 3, 0),
            (5, 2, 4, -1, 2, 0),
            (5, 2, i64::MAX, i64::MAX, 2, 1),
            (5, 2, i64::MIN, i64::MIN, 2, 1),
        ] {
            let got = range(len, start, end, step);
            assert_eq!(got.map(|(_, count)| count), Some(count), "{len}[{start}:{end}:{step}]");
            assert!(count == 0 || got == Some((first, count)), "{len}[{start}:{end}:{step}]: {got:?}");
        }
        assert_eq!(range(5, 0, 5, 0), None);
    }
}
