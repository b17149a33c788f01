//! Asking a measurement to end early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether whoever started a measurement wants it to end. Clones ask for the same.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

/// A measurement that was asked to end, and did before it was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped before it was complete")]
pub struct Stopped;

impl Stop {
    /// Asks for the end. Returns whether that had been asked before.
    pub fn ask(&self) -> bool {
        self.0.swap(true, Relaxed)
    }

    /// Goes on, unless the end was asked for.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn check(&self) -> Result<(), Stopped> {
        if self.0.load(Relaxed) { Err(Stopped) } else { Ok(()) }
    }
}
