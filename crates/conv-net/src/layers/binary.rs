//! Functions of two tensors' elements, either of which may be repeated.

use conv_simd::{Bounds, Isa, Simd, SimdOp};

use super::{for_each_chunk, task_len};

/// What is made of an element of `a` and one of `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a / b`.
    Div,
    /// The larger; NaN if either is.
    Max,
    /// The smaller; NaN if either is.
    Min,
    /// `aᵇ`.
    Pow,
    /// `a`, but `a · b` below zero.
    PRelu,
}

impl Binary {
    /// What ONNX calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div => "Div",
            Binary::Max => "Max",
            Binary::Min => "Min",
            Binary::Pow => "Pow",
            Binary::PRelu => "PRelu",
        }
    }
}

/// One loop over the output, and how far apart its elements of both inputs are.
#[derive(Debug, Clone, Copy)]
struct Loop {
    extent: usize,
    a: usize,
    b: usize,
}

/// `output = kind(a, b)` with whatever is repeated.
#[derive(Debug)]
pub(crate) struct BroadcastOp {
    kind: Binary,
    floats: usize,
    outer: Vec<Loop>,
    /// Runs along `run`, whose starts are evenly spaced.
    rows: Loop,
    run: Loop,
}

impl BroadcastOp {
    /// For a dense output of `extents`, outermost first, from inputs whose elements are `a_strides` and `b_strides`
    /// floats apart, zero where one is repeated.
    pub(crate) fn new(kind: Binary, extents: &[usize], a_strides: &[usize], b_strides: &[usize]) -> Self {
        let mut loops: Vec<Loop> = Vec::new();
        for ((&extent, &a), &b) in extents.iter().zip(a_strides).zip(b_strides) {
            match loops.last_mut() {
                _ if extent == 1 => {}
                Some(outer) if (outer.a, outer.b) == (a * extent, b * extent) => {
                    *outer = Loop { extent: outer.extent * extent, a, b };
                }
                _ => loops.push(Loop { extent, a, b }),
            }
        }
        let once = Loop { extent: 1, a: 0, b: 0 };
        let run = loops.pop().unwrap_or(once);
        let rows = loops.pop().unwrap_or(once);
        BroadcastOp { kind, floats: extents.iter().product(), outer: loops, rows, run }
    }

    /// Computes `output`, within `bounds`.
    pub(crate) fn run(&self, isa: Isa, workers: usize, a: &[f32], b: &[f32], output: &mut [f32], bounds: Bounds) {
        let run = self.run.extent.max(1);
        // Whole runs, unless they are long ones.
        let len = match task_len(self.floats, 1) {
            len if len < 2 * run => len.next_multiple_of(16),
            len => len.next_multiple_of(run),
        };
        for_each_chunk(workers, &mut output[..self.floats], len, |index, output| {
            isa.run(Part { op: self, first: index * len, a, b, output, bounds });
        });
    }

    /// Where the runs of a plane begin in both inputs.
    fn offsets(&self, mut plane: usize) -> (usize, usize) {
        self.outer.iter().rev().fold((0, 0), |(a, b), outer| {
            let index = plane % outer.extent;
            plane /= outer.extent;
            (a + index * outer.a, b + index * outer.b)
        })
    }
}

/// The elements of the output from the `first`.
struct Part<'a> {
    op: &'a BroadcastOp,
    first: usize,
    a: &'a [f32],
    b: &'a [f32],
    output: &'a mut [f32],
    bounds: Bounds,
}

