//! Reductions over any axes.

use conv_simd::{Isa, Simd, SimdOp};

use super::strided::{Cut, Dimension, merged};

/// Elements that are reduced side by side.
const BLOCK: usize = 16;

/// What is made of many elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest; NaN if any is.
    Max,
    /// The smallest; NaN if any is.
    Min,
    /// The sum of their squares.
    SumSquare,
    /// The square root of that.
    L2,
}

/// Reduces a view along some of its dimensions. In `f64`, so that sums of millions of elements are exact.
#[derive(Debug)]
pub(crate) struct ReduceOp {
    kind: Reduction,
    cut: Cut,
    /// The loops over what is kept.
    kept: Vec<Dimension>,
    /// Extents and strides of the loops over what is reduced.
    reduced: Vec<(usize, usize)>,
    count: usize,
}

impl ReduceOp {
    /// Reduces the dimensions `reduced`, extents and strides, and writes each element of those `kept`.
    pub(crate) fn new(kind: Reduction, kept: &[Dimension], reduced: &[(usize, usize)]) -> Self {
        let kept = merged(kept);
        let count = reduced.iter().map(|&(extent, _)| extent).product();
        let floats = kept.iter().map(|dimension| dimension.extent).product::<usize>() * count;
        let (cut, kept) = Cut::new(&kept, 0, floats, if kept.len() == 1 { BLOCK } else { 1 });
        // As views whose outputs are as far apart as their inputs they merge like any others.
        let as_dimension = |&(extent, to): &(usize, usize)| Dimension { extent, from: to as isize, to };
        let reduced = merged(&reduced.iter().map(as_dimension).collect::<Vec<_>>());
        let reduced = reduced.iter().map(|dimension| (dimension.extent, dimension.to)).collect();
        ReduceOp { kind, cut, kept, reduced, count }
    }

    /// Reduces `input`.
    pub(crate) fn run(&self, isa: Isa, workers: usize, input: &[f32], output: &mut [f32]) {
        self.cut.for_each(workers, output, |from, count, output| {
            isa.run(Part { op: self, count, from, input, output });
        });
    }
}

/// The first `count` of the outermost loop.
struct Part<'a> {
    op: &'a ReduceOp,
    count: usize,
    from: isize,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        let count = self.op.count as f64;
        match self.op.kind {
            Reduction::Mean => self.reduce(0.0, |sum, x| sum + x, |a, b| a + b, |sum| sum / count),
            Reduction::Sum => self.reduce(0.0, |sum, x| sum + x, |a, b| a + b, |sum| sum),
            Reduction::Max => self.reduce(f64::NEG_INFINITY, larger, larger, |largest| largest),
            Reduction::Min => self.reduce(f64::INFINITY, smaller, smaller, |smallest| smallest),
            Reduction::SumSquare => self.reduce(0.0, |sum, x| x * x + sum, |a, b| a + b, |sum| sum),
            Reduction::L2 => self.reduce(0.0, |sum, x| x * x + sum, |a, b| a + b, f64::sqrt),
        }
    }
}

#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

#[inline(always)]
fn smaller(a: f64, b: f64) -> f64 {
    if a < b || a.is_nan() { a } else { b }
}

impl Part<'_> {
    /// Each kept element is `finish` of its elements and `start` folded by `fold`, some at a time, which `join` joins.
    #[inline(always)]
    fn reduce(
        self,
        start: f64,
        fold: impl Fn(f64, f64) -> f64,
        join: impl Fn(f64, f64) -> f64,
        finish: impl Fn(f64) -> f64,
    ) {
        let Part { op, count, from, input, output } = self;
        let (last, outer) = op.kept.split_last().expect("there is always a loop");
        // The loop that is cut is the outermost one, which may also be the last.
        let (rows, extent) = match outer {
            [] => (1, count),
            [_, inner @ ..] => (count * inner.iter().map(|loops| loops.extent).product::<usize>(), last.extent),
        };
        for row in 0..rows {
            let (row_from, to) = offsets(outer, row);
            let (from, output) = (from + row_from, &mut output[to..]);
            if (last.from, last.to) == (1, 1) {
                for (i, output) in output[..extent].chunks_mut(BLOCK).enumerate() {
                    let input = &input[from as usize + i * BLOCK..];
                    let folded = side_by_side(&op.reduced, input, output.len(), start, &fold);
                    output.iter_mut().zip(folded).for_each(|(y, folded)| *y = finish(folded) as f32);
                }
            } else {
                for i in 0..extent {
                    let input = &input[(from + i as isize * last.from) as usize..];
                    output[i * last.to] = finish(single(&op.reduced, input, start, &fold, &join)) as f32;
                }
            }
        }
    }
}

/// Where the input and the output of the innermost loop begin.
fn offsets(outer: &[Dimension], mut row: usize) -> (isize, usize) {
    outer.iter().rev().fold((0, 0), |(from, to), dimension| {
        let index = row % dimension.extent;
        row /= dimension.extent;
        (from + index as isize * dimension.from, to + index * dimension.to)
    })
}

/// Calls `run(first, extent, stride)` for each innermost loop over what is reduced.
#[inline(always)]
fn each_run(reduced: &[(usize, usize)], mut run: impl FnMut(usize, usize, usize)) {
    let (extent, stride, outer) = match reduced {
        [] => (1, 1, reduced),
        [outer @ .., (extent, stride)] => (*extent, *stride, outer),
    };
    for mut index in 0..outer.iter().map(|(extent, _)| extent).product() {
        let mut first = 0;
        for (extent, stride) in outer.iter().rev() {
            first += index % extent * stride;
            index /= extent;
        }
        run(first, extent, stride);
    }
}

