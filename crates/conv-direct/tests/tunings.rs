//! Whatever the register tile, the panels and the tasks are, the same bits come out.

use conv_check::{Case, Kind};
use conv_core::{Epilogue, PlanOptions, Problem};
use conv_simd::Isa;

#[test]
fn every_tuning_gives_the_same_bits() {
    let algorithm = conv_direct::ALGORITHMS[0];
    // Narrow images, whose last columns some tiles take down the image; two groups; strided, dilated and ragged ones.
    for text in [
        "mb2ic8ih13oc40kh3ph1",
        "g2mb1ic12ih13oc80kh5ph2",
        "mb1ic3ih31iw29oc48kh7kw5sh2sw2ph3pw2",
        "mb1ic5ih14iw9oc33kh3kw3ph2pw2dh1dw1",
        "mb1ic16ih7oc64kh1",
    ] {
        let problem: Problem = text.parse().unwrap();
        let case = Case::new(&problem, Kind::Signed, 5, Epilogue::default());
        for isa in Isa::available() {
            for workers in [1, 2] {
                let options = PlanOptions::new(workers).isa(isa);
                let bits = |options: &PlanOptions| {
                    let output = case.compute(algorithm, options).unwrap_or_else(|failure| panic!("{failure}"));
                    output.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                let first = bits(&options);
                let tunings = algorithm.tunings(&problem, &options);
                assert!(tunings.len() > 5, "{text} on {isa}: {tunings:?}");
                for parameters in tunings {
                    assert!(bits(&options.parameters(parameters)) == first, "{text} on {isa} with '{parameters}'");
                }
            }
        }
    }
}
