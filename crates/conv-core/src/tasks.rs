//! The one way in which work is handed to threads.

use std::array;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::awake;

/// Stretches of tasks at most; more workers than that share them.
const STRETCHES: usize = 64;

/// The next task of a stretch, in a cache line of its own.
#[repr(align(64))]
struct Next(AtomicUsize);

/// Calls `task(share, index)` once for every index below `tasks`, from up to `workers` threads of the current rayon pool.
///
/// Each of the `workers` strands owns one share of `scratch` (`scratch.len() / workers` floats, rounded down). The indices
/// are cut into a stretch for each of them; a thread takes those of its own stretch in order, run after run the same ones, and
/// then, one at a time, what is left of the others', so that unequal tasks and a disturbed core balance out. What a thread
/// read and wrote in one run is thus in its own caches in the next: taken from one queue by whoever was free, half of all
/// lines had to come from the other core, and where the two were far apart AlexNet's conv1 ran at 90 to 92% of the peak in
/// place of 95 to 96%. Neighbours in index should be neighbours in memory. Allocates nothing when called from inside the
/// pool.
pub fn for_each_task<F>(workers: usize, tasks: usize, scratch: &mut [f32], task: F)
where
    F: Fn(&mut [f32], usize) + Sync,
{
    let cut = Stretches::new(workers, tasks);
    if cut.count == 1 {
        return (0..tasks).for_each(|index| task(scratch, index));
    }
    let next: [Next; STRETCHES] = array::from_fn(|stretch| Next(AtomicUsize::new(cut.first(stretch))));
    cut.work(scratch, |share, stretch| {
        let (Next(next), end) = (&next[stretch], cut.first(stretch + 1));
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= end {
                break;
            }
            task(share, index);
        }
    });
}

/// How an output is cut into parts: rows, of each row the beginning, in pieces.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// Rows.
    pub rows: usize,
    /// Floats from one row's beginning to the next's.
    pub pitch: usize,
    /// Floats of a row that are cut, at most `pitch`; what lies behind them is another's.
    pub used: usize,
    /// Floats of a part, of which a row's last one may have fewer; at least one.
    pub part: usize,
}

impl Parts {
    /// `floats` in parts of `part`, the last of which may be shorter.
    pub fn of(floats: usize, part: usize) -> Self {
        Parts { rows: 1, pitch: floats, used: floats, part }
    }

    fn len(&self) -> usize {
        self.rows * self.used.div_ceil(self.part)
    }

    /// Where part `index` of an output of `floats` lies.
    fn range(&self, index: usize, floats: usize) -> Range<usize> {
        let parts = self.used.div_ceil(self.part);
        let (row, first) = (index / parts * self.pitch, index % parts * self.part);
        let end = self.used.min(first.saturating_add(self.part));
        (row + first).min(floats)..row.saturating_add(end).min(floats)
    }
}

/// A stretch of parts: the output from its next part on.
#[repr(align(64))]
struct Stretch<'a> {
    next: usize,
    at: usize,
    output: &'a mut [f32],
}

impl<'a> Stretch<'a> {
    /// The next part, and its index.
    fn take(&mut self, parts: &Parts, floats: usize) -> (usize, &'a mut [f32]) {
        let range = parts.range(self.next, floats);
        let (_, rest) = std::mem::take(&mut self.output).split_at_mut(range.start - self.at);
        let (part, rest) = rest.split_at_mut(range.len());
        (self.at, self.output) = (range.end, rest);
        self.next += 1;
        (self.next - 1, part)
    }
}

/// Calls `task(share, index, part)` once for each of the `parts` of `output`, which are given out as [`for_each_task`] gives out
/// indices: a thread that wrote some rows of one layer reads and writes the same ones of the next.
pub fn for_each_part<F>(workers: usize, output: &mut [f32], parts: &Parts, scratch: &mut [f32], task: F)
where
    F: Fn(&mut [f32], usize, &mut [f32]) + Sync,
{
    let (cut, floats) = (Stretches::new(workers, parts.len()), output.len());
    let (mut rest, mut at) = (output, 0);
    let stretches: [Mutex<Stretch<'_>>; STRETCHES] = array::from_fn(|stretch| {
        let end = cut.first(stretch + 1);
        let end = if end == cut.tasks { floats } else { parts.range(end, floats).start };
        let (output, others) = std::mem::take(&mut rest).split_at_mut(end - at);
        let own = Stretch { next: cut.first(stretch), at, output };
        (rest, at) = (others, end);
        Mutex::new(own)
    });
    cut.work(scratch, |share, stretch| {
        let end = cut.first(stretch + 1);
        loop {
            let mut stretch = stretches[stretch].lock().expect("nobody panics while holding the lock");
            if stretch.next == end {
                break;
            }
            let (index, part) = stretch.take(parts, floats);
            drop(stretch);
            task(share, index, part);
        }
    });
}

/// So many tasks, cut into a stretch for each worker.
#[derive(Clone, Copy)]
struct Stretches {
    workers: usize,
    tasks: usize,
    count: usize,
}

