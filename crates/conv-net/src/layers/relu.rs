//! ReLU where no convolution applies it to its sums.

use conv_simd::{Isa, Simd, SimdOp};

use super::for_each_chunk;

/// Floats of one task: 64 KiB in and as much out.
const TASK_FLOATS: usize = 16 << 10;

/// `output = max(input, 0)`.
pub(crate) fn relu(isa: Isa, workers: usize, input: &[f32], output: &mut [f32]) {
    for_each_chunk(workers, output, TASK_FLOATS, |index, output| {
        let input = &input[index * TASK_FLOATS..][..output.len()];
        isa.run(Relu { input, output });
    });
}

struct Relu<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Relu<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        for (x, y) in self.input.chunks(S::LANES).zip(self.output.chunks_mut(S::LANES)) {
            // In this order a NaN stays one.
            simd.store_partial(y, simd.max(simd.zero(), simd.load_partial(x)));
        }
    }
}
