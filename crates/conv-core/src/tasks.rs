//! The one way in which a run's work is handed to threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls `task(share, index)` once for every index below `tasks`, from up to `workers` threads of the current rayon pool.
///
/// Each of the `workers` strands owns one share of `scratch` (`scratch.len() / workers` floats, rounded down) and takes
/// the next index whenever it is free, so that unequal tasks and a disturbed core balance out. Indices are handed out in
/// order: neighbours in index should be neighbours in memory. Allocates nothing when called from inside the pool.
pub fn for_each_task<F>(workers: usize, tasks: usize, scratch: &mut [f32], task: F)
where
    F: Fn(&mut [f32], usize) + Sync,
{
    let workers = workers.clamp(1, tasks.max(1));
    let share = scratch.len() / workers;
    let next = AtomicUsize::new(0);
    let strand = |share: &mut [f32]| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= tasks {
                break;
            }
            task(share, index);
        }
    };
    fork(workers, share, scratch, &strand);
}

/// Splits the strands in two halves until each has one share.
fn fork<F: Fn(&mut [f32]) + Sync>(workers: usize, share: usize, scratch: &mut [f32], strand: &F) {
    if workers == 1 {
        return strand(&mut scratch[..share]);
    }
    let (left, right) = (workers / 2, workers - workers / 2);
    let (scratch_left, scratch_right) = scratch.split_at_mut(left * share);
    rayon::join(|| fork(left, share, scratch_left, strand), || fork(right, share, scratch_right, strand));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_once_with_its_own_share() {
        for (workers, tasks) in [(1, 7), (3, 100), (8, 2), (4, 0)] {
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            let mut scratch = vec![0.0; 40];
            for_each_task(workers, tasks, &mut scratch, |share, index| {
                assert_eq!(share.len(), 40 / workers.clamp(1, tasks.max(1)));
                share.fill(index as f32);
                counts[index].fetch_add(1, Ordering::Relaxed);
                assert!(share.iter().all(|&x| x == index as f32), "another task wrote here");
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }
}
