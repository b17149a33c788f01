//! Every variant at every instruction set against sums in f64.

use conv_core::{Algorithm, Epilogue, Filter, PlanOptions, Problem, Scratch};
use conv_simd::Isa;
use conv_winograd::ALGORITHMS;

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

fn naive(p: &Problem, x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f64> {
    let [oh, ow] = p.output_size();
    let (h, v) = (p.height(), p.width());
    let (icg, ocg) = (p.group_in_channels(), p.group_out_channels());
    let mut y = vec![0.0; p.output_len()];
    for n in 0..p.batch() {
        for i in 0..oh {
            for j in 0..ow {
                for k in 0..p.out_channels() {
                    let g = k / ocg;
                    let mut sum = f64::from(bias[k]);
                    for a in h.valid_taps(i) {
                        for b in v.valid_taps(j) {
                            let at = ((n * h.input + h.position(i, a) as usize) * v.input + v.position(j, b) as usize)
                                * p.in_channels()
                                + g * icg;
                            for c in 0..icg {
                                sum +=
                                    f64::from(x[at + c]) * f64::from(w[((k * icg + c) * h.kernel + a) * v.kernel + b]);
                            }
                        }
                    }
                    y[((n * oh + i) * ow + j) * p.out_channels() + k] = sum;
                }
            }
        }
    }
    y
}

fn check(algorithm: &dyn Algorithm, problem: &Problem, isa: Isa, workers: usize) -> f64 {
    let x = random(problem.input_len(), 1);
    let w = random(problem.weight_len(), 2);
    let bias = random(problem.out_channels(), 3);
    let options = PlanOptions::new(workers).isa(isa);
    let filter = Filter { weights: &w, bias: Some(&bias) };
    let plan = algorithm.plan(problem, filter, Epilogue { relu: true }, &options).unwrap();
    let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).unwrap();
    scratch.fill(f32::NAN);
    let mut y = vec![f32::NAN; problem.output_len()];
    plan.run(&x, &mut y, &mut scratch).unwrap();
    let expected = naive(problem, &x, &w, &bias);
    let worst = y
        .iter()
        .zip(&expected)
        .map(|(&y, &e)| (f64::from(y) - e.max(0.0)).abs())
        .fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) });
    let largest = x.iter().fold(0f32, |a, b| a.max(b.abs())) as f64;
    let per = problem.reduction();
    let weights = (0..problem.out_channels())
        .map(|k| {
            w[k * per..][..per].iter().map(|w| f64::from(w.abs())).sum::<f64>() + f64::from(bias[k].abs()) / largest
        })
        .fold(0.0, f64::max);
    let bound = algorithm.error_growth(problem) * f64::from(f32::EPSILON) / 2.0 * largest * weights;
    assert!(worst <= bound, "{} {problem} {isa} {workers}: error {worst:e}, bound {bound:e}", algorithm.name());
    worst / bound
}

#[test]
fn all() {
    for problem in [
        "mb2ic17ih13oc20oh13kh3ph1",
        "mb3g2ic32ih13oc48oh13kh3ph1",
        "mb1ic5ih9iw14oc3kh3kw3ph2pw0",
        "mb2ic4ih8iw21oc37kh3kw1ph1pw0",
        "mb2ic4ih8iw21oc37kh1kw3ph0pw1",
        "mb1ic5ih9iw14oc70kh3kw3ph2pw2dh1dw2",
        "mb1g2ic6ih27oc10oh27kh5ph2",
        "mb1ic6ih7iw5oc10kh5kw1ph1pw0",
        "mb1g2ic6ih27oc10oh14kh3ph1sh2",
        "mb2ic3ih67oc24kh11sh4ph2",
        "mb1ic3ih35oc24kh7sh2ph3",
        "mb1g2ic6ih35iw20oc24kh5kw3sh3sw2ph1pw2",
    ] {
        let problem: Problem = problem.parse().unwrap();
        for algorithm in ALGORITHMS {
            if let Err(why) = algorithm.supports(&problem) {
                println!("{why}");
                continue;
            }
            for isa in Isa::available() {
                for workers in [1, 2, 40] {
                    let share = check(*algorithm, &problem, isa, workers);
                    println!("{} {problem} {isa} {workers}: {share:.2e}", algorithm.name());
                }
            }
        }
    }
}
