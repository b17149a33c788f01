//! The conformance suite on every instruction set of this machine.

use conv_check::conformance;
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
