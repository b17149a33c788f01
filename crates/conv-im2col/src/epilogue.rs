//! Bias and bounds over a block that is still in cache, for products that are not ours to end.

use conv_simd::{Bounds, Isa, Simd, SimdOp};

use crate::kernel::Block;

/// Adds `bias` (one float a column) to every row of `block` and keeps it within `bounds`. What stood there before is for the
/// product to add.
pub(crate) fn finish(isa: Isa, block: &mut Block<'_>, bias: Option<&[f32]>, bounds: Bounds) {
    if bias.is_none() && bounds == Bounds::NONE {
        return;
    }
    for row in 0..block.rows() {
        isa.run(Finish { row: block.row(row), bias, bounds });
    }
}

struct Finish<'a> {
    row: &'a mut [f32],
    bias: Option<&'a [f32]>,
    bounds: Bounds,
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
            simd.store_partial(chunk, self.bounds.clamp(simd, value));
        }
    }
}
