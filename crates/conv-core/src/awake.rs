//! Threads that wait for each other awake.
//!
//! A thread of a rayon pool that finds nothing to do looks some thirty times more, for about ten microseconds, and then sleeps. To
//! wake it took 34 µs on a virtual machine whose cores halt while they sleep, as long as a small layer computes: on two threads
//! whoever was done ten microseconds before the other began the next layer so much later. The figures are in DECISIONS.md.

use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// Whether this thread does somebody's work. It must not begin to [`watch`] while it waits for a part of that: the watch might be for
    /// the very work that waits for this thread.
    static ENGAGED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` while up to `workers - 1` other threads of the current rayon pool look for what it forks, without sleeping
/// between one fork and the next. They compute whatever else the pool has to do, too. Allocates nothing when called from inside
/// the pool.
pub fn keep_awake<R: Send>(workers: usize, work: impl FnOnce() -> R + Send) -> R {
    if workers <= 1 {
        return work();
    }
    let working = AtomicBool::new(true);
    let (mut work, mut result) = (Some(work), None);
    beside_watchers(workers - 1, &working, &mut || {
        let _working = Lowered(&working);
        result = work.take().map(|work| engaged(work));
    });
    result.expect("it ran once")
}

/// Runs `work` with so many watchers on offer to others, each by itself: a watcher that has to be divided could not begin.
fn beside_watchers(watchers: usize, working: &AtomicBool, work: &mut (dyn FnMut() + Send)) {
    match watchers {
        0 => work(),
        _ => {
            rayon::join(|| beside_watchers(watchers - 1, working, work), || watch(working));
        }
    }
}

/// Does what the pool has to do, for as long as somebody is `working`.
fn watch(working: &AtomicBool) {
    if !ENGAGED.get() {
        engaged(|| wait_while(working, || rayon::yield_now() == Some(rayon::Yield::Executed)));
    }
}

/// Runs `left` and, if another thread takes it, `right` beside it. Whoever runs `left` waits for that thread awake.
pub(crate) fn fork(left: impl FnOnce() + Send, right: impl FnOnce() + Send) {
    let running = AtomicBool::new(false);
    let left = || {
        engaged(left);
        wait_while(&running, || false);
    };
    let right = || {
        running.store(true, Ordering::Release);
        let _running = Lowered(&running);
        engaged(right);
    };
    engaged(|| rayon::join(left, right));
}

/// Does somebody's work.
fn engaged<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ENGAGED.set(self.0);
        }
    }
    let _before = Restore(ENGAGED.replace(true));
    work()
}

/// How often a thread looks before others have their turn, some three microseconds.
const LOOKS: usize = 64;

/// How often others have had their turn before it sleeps after all, about a millisecond: where there are more threads than cores
/// it keeps one of them from its work.
const TURNS: usize = 256;

/// Looks for something to do until the flag is lowered, or there has been nothing for long.
fn wait_while(flag: &AtomicBool, look: impl Fn() -> bool) {
    let mut idle = 0;
    while flag.load(Ordering::Acquire) && idle < TURNS * LOOKS {
        if look() {
            idle = 0;
            continue;
        }
        idle += 1;
        spin_loop();
        if idle.is_multiple_of(LOOKS) {
            std::thread::yield_now();
        }
    }
}

/// Lowers its flag at its end, even if that is a panic.
struct Lowered<'a>(&'a AtomicBool);

impl Drop for Lowered<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::for_each_task;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    /// Waits until `reached`, which other threads bring about.
    fn await_that(reached: impl Fn() -> bool) {
        let begun = Instant::now();
        while !reached() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never reached");
            std::thread::yield_now();
        }
    }

    /// How many threads of the current pool are engaged.
    fn busy() -> usize {
        rayon::broadcast(|_| ENGAGED.get()).into_iter().filter(|&engaged| engaged).count()
    }

    #[test]
    fn another_thread_watches_until_the_work_ends() {
        // Whoever asks takes back what nobody has begun yet, and who has watched for long sleeps.
        let watched = || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(200) {
                spin_loop();
            }
            busy() == 2
        };
        pool(2).install(|| {
            await_that(|| keep_awake(2, watched));
            assert_eq!(busy(), 0);
            assert!(!keep_awake(1, watched));
        });
    }

    #[test]
    fn work_that_forks_and_keeps_awake_in_turn_ends() {
        // More threads than cores, so that watchers and forks meet in every order.
        let pool = pool(5);
        let done = AtomicUsize::new(0);
        pool.install(|| {
            for _ in 0..50 {
                let answer = keep_awake(5, || {
                    for_each_task(5, 20, &mut [], |_, _| {
                        keep_awake(3, || for_each_task(4, 4, &mut [], |_, _| _ = done.fetch_add(1, Ordering::Relaxed)));
                    });
                    42
                });
                assert_eq!(answer, 42);
            }
        });
        assert_eq!(done.into_inner(), 50 * 20 * 4);
    }

    #[test]
    fn passes_that_share_a_pool_end() {
        let (pool, done) = (pool(3), AtomicUsize::new(0));
        pool.scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|_| {
                    keep_awake(3, || for_each_task(3, 30, &mut [], |_, _| _ = done.fetch_add(1, Ordering::Relaxed)));
                });
            }
        });
        assert_eq!(done.into_inner(), 20 * 30);
    }

    #[test]
    fn a_panic_ends_the_watch() {
        let pool = pool(2);
        let panics = |work: &(dyn Fn() + Sync)| {
            pool.install(|| catch_unwind(AssertUnwindSafe(|| keep_awake(2, work))).unwrap_err());
        };
        panics(&|| panic!("in the work"));
        panics(&|| fork(|| (), || panic!("to the right")));
        panics(&|| fork(|| panic!("to the left"), || ()));
        assert_eq!(pool.install(busy), 0);
    }
}
