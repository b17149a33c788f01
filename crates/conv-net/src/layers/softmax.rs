//! Softmax.

use conv_simd::{Isa, Simd, SimdOp};

use super::functions::exp;
use super::{for_each_chunk, task_len};

/// Columns whose sums are computed side by side.
const BLOCK: usize = 16;

/// `output[p][c] = exp(input[p][c]) / Σ exp(input[p][j])` for every pixel `p`, from which the largest input is
/// subtracted first, so that nothing overflows.
pub(crate) fn softmax(workers: usize, channels: usize, input: &[f32], output: &mut [f32]) {
    for_each_chunk(workers, output, channels, |index, output| {
        let input = &input[index * channels..][..channels];
        let largest = input.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (y, x) in output.iter_mut().zip(input) {
            *y = (x - largest).exp();
            sum += f64::from(*y);
        }
        let scale = (1.0 / sum) as f32;
        output.iter_mut().for_each(|y| *y *= scale);
    });
}

/// The softmax along `len` of `[outer][len][inner]`, or, if `log` says so, its logarithm.
pub(crate) fn softmax_along(
    isa: Isa,
    workers: usize,
    [len, inner]: [usize; 2],
    log: bool,
    input: &[f32],
    output: &mut [f32],
) {
    let part = task_len(output.len(), len * inner);
    for_each_chunk(workers, output, part, |index, output| {
        let input = &input[index * part..][..output.len()];
        isa.run(Along { len, inner, log, input, output });
    });
}

struct Along<'a> {
    len: usize,
    inner: usize,
    log: bool,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Along<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        let Along { len, inner, log, input, output } = self;
        let images = input.chunks_exact((len * inner).max(1)).zip(output.chunks_exact_mut((len * inner).max(1)));
        for (x, y) in images {
            if inner == 1 {
                row(x, y, log);
            } else {
                for column in (0..inner).step_by(BLOCK) {
                    let (x, y) = (&x[column..], &mut y[column..]);
                    match inner - column {
                        // Their number being known, they are vectors.
                        BLOCK.. => columns(inner, BLOCK, x, y, log),
                        count => columns(inner, count, x, y, log),
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Contiguous elements.
#[inline(always)]
fn row(x: &[f32], y: &mut [f32], log: bool) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    let mut largest = [f32::NEG_INFINITY; BLOCK];
    for block in blocks.iter().map(<[f32; BLOCK]>::as_slice).chain([rest]) {
        largest.iter_mut().zip(block).for_each(|(largest, &x)| *largest = larger(x, *largest));
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, larger);
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = exp(x - largest));
    let mut sums = [0.0; BLOCK];
    for block in y.chunks(BLOCK) {
        sums.iter_mut().zip(block).for_each(|(sum, &y)| *sum += f64::from(y));
    }
    let sum: f64 = sums.iter().sum();
    if log {
        let shift = sum.ln() as f32;
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = x - largest - shift);
    } else {
        let scale = (1.0 / sum) as f32;
        y.iter_mut().for_each(|y| *y *= scale);
    }
}

/// `count` neighbouring columns of elements `inner` floats apart.
#[inline(always)]
fn columns(inner: usize, count: usize, x: &[f32], y: &mut [f32], log: bool) {
    let (mut largest, mut sums) = ([f32::NEG_INFINITY; BLOCK], [0.0; BLOCK]);
    for x in x.chunks(inner) {
        largest.iter_mut().zip(&x[..count]).for_each(|(largest, &x)| *largest = larger(x, *largest));
    }
    for (x, y) in x.chunks(inner).zip(y.chunks_mut(inner)) {
        let y = &mut y[..count];
        y.iter_mut().zip(x).zip(&largest).for_each(|((y, x), largest)| *y = exp(x - largest));
        sums.iter_mut().zip(y).for_each(|(sum, &mut y)| *sum += f64::from(y));
    }
    if log {
        let shifts = sums.map(|sum: f64| sum.ln() as f32);
        for (x, y) in x.chunks(inner).zip(y.chunks_mut(inner)) {
            let shifts = largest.iter().zip(&shifts);
            y[..count].iter_mut().zip(x).zip(shifts).for_each(|((y, x), (largest, shift))| *y = x - largest - shift);
        }
    } else {
        let scales = sums.map(|sum: f64| (1.0 / sum) as f32);
        for y in y.chunks_mut(inner) {
            y[..count].iter_mut().zip(&scales).for_each(|(y, scale)| *y *= scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn along_any_axis() {
        for [outer, len, inner] in
            [[1, 1, 1], [3, 10, 1], [1, 1000, 1], [4000, 21, 1], [2, 5, 7], [3, 21, 100], [0, 4, 4]]
        {
            let input: Vec<f32> = (0..outer * len * inner).map(|i| (i * 37 % 101) as f32 / 3.0 + 70.0).collect();
            for log in [false, true] {
                for (isa, workers) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
                    let mut output = vec![f32::NAN; input.len()];
                    softmax_along(isa, workers, [len, inner], log, &input, &mut output);
                    for (i, &y) in output.iter().enumerate() {
                        let first = i / (len * inner) * len * inner + i % inner;
                        let sum: f64 = (0..len).map(|j| f64::from(input[first + j * inner]).exp()).sum();
                        let exact = f64::from(input[i]).exp() / sum;
                        let exact = if log { exact.ln() } else { exact };
                        let error = (f64::from(y) - exact).abs();
                        assert!(error <= 4e-7 * exact.abs() + 1e-37, "{outer}×{len}×{inner} on {isa}: {y} for {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn of_channels_however_large_or_small() {
        // Exponentials of the first row overflow, of the second vanish.
        let input = [1000.0, 999.0, 1000.0, -1000.0, -500.0, -501.0, -500.0, -600.0];
        let mut output = [f32::NAN; 8];
        softmax(1, 4, &input, &mut output);
        let [one, two, three, four] = [0.422_318_8, 0.155_362_4, 0.422_318_8, 0.0];
        for (y, exact) in output.iter().zip([one, two, three, four].repeat(2)) {
            assert!((y - exact).abs() < 1e-6, "{output:?}");
        }
    }

    #[test]
    fn what_is_no_number_stays_that() {
        for [len, inner] in [[40, 1], [10, 4]] {
            let mut input = [1.0; 40];
            input[21] = f32::NAN;
            let mut output = [0.0; 40];
            softmax_along(Isa::best(), 1, [len, inner], false, &input, &mut output);
            assert_eq!(output.iter().filter(|y| y.is_nan()).count(), len);
        }
    }
}
