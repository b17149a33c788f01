//! The conformance suite on every instruction set of this machine, every buffer between pages that fault.

use conv_check::conformance::{self, Extent};
use conv_check::{Case, GuardPages, Kind};
use conv_core::{Epilogue, PlanOptions, Problem};
use conv_im2col::ALGORITHMS;
use conv_simd::Isa;

#[global_allocator]
static PAGES: GuardPages = GuardPages;

#[test]
fn conforms() {
    let counts = conformance::assert_conform(ALGORITHMS, Extent::Usual);
    assert!(counts.iter().all(|counts| counts.refused == 0), "im2col refuses nothing");
}

#[test]
#[ignore = "long: see CONTRIBUTING.md"]
fn conforms_at_length() {
    conformance::assert_conform(ALGORITHMS, Extent::Long);
}

/// Batches of which `im2col/faer` lowers some images at a time, fewer the last time.
#[test]
fn batches_lowered_in_parts_conform() {
    let algorithm = *ALGORITHMS.iter().find(|algorithm| algorithm.name() == "im2col/faer").unwrap();
    for text in ["mb5ic16ih60oc8kh3ph1", "g2mb5ic16ih60oc8kh3ph1"] {
        let problem: Problem = text.parse().unwrap();
        let case = Case::new(&problem, Kind::Signed, 7, Epilogue::RELU);
        let matrix = 4 * problem.output_len() / problem.out_channels() * problem.reduction() * problem.groups();
        for (isa, workers) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 2)]) {
            let options = PlanOptions::new(workers).isa(isa);
            let plan = algorithm.plan(&problem, case.filter(), Epilogue::default(), &options).unwrap();
            assert!(!matrix.is_multiple_of(plan.footprint().scratch_bytes), "{text}: {matrix} bytes are whole parts");
            let checked = case.check(algorithm, &options);
            checked.unwrap_or_else(|failure| panic!("{text} on {isa}: {failure}"));
        }
    }
}

/// Rows of the matrix that are longer than all that a worker lowers or gathers at a time.
#[test]
fn rows_longer_than_any_part_conform() {
    let problem: Problem = "mb1ic1024ih17oc4kh16".parse().unwrap();
    let case = Case::new(&problem, Kind::Signed, 7, Epilogue::RELU);
    for isa in Isa::available() {
        for algorithm in ALGORITHMS {
            let checked = case.check(*algorithm, &PlanOptions::new(1).isa(isa));
            checked.unwrap_or_else(|failure| panic!("{} on {isa}: {failure}", algorithm.name()));
        }
    }
}
