//! The layers between convolutions, over NHWC: contiguous channels, one vector after another.

mod lrn;
mod pool;
mod softmax;

use std::sync::Mutex;

use conv_core::for_each_task;

pub(crate) use lrn::normalise;
pub(crate) use pool::max_pool;
pub(crate) use softmax::softmax;

/// Calls `task` with each chunk of `len` floats and its index, from up to `workers` threads of the current rayon pool.
/// Whoever is free takes the next chunk. Allocates nothing when called from inside the pool.
fn for_each_chunk<F>(workers: usize, output: &mut [f32], len: usize, task: F)
where
    F: Fn(usize, &mut [f32]) + Sync,
{
    let tasks = output.len().div_ceil(len);
    let chunks = Mutex::new(output.chunks_mut(len).enumerate());
    for_each_task(workers, tasks, &mut [], |_, _| {
        let next = chunks.lock().expect("nobody panics while holding the lock").next();
        let (index, chunk) = next.expect("there are as many tasks as chunks");
        task(index, chunk);
    });
}
