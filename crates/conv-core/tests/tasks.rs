//! Tasks from inside a pool of other size than the number of workers.

use std::sync::atomic::{AtomicUsize, Ordering};

use conv_core::for_each_task;

/// Whichever thread begins, and however few workers it asks for: no stretch is left to a thread that never comes.
#[test]
fn every_task_once_from_any_thread_of_a_pool() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for (workers, tasks) in [(1, 7), (2, 9), (3, 100), (9, 20)] {
        pool.broadcast(|thread| {
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            for_each_task(workers, tasks, &mut [], |_, index| {
                counts[index].fetch_add(1, Ordering::Relaxed);
            });
            let once = counts.iter().all(|count| count.load(Ordering::Relaxed) == 1);
            assert!(once, "{workers} workers, {tasks} tasks, from thread {}", thread.index());
        });
    }
}
