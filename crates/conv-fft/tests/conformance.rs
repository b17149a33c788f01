//! The conformance suite on every instruction set of this machine.

use conv_check::conformance::{self, Extent};

#[test]
fn conforms() {
    conformance::assert_conform(conv_fft::ALGORITHMS, Extent::Usual);
}

#[test]
#[ignore = "long: see CONTRIBUTING.md"]
fn conforms_at_length() {
    conformance::assert_conform(conv_fft::ALGORITHMS, Extent::Long);
}
