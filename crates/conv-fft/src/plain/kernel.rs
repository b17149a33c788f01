//! The unsafe part: floats seen as complex numbers, and parts of shared memory that tasks own.

use conv_core::parallel_for;
use conv_simd::{AlignedBuffer, AllocationError, SharedSlice, Simd, SimdOp};

use super::plan::PlainPlan;
use super::transform::Complex;

/// The same memory as complex numbers; an odd last float is left out.
pub(super) fn as_complex(floats: &mut [f32]) -> &mut [Complex] {
    // SAFETY: `Complex<f32>` is `repr(C)` of two `f32`, of the same alignment, and any bits are valid.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len() / 2) }
}

/// The same memory as real numbers, twice as many.
pub(super) fn as_real(complex: &mut [Complex]) -> &mut [f32] {
    // SAFETY: as in `as_complex`.
    unsafe { std::slice::from_raw_parts_mut(complex.as_mut_ptr().cast(), complex.len() * 2) }
}

/// Complex numbers `start..start + len` of a buffer of floats. Callers are tasks that each ask for their own.
#[allow(clippy::mut_from_ref)]
pub(super) fn complex_part<'a>(buffer: &'a SharedSlice<'_, f32>, start: usize, len: usize) -> &'a mut [Complex] {
    // SAFETY: a task's index decides the range: one filter's spectrum, or one tile's of one channel.
    as_complex(unsafe { buffer.slice(2 * start, 2 * len) })
}

/// `len` floats, of which each task makes `task_len`, the last one what is left.
pub(super) fn collect(
    len: usize,
    task_len: usize,
    make: impl Fn(usize) -> Vec<f32> + Sync,
) -> Result<AlignedBuffer, AllocationError> {
    let mut buffer = AlignedBuffer::uninit(len)?;
    let shared = SharedSlice::new(&mut buffer);
    parallel_for(len.div_ceil(task_len), |task| {
        let (start, made) = (task * task_len, make(task));
        // SAFETY: each task has floats of its own.
        let floats = unsafe { shared.slice(start, task_len.min(len - start)) };
        assert_eq!(made.len(), floats.len());
        for (to, value) in floats.iter_mut().zip(made) {
            to.write(value);
        }
    });
    // SAFETY: the tasks together wrote all floats.
    Ok(unsafe { buffer.assume_init() })
}

/// `sums = Σ_c X_c · W_c` over the input channels of `channel`'s group.
pub(super) fn multiply(
    plan: &PlainPlan,
    transformed: &SharedSlice<'_, f32>,
    tile: usize,
    channel: usize,
    sums: &mut [Complex],
) {
    let (problem, spectrum) = (&plan.problem, plan.layout.spectrum);
    let group_ic = problem.group_in_channels();
    let first = tile * problem.in_channels() + channel / problem.group_out_channels() * group_ic;
    // SAFETY: nobody writes to the transformed input in this stage; shared reads alone.
    let inputs: &[f32] = unsafe { transformed.slice(2 * first * spectrum, 2 * group_ic * spectrum) };
    let weights = &plan.spectra[2 * channel * group_ic * spectrum..][..2 * group_ic * spectrum];
    sums.fill(Complex::default());
    plan.isa.run(MultiplyAdd { inputs, weights, sums: as_real(sums) });
}

/// Complex multiply-adds over interleaved floats, left to LLVM's vectoriser: this family's plain version.
struct MultiplyAdd<'a> {
    inputs: &'a [f32],
    weights: &'a [f32],
    sums: &'a mut [f32],
}

impl SimdOp for MultiplyAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        let len = self.sums.len();
        for (x, w) in self.inputs.chunks_exact(len).zip(self.weights.chunks_exact(len)) {
            for ((sum, x), w) in self.sums.chunks_exact_mut(2).zip(x.chunks_exact(2)).zip(w.chunks_exact(2)) {
                sum[0] += x[0] * w[0] - x[1] * w[1];
                sum[1] += x[0] * w[1] + x[1] * w[0];
            }
        }
    }
}

/// Writes the kept outputs of one tile and channel, with bias and epilogue.
pub(super) fn store(plan: &PlainPlan, output: &SharedSlice<'_, f32>, tile: usize, channel: usize, result: &[f32]) {
    let (problem, tiling) = (&plan.problem, &plan.tiling);
    let image = tile / tiling.tiles() * problem.height().output();
    let kept = tiling.kept(tile % tiling.tiles());
    let ((rows, top), (columns, left)) = (kept.rows, kept.columns);
    for (i, row) in rows.enumerate() {
        let line = &result[(top + i * problem.height().stride) * tiling.size()[1]..];
        for (j, column) in columns.clone().enumerate() {
            let sum = line[left + j * problem.width().stride] + plan.bias[channel];
            let at = ((image + row) * problem.width().output() + column) * plan.pitch + channel;
            assert!(at < output.len());
            // SAFETY: in bounds by the assertion; a task reads and writes only its own channel.
            unsafe {
                let y = output.as_ptr().add(at);
                let sum = if plan.epilogue.accumulate { sum + *y } else { sum };
                y.write(plan.epilogue.bounds.clamp_one(sum));
            }
        }
    }
}
