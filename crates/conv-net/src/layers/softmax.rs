//! Softmax.

use super::for_each_chunk;

/// `output[p][c] = exp(input[p][c]) / Σ exp(input[p][j])` for every pixel `p`, from which the largest input is subtracted
/// first, so that nothing overflows.
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
