//! How work is cut changes no bit of the result.

use conv_check::{Case, Kind};
use conv_core::{Epilogue, Parameters, PlanOptions, Problem, Scratch};
use conv_fft::ALGORITHMS;
use conv_simd::Isa;

#[test]
fn results_do_not_depend_on_the_blocking() {
    // Several tiles of each size, several chunks of channels on each instruction set; groups, and a strided filter.
    for problem in ["g2mb3ic4ih33iw19oc80kh3kw3ph1pw1", "mb2ic2ih69oc40kh5sh2ph2"] {
        let problem: Problem = problem.parse().unwrap();
        let case = Case::new(&problem, Kind::Signed, 7, Epilogue::RELU);
        for algorithm in ALGORITHMS.iter().filter(|algorithm| !algorithm.parameters().is_empty()) {
            for isa in Isa::available() {
                let run = |workers, parameters| {
                    let options = PlanOptions::new(workers).isa(isa).parameters(parameters);
                    let plan = algorithm.plan(&problem, case.filter(), case.epilogue(), &options).unwrap();
                    let work = algorithm.work(&problem, &options).unwrap();
                    assert_eq!(work.footprint, plan.footprint(), "told without planning");
                    assert_eq!(work.product_flops + work.transform_flops, plan.executed_flops() as f64);
                    let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).unwrap();
                    scratch.fill(f32::NAN);
                    let mut output = vec![f32::NAN; problem.output_len()];
                    plan.run(case.input(), &mut output, &mut scratch).unwrap();
                    output
                };
                let expected = run(1, Parameters::default());
                for (workers, [block, task, chunk]) in
                    [(1, [1, 1, 1]), (3, [1, 1, 1]), (1, [5, 3, 2]), (3, [5, 3, 1]), (64, [1000, 4, 1])]
                {
                    let values = [("block_tiles", block), ("task_tiles", task), ("chunk_blocks", chunk)];
                    let parameters = Parameters::new(*algorithm, values).unwrap();
                    let name = algorithm.name();
                    assert!(run(workers, parameters) == expected, "{name} {isa} {workers} {parameters}");
                }
            }
        }
    }
}
