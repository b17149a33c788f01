//! The bound of the rounding error: a running error analysis of the transforms as they are computed.
//!
//! Each value of a transform is replaced by a bound of its magnitude and a bound of its error in units of u = ε/2, and
//! each operation by its effect on both, to first order in u: a rounding adds the magnitude of its result. All inputs are
//! bounded by 1, weights by a filter whose only tap is 1. What comes out at an output is a bound of the error for that
//! tap; errors are linear in the weights, so the largest over all taps and outputs, times `Σ|w|`, bounds every filter's.
//! The sums over channels add one rounding for each term. Multiply-adds count as two roundings, as they are where the
//! instruction set does not fuse them.

use conv_simd::Arithmetic;

use crate::fraction::Fraction;
use crate::geometry::{AxisPlan, Geometry};
use crate::line::{Coefficients, Constants, input_line, output_line, with_points, with_sizes};
use crate::weights::filter_matrix;

/// Bounds of a value's magnitude and of its error in units of u.
#[derive(Debug, Clone, Copy, Default)]
struct Bound {
    magnitude: f64,
    error: f64,
}

impl Bound {
    /// A result of these bounds, rounded.
    fn rounded(magnitude: f64, error: f64) -> Self {
        Bound { magnitude, error: error + magnitude }
    }

    fn constant(exact: Fraction) -> Self {
        let exact = exact.to_f64();
        // Zero for the points, their powers and products, which are chosen to be exact in f32.
        let error = (exact - f64::from(exact as f32)).abs() / f64::from(f32::EPSILON / 2.0);
        Bound { magnitude: exact.abs(), error }
    }
}

/// [`Arithmetic`] on bounds.
#[derive(Clone, Copy)]
struct Bounds;

impl Constants for Bounds {
    type Coefficient = Bound;
    fn constant(self, coefficient: Bound) -> Bound {
        coefficient
    }
}

impl Arithmetic for Bounds {
    type Value = Bound;
    fn zero(self) -> Bound {
        Bound::default()
    }
    fn add(self, a: Bound, b: Bound) -> Bound {
        Bound::rounded(a.magnitude + b.magnitude, a.error + b.error)
    }
    fn sub(self, a: Bound, b: Bound) -> Bound {
        self.add(a, b)
    }
    fn mul(self, a: Bound, b: Bound) -> Bound {
        Bound::rounded(a.magnitude * b.magnitude, a.error * b.magnitude + a.magnitude * b.error)
    }
    fn mul_add(self, a: Bound, b: Bound, c: Bound) -> Bound {
        self.add(self.mul(a, b), c)
    }
    fn neg_mul_add(self, a: Bound, b: Bound, c: Bound) -> Bound {
        self.mul_add(a, b, c)
    }
}

/// `[row][column]`.
type Grid = Vec<Vec<Bound>>;

fn transposed(grid: &Grid) -> Grid {
    (0..grid[0].len()).map(|j| grid.iter().map(|row| row[j]).collect()).collect()
}

/// The input transform of each row.
fn input_rows(grid: &Grid, zero: bool, constants: &Coefficients<Bound>) -> Grid {
    let row = |row: &Vec<Bound>| {
        with_points!(row.len(), zero, N, ZERO => {
            let values: [Bound; N] = std::array::from_fn(|j| row[j]);
            input_line::<_, N, ZERO>(Bounds, constants, values).to_vec()
        })
    };
    grid.iter().map(row).collect()
}

/// The output transform of each row.
fn output_rows(grid: &Grid, zero: bool, constants: &Coefficients<Bound>, outputs: usize) -> Grid {
    let row = |row: &Vec<Bound>| {
        with_sizes!(row.len(), zero, outputs, N, ZERO, M => {
            let values: [Bound; N] = std::array::from_fn(|j| row[j]);
            output_line::<_, N, M, ZERO>(Bounds, constants, values).to_vec()
        })
    };
    grid.iter().map(row).collect()
}

/// See [`conv_core::Algorithm::error_growth`]: the largest of the tile kinds that the plan uses.
pub(crate) fn error_growth(geometry: &Geometry) -> f64 {
    let kinds = |axis: &AxisPlan| {
        [(false, axis.cover.has_base()), (true, axis.cover.has_extended())].into_iter().filter(|kind| kind.1)
    };
    let [vertical, horizontal] = &geometry.axes;
    let mut growth: f64 = 1.0;
    for (down, _) in kinds(vertical) {
        for (right, _) in kinds(horizontal) {
            growth = growth.max(tile_growth(geometry, [down, right]));
        }
    }
    growth
}

fn tile_growth(geometry: &Geometry, extended: [bool; 2]) -> f64 {
    let [vertical, horizontal] = &geometry.axes;
    let constants = [0, 1].map(|i| Coefficients::new(&geometry.axes[i].points, extended[i]).map(Bound::constant));
    let zero = [vertical.points.zero, horizontal.points.zero];
    let points = [vertical.points_of(extended[0]), horizontal.points_of(extended[1])];
    let outputs = [vertical.cover.size(extended[0]), horizontal.cover.size(extended[1])];
    let input = vec![vec![Bound { magnitude: 1.0, error: 0.0 }; points[0]]; points[1]];
    let v = input_rows(&transposed(&input_rows(&input, zero[0], &constants[0])), zero[1], &constants[1]);
    let filters = [vertical, horizontal].map(filter_matrix);
    let terms = geometry.depth() as f64;
    let mut growth: f64 = 0.0;
    for a in 0..vertical.taps {
        for b in 0..horizontal.taps {
            let product = |i: usize, j: usize| {
                let u = (filters[0][i][a] * filters[1][j][b]).abs();
                let magnitude = u * v[i][j].magnitude;
                // The weight's rounding, the input's error, the product's rounding and one for each sum.
                Bound { magnitude, error: u * v[i][j].error + magnitude * (2.0 + terms) }
            };
            let m: Grid = (0..points[0]).map(|i| (0..points[1]).map(|j| product(i, j)).collect()).collect();
            let columns = transposed(&output_rows(&transposed(&m), zero[0], &constants[0], outputs[0]));
            let y = output_rows(&columns, zero[1], &constants[1], outputs[1]);
            let worst = y.iter().flatten().map(|y| y.error + y.magnitude).fold(0.0, f64::max);
            growth = growth.max(worst);
        }
    }
    growth
}
