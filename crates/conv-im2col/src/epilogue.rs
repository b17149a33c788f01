//! Bias and ReLU over a block that is still in cache, for products that are not ours to end.

use conv_core::Epilogue;
use conv_simd::{Isa, Simd, SimdOp};

use crate::kernel::Block;

/// Adds `bias` (one float a column) to every row of `block` and applies `epilogue`.
pub(crate) fn finish(isa: Isa, block: &mut Block<'_>, bias: Option<&[f32]>, epilogue: Epilogue) {
    if bias.is_none() && !epilogue.relu {
        return;
    }
    for row in 0..block.rows() {
        isa.run(Finish { row: block.row(row), bias, relu: epilogue.relu });
    }
}

struct Finish<'a> {
    row: &'a mut [f32],
    bias: Option<&'a [f32]>,
    relu: bool,
}

impl SimdOp for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        for (i, chunk) in self.row.chunks_mut(S::LANES).enumerate() {
            let mut value = simd.load_partial(chunk);
            if let Some(bias) = self.bias {
                value = simd.add(value, simd.load_partial(&bias[i * S::LANES..]));
            }
            if self.relu {
                // In this order a NaN stays one.
                value = simd.max(simd.zero(), value);
            }
            simd.store_partial(chunk, value);
        }
    }
}
