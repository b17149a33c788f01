//! How workers tell each other what they computed.

use std::sync::mpsc::{Receiver, Sender, channel};

/// A worker's way to the others. All of them make the same exchanges in the same order.
pub trait Peers {
    /// Which worker this is, from 0.
    fn worker(&self) -> usize;

    /// How many there are.
    fn workers(&self) -> usize;

    /// Sends `sends[w]` to worker `w` and fills `receives[w]` with what that one sends here; nothing where they are empty.
    /// `meanwhile` runs once, while floats are on their way, or after they came.
    ///
    /// # Errors
    /// [`PeerError`] if a worker is gone.
    fn exchange(
        &mut self,
        sends: &[Vec<f32>],
        receives: &mut [Vec<f32>],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), PeerError>;
}

/// A worker that cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It ended, for a reason of its own.
    #[error("worker {worker} ended before it sent what was waited for")]
    Gone {
        /// Which.
        worker: usize,
    },
    /// It sent something else.
    #[error(
        "worker {worker} sent {got} floats where {expected} were waited for; all must run the same program, network and plan"
    )]
    Length {
        /// Which.
        worker: usize,
        /// What came.
        got: usize,
        /// What was to come.
        expected: usize,
    },
}

/// Workers that are threads of one process.
#[derive(Debug)]
pub struct Threads {
    worker: usize,
    /// To each worker, and from each; unused with itself.
    to: Vec<Sender<Vec<f32>>>,
    from: Vec<Receiver<Vec<f32>>>,
    /// Buffers that came from others, to be sent again.
    spare: Vec<Vec<f32>>,
}

impl Threads {
    /// The ways of `workers` workers, one for each. Whoever drops its own ends all who wait for it.
    pub fn of(workers: usize) -> Vec<Threads> {
        let (mut senders, mut receivers): (Vec<Vec<_>>, Vec<Vec<_>>) =
            ((0..workers).map(|_| Vec::new()).collect(), (0..workers).map(|_| Vec::new()).collect());
        for sends in &mut senders {
            for receives in &mut receivers {
                let (to, from) = channel();
                sends.push(to);
                receives.push(from);
            }
        }
        let ways = senders.into_iter().zip(receivers).enumerate();
        ways.map(|(worker, (to, from))| Threads { worker, to, from, spare: Vec::new() }).collect()
    }
}

impl Peers for Threads {
    fn worker(&self) -> usize {
        self.worker
    }

    fn workers(&self) -> usize {
        self.to.len()
    }

    fn exchange(
        &mut self,
        sends: &[Vec<f32>],
        receives: &mut [Vec<f32>],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), PeerError> {
        for (worker, (way, floats)) in self.to.iter().zip(sends).enumerate() {
            if worker != self.worker && !floats.is_empty() {
                let mut message = self.spare.pop().unwrap_or_default();
                message.clear();
                message.extend_from_slice(floats);
                way.send(message).map_err(|_| PeerError::Gone { worker })?;
            }
        }
        meanwhile();
        for (worker, (way, floats)) in self.from.iter().zip(receives).enumerate() {
            if worker != self.worker && !floats.is_empty() {
                let message = way.recv().map_err(|_| PeerError::Gone { worker })?;
                let (got, expected) = (message.len(), floats.len());
                if got != expected {
                    return Err(PeerError::Length { worker, got, expected });
                }
                floats.copy_from_slice(&message);
                if self.spare.len() < self.to.len() {
                    self.spare.push(message);
                }
            }
        }
        Ok(())
    }
}
