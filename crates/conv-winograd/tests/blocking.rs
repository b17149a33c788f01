//! How work is cut changes no bit of the result.

use conv_check::{Case, Kind};
use conv_core::{Epilogue, Parameters, PlanOptions, Problem, Scratch};
use conv_simd::Isa;
use conv_winograd::ALGORITHMS;

#[test]
fn results_do_not_depend_on_the_blocking() {
    for problem in [
        "g2mb3ic20ih13oc72kh3ph1",
        "mb2ic9ih17iw31oc40kh5kw5ph2pw2",
        "mb2ic3ih67oc40kh11sh4ph2",
        "mb2ic5ih19oc70kh3ph2dh1",
    ] {
        let problem: Problem = problem.parse().unwrap();
        let case = Case::new(&problem, Kind::Signed, 7, Epilogue::RELU);
        for algorithm in ALGORITHMS.iter().filter(|algorithm| algorithm.supports(&problem).is_ok()) {
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
                for staged in [0, 1] {
                    for (tiles, chunks) in [(1, 1), (5, 2), (13, 1), (14, 9), (1000, 3)] {
                        for workers in [1, 3, 64] {
                            let values = [("staged", staged), ("block_tiles", tiles), ("chunk_blocks", chunks)];
                            let parameters = Parameters::new(*algorithm, values).unwrap();
                            assert!(
                                run(workers, parameters) == expected,
                                "{} {isa} {workers} {parameters}",
                                algorithm.name()
                            );
                        }
                    }
                }
            }
        }
    }
}
