//! The conformance suite on every instruction set of this machine.

use conv_check::{Case, Kind, conformance};
use conv_core::{Epilogue, PlanOptions, Problem};
use conv_im2col::ALGORITHMS;
use conv_simd::Isa;

#[test]
fn conforms() {
    for isa in Isa::available() {
        for algorithm in ALGORITHMS {
            let counts = conformance::assert_conforms(*algorithm, isa);
            assert_eq!(counts.refused, 0, "{} refuses nothing", algorithm.name());
        }
    }
}

/// Matrices of more than 3 MiB, which are streamed: of runs that are whole vectors, of some that are not, of groups.
#[test]
fn large_matrices_conform() {
    let algorithm = *ALGORITHMS.iter().find(|algorithm| algorithm.name() == "im2col/faer").unwrap();
    for text in ["mb1ic16ih80oc8kh3ph1", "mb2ic5ih100oc4kh3ph1", "g2mb1ic32ih60oc8kh3ph1"] {
        let problem: Problem = text.parse().unwrap();
        let rows = problem.output_len() / problem.out_channels();
        assert!(conv_simd::worth_streaming(rows * problem.reduction() * problem.groups()), "{text}");
        let case = Case::new(&problem, Kind::Signed, 7, Epilogue { relu: true });
        for isa in Isa::available() {
            let checked = case.check(algorithm, &PlanOptions::new(2).isa(isa));
            checked.unwrap_or_else(|failure| panic!("{text} on {isa}: {failure}"));
        }
    }
}
