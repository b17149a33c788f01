//! The conformance suite on every instruction set of this machine.

use conv_check::conformance::{self, Extent};
use conv_check::{Case, Kind};
use conv_core::{Epilogue, PlanOptions, Problem};
use conv_direct::ALGORITHMS;
use conv_simd::Isa;

#[test]
fn conforms() {
    let counts = conformance::assert_conform(ALGORITHMS, Extent::Usual);
    assert!(counts.iter().all(|counts| counts.refused == 0), "direct convolution refuses nothing");
}

#[test]
#[ignore = "long: see CONTRIBUTING.md"]
fn conforms_at_length() {
    conformance::assert_conform(ALGORITHMS, Extent::Long);
}

/// Outputs of more than 3 MiB: of depthwise layers, whose next row is prefetched, at strides and dilations that read different
/// rows next; of others, which are streamed, with blocks of channels that are whole cache lines and with some that are not.
#[test]
fn large_outputs_conform() {
    for text in [
        "g20mb1ic20ih202oc20kh3ph1",
        "g33mb2ic33ih250oc33kh3sh2ph1",
        "g17mb1ic17ih230oc17kh3ph2dh1",
        "mb1ic4ih120oc64kh3ph1",
        "g2mb2ic6ih140oc96kh3sh2ph1",
        "mb3ic5ih60oc88kh1",
    ] {
        let problem: Problem = text.parse().unwrap();
        assert!(conv_simd::worth_streaming(problem.output_len()), "{text}");
        let case = Case::new(&problem, Kind::Signed, 7, Epilogue::RELU);
        for isa in Isa::available() {
            let checked = case.check(ALGORITHMS[0], &PlanOptions::new(2).isa(isa));
            checked.unwrap_or_else(|failure| panic!("{text} on {isa}: {failure}"));
        }
    }
}