impl SimdOp for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<S: Simd>(self, _: S) {
        match self.op.kind {
            Binary::Add => self.bounded(|a, b| a + b),
            Binary::Sub => self.bounded(|a, b| a - b),
            Binary::Mul => self.bounded(|a, b| a * b),
            Binary::Div => self.bounded(|a, b| a / b),
            Binary::Max => self.bounded(|a, b| if a > b || a.is_nan() { a } else { b }),
            Binary::Min => self.bounded(|a, b| if a < b || a.is_nan() { a } else { b }),
            // The only power that networks have many of.
            Binary::Pow
                if self.op.run.b == 0 && self.op.rows.b == 0 && self.op.outer.is_empty() && self.b[0] == 2.0 =>
            {
                self.bounded(|a, _| a * a);
            }
            Binary::Pow => self.bounded(f32::powf),
            Binary::PRelu => self.bounded(|a, b| if a < 0.0 { a * b } else { a }),
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn bounded(self, function: impl Fn(f32, f32) -> f32) {
        let bounds = self.bounds;
        if bounds == Bounds::NONE {
            self.each_run(function);
        } else {
            self.each_run(|a, b| bounds.clamp_one(function(a, b)));
        }
    }

    #[inline(always)]
    fn each_run(self, function: impl Fn(f32, f32) -> f32) {
        let Part { op, first, a, b, mut output, .. } = self;
        let (rows, run) = (op.rows, op.run);
        let (mut row, mut start) = (first / run.extent, first % run.extent);
        while !output.is_empty() {
            let (a_plane, b_plane) = op.offsets(row / rows.extent);
            for i in row % rows.extent..rows.extent {
                let (part, rest) = output.split_at_mut((run.extent - start).min(output.len()));
                if part.is_empty() {
                    return;
                }
                let (a_start, b_start) = (a_plane + i * rows.a + start * run.a, b_plane + i * rows.b + start * run.b);
                combine(&function, (&a[a_start..], run.a), (&b[b_start..], run.b), part);
                (output, start, row) = (rest, 0, row + 1);
            }
        }
    }
}

/// One run, of inputs with these strides.
#[inline(always)]
fn combine(
    function: &impl Fn(f32, f32) -> f32,
    (a, a_stride): (&[f32], usize),
    (b, b_stride): (&[f32], usize),
    output: &mut [f32],
) {
    let len = output.len();
    match (a_stride, b_stride) {
        (1, 1) => {
            let pairs = a[..len].iter().zip(&b[..len]);
            output.iter_mut().zip(pairs).for_each(|(y, (&a, &b))| *y = function(a, b));
        }
        (1, 0) => {
            let b = b[0];
            output.iter_mut().zip(&a[..len]).for_each(|(y, &a)| *y = function(a, b));
        }
        (0, 1) => {
            let a = a[0];
            output.iter_mut().zip(&b[..len]).for_each(|(y, &b)| *y = function(a, b));
        }
        _ => {
            output.iter_mut().enumerate().for_each(|(i, y)| *y = function(a[i * a_stride], b[i * b_stride]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Binary; 8] =
        [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Pow, Binary::PRelu];

    fn naive(kind: Binary, a: f32, b: f32) -> f32 {
        match kind {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Max => a.max(b),
            Binary::Min => a.min(b),
            Binary::Pow => a.powf(b),
            Binary::PRelu => {
                if a >= 0.0 {
                    a
                } else {
                    a * b
                }
            }
        }
    }

    /// Dense inputs of these extents, of which those of 1 are repeated.
    fn check(kind: Binary, extents: &[usize], a: &[usize], b: &[usize]) {
        let strides = |own: &[usize]| -> Vec<usize> {
            let dense = super::super::row_major(own);
            own.iter().zip(dense).map(|(&extent, stride)| if extent == 1 { 0 } else { stride }).collect()
        };
        let values = |own: &[usize], seed: usize| -> Vec<f32> {
            (0..own.iter().product()).map(|i: usize| ((i * 37 + seed) % 101) as f32 / 8.0 - 5.0).collect()
        };
        let (a_strides, b_strides) = (strides(a), strides(b));
        let (a_values, b_values) = (values(a, 3), values(b, 59));
        let dense = super::super::row_major(extents);
        let expected: Vec<f32> = (0..extents.iter().product())
            .map(|i: usize| {
                let offset = |strides: &[usize]| -> usize {
                    (0..extents.len()).map(|d| i / dense[d] % extents[d] * strides[d]).sum()
                };
                naive(kind, a_values[offset(&a_strides)], b_values[offset(&b_strides)])
            })
            .collect();
        let op = BroadcastOp::new(kind, extents, &a_strides, &b_strides);
        for isa in Isa::available() {
            let clip = Bounds { least: -1.0, most: 1.5 };
            for (workers, bounds) in [(1, Bounds::NONE), (3, Bounds::NONE), (1, Bounds::RELU), (3, clip)] {
                let mut output = vec![f32::INFINITY; expected.len()];
                op.run(isa, workers, &a_values, &b_values, &mut output, bounds);
                for (i, (&y, &x)) in output.iter().zip(&expected).enumerate() {
                    let x = bounds.clamp_one(x);
                    assert!(
                        x == y || x.is_nan() && y.is_nan(),
                        "{kind:?} of {extents:?}, {a:?} and {b:?} on {isa}, {workers} workers: {i} is {y} for {x}"
                    );
                }
            }
        }
    }

    #[test]
    fn all_kinds_of_all_repetitions() {
        for kind in ALL {
            for extents in [[2, 3, 5, 7], [1, 4, 9, 33], [2, 1, 70, 1]] {
                for repeated in 0..256 {
                    let own = |bits: usize| -> Vec<usize> {
                        (0..4).map(|d| if bits >> d & 1 == 1 { 1 } else { extents[d] }).collect()
                    };
                    check(kind, &extents, &own(repeated), &own(repeated >> 4));
                }
            }
        }
    }

    #[test]
    fn what_is_cut_into_many_tasks() {
        for kind in [Binary::Add, Binary::PRelu] {
            check(kind, &[56, 56, 67], &[56, 56, 67], &[56, 56, 67]);
            check(kind, &[2, 600, 67], &[2, 600, 67], &[2, 1, 67]);
            check(kind, &[2, 600, 67], &[2, 600, 67], &[1, 600, 1]);
            check(kind, &[3, 50_001], &[3, 1], &[1, 50_001]);
            check(kind, &[2_000_003], &[2_000_003], &[1]);
        }
    }

    #[test]
    fn squares_and_what_is_empty() {
        let mut output = [0.0; 21];
        let op = BroadcastOp::new(Binary::Pow, &[3, 7], &[7, 1], &[0, 0]);
        op.run(Isa::best(), 1, &[-3.0; 21], &[2.0], &mut output, Bounds::NONE);
        assert_eq!(output, [9.0; 21]);
        BroadcastOp::new(Binary::Add, &[3, 0], &[0, 1], &[0, 1]).run(Isa::best(), 2, &[], &[], &mut [], Bounds::RELU);
        for kind in [Binary::Max, Binary::Min] {
            for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
                let mut output = [0.0; 19];
                BroadcastOp::new(kind, &[19], &[1], &[0]).run(
                    Isa::best(),
                    1,
                    &[a; 19],
                    &[b],
                    &mut output,
                    Bounds::NONE,
                );
                assert!(output.iter().all(|y| y.is_nan()), "{kind:?}");
            }
        }
    }
}