/// `count` neighbours, each folded with all that it is reduced with.
#[inline(always)]
fn side_by_side(
    reduced: &[(usize, usize)],
    input: &[f32],
    count: usize,
    start: f64,
    fold: &impl Fn(f64, f64) -> f64,
) -> [f64; BLOCK] {
    let mut all = [start; BLOCK];
    each_run(reduced, |first, extent, stride| {
        for j in 0..extent {
            let input = &input[first + j * stride..];
            if count == BLOCK {
                let input = input.first_chunk::<BLOCK>().expect("a block is left");
                all.iter_mut().zip(input).for_each(|(folded, &x)| *folded = fold(*folded, x.into()));
            } else {
                all.iter_mut().zip(&input[..count]).for_each(|(folded, &x)| *folded = fold(*folded, x.into()));
            }
        }
    });
    all
}

/// One element, of all that it is reduced with.
#[inline(always)]
fn single(
    reduced: &[(usize, usize)],
    input: &[f32],
    start: f64,
    fold: &impl Fn(f64, f64) -> f64,
    join: &impl Fn(f64, f64) -> f64,
) -> f64 {
    let mut all = [start; BLOCK];
    each_run(reduced, |first, extent, stride| {
        if stride == 1 {
            let (blocks, rest) = input[first..][..extent].as_chunks::<BLOCK>();
            for block in blocks {
                all.iter_mut().zip(block).for_each(|(folded, &x)| *folded = fold(*folded, x.into()));
            }
            all.iter_mut().zip(rest).for_each(|(folded, &x)| *folded = fold(*folded, x.into()));
        } else {
            for j in 0..extent {
                all[0] = fold(all[0], input[first + j * stride].into());
            }
        }
    });
    all.into_iter().fold(start, join)
}

#[cfg(test)]
mod tests {
    use super::super::row_major;
    use super::*;

    const ALL: [Reduction; 6] =
        [Reduction::Mean, Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::SumSquare, Reduction::L2];

    fn naive(kind: Reduction, values: &[f64]) -> f64 {
        let (sum, squares) = (values.iter().sum::<f64>(), values.iter().map(|x| x * x).sum::<f64>());
        match kind {
            Reduction::Mean => sum / values.len() as f64,
            Reduction::Sum => sum,
            Reduction::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Reduction::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Reduction::SumSquare => squares,
            Reduction::L2 => squares.sqrt(),
        }
    }

    /// Dense `extents`, of which the axes of the set bits are reduced.
    fn check(extents: &[usize], bits: usize) {
        let strides = row_major(extents);
        let input: Vec<f32> = (0..extents.iter().product()).map(|i: usize| (i * 37 % 101) as f32 / 7.0 - 6.0).collect();
        let is_reduced = |axis: usize| bits >> axis & 1 == 1;
        let kept_extents: Vec<usize> = (0..extents.len()).filter(|&d| !is_reduced(d)).map(|d| extents[d]).collect();
        let mut to = row_major(&kept_extents).into_iter();
        let (mut kept, mut reduced, mut to_strides) = (vec![], vec![], vec![0; extents.len()]);
        for axis in 0..extents.len() {
            if is_reduced(axis) {
                reduced.push((extents[axis], strides[axis]));
            } else {
                to_strides[axis] = to.next().unwrap();
                kept.push(Dimension { extent: extents[axis], from: strides[axis] as isize, to: to_strides[axis] });
            }
        }
        let mut values = vec![vec![]; kept_extents.iter().product()];
        for (i, &x) in input.iter().enumerate() {
            let to: usize = (0..extents.len()).map(|d| i / strides[d] % extents[d] * to_strides[d]).sum();
            values[to].push(f64::from(x));
        }
        for kind in ALL {
            let op = ReduceOp::new(kind, &kept, &reduced);
            for isa in Isa::available() {
                for workers in [1, 3] {
                    let mut output = vec![f32::NAN; values.len()];
                    op.run(isa, workers, &input, &mut output);
                    for (i, (&y, values)) in output.iter().zip(&values).enumerate() {
                        let exact = naive(kind, values);
                        let error = (f64::from(y) - exact).abs();
                        assert!(
                            error <= 1e-7 * exact.abs() + 1e-9,
                            "{kind:?} of {extents:?} by {bits:b} on {isa}: {i} is {y} for {exact}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn all_axes_and_none() {
        for extents in [[2, 3, 5, 7], [1, 17, 2, 33], [3, 1, 16, 40]] {
            (0..16).for_each(|bits| check(&extents, bits));
        }
    }

    #[test]
    fn what_is_cut_into_many_tasks() {
        check(&[2, 49, 1000], 0b010);
        check(&[2, 300, 200], 0b100);
        check(&[300, 2, 200], 0b010);
        check(&[500_000], 0b1);
        check(&[7, 50_000], 0b01);
    }

    #[test]
    fn millions_are_exact_and_what_is_no_number_stays() {
        let (ones, mut output) = (vec![0.1; 20_000_001], [0.0]);
        ReduceOp::new(Reduction::Mean, &[], &[(ones.len(), 1)]).run(Isa::best(), 2, &ones, &mut output);
        assert_eq!(output, [0.1]);
        let mut input = [1.0; 100];
        input[37] = f32::NAN;
        for kind in ALL {
            ReduceOp::new(kind, &[], &[(100, 1)]).run(Isa::best(), 1, &input, &mut output);
            assert!(output[0].is_nan(), "{kind:?}");
        }
    }
}
