//! Without MPI: there are no ranks.

use std::convert::Infallible;

use conv_net::{PeerError, Peers};

use super::RanksError;

/// Ranks of a build that has none: never made.
pub struct Ranks(Infallible);

impl Ranks {
    /// # Errors
    /// Always [`RanksError::Absent`].
    pub fn join() -> Result<Self, RanksError> {
        Err(RanksError::Absent)
    }

    /// Which this is, from 0.
    pub fn rank(&self) -> usize {
        match self.0 {}
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self.0 {}
    }

    /// How many of them are on this machine.
    pub fn neighbours(&self) -> usize {
        match self.0 {}
    }

    /// The `text` of every rank, in their order.
    pub fn all_texts(&self, _text: &str) -> Vec<String> {
        match self.0 {}
    }

    /// The `floats` of every rank, in their order, with rank 0; `None` with the others.
    pub fn first_gathers(&self, _floats: &[f32]) -> Option<Vec<Vec<f32>>> {
        match self.0 {}
    }

    /// Ends all ranks.
    pub fn abort(&self) -> ! {
        match self.0 {}
    }
}

impl Peers for Ranks {
    fn worker(&self) -> usize {
        match self.0 {}
    }

    fn workers(&self) -> usize {
        match self.0 {}
    }

    fn exchange(&mut self, _: &[Vec<f32>], _: &mut [Vec<f32>], _: &mut dyn FnMut()) -> Result<(), PeerError> {
        match self.0 {}
    }
}
