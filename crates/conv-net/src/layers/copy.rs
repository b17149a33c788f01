//! Copies between strided views: whatever only moves elements.

use super::strided::{Cut, Dimension, merged};

/// Elements along each side of the squares in which a plane is transposed: a cache line.
const SQUARE: usize = 16;

/// What is shorter is not worth being the innermost loop.
const SHORT: usize = 8;

/// Elements of the loop that replaces such a one: what they read and write stays in L1 until the next pass.
const STRIP: usize = 256;

/// Copies each element of one strided view to the element of the same indices of another.
#[derive(Debug)]
pub(crate) struct StridedCopy {
    cut: Cut,
    loops: Vec<Dimension>,
    /// The loop of which each task takes a part.
    cut_at: usize,
    from: usize,
}

impl StridedCopy {
    /// Between views of `dimensions`, in any order, that begin `from` and `to` floats behind the beginning of the
    /// slices to [`run`](Self::run) with. No two elements may be written to the same place.
    pub(crate) fn new(dimensions: &[Dimension], from: usize, to: usize) -> Self {
        let dimensions = merged(dimensions);
        let floats = dimensions.iter().map(|dimension| dimension.extent).product();
        // Tasks of fewer columns would read the same lines of a transpose's input.
        let wide = dimensions.len() > 1 && dimensions[0].from == 1 && dimensions[0].extent > SHORT;
        let (cut, mut loops) = Cut::new(&dimensions, to, floats, if wide { SQUARE } else { 1 });
        // The loop with the closest reads goes next to the one with the closest writes, so that both make up a plane.
        let last = loops.len() - 1;
        let distance = |i: usize| loops[i].from.unsigned_abs();
        let closest = (0..last).filter(|&i| (1..distance(last)).contains(&distance(i))).min_by_key(|&i| distance(i));
        if let Some(i) = closest {
            loops[i..last].rotate_left(1);
        }
        StridedCopy { cut, cut_at: if closest == Some(0) { last - 1 } else { 0 }, loops, from }
    }

    /// Copies from `input` to `output`, which both hold all of their views; nothing else of `output` is written.
    pub(crate) fn run(&self, workers: usize, input: &[f32], output: &mut [f32]) {
        self.cut.for_each(workers, output, |from, count, output| {
            copy(&self.loops, (self.cut_at, count), input, self.from as isize + from, output);
        });
    }
}

/// Runs the loops, the one at `cut_at` only `count` times.
fn copy(loops: &[Dimension], (cut_at, count): (usize, usize), input: &[f32], from: isize, output: &mut [f32]) {
    let sized = |i: usize| Dimension { extent: if i == cut_at { count } else { loops[i].extent }, ..loops[i] };
    match loops.len() {
        1 => line(sized(0), input, from, output),
        2 => plane([sized(0), sized(1)], input, from, output),
        _ => {
            let first = sized(0);
            for i in 0..first.extent {
                let from = from + i as isize * first.from;
                copy(&loops[1..], (cut_at.wrapping_sub(1), count), input, from, &mut output[i * first.to..]);
            }
        }
    }
}

/// Two loops.
fn plane([rows, columns]: [Dimension; 2], input: &[f32], from: isize, output: &mut [f32]) {
    let interleaves = rows.from == 1 && columns.to == 1 && columns.from > 0 && rows.to == columns.extent;
    let parts = || (rows.extent, columns.from as usize, &input[from as usize..]);
    match columns.extent {
        2 if interleaves => return interleave::<2>(parts(), output),
        3 if interleaves => return interleave::<3>(parts(), output),
        4 if interleaves => return interleave::<4>(parts(), output),
        8 if interleaves => return interleave::<8>(parts(), output),
        _ => {}
    }
    if columns.extent < SHORT && rows.extent > columns.extent {
        for first in (0..rows.extent).step_by(STRIP) {
            let strip = Dimension { extent: STRIP.min(rows.extent - first), ..rows };
            for i in 0..columns.extent {
                let from = from + first as isize * rows.from + i as isize * columns.from;
                line(strip, input, from, &mut output[first * rows.to + i * columns.to..]);
            }
        }
    } else if rows.from == 1 && columns.to == 1 && columns.from > 1 {
        transpose([rows, columns], input, from, output);
    } else {
        for i in 0..rows.extent {
            line(columns, input, from + i as isize * rows.from, &mut output[i * rows.to..]);
        }
    }
}

/// The channels of `N` groups one after the other of each, as channel shuffles have them: loops that become shuffles of vectors.
fn interleave<const N: usize>((len, apart, input): (usize, usize, &[f32]), output: &mut [f32]) {
    let parts: [&[f32]; N] = std::array::from_fn(|part| &input[part * apart..][..len]);
    for (i, output) in output[..len * N].chunks_exact_mut(N).enumerate() {
        for (y, part) in output.iter_mut().zip(&parts) {
            *y = part[i];
        }
    }
}

/// A plane whose rows are dense in the output and whose columns are dense in the input.
fn transpose([rows, columns]: [Dimension; 2], input: &[f32], from: isize, output: &mut [f32]) {
    for row in (0..rows.extent).step_by(SQUARE) {
        for column in (0..columns.extent).step_by(SQUARE) {
            let from = from + row as isize + column as isize * columns.from;
            let output = &mut output[row * rows.to + column..];
            let (height, width) = (SQUARE.min(rows.extent - row), SQUARE.min(columns.extent - column));
            if (height, width) == (SQUARE, SQUARE) {
                let mut square = [[0.0; SQUARE]; SQUARE];
                for j in 0..SQUARE {
                    let column = &input[from as usize + j * columns.from as usize..][..SQUARE];
                    for (row, &x) in square.iter_mut().zip(column) {
                        row[j] = x;
                    }
                }
                for (i, row) in square.iter().enumerate() {
                    output[i * rows.to..][..SQUARE].copy_from_slice(row);
                }
            } else {
                for i in 0..height {
                    let columns = Dimension { extent: width, ..columns };
                    line(columns, input, from + i as isize, &mut output[i * rows.to..]);
                }
            }
        }
    }
}

