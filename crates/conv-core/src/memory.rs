//! Memory that a plan needs, and the scratch buffer lent to it.

use conv_simd::{AlignedBuffer, AllocationError};

/// What a plan costs in memory, beyond input, weights as given, and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Bytes of weights prepared for the algorithm, kept as long as the plan.
    pub prepared_bytes: usize,
    /// Bytes of scratch that a run borrows (its workspace), for all workers together.
    pub scratch_bytes: usize,
}

/// Why a run was refused. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// An input or output of another length than the problem's.
    #[error("the {buffer} has {got} floats; this problem needs {expected}")]
    Length {
        /// `input`, `output` or `scratch`.
        buffer: &'static str,
        /// Floats given.
        got: usize,
        /// Floats needed.
        expected: usize,
    },
    /// Scratch that was not reserved beforehand.
    #[error("the scratch buffer has {got} bytes; this plan needs {needed}: call Scratch::reserve first")]
    Scratch {
        /// Bytes it has.
        got: usize,
        /// Bytes needed.
        needed: usize,
    },
}

/// One aligned buffer that only grows, lent to one run after another. Its contents carry nothing from run to run: plans
/// are tested with scratch full of NaN.
#[derive(Debug, Default)]
pub struct Scratch {
    buffer: AlignedBuffer,
}

impl Scratch {
    /// Scratch of at least `bytes`.
    ///
    /// # Errors
    /// [`AllocationError`] if there is not that much memory.
    pub fn with_bytes(bytes: usize) -> Result<Self, AllocationError> {
        let mut scratch = Scratch::default();
        scratch.reserve(bytes)?;
        Ok(scratch)
    }

    /// Grows to at least `bytes`; the old contents are lost.
    ///
    /// # Errors
    /// [`AllocationError`] if there is not that much memory; the scratch is then empty.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), AllocationError> {
        if self.bytes() < bytes {
            // Freed first: the old contents are of no use, and both at once might not fit.
            self.buffer = AlignedBuffer::default();
            self.buffer = AlignedBuffer::zeroed(bytes.div_ceil(4))?;
        }
        Ok(())
    }

    /// Bytes it has.
    pub fn bytes(&self) -> usize {
        self.buffer.len() * 4
    }

    /// Fills it, so that tests can show that no plan relies on its contents.
    pub fn fill(&mut self, value: f32) {
        self.buffer.fill(value);
    }

    /// Lends the first `bytes`.
    ///
    /// # Errors
    /// [`RunError::Scratch`] if it has fewer.
    pub fn lend(&mut self, bytes: usize) -> Result<&mut [f32], RunError> {
        let got = self.bytes();
        self.buffer.get_mut(..bytes / 4).ok_or(RunError::Scratch { got, needed: bytes })
    }
}
