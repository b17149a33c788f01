//! Every algorithm of the crate against a plain loop nest, on integers small enough that every sum is exact.

use conv_core::{Axis, Epilogue, Filter, PlanOptions, Problem, Scratch};
use conv_im2col::ALGORITHMS;
use conv_simd::Isa;

fn problems() -> Vec<Problem> {
    let p = |n, g, channels, axes| Problem::new(n, g, channels, axes).unwrap();
    vec![
        p(1, 1, [3, 20], [Axis::new(23, 11).stride(4), Axis::new(27, 11).stride(4)]),
        p(2, 2, [10, 34], [Axis::new(9, 5).pad(2, 2); 2]),
        p(1, 1, [7, 130], [Axis::new(13, 3).pad(1, 1); 2]),
        p(3, 1, [5, 9], [Axis::new(7, 3).pad(2, 0).dilation(2), Axis::new(8, 2).pad(0, 3).stride(3)]),
        p(2, 6, [6, 12], [Axis::new(6, 3).pad(1, 1); 2]),
        p(17, 1, [33, 50], [Axis::new(1, 1); 2]),
        p(5, 1, [6, 40], [Axis::new(4, 4), Axis::new(3, 3)]),
        p(2, 2, [8, 6], [Axis::new(5, 1), Axis::new(6, 1)]),
        p(1, 1, [1, 1], [Axis::new(1, 1); 2]),
        p(1, 1, [2, 3], [Axis::new(2, 5).pad(6, 7), Axis::new(3, 4).pad(5, 9)]),
        p(2, 1, [2, 3], [Axis::new(1, 9).stride(3).pad(20, 20); 2]),
        p(1, 1, [1, 3], [Axis::new(3, 9).stride(3).pad(8, 8).dilation(2), Axis::new(3, 9).stride(3).pad(16, 30)]),
        p(1, 1, [700, 70], [Axis::new(14, 3).pad(1, 1); 2]),
        p(1, 1, [4, 3], [Axis::new(40, 1), Axis::new(5, 2).dilation(4)]),
    ]
}

fn oracle(problem: &Problem, x: &[f32], w: &[f32], bias: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let (h, v) = (problem.width(), problem.height());
    let (ic, gic, goc) = (problem.in_channels(), problem.group_in_channels(), problem.group_out_channels());
    let mut y = Vec::new();
    for n in 0..problem.batch() {
        for oy in 0..v.output() {
            for ox in 0..h.output() {
                for k in 0..problem.out_channels() {
                    let mut sum = bias.map_or(0.0, |b| b[k]);
                    for r in v.valid_taps(oy) {
                        for s in h.valid_taps(ox) {
                            for c in 0..gic {
                                let (iy, ix) = (v.position(oy, r) as usize, h.position(ox, s) as usize);
                                sum += x[((n * v.input + iy) * h.input + ix) * ic + k / goc * gic + c]
                                    * w[((k * gic + c) * v.kernel + r) * h.kernel + s];
                            }
                        }
                    }
                    y.push(if relu { sum.max(0.0) } else { sum });
                }
            }
        }
    }
    y
}

#[test]
fn exact_on_integers() {
    let values = |len: usize, m: usize| -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + i / 13) % m) as f32 - (m / 2) as f32).collect()
    };
    for problem in problems() {
        let (x, w, b) =
            (values(problem.input_len(), 17), values(problem.weight_len(), 13), values(problem.out_channels(), 9));
        for (bias, relu) in [(None, false), (Some(&b[..]), true), (Some(&b[..]), false)] {
            let expected = oracle(&problem, &x, &w, bias, relu);
            for algorithm in ALGORITHMS {
                for isa in Isa::available() {
                    for workers in [1, 3] {
                        let options = PlanOptions::new(workers).isa(isa);
                        let plan = algorithm
                            .plan(&problem, Filter { weights: &w, bias }, Epilogue { relu }, &options)
                            .unwrap();
                        let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).unwrap();
                        for dirt in [f32::NAN, 1e30] {
                            scratch.fill(dirt);
                            let mut y = vec![f32::NAN; problem.output_len()];
                            plan.run(&x, &mut y, &mut scratch).unwrap();
                            let wrong = y.iter().zip(&expected).position(|(y, e)| y != e);
                            assert_eq!(
                                wrong,
                                None,
                                "{} {isa} {workers} {problem:?} {:?}",
                                algorithm.name(),
                                wrong.map(|i| (y[i], expected[i]))
                            );
                        }
                    }
                }
            }
        }
    }
}