impl Stretches {
    fn new(workers: usize, tasks: usize) -> Self {
        let workers = workers.clamp(1, tasks.max(1));
        Stretches { workers, tasks, count: workers.min(STRETCHES) }
    }

    /// The first task of a stretch; of one behind the last, all tasks.
    fn first(self, stretch: usize) -> usize {
        // Without a division, which would cost as much as a microsecond's work, where there is nothing to divide.
        match stretch {
            0 => 0,
            _ if stretch >= self.count => self.tasks,
            _ => (stretch as u128 * self.tasks as u128 / self.count as u128) as usize,
        }
    }

    /// Has each worker do its own stretch and then what is left of the others.
    fn work<F: Fn(&mut [f32], usize) + Sync>(self, scratch: &mut [f32], stretch: F) {
        let strand = |share: &mut [f32]| {
            let own = rayon::current_thread_index().unwrap_or_default();
            (own..own + self.count).for_each(|index| stretch(share, index % self.count));
        };
        fork(self.workers, scratch.len() / self.workers, scratch, &strand);
    }
}

/// Calls `task(index)` once for every index below `tasks`, on all threads of the current rayon pool: [`for_each_task`] for
/// what a plan prepares, which is worth them all however few are to work on its runs.
pub fn parallel_for<F: Fn(usize) + Sync>(tasks: usize, task: F) {
    for_each_task(rayon::current_num_threads(), tasks, &mut [], |_, index| task(index));
}

/// Splits the strands in two halves until each has one share.
fn fork<F: Fn(&mut [f32]) + Sync>(workers: usize, share: usize, scratch: &mut [f32], strand: &F) {
    if workers == 1 {
        return strand(&mut scratch[..share]);
    }
    let (left, right) = (workers / 2, workers - workers / 2);
    let (scratch_left, scratch_right) = scratch.split_at_mut(left * share);
    awake::fork(|| fork(left, share, scratch_left, strand), || fork(right, share, scratch_right, strand));
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Condvar, Mutex};
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_task_once_with_its_own_share() {
        for (workers, tasks) in [(1, 7), (3, 100), (8, 2), (4, 0), (70, 100)] {
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

    #[test]
    fn every_part_once_and_nothing_else() {
        // Of the last row the end may be missing.
        for (rows, pitch, used, part, missing) in [
            (5, 30, 24, 7, 6),
            (1, 10, 10, 20, 0),
            (70, 8, 8, 8, 0),
            (2, usize::MAX, usize::MAX, 9, 0),
            (3, 9, 0, 4, 0),
        ] {
            for workers in [1, 2, 3, 70] {
                let floats = if pitch == usize::MAX { 40 } else { rows * pitch - missing };
                let rows = if pitch == usize::MAX { 1 } else { rows };
                let (used, pitch) = (used.min(floats), pitch);
                let mut output = vec![0.0; floats];
                for_each_part(workers, &mut output, &Parts { rows, pitch, used, part }, &mut [], |_, index, part| {
                    part.iter_mut().for_each(|y| *y += 1.0 + index as f32);
                });
                let per_row = used.div_ceil(part);
                for (i, &y) in output.iter().enumerate() {
                    let (row, at) = (i / pitch, i % pitch);
                    let expected = if at < used { (row * per_row + at / part + 1) as f32 } else { 0.0 };
                    assert_eq!(
                        y, expected,
                        "float {i} of {rows} rows of {used} of {pitch}, by {part}, {workers} workers"
                    );
                }
            }
        }
    }

    #[test]
    fn every_index_once_and_on_all_threads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        // The first three tasks wait for each other.
        let (begun, changed) = (Mutex::new(0), Condvar::new());
        let counts: [AtomicUsize; 9] = Default::default();
        pool.install(|| {
            parallel_for(counts.len(), |index| {
                counts[index].fetch_add(1, Ordering::Relaxed);
                *begun.lock().unwrap() += 1;
                changed.notify_all();
                let alone = |begun: &mut usize| *begun < 3;
                let met = changed.wait_timeout_while(begun.lock().unwrap(), Duration::from_secs(20), alone);
                assert!(!met.unwrap().1.timed_out(), "no three threads");
            });
        });
        assert_eq!(counts.map(AtomicUsize::into_inner), [1; 9]);
    }

    #[test]
    fn each_thread_takes_its_own_stretch_in_every_run() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        // Both threads are in a task whenever one is.
        let meeting = Barrier::new(2);
        for _ in 0..10 {
            let takers = [const { AtomicUsize::new(usize::MAX) }; 6];
            pool.install(|| {
                for_each_task(2, takers.len(), &mut [], |_, index| {
                    takers[index].store(rayon::current_thread_index().unwrap(), Ordering::Relaxed);
                    meeting.wait();
                });
            });
            assert_eq!(takers.map(AtomicUsize::into_inner), [0, 0, 0, 1, 1, 1]);
            let mut takers = [f32::NAN; 6];
            pool.install(|| {
                for_each_part(2, &mut takers, &Parts::of(6, 1), &mut [], |_, _, taker| {
                    taker.fill(rayon::current_thread_index().unwrap() as f32);
                    meeting.wait();
                });
            });
            assert_eq!(takers, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        }
    }
}
