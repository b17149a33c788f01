//! The conformance suite on every instruction set of this machine, every buffer between pages that fault.

use conv_check::conformance::{self, Extent};
use conv_check::{Case, GuardPages, Kind};
use conv_core::{Axis, Epilogue, PlanOptions, Problem};
use conv_direct::ALGORITHMS;
use conv_simd::Isa;

#[global_allocator]
static PAGES: GuardPages = GuardPages;

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

/// On every instruction set, with data of `seed`.
fn assert_conforms(problem: &Problem, seed: u64, epilogue: Epilogue, workers: usize) {
    let case = Case::new(problem, Kind::Signed, seed, epilogue);
    for isa in Isa::available() {
        let outcome = case.check(ALGORITHMS[0], &PlanOptions::new(workers).isa(isa));
        outcome.unwrap_or_else(|failure| panic!("{problem} on {isa}: {failure}"));
    }
}

/// Depthwise rows of three taps and five: their ends lack a tap, two, or none, on one side, on both, or on the same pixel; rows of whole
/// tiles, of fewer pixels than a tile, and with a rest.
#[test]
fn ends_of_depthwise_rows_conform() {
    let mut checked = 0;
    for (width, (stride, kernel), (before, after)) in (1..=16).flat_map(|width| {
        [(1, 3), (2, 3), (1, 5)].into_iter().flat_map(move |taps| pads().map(move |pads| (width, taps, pads)))
    }) {
        let width = Axis { stride, pad_before: before, pad_after: after, ..Axis::new(width, kernel) };
        let height = Axis { pad_before: 1, ..Axis::new(4, 3) };
        let Ok(problem) = Problem::new(1, 19, [19, 19], [height, width]) else { continue };
        assert_conforms(&problem, 3, Epilogue::RELU, 1);
        checked += 1;
    }
    assert!(checked > 380, "{checked} problems");
}

/// Depthwise filters that are swept: rows of several bands and of less than one, columns of tiles that overlap, that are wider than
/// the image, and that padding is left and right of, channels that fill vectors and that do not; sums are added to what is there.
#[test]
fn swept_filters_conform() {
    let mut checked = 0;
    for (kernel, stride, channels) in [3, 5, 7].into_iter().flat_map(|k| [(k, 1, 19), (k, 2, 67), (k, 2, 16)]) {
        for (rows, columns) in [(1, 20), (4, 9), (35, 4), (17, 13), (40, 15), (12, 31)] {
            for (before, after) in [(kernel / 2, kernel / 2), (0, 0), (kernel - 2, 1), (1, kernel)] {
                let axis = |input| Axis { stride, pad_before: before, pad_after: after, ..Axis::new(input, kernel) };
                let shape = [channels, channels];
                let Ok(problem) = Problem::new(2, channels, shape, [axis(rows), axis(columns)]) else { continue };
                let epilogue = Epilogue { accumulate: true, ..Epilogue::RELU };
                assert_conforms(&problem, 11, epilogue, 2);
                checked += 1;
            }
        }
    }
    assert!(checked > 150, "{checked} problems");
}

/// Depthwise filters that are computed on copies: rows of several bands, an even number and an odd one, tiles that overlap and that are
/// wider than a row, padding on either side, beyond the filter, and none, channels that fill vectors and that do not; sums are added
/// to what is there.
#[test]
fn copied_filters_conform() {
    let mut checked = 0;
    for (kernel, stride, channels) in
        [(3, 1, 19), (5, 1, 16), (7, 1, 35), (7, 2, 19), (4, 1, 67), (6, 1, 16), (9, 1, 19), (9, 2, 33), (12, 1, 16)]
    {
        for (rows, columns) in [(1, 20), (5, 5), (8, 8), (35, 9), (18, 13), (4, 31)] {
            for (before, after) in [(kernel / 2, kernel / 2), (0, 0), (kernel - 2, 1), (1, kernel + 2)] {
                let axis = |input| Axis { stride, pad_before: before, pad_after: after, ..Axis::new(input, kernel) };
                let shape = [channels, channels];
                let Ok(problem) = Problem::new(2, channels, shape, [axis(rows), axis(columns)]) else { continue };
                let epilogue = Epilogue { accumulate: true, ..Epilogue::RELU };
                assert_conforms(&problem, 17, epilogue, 2);
                checked += 1;
            }
        }
    }
    assert!(checked > 150, "{checked} problems");
}

