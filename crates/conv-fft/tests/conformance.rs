//! The conformance suite on every instruction set of this machine, every buffer between pages that fault.

use conv_check::GuardPages;
use conv_check::conformance::{self, Extent};

#[global_allocator]
static PAGES: GuardPages = GuardPages;

#[test]
fn conforms() {
    conformance::assert_conform(conv_fft::ALGORITHMS, Extent::Usual);
}

#[test]
#[ignore = "long: see CONTRIBUTING.md"]
fn conforms_at_length() {
    conformance::assert_conform(conv_fft::ALGORITHMS, Extent::Long);
}
