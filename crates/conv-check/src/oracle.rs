//! The reference: a plain loop nest in f64.

use conv_core::{Epilogue, Filter, Problem};
use conv_simd::Bounds;
use rayon::prelude::*;

/// The exact result to f64 rounding, `[n][oh][ow][oc]` whatever the epilogue's pitch: sums over taps inside the image, plus
/// bias, plus what stands in the output `before` if the epilogue accumulates, then its bounds.
///
/// # Panics
/// If an array has another length than the problem's.
pub fn oracle(problem: &Problem, input: &[f32], filter: Filter<'_>, epilogue: Epilogue, before: &[f32]) -> Vec<f64> {
    assert_eq!(input.len(), problem.input_len(), "input");
    filter.check(problem).expect("filter");
    let weights = taps_by_channels(problem, filter.weights);
    let (height, width) = (problem.height(), problem.width());
    let (ic, oc) = (problem.in_channels(), problem.out_channels());
    let (group_ic, group_oc) = (problem.group_in_channels(), problem.group_out_channels());
    let mut output = vec![0.0; problem.output_len()];
    output.par_chunks_mut(width.output() * oc).enumerate().for_each(|(row, output)| {
        let (n, oh) = (row / height.output(), row % height.output());
        for (ow, output) in output.chunks_mut(oc).enumerate() {
            if let Some(bias) = filter.bias {
                output.iter_mut().zip(bias).for_each(|(sum, &bias)| *sum = f64::from(bias));
            }
            for kh in height.valid_taps(oh) {
                let ih = height.position(oh, kh) as usize;
                for kw in width.valid_taps(ow) {
                    let iw = width.position(ow, kw) as usize;
                    let pixel = &input[((n * height.input + ih) * width.input + iw) * ic..][..ic];
                    let tap = &weights[(kh * width.kernel + kw) * group_ic * oc..][..group_ic * oc];
                    for (g, pixel) in pixel.chunks(group_ic).enumerate() {
                        let output = &mut output[g * group_oc..][..group_oc];
                        for (c, &x) in pixel.iter().enumerate() {
                            let weights = &tap[c * oc + g * group_oc..][..group_oc];
                            output.iter_mut().zip(weights).for_each(|(sum, w)| *sum += f64::from(x) * w);
                        }
                    }
                }
            }
            if epilogue.accumulate {
                let before = &before[(row * width.output() + ow) * oc..][..oc];
                output.iter_mut().zip(before).for_each(|(sum, &before)| *sum += f64::from(before));
            }
            let Bounds { least, most } = epilogue.bounds;
            output.iter_mut().for_each(|sum| *sum = within(*sum, least.into(), most.into()));
        }
    });
    output
}

/// The nearest of what is from `least` to `most`; a NaN stays one.
fn within(sum: f64, least: f64, most: f64) -> f64 {
    if sum < least {
        least
    } else if sum > most {
        most
    } else {
        sum
    }
}

/// OIHW to `[kh][kw][ic/groups][oc]`, so that the innermost loop runs over neighbours.
fn taps_by_channels(problem: &Problem, weights: &[f32]) -> Vec<f64> {
    let (taps, oc) = (problem.height().kernel * problem.width().kernel, problem.out_channels());
    let group_ic = problem.group_in_channels();
    let mut transposed = vec![0.0; weights.len()];
    for (at, &weight) in weights.iter().enumerate() {
        let (k, c, tap) = (at / (group_ic * taps), at / taps % group_ic, at % taps);
        transposed[(tap * group_ic + c) * oc + k] = f64::from(weight);
    }
    transposed
}

