//! The conformance suite on every instruction set of this machine.

use conv_check::conformance;
use conv_simd::Isa;

#[test]
fn conforms() {
    for isa in Isa::available() {
        for algorithm in conv_winograd::ALGORITHMS {
            conformance::assert_conforms(*algorithm, isa);
        }
    }
}
