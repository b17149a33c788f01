//! Interleaving: what is compared takes turns.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Samples that are taken at most.
    pub samples: usize,
    /// Samples that are taken however long they last.
    pub min_samples: usize,
    /// Time a candidate and a kind of measurement (warm, cold, prepare), after which no round begins.
    pub budget: Duration,
    /// Whether cold caches are measured too.
    pub cold: bool,
    /// Whether runs as in a network are measured too: weights from memory, everything else in the caches.
    pub network: bool,
}

impl Effort {
    /// For figures that are kept.
    pub const FULL: Effort =
        Effort { samples: 41, min_samples: 5, budget: Duration::from_millis(300), cold: true, network: false };
    /// For a first look.
    pub const QUICK: Effort =
        Effort { samples: 11, min_samples: 3, budget: Duration::from_millis(40), cold: false, network: false };
    /// For comparing choices.
    pub const NETWORK: Effort = Effort { cold: false, network: true, ..Effort::FULL };
}

/// Lets every entry give one sample a round, in an order that is shuffled anew, after `begin_round`: until there are as many
/// as `effort` wants, or its time for all entries is over.
///
/// # Errors
/// The first error of `give_sample`.
pub fn rounds<T, E>(
    effort: Effort,
    entries: &mut [T],
    mut begin_round: impl FnMut(),
    mut give_sample: impl FnMut(&mut T) -> Result<(), E>,
) -> Result<(), E> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let end = Instant::now() + effort.budget * entries.len() as u32;
    for round in 0..effort.samples {
        if round >= effort.min_samples && Instant::now() >= end {
            break;
        }
        begin_round();
        order.shuffle(&mut rng);
        for &index in &order {
            give_sample(&mut entries[index])?;
        }
    }
    Ok(())
}