/// The scale of [`conv_core::Algorithm::error_growth`]: `max|x| · Σ|w| + |bias|`, the largest over output channels. No
/// output of any input as large as this one is larger.
pub fn operator_norm(problem: &Problem, input: &[f32], filter: Filter<'_>) -> f64 {
    let largest = input.iter().fold(0.0_f64, |max, &x| max.max(f64::from(x).abs()));
    let norms = filter.weights.chunks(problem.reduction()).enumerate().map(|(k, weights)| {
        let sum: f64 = weights.iter().map(|&w| f64::from(w).abs()).sum();
        largest * sum + filter.bias.map_or(0.0, |bias| f64::from(bias[k]).abs())
    });
    norms.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use conv_core::Axis;
    use proptest::prelude::*;

    use super::*;
    use crate::data::{Data, Kind};

    #[test]
    fn by_hand() {
        // One channel, 3×3 input of 1..9, 2×2 filter: cross-correlation, not flipped.
        let problem = Problem::new(1, 1, [1, 1], [Axis::new(3, 2); 2]).unwrap();
        let input: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let filter = Filter { weights: &[1.0, 2.0, 3.0, 4.0], bias: Some(&[-40.0]) };
        let result = oracle(&problem, &input, filter, Epilogue::default(), &[]);
        assert_eq!(result, [37.0 - 40.0, 47.0 - 40.0, 67.0 - 40.0, 77.0 - 40.0]);
        assert_eq!(oracle(&problem, &input, filter, Epilogue::RELU, &[])[0], 0.0);
        assert_eq!(operator_norm(&problem, &input, filter), 9.0 * 10.0 + 40.0);
        // What is no number is no bound either.
        let none: Vec<f32> = [&input[..8], &[f32::NAN]].concat();
        let result = oracle(&problem, &none, filter, Epilogue::RELU, &[]);
        assert!(result[..3].iter().all(|y| y.is_finite()) && result[3].is_nan(), "{result:?}");
    }

    /// The formula, output by output, with the padding as explicit zeros.
    fn seven_loops(problem: &Problem, data: &Data) -> Vec<f64> {
        let (h, w) = (problem.height(), problem.width());
        let (ic, gic, goc) = (problem.in_channels(), problem.group_in_channels(), problem.group_out_channels());
        let at = |n: usize, y: isize, x: isize, c: usize| {
            if y < 0 || x < 0 || y >= h.input as isize || x >= w.input as isize {
                return 0.0;
            }
            f64::from(data.input[((n * h.input + y as usize) * w.input + x as usize) * ic + c])
        };
        let mut output = Vec::new();
        for n in 0..problem.batch() {
            for oy in 0..h.output() {
                for ox in 0..w.output() {
                    for k in 0..problem.out_channels() {
                        let mut sum = f64::from(data.bias[k]);
                        for c in 0..gic {
                            for r in 0..h.kernel {
                                for s in 0..w.kernel {
                                    let y = (oy * h.stride + r * h.dilation) as isize - h.pad_before as isize;
                                    let x = (ox * w.stride + s * w.dilation) as isize - w.pad_before as isize;
                                    let weight = data.weights[((k * gic + c) * h.kernel + r) * w.kernel + s];
                                    sum += at(n, y, x, k / goc * gic + c) * f64::from(weight);
                                }
                            }
                        }
                        output.push(sum);
                    }
                }
            }
        }
        output
    }

    fn assert_agrees(problem: &Problem, seed: u64) {
        // Integers are exact, so that the order of the sums does not matter.
        let data = Data::new(problem, Kind::Integers, seed);
        let result = oracle(problem, &data.input, data.filter(), Epilogue::default(), &[]);
        assert!(result == seven_loops(problem, &data), "{problem}");
    }

    #[test]
    fn agrees_with_the_formula_on_the_suite() {
        let small = |problem: &Problem| problem.flops() < 1_000_000;
        assert!(crate::conformance::problems().iter().filter(|problem| small(problem)).count() > 40);
        for problem in crate::conformance::problems().iter().filter(|problem| small(problem)) {
            assert_agrees(problem, 3);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_the_formula_on_random_problems(problem in crate::strategies::problem(), seed in 0..1000_u64) {
            assert_agrees(&problem, seed);
        }

        #[test]
        fn no_output_exceeds_the_operator_norm(problem in crate::strategies::problem(), seed in 0..1000_u64) {
            let data = Data::new(&problem, Kind::Adversarial, seed);
            let norm = operator_norm(&problem, &data.input, data.filter());
            let largest = oracle(&problem, &data.input, data.filter(), Epilogue::default(), &[])
                .into_iter()
                .fold(0.0_f64, |largest, y| largest.max(y.abs()));
            prop_assert!(largest <= norm * (1.0 + 1e-12), "{largest} > {norm}");
        }
    }
}