/// Depthwise filters along one axis: of fewer taps than are taken together and of more, at any stride across, with ends that lack
/// taps on either side, lines of whole tiles and of less than one; sums are added to what is there.
#[test]
fn lines_conform() {
    let mut checked = 0;
    for (kernel, channels, stride) in [(2, 19, 1), (3, 16, 2), (5, 67, 1), (7, 35, 3), (11, 19, 1), (12, 33, 1)] {
        for (length, (before, after)) in
            [(30, (kernel / 2, kernel / 2)), (13, (0, 0)), (17, (1, kernel)), (4, (kernel, 2))]
        {
            for across in [1, 6, 21] {
                let along = Axis { pad_before: before, pad_after: after, ..Axis::new(length, kernel) };
                let other = Axis { stride, ..Axis::new(across, 1) };
                for axes in [[along, other], [other, along]] {
                    let Ok(problem) = Problem::new(2, channels, [channels, channels], axes) else { continue };
                    let epilogue = Epilogue { accumulate: true, ..Epilogue::RELU };
                    assert_conforms(&problem, 13, epilogue, 2);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 100, "{checked} problems");
}

/// Depthwise filters of one tap: whole vectors of channels and fewer, pixels that are left out; sums are added to what is there.
#[test]
fn scales_conform() {
    for (channels, stride) in [2, 4, 19, 35, 64].into_iter().flat_map(|channels| [(channels, 1), (channels, 2)]) {
        let axis = |input| Axis { stride, ..Axis::new(input, 1) };
        let problem = Problem::new(2, channels, [channels, channels], [axis(5), axis(9)]).unwrap();
        assert_conforms(&problem, 19, Epilogue { accumulate: true, ..Epilogue::RELU }, 2);
    }
}

/// Groups of which a vector holds several, with more filters than channels and fewer, that fill vectors and that do not, by
/// filters with loops of their own and without, of rows that have pixels alone at their ends.
#[test]
fn narrow_groups_conform() {
    let mut checked = 0;
    for (groups, depth, filters) in
        [(2, 2, 3), (32, 4, 4), (9, 4, 4), (20, 1, 2), (7, 3, 1), (5, 8, 8), (6, 5, 7), (3, 1, 8), (130, 2, 1)]
    {
        for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2), (2, 3)] {
            let height = Axis { pad_before: kernel / 2, ..Axis::new(7, kernel) };
            let width = Axis { stride, pad_before: kernel / 2, pad_after: (kernel - 1) / 2, ..Axis::new(17, kernel) };
            let problem = Problem::new(1, groups, [groups * depth, groups * filters], [height, width]).unwrap();
            assert_conforms(&problem, 5, Epilogue::RELU, 2);
            checked += 1;
        }
    }
    assert_eq!(checked, 81);
}

/// Groups of several channels on rows that tiles of seven, eight and nine pixels divide and on rows that they do not, with and without
/// pixels that lack taps at the ends of a row.
#[test]
fn rows_of_narrow_groups_conform() {
    let mut checked = 0;
    for (groups, depth) in [(4, 2), (9, 4), (5, 8)] {
        for kernel in [3, 5] {
            for columns in 4..=19 {
                for [before, after] in [[kernel / 2; 2], [0, 1]] {
                    let height = Axis { pad_before: 1, pad_after: 1, ..Axis::new(4, 3) };
                    let width = Axis { pad_before: before, pad_after: after, ..Axis::new(columns, kernel) };
                    let problem = Problem::new(2, groups, [groups * depth; 2], [height, width]).unwrap();
                    assert_conforms(&problem, 5, Epilogue::RELU, 2);
                    checked += 1;
                }
            }
        }
    }
    assert_eq!(checked, 192);
}

/// Groups of one, two and four in a vector, of which Intel's cores spread the channels from copies: any filter, stride and dilation,
/// rows of every tile and of less than one, groups that fill the last vector and that do not, fewer filters than lanes, more filters than
/// channels; sums are added to what is there.
#[test]
fn spread_groups_conform() {
    let mut checked = 0;
    for (groups, depth, filters) in
        [(5, 8, 8), (4, 7, 8), (9, 4, 4), (6, 3, 4), (3, 16, 16), (64, 8, 16), (32, 16, 16), (3, 10, 12)]
    {
        for (kernel, stride, dilation) in [(3, 1, 1), (3, 2, 1), (3, 1, 2), (3, 2, 2), (5, 1, 1), (5, 2, 1), (2, 1, 3)]
        {
            for (rows, columns) in [(5, 7), (9, 16), (20, 9), (2, 10), (6, 23), (7, 3)] {
                let axis = |input| Axis { stride, dilation, pad_before: kernel / 2, ..Axis::new(input, kernel) };
                let axes = [Axis { pad_after: 1, ..axis(rows) }, Axis { pad_after: kernel, ..axis(columns) }];
                let Ok(problem) = Problem::new(2, groups, [groups * depth, groups * filters], axes) else { continue };
                let epilogue = Epilogue { accumulate: true, ..Epilogue::RELU };
                assert_conforms(&problem, 21, epilogue, 2);
                checked += 1;
            }
        }
    }
    assert!(checked > 280, "{checked} problems");
}

/// Depthwise filters of pixels that are 2 KiB apart, which share few sets of L1: these have loops of their own choice.
#[test]
fn crowded_pixels_conform() {
    for (kernel, stride, columns) in [(3, 2, 17), (5, 1, 16), (5, 2, 16), (7, 1, 17), (7, 1, 23), (7, 2, 17)] {
        let axis = Axis { stride, pad_before: kernel / 2, pad_after: 1, ..Axis::new(columns, kernel) };
        let problem = Problem::new(1, 512, [512, 512], [Axis { input: 17, ..axis }, axis]).unwrap();
        assert_conforms(&problem, 9, Epilogue::RELU, 2);
    }
}

fn pads() -> impl Iterator<Item = (usize, usize)> {
    (0..3).flat_map(|before| (0..3).map(move |after| (before, after)))
}

/// Large outputs: of depthwise layers from 4 MiB on, whose next row is prefetched, at strides and dilations that read different rows
/// next; of others from 8 MiB on, which are streamed, with blocks of channels that are whole cache lines and with some that are not.
#[test]
fn large_outputs_conform() {
    for text in [
        "g20mb1ic20ih232oc20kh3ph1",
        "g33mb2ic33ih290oc33kh3sh2ph1",
        "g17mb1ic17ih254oc17kh3ph2dh1",
        "mb1ic4ih192oc64kh3ph1",
        "g2mb2ic6ih156oc96kh3sh2ph1",
        "mb3ic5ih94oc88kh1",
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
