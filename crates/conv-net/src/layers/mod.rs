//! The layers between convolutions, over NHWC: contiguous channels, one vector after another.

mod affine;
mod binary;
mod copy;
mod elementwise;
mod functions;
mod lrn;
mod lrn_pool;
mod pad;
mod pool;
mod reduce;
mod reshape;
mod resize;
mod softmax;
mod strided;
mod transposed;

use conv_core::{Parts, for_each_part};
use conv_simd::Simd;

pub(crate) use affine::Affine;
pub use binary::Binary;
pub(crate) use binary::BroadcastOp;
pub(crate) use copy::StridedCopy;
pub use elementwise::Activation;
pub(crate) use elementwise::activate;
pub(crate) use lrn::normalise;
pub(crate) use lrn_pool::{normalise_and_pool, scratch_floats};
pub use pad::PadMode;
pub(crate) use pad::Padding;
pub(crate) use pool::{Fold, pool};
pub(crate) use reduce::ReduceOp;
pub use reduce::Reduction;
pub(crate) use reshape::reshaped;
pub(crate) use resize::Resizer;
pub use resize::{Coordinates, Resize, ResizeMode, Rounding};
pub(crate) use softmax::{softmax, softmax_along};
pub(crate) use strided::{Dimension, dimensions, row_major};
pub(crate) use transposed::{TransposedConv, TransposedShape};

/// Tasks that a kernel is cut into at most.
const TASKS: usize = 200;

/// Floats of one task, about: what takes a microsecond or two is not worth a fork.
const TASK_FLOATS: usize = 8 << 10;

/// Floats of one task of `floats`, in whole units of `unit` floats.
fn task_len(floats: usize, unit: usize) -> usize {
    let unit = unit.max(1);
    (floats / unit).div_ceil(TASKS).max(TASK_FLOATS / unit).max(1) * unit
}

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

/// Calls `task` with each chunk of `len` floats and its index, from up to `workers` threads of the current rayon pool:
/// [`for_each_part`].
fn for_each_chunk<F>(workers: usize, output: &mut [f32], len: usize, task: F)
where
    F: Fn(usize, &mut [f32]) + Sync,
{
    let parts = Parts::of(output.len(), len);
    for_each_part(workers, output, &parts, &mut [], |_, index, chunk| task(index, chunk));
}
