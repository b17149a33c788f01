//! The layers between convolutions, over NHWC: contiguous channels, one vector after another.

mod lrn;
mod lrn_pool;
mod pool;
mod relu;
mod softmax;

use std::sync::Mutex;

use conv_core::for_each_task;
use conv_simd::Simd;

pub(crate) use lrn::normalise;
pub(crate) use lrn_pool::{normalise_and_pool, scratch_floats};
pub(crate) use pool::{Reduce, pool};
pub(crate) use relu::relu;
pub(crate) use softmax::softmax;

/// [`Simd::load_partial`], without a mask where none is needed.
#[inline(always)]
fn read<S: Simd>(simd: S, from: &[f32]) -> S::Vec {
    if from.len() >= S::LANES { simd.load(from) } else { simd.load_partial(from) }
}

/// [`Simd::store_partial`], without a mask where none is needed.
#[inline(always)]
fn write<S: Simd>(simd: S, to: &mut [f32], value: S::Vec) {
    if to.len() >= S::LANES { simd.store(to, value) } else { simd.store_partial(to, value) }
}

/// Calls `task` with each chunk of `len` floats and its index, from up to `workers` threads of the current rayon pool.
/// Whoever is free takes the next chunk. Allocates nothing when called from inside the pool.
fn for_each_chunk<F>(workers: usize, output: &mut [f32], len: usize, task: F)
where
    F: Fn(usize, &mut [f32]) + Sync,
{
    let tasks = output.len().div_ceil(len);
    for_each_part(workers, tasks, output.chunks_mut(len), &mut [], |index, chunk, _| task(index, chunk));
}

/// The same for `tasks` parts of any kind, each with its worker's share of `scratch`.
fn for_each_part<'a, P, F>(workers: usize, tasks: usize, parts: P, scratch: &mut [f32], task: F)
where
    P: Iterator<Item = &'a mut [f32]> + Send,
    F: Fn(usize, &mut [f32], &mut [f32]) + Sync,
{
    let parts = Mutex::new(parts.enumerate());
    for_each_task(workers, tasks, scratch, |share, _| {
        let next = parts.lock().expect("nobody panics while holding the lock").next();
        let (index, part) = next.expect("there are as many tasks as parts");
        task(index, part, share);
    });
}