/// One loop.
#[inline]
fn line(Dimension { extent, from: step, to }: Dimension, input: &[f32], from: isize, output: &mut [f32]) {
    let first = from as usize;
    match (step, to) {
        (1, 1) => output[..extent].copy_from_slice(&input[first..][..extent]),
        (0, 1) => output[..extent].fill(input[first]),
        (1.., 1) => {
            let input = input[first..].iter().step_by(step as usize);
            output[..extent].iter_mut().zip(input).for_each(|(y, x)| *y = *x);
        }
        (1.., _) => {
            let input = input[first..].iter().step_by(step as usize);
            output.iter_mut().step_by(to).take(extent).zip(input).for_each(|(y, x)| *y = *x);
        }
        _ => {
            for (i, y) in output.iter_mut().step_by(to).take(extent).enumerate() {
                *y = input[(from + i as isize * step) as usize];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::strided::{dimensions, row_major};
    use super::*;

    /// Element by element.
    fn naive(dimensions: &[Dimension], input: &[f32], from: isize, output: &mut [f32], to: usize) {
        match dimensions {
            [] => output[to] = input[from as usize],
            [first, rest @ ..] => {
                for i in 0..first.extent {
                    naive(rest, input, from + i as isize * first.from, output, to + i * first.to);
                }
            }
        }
    }

    /// Copies like `naive`, and writes nothing else.
    fn check(dimensions: &[Dimension], from: usize, to: usize) {
        let size = |start: usize, stride: fn(&Dimension) -> usize| {
            start + 1 + dimensions.iter().map(|d| d.extent.saturating_sub(1) * stride(d)).sum::<usize>()
        };
        let input: Vec<f32> = (0..size(from, |d| d.from.max(0) as usize)).map(|x| x as f32).collect();
        let mut expected = vec![-1.0; size(to, |d| d.to) + 3];
        let fresh = expected.clone();
        naive(dimensions, &input, from as isize, &mut expected, to);
        let copy = StridedCopy::new(dimensions, from, to);
        for workers in [1, 3] {
            let mut output = fresh.clone();
            copy.run(workers, &input, &mut output);
            assert!(output == expected, "{dimensions:?} by {copy:?} on {workers} workers");
        }
    }

    /// `extents` of the input, permuted.
    fn permuted(extents: &[usize], order: &[usize]) -> Vec<Dimension> {
        let strides = row_major(extents);
        let extents: Vec<usize> = order.iter().map(|&i| extents[i]).collect();
        let from: Vec<usize> = order.iter().map(|&i| strides[i]).collect();
        dimensions(&extents, &from, &row_major(&extents))
    }

    #[test]
    fn permutations() {
        for extents in
            [[2, 3, 5, 7], [1, 17, 33, 40], [1, 130, 120, 3], [1, 3, 130, 120], [37, 1, 2, 300], [2, 2, 100, 200]]
        {
            for order in [[0, 2, 3, 1], [0, 3, 1, 2], [3, 2, 1, 0], [0, 1, 2, 3], [1, 0, 3, 2], [2, 0, 3, 1]] {
                check(&permuted(&extents, &order), 0, 0);
            }
        }
    }

    #[test]
    fn slices_and_what_is_joined() {
        // Some channels of many pixels into others'.
        for (pixels, channels, of, into) in [(100, 24, 40, 64), (3000, 24, 40, 64), (3000, 3, 4, 5), (9000, 40, 40, 80)]
        {
            check(&dimensions(&[pixels, channels], &[of, 1], &[into, 1]), of - channels, into - channels);
        }
        // Every second row, backwards along the columns.
        let reversed = Dimension { extent: 50, from: -1, to: 1 };
        check(&[Dimension { extent: 300, from: 100, to: 50 }, reversed], 49, 2);
    }

    #[test]
    fn repeated_elements() {
        check(&dimensions(&[200, 300], &[0, 1], &[300, 1]), 0, 0);
        check(&dimensions(&[200, 300], &[1, 0], &[300, 1]), 0, 0);
        // Nearest neighbours, twice and thrice as many.
        let (h, w, c) = (40, 30, 20);
        let to = row_major(&[h, 2, w, 3, c]);
        check(&dimensions(&[h, 2, w, 3, c], &[w * c, 0, c, 0, 1], &to), 0, 0);
    }

    #[test]
    fn channels_shuffled() {
        for (groups, share, pixels) in [(3, 80, 784), (2, 29, 784), (8, 8, 100)] {
            let channels = groups * share;
            check(&dimensions(&[pixels, share, groups], &[channels, 1, share], &[channels, groups, 1]), 0, 0);
        }
    }

    #[test]
    fn single_elements_and_none() {
        check(&[], 3, 2);
        check(&dimensions(&[1, 1], &[5, 5], &[7, 7]), 3, 2);
        check(&dimensions(&[4, 0, 3], &[0, 3, 1], &[0, 3, 1]), 0, 0);
    }

    #[test]
    fn views_that_interleave() {
        check(&dimensions(&[3, 20_000], &[20_000, 1], &[1, 3]), 0, 0);
        // Both strides of the output are less than what the other loop covers.
        check(&dimensions(&[2, 30_000], &[30_000, 1], &[3, 2]), 0, 0);
    }
}
