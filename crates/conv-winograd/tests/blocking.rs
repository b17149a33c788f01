//! How work is cut changes no bit of the result.

use conv_check::{Case, Kind};
use conv_core::{Epilogue, PlanOptions, Problem, Scratch};
use conv_simd::Isa;
use conv_winograd::{Blocking, Schedule, VARIANTS};

#[test]
fn results_do_not_depend_on_the_blocking() {
    for problem in [
        "g2mb3ic20ih13oc72kh3ph1",
        "mb2ic9ih17iw31oc40kh5kw5ph2pw2",
        "mb2ic3ih67oc40kh11sh4ph2",
        "mb2ic5ih19oc70kh3ph2dh1",
    ] {
        let problem: Problem = problem.parse().unwrap();
        let case = Case::new(&problem, Kind::Signed, 7, Epilogue { relu: true });
        for variant in VARIANTS.iter().filter(|variant| conv_core::Algorithm::supports(**variant, &problem).is_ok()) {
            for isa in Isa::available() {
                let run = |workers, blocking| {
                    let options = PlanOptions::new(workers).isa(isa);
                    let plan = variant.plan_with(&problem, case.filter(), case.epilogue(), &options, blocking).unwrap();
                    let mut scratch = Scratch::with_bytes(plan.footprint().scratch_bytes).unwrap();
                    scratch.fill(f32::NAN);
                    let mut output = vec![f32::NAN; problem.output_len()];
                    plan.run(case.input(), &mut output, &mut scratch).unwrap();
                    output
                };
                let expected = run(1, None);
                for schedule in [Schedule::Fused, Schedule::Staged] {
                    for (tiles, chunk_blocks) in [(1, 1), (5, 2), (13, 1), (14, 9), (1000, 3)] {
                        for workers in [1, 3, 64] {
                            let blocking = Blocking { schedule, tiles, chunk_blocks };
                            assert!(
                                run(workers, Some(blocking)) == expected,
                                "{variant:?} {isa} {workers} {blocking:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
