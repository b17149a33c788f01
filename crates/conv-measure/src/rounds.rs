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
    /// How many times that while too few rounds are quiet.
    pub patience: u32,
    /// Whether cold caches are measured too.
    pub cold: bool,
    /// Whether runs as in a network are measured too: weights from memory, everything else in the caches.
    pub network: bool,
}

impl Effort {
    /// For figures that are kept.
    pub const FULL: Effort = Effort {
        samples: 41,
        min_samples: 5,
        budget: Duration::from_millis(300),
        patience: 3,
        cold: true,
        network: false,
    };
    /// For a first look.
    pub const QUICK: Effort = Effort {
        samples: 11,
        min_samples: 3,
        budget: Duration::from_millis(40),
        patience: 1,
        cold: false,
        network: false,
    };
    /// For comparing choices.
    pub const NETWORK: Effort = Effort { cold: false, network: true, ..Effort::FULL };
}

/// Lets every entry give one sample a round, in an order that is shuffled anew, until as many rounds were quiet as `effort` wants
/// samples, or its time for all entries is over. Before each round and after the last one `watch` tells whether the round before
/// was quiet. While fewer were than there must be samples, rounds go on for `patience` times that time.
///
/// # Errors
/// The first error of `give_sample`.
pub fn rounds<T, E>(
    effort: Effort,
    entries: &mut [T],
    mut watch: impl FnMut() -> bool,
    mut give_sample: impl FnMut(&mut T) -> Result<(), E>,
) -> Result<(), E> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let (start, time) = (Instant::now(), effort.budget * entries.len() as u32);
    let (mut rounds, mut quiet) = (0, 0);
    loop {
        quiet += usize::from(watch() && rounds > 0);
        let time = if quiet < effort.min_samples { effort.patience * time } else { time };
        if quiet >= effort.samples || rounds >= effort.min_samples && start.elapsed() >= time {
            return Ok(());
        }
        order.shuffle(&mut rng);
        for &index in &order {
            give_sample(&mut entries[index])?;
        }
        rounds += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Rounds until the end, of which every `quiet`th is.
    fn count(budget: Duration, quiet: usize) -> usize {
        let effort = Effort { samples: 10, min_samples: 4, budget, patience: 3, ..Effort::QUICK };
        let (mut watched, mut rounds_made) = (0, 0);
        let watch = || {
            watched += 1;
            watched > 1 && (watched - 1) % quiet == 0
        };
        let made = rounds(effort, &mut [()], watch, |()| {
            rounds_made += 1;
            std::thread::sleep(Duration::from_millis(1));
            Ok::<_, Infallible>(())
        });
        made.unwrap();
        rounds_made
    }

    #[test]
    fn rounds_go_on_until_enough_were_quiet() {
        assert_eq!(count(Duration::from_secs(60), 1), 10);
        assert_eq!(count(Duration::from_secs(60), 3), 30);
        assert_eq!(count(Duration::ZERO, 1), 4);
        assert!((4..=61).contains(&count(Duration::from_millis(20), 1000)));
    }
}
