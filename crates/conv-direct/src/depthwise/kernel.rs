//! The unsafe part: output rows by vectors of channels.

use std::ops::Range;

use conv_simd::{SharedSlice, Simd, SimdOp};

use super::DepthwisePlan;

/// Pixels computed together where no tap of theirs is in the padding, so that they share the loads of the weights.
const PIXELS: usize = 4;

/// Vectors of channels computed together: with the pixels, enough independent sums to hide a multiply-add's latency.
const VECTORS: usize = 2;

/// Computes `rows` of the output, counted over all images.
pub(super) struct Rows<'a> {
    pub plan: &'a DepthwisePlan,
    pub input: &'a [f32],
    pub output: &'a SharedSlice<'a, f32>,
    pub rows: Range<usize>,
}

impl SimdOp for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, simd: S) {
        let problem = &self.plan.problem;
        let (height, width, channels) = (problem.height(), problem.width(), problem.groups());
        let (input_row, output_row) = (width.input * channels, width.output() * channels);
        // Outputs that meet no padding: those of both the first tap and the last.
        let (first, last) = (width.valid_outputs(0), width.valid_outputs(width.kernel - 1));
        let inner = first.start.max(last.start)..first.end.min(last.end);
        for row in self.rows {
            let (image, oh) = (row / height.output(), row % height.output());
            let (taps, top) = height.taps_from(oh);
            let band = Band {
                plan: self.plan,
                input: &self.input[(image * height.input + top) * input_row..],
                input_step: height.dilation * input_row,
                taps,
            };
            // SAFETY: tasks have disjoint rows.
            let output = unsafe { self.output.slice(row * output_row, output_row) };
            let mut ow = 0;
            while ow < width.output() {
                if inner.contains(&ow) && ow + PIXELS <= inner.end {
                    band.pixels::<S, PIXELS>(simd, ow, output);
                    ow += PIXELS;
                } else {
                    band.pixels::<S, 1>(simd, ow, output);
                    ow += 1;
                }
            }
        }
    }
}

/// The input rows under one output row.
struct Band<'a> {
    plan: &'a DepthwisePlan,
    /// From the first valid tap's row on.
    input: &'a [f32],
    /// Floats from one tap's row to the next's.
    input_step: usize,
    /// Filter rows inside the image.
    taps: Range<usize>,
}

impl Band<'_> {
    /// Computes all channels of `PX` neighbouring outputs, which all have the same valid columns.
    #[inline(always)]
    fn pixels<S: Simd, const PX: usize>(&self, simd: S, ow: usize, output: &mut [f32]) {
        let channels = self.plan.problem.groups();
        let mut c = 0;
        while c + VECTORS * S::LANES <= channels {
            self.tile::<S, PX, VECTORS>(simd, ow, c, S::LANES, output);
            c += VECTORS * S::LANES;
        }
        while c < channels {
            self.tile::<S, PX, 1>(simd, ow, c, S::LANES.min(channels - c), output);
            c += S::LANES;
        }
    }

    /// `PX` outputs × `NV` vectors of channels from `c` on; the last vector has `count` channels.
    #[inline(always)]
    fn tile<S: Simd, const PX: usize, const NV: usize>(
        &self,
        simd: S,
        ow: usize,
        c: usize,
        count: usize,
        output: &mut [f32],
    ) {
        let (plan, width, channels) = (self.plan, self.plan.problem.width(), self.plan.problem.groups());
        let columns = width.valid_taps(ow);
        let pixel = width.stride * channels;
        let mut sums = [[simd.zero(); NV]; PX];
        for v in 0..NV {
            let bias = simd.load(&plan.bias[c + v * S::LANES..]);
            for sum in &mut sums {
                sum[v] = bias;
            }
        }
        for (row, r) in self.taps.clone().enumerate() {
            for s in columns.clone() {
                let x = row * self.input_step + width.position(ow, s) as usize * channels + c;
                let last = x + (PX - 1) * pixel + (NV - 1) * S::LANES + count;
                let x = self.input[x..last].as_ptr();
                let w = &plan.weights[(r * width.kernel + s) * plan.stride + c..][..NV * S::LANES];
                for v in 0..NV {
                    let weight = simd.load(&w[v * S::LANES..]);
                    for (p, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: the slice just taken reaches to `count` channels of the last pixel's last vector; only
                        // a lone vector is partial.
                        let value = unsafe {
                            let x = x.add(p * pixel + v * S::LANES);
                            if NV > 1 { simd.load_ptr(x) } else { simd.load_partial_ptr(x, count) }
                        };
                        sum[v] = simd.mul_add(value, weight, sum[v]);
                    }
                }
            }
        }
        for (p, sum) in sums.iter().enumerate() {
            let y = &mut output[(ow + p) * channels + c..][..(NV - 1) * S::LANES + count];
            for (v, &sum) in sum.iter().enumerate() {
                let value = if plan.epilogue.relu { simd.max(simd.zero(), sum) } else { sum };
                simd.store_partial(&mut y[v * S::LANES..], value);
            }
        }
    }
}
