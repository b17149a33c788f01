//! The problems of the conformance suite.

use conv_core::{Axis, Problem};

/// The problems of the suite: AlexNet's maps with few channels, and every kind of awkward shape, all small.
pub fn problems() -> Vec<Problem> {
    let problem = |batch, groups, channels, axes| Problem::new(batch, groups, channels, axes).expect("a valid problem");
    let same = |axis| [axis, axis];
    let mut all = vec![
        // AlexNet's layers, spatially true.
        problem(1, 1, [3, 32], same(Axis::new(227, 11).stride(4))),
        problem(1, 1, [3, 20], same(Axis::new(224, 11).stride(4).pad(2, 2))),
        problem(2, 2, [16, 48], same(Axis::new(27, 5).pad(2, 2))),
        problem(5, 1, [24, 40], same(Axis::new(13, 3).pad(1, 1))),
        problem(1, 2, [32, 64], same(Axis::new(13, 3).pad(1, 1))),
        // 1×1: plain, strided, one pixel (a fully connected layer), padded.
        problem(3, 1, [37, 33], same(Axis::new(6, 1))),
        problem(2, 2, [10, 14], same(Axis::new(9, 1).stride(2))),
        problem(1, 2, [32, 14], same(Axis::new(9, 1).stride(2))),
        problem(1, 1, [129, 35], same(Axis::new(1, 1))),
        problem(7, 1, [50, 24], same(Axis::new(1, 1))),
        // Fully connected, with more images than a kernel takes at a time.
        problem(270, 1, [9, 20], same(Axis::new(1, 1))),
        // Images a multiple of 4 KiB apart, of which a tile has fewer.
        problem(18, 1, [1024, 2], same(Axis::new(1, 1))),
        problem(1, 1, [4, 5], same(Axis::new(3, 1).pad(1, 2))),
        // Strides, also unequal and larger than the filter.
        problem(1, 1, [8, 16], same(Axis::new(28, 7).stride(2).pad(3, 3))),
        problem(2, 1, [5, 9], [Axis::new(12, 3).stride(2).pad(1, 1), Axis::new(14, 3).stride(3)]),
        problem(1, 1, [4, 6], same(Axis::new(17, 2).stride(5))),
        // Padding: asymmetric, wider than the filter, an image smaller than the filter.
        problem(1, 1, [6, 7], [Axis::new(9, 3).pad(2, 0), Axis::new(8, 3).pad(0, 1)]),
        problem(2, 1, [3, 18], same(Axis::new(5, 3).pad(4, 5))),
        problem(1, 1, [3, 4], [Axis::new(2, 5).pad(3, 2), Axis::new(3, 5).pad(2, 4)]),
        problem(1, 1, [2, 8], same(Axis::new(28, 11).pad(5, 5))),
        // Dilation.
        problem(1, 1, [8, 8], same(Axis::new(13, 3).dilation(2).pad(2, 2))),
        problem(2, 3, [6, 9], [Axis::new(11, 2).dilation(4).pad(1, 3), Axis::new(12, 3).dilation(3).stride(2)]),
        // Depthwise, with a channel multiplier, and small groups.
        problem(2, 20, [20, 20], same(Axis::new(14, 3).pad(1, 1))),
        problem(1, 37, [37, 37], same(Axis::new(9, 5).stride(2).pad(2, 1))),
        problem(1, 130, [130, 130], [Axis::new(7, 3).pad(1, 1).dilation(2), Axis::new(9, 3).pad(2, 3).dilation(3)]),
        problem(1, 18, [18, 18], [Axis::new(5, 3), Axis::new(29, 3).stride(2).pad(1, 1)]),
        problem(1, 18, [18, 18], [Axis::new(5, 5).pad(2, 2), Axis::new(21, 5).pad(2, 2)]),
        problem(2, 18, [18, 18], [Axis::new(9, 5).stride(2).pad(2, 2), Axis::new(29, 5).stride(2).pad(1, 2)]),
        problem(1, 6, [6, 12], same(Axis::new(8, 3).pad(1, 1))),
        problem(2, 4, [16, 16], same(Axis::new(8, 3).pad(1, 1))),
        // Filters that are not square, and even ones.
        problem(1, 1, [9, 17], [Axis::new(10, 1), Axis::new(15, 3).pad(1, 1)]),
        problem(1, 1, [9, 17], [Axis::new(10, 3).pad(1, 1), Axis::new(15, 1)]),
        problem(1, 1, [5, 8], [Axis::new(9, 1), Axis::new(17, 7).pad(3, 3)]),
        problem(2, 1, [5, 8], [Axis::new(17, 7).pad(3, 3), Axis::new(9, 1)]),
        problem(1, 1, [4, 4], same(Axis::new(10, 2))),
        problem(1, 1, [4, 4], [Axis::new(9, 4).pad(1, 2), Axis::new(11, 2).pad(0, 1)]),
        problem(1, 1, [1, 1], same(Axis::new(1, 1))),
        // Many channels, where kernels cut them into blocks; many pixels in one row or column; a whole-image filter.
        problem(1, 1, [600, 18], same(Axis::new(5, 3).pad(1, 1))),
        problem(1, 1, [6, 530], same(Axis::new(6, 3).pad(1, 1))),
        problem(2, 1, [3, 5], [Axis::new(1, 1), Axis::new(310, 3).pad(1, 1)]),
        problem(1, 1, [3, 5], [Axis::new(310, 3).pad(1, 1), Axis::new(1, 1)]),
        problem(3, 1, [32, 50], same(Axis::new(6, 6))),
        problem(1, 1, [18, 35], [Axis::new(5, 5).stride(2), Axis::new(7, 7)]),
        // An output of more than 4 MiB, written past the caches where a vector is aligned.
        problem(1, 1, [3, 72], same(Axis::new(124, 3).pad(1, 1))),
    ];
    // Channel tails.
    for (ic, oc) in [(1, 1), (3, 7), (5, 16), (17, 24), (16, 33), (2, 40), (33, 100)] {
        all.push(problem(1, 1, [ic, oc], same(Axis::new(7, 3).pad(1, 1))));
        all.push(problem(2, 1, [ic, oc], same(Axis::new(8, 5).pad(2, 2))));
    }
    // Output widths around the tiles of every instruction set.
    for width in [1, 2, 3, 5, 6, 7, 12, 13, 14, 15, 27, 28, 29, 55, 56] {
        all.push(problem(1, 1, [4, 36], [Axis::new(3, 3).pad(1, 1), Axis::new(width, 3).pad(1, 1)]));
    }
    all
}

/// More problems of many channels. Transforming their filters for every instruction set, kind of data and set of parameters
/// would take most of the suite's time, and no transform cuts channels otherwise than for those of [`problems`].
pub fn wide_problems() -> Vec<Problem> {
    let problem = |batch, channels, axes| Problem::new(batch, 1, channels, axes).expect("a valid problem");
    let same = |axis| [axis, axis];
    vec![
        // Fully connected: three chunks of input channels, several blocks or panels of output channels, many images and one.
        problem(16, [2100, 35], same(Axis::new(1, 1))),
        problem(1, [129, 100], same(Axis::new(1, 1))),
        problem(1, [70, 150], [Axis::new(5, 5).stride(2), Axis::new(7, 7)]),
        // Pixels a multiple of 4 KiB apart, of which a tile has fewer.
        problem(1, [1024, 3], same(Axis::new(4, 1))),
        problem(1, [512, 4], [Axis::new(1, 1), Axis::new(27, 1).stride(2)]),
        // A reduction of many panels, by blocks of several vectors.
        problem(1, [600, 30], same(Axis::new(5, 3).pad(1, 1))),
    ]
}
