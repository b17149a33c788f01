//! Buffers with guards around them, in which a kernel that reads or writes beside its buffer is seen.

use std::ops::{Deref, DerefMut};

/// A NaN that no arithmetic makes: read, it spoils a result; overwritten, it is missed.
pub(crate) const CANARY: f32 = f32::from_bits(0x7fc0_cafe);

/// Floats on each side: more than a register tile, and an odd number, so that what they guard is aligned to no vector.
pub(crate) const GUARD: usize = 133;

/// Floats between two guards.
pub(crate) struct Guarded(Vec<f32>);

impl Guarded {
    /// `len` times `value`.
    pub(crate) fn filled(len: usize, value: f32) -> Self {
        let mut all = vec![CANARY; GUARD + len + GUARD];
        all[GUARD..GUARD + len].fill(value);
        Guarded(all)
    }

    /// A copy of `values`.
    pub(crate) fn copy_of(values: &[f32]) -> Self {
        let mut guarded = Guarded::filled(values.len(), 0.0);
        guarded.copy_from_slice(values);
        guarded
    }

    /// Floats of the guards that were overwritten.
    pub(crate) fn overwritten(&self) -> usize {
        let end = self.0.len() - GUARD;
        overwritten(&self.0[..GUARD]) + overwritten(&self.0[end..])
    }
}

/// Floats that are no longer [`CANARY`].
pub(crate) fn overwritten(guard: &[f32]) -> usize {
    guard.iter().filter(|value| value.to_bits() != CANARY.to_bits()).count()
}

impl Deref for Guarded {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0[GUARD..self.0.len() - GUARD]
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        let end = self.0.len() - GUARD;
        &mut self.0[GUARD..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_beside_are_counted() {
        let mut guarded = Guarded::copy_of(&[1.0, 2.0, 3.0]);
        assert_eq!(*guarded, [1.0, 2.0, 3.0]);
        guarded.fill(f32::NAN);
        assert_eq!(guarded.overwritten(), 0);
        // Another NaN is a write too.
        guarded.0[GUARD - 1] = f32::NAN;
        assert_eq!(guarded.overwritten(), 1);
        guarded.0[GUARD + 3..].fill(0.0);
        assert_eq!(guarded.overwritten(), 1 + GUARD);
    }
}
