//! Reshaping a tensor that is not stored in the order of its elements.

use super::strided::Dimension;

/// One side's axes, from the innermost outwards.
struct Axes<'a> {
    outer: &'a [usize],
    strides: &'a [usize],
    /// What is left of the current axis, and its stride.
    extent: usize,
    stride: usize,
}

impl<'a> Axes<'a> {
    fn new(outer: &'a [usize], strides: &'a [usize]) -> Self {
        Axes { outer, strides, extent: 1, stride: 0 }
    }

    /// Goes on as far as the axes are one in memory; whether there is any.
    fn advance(&mut self) -> bool {
        while let ([outer @ .., extent], [strides @ .., stride]) = (self.outer, self.strides) {
            if self.extent == 1 {
                self.stride = *stride;
            } else if *extent != 1 && *stride != self.stride * self.extent {
                break;
            }
            self.extent *= extent;
            (self.outer, self.strides) = (outer, strides);
        }
        self.extent != 1
    }

    /// Takes the innermost `extent` elements off the current axis; their stride.
    fn take(&mut self, extent: usize) -> usize {
        let stride = self.stride;
        self.extent /= extent;
        self.stride *= extent;
        stride
    }
}

/// The dimensions of a [`StridedCopy`](super::StridedCopy) that moves a tensor of row-major extents `from`, stored with
/// `from_strides`, to the extents `to` of as many elements, stored with `to_strides`: those that all axes of both are
/// made of. `None` if there are none, as from 4×6 to 6×4, both stored by columns; then two copies do it, by way of
/// [`row_major`](super::row_major) strides.
pub(crate) fn reshaped(
    from: &[usize],
    from_strides: &[usize],
    to: &[usize],
    to_strides: &[usize],
) -> Option<Vec<Dimension>> {
    if from.contains(&0) {
        return Some(vec![Dimension { extent: 0, from: 1, to: 1 }]);
    }
    let (mut from, mut to) = (Axes::new(from, from_strides), Axes::new(to, to_strides));
    let mut dimensions = Vec::new();
    // Both run out together, of as many elements.
    while from.advance() & to.advance() {
        let extent = from.extent.min(to.extent);
        if !from.extent.max(to.extent).is_multiple_of(extent) {
            return None;
        }
        dimensions.push(Dimension { extent, from: from.take(extent) as isize, to: to.take(extent) });
    }
    dimensions.reverse();
    Some(dimensions)
}

#[cfg(test)]
mod tests {
    use super::super::strided::{dimensions, row_major};
    use super::super::{Dimension, StridedCopy, reshaped};

    /// The strides of row-major `extents` stored in `order`, outermost first.
    fn stored(extents: &[usize], order: &[usize]) -> Vec<usize> {
        let permuted: Vec<usize> = order.iter().map(|&axis| extents[axis]).collect();
        let mut strides = vec![0; extents.len()];
        for (&axis, stride) in order.iter().zip(row_major(&permuted)) {
            strides[axis] = stride;
        }
        strides
    }

    fn copied(dimensions: &[Dimension], input: &[f32]) -> Vec<f32> {
        let mut output = vec![f32::NAN; input.len()];
        StridedCopy::new(dimensions, 0, 0).run(1, input, &mut output);
        output
    }

    #[test]
    fn as_by_way_of_the_order_of_the_elements() {
        let (last, none): (&[usize], _) = (&[0, 2, 3, 1], &[0, 1, 2]);
        type Side<'a> = &'a [usize];
        let cases: [(Side, Side, Side, Side); 7] = [
            (&[2, 6, 3, 5], last, &[2, 90], &[0, 1]),
            (&[2, 6, 3, 5], last, &[2, 6, 15], none),
            (&[2, 6, 3, 5], last, &[2, 3, 2, 15], last),
            (&[2, 6, 3, 5], last, &[12, 1, 15, 1], &[0, 3, 2, 1]),
            (&[180], &[0], &[2, 6, 3, 5], last),
            (&[2, 3, 2, 15], last, &[2, 6, 3, 5], last),
            (&[1, 8, 1, 1], last, &[8], &[0]),
        ];
        for (from, from_order, to, to_order) in cases {
            let (from_strides, to_strides) = (stored(from, from_order), stored(to, to_order));
            let input: Vec<f32> = (0..from.iter().product()).map(|x| x as f32).collect();
            let dense = copied(&dimensions(from, &from_strides, &row_major(from)), &input);
            let expected = copied(&dimensions(to, &row_major(to), &to_strides), &dense);
            let dimensions = reshaped(from, &from_strides, to, &to_strides).unwrap();
            assert_eq!(copied(&dimensions, &input), expected, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn none_without_common_factors() {
        assert_eq!(reshaped(&[4, 6], &[1, 4], &[6, 4], &[1, 6]), None);
        assert_eq!(reshaped(&[4, 6], &[6, 1], &[6, 4], &[4, 1]), Some(dimensions(&[24], &[1], &[1])));
        assert_eq!(reshaped(&[], &[], &[1], &[1]), Some(vec![]));
        assert_eq!(reshaped(&[3, 0], &[0, 1], &[0], &[1]).unwrap()[0].extent, 0);
    }
}
