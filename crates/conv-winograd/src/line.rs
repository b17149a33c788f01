//! The one-dimensional transforms as they are computed, written once for vectors, exact fractions and error bounds.
//!
//! Points come in pairs ±p, which share an even and an odd part. With `Q(x) = Π (x² − p²)` and `Q_j = Q / (x² − p_j²)`,
//! Cook–Toom's rows (`Bᵀ`, see [`crate::cook_toom`]) are
//!
//! | point | with the point 0 | without |
//! |---|---|---|
//! | 0 | `Q` | |
//! | ±p_j | `x² Q_j ± p_j · x Q_j` | `x Q_j ± p_j · Q_j` |
//! | ∞ | `x Q` | `Q` |
//!
//! of which each reads only the even or only the odd inputs: 6 points cost 12 multiply-adds, 8 cost 24, where the plain
//! matrices have 22 and 48 nonzero entries. The output transform shares the sums and differences of a pair.
//!
//! **Two tile sizes on one set of weights.** There is also the smaller tile that leaves out −s, where ±s is the last pair.
//! Its polynomials are those of the other points times `(x − s)`: their rows are applied to `e_i = d_{i+1} − s·d_i`; that of
//! s itself is `Q`, with the point 0 `x Q`. Cook–Toom would divide its transformed weights at p by less, by the factor
//! p + s; here the rows are multiplied by it instead (which is exact, points are short binary fractions), so that both sizes
//! share their weights at the points they share. That makes mixed sizes on one map cheap: 13 = 4 + 4 + 5, 27 = 3 + 6·4.

use conv_simd::{Arithmetic, Counter, Lanes, Simd};

use crate::fraction::Fraction;

/// The largest number of pairs.
pub(crate) const MAX_PAIRS: usize = 3;
/// The largest number of points.
pub(crate) const MAX_POINTS: usize = 2 * MAX_PAIRS + 2;
/// The most taps of a phase of any filter, for tiles that are compiled for all of them.
pub(crate) const MAX_TAPS: usize = 5;
/// The most outputs of a tile along one axis.
const MAX_OUTPUTS: usize = MAX_POINTS;

/// Arithmetic with the transforms' constants.
pub(crate) trait Constants: Arithmetic {
    /// A constant.
    type Coefficient: Copy;
    /// A constant as a value.
    fn constant(self, coefficient: Self::Coefficient) -> Self::Value;
}

impl<S: Simd> Constants for Lanes<S> {
    type Coefficient = f32;
    #[inline(always)]
    fn constant(self, coefficient: f32) -> S::Vec {
        self.0.splat(coefficient)
    }
}

impl Constants for Counter<'_> {
    type Coefficient = f32;
    fn constant(self, _: f32) {}
}

/// Interpolation points of one axis: pairs, ∞, and perhaps 0. With pairs there are two tile sizes, and the smaller leaves
/// out the negative one of the last pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Points {
    /// The positive one of each pair.
    pub pairs: &'static [Fraction],
    /// Whether 0 is one of them.
    pub zero: bool,
}

impl Points {
    /// Points of the smaller tile, or of the only one.
    pub fn base(&self) -> usize {
        2 * self.pairs.len() + usize::from(self.zero) + usize::from(self.pairs.is_empty())
    }

    /// Whether there is a pair to halve: then the larger tile's last finite point, which the smaller leaves out, comes after ∞.
    pub fn has_two_sizes(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// The finite points in order: 0, p₁, −p₁, …, of which the smaller tile leaves out the last.
    pub fn finite(&self, extended: bool) -> Vec<Fraction> {
        let pairs = self.pairs.iter().flat_map(|&p| [p, -p]);
        let all: Vec<_> = self.zero.then_some(Fraction::ZERO).into_iter().chain(pairs).collect();
        let left_out = usize::from(self.has_two_sizes() && !extended);
        all[..all.len() - left_out].to_vec()
    }
}

/// Whether `n` points are all of a set with pairs. Then the last of them is the extra one, after ∞.
pub(crate) const fn with_extra(n: usize, zero: bool) -> bool {
    n > 2 && n.is_multiple_of(2) == zero
}

/// Whether `n` points are those of a set's smaller tile.
const fn without_extra(n: usize, zero: bool) -> bool {
    n > 2 && n.is_multiple_of(2) != zero
}

/// The constants of the transforms at one set of points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients<C> {
    /// p_j, and after the whole pairs the single s.
    pairs: [C; MAX_PAIRS],
    /// The coefficients of Q below its leading one.
    all: [C; MAX_PAIRS],
    /// The coefficients of each Q_j below its leading one.
    others: [[C; MAX_PAIRS - 1]; MAX_PAIRS],
    /// `p + s` for the finite points of the smaller of two tiles.
    rescale: [C; MAX_POINTS - 1],
    /// `powers[i]`: p_j^i for each of `pairs`.
    powers: [[C; MAX_PAIRS]; MAX_OUTPUTS],
}

impl Coefficients<Fraction> {
    /// The constants for tiles with, or without, the last point.
    pub fn new(points: &Points, extended: bool) -> Self {
        let whole = points.pairs.len() - usize::from(points.has_two_sizes() && !extended);
        let squares: Vec<_> = points.pairs[..whole].iter().map(|&p| p * p).collect();
        // Coefficients in x² of Π (x² − s), lowest first, the leading 1 left out.
        let product = |squares: &mut dyn Iterator<Item = Fraction>| {
            let all = squares.fold(vec![Fraction::ONE], |product, square| {
                (0..=product.len())
                    .map(|i| {
                        let below = if i > 0 { product[i - 1] } else { Fraction::ZERO };
                        below - square * product.get(i).copied().unwrap_or(Fraction::ZERO)
                    })
                    .collect()
            });
            all[..all.len() - 1].to_vec()
        };
        let mut others = [[Fraction::ZERO; MAX_PAIRS - 1]; MAX_PAIRS];
        for (j, row) in others.iter_mut().enumerate().take(whole) {
            let mut without = squares.iter().enumerate().filter(|(k, _)| *k != j).map(|(_, &square)| square);
            *row = padded(product(&mut without));
        }
        let mut powers = [[Fraction::ZERO; MAX_PAIRS]; MAX_OUTPUTS];
        for (i, row) in powers.iter_mut().enumerate() {
            *row = padded(points.pairs.iter().map(|p| p.power(i)));
        }
        let single = points.pairs[whole..].iter().copied();
        Coefficients {
            pairs: padded(points.pairs.iter().copied()),
            all: padded(product(&mut squares.iter().copied())),
            others,
            rescale: padded(single.flat_map(|s| points.finite(false).into_iter().map(move |p| p + s))),
            powers,
        }
    }
}

/// The values, and zeros up to the array's length.
fn padded<const LEN: usize>(values: impl IntoIterator<Item = Fraction>) -> [Fraction; LEN] {
    let mut values = values.into_iter();
    std::array::from_fn(|_| values.next().unwrap_or(Fraction::ZERO))
}

impl<C: Copy> Coefficients<C> {
    /// The same constants as another type.
    pub fn map<D>(&self, convert: impl Fn(C) -> D + Copy) -> Coefficients<D> {
        Coefficients {
            pairs: self.pairs.map(convert),
            all: self.all.map(convert),
            others: self.others.map(|row| row.map(convert)),
            rescale: self.rescale.map(convert),
            powers: self.powers.map(|row| row.map(convert)),
        }
    }
}

/// `x^shift · (leading + lower)` on inputs: `d[2·terms + shift] + Σ lower[i] · d[2i + shift]`.
#[inline(always)]
fn even_row<A: Constants, const N: usize>(
    arithmetic: A,
    lower: &[A::Coefficient],
    terms: usize,
    d: &[A::Value; N],
    shift: usize,
) -> A::Value {
    let mut row = d[2 * terms + shift];
    for (i, &coefficient) in lower.iter().enumerate().take(terms) {
        row = arithmetic.mul_add(arithmetic.constant(coefficient), d[2 * i + shift], row);
    }
    row
}

/// The input transform `Bᵀ d` at `N` points, with 0 among them or without.
#[inline(always)]
pub(crate) fn input_line<A: Constants, const N: usize, const ZERO: bool>(
    arithmetic: A,
    k: &Coefficients<A::Coefficient>,
    d: [A::Value; N],
) -> [A::Value; N] {
    // The rows of the pairs are numbered from here.
    let first = usize::from(ZERO);
    let pairs = (N - 1 - first) / 2;
    let (extra, smaller) = (with_extra(N, ZERO), without_extra(N, ZERO));
    let mut e = d;
    if smaller {
        for i in 0..N - 1 {
            e[i] = arithmetic.neg_mul_add(arithmetic.constant(k.pairs[pairs]), d[i], d[i + 1]);
        }
    }
    let mut rows = d;
    for j in 0..pairs {
        let even = even_row(arithmetic, &k.others[j], pairs - 1, &e, 2 * first);
        let odd = even_row(arithmetic, &k.others[j], pairs - 1, &e, 1);
        let p = arithmetic.constant(k.pairs[j]);
        // The part that p multiplies is the odd one with 0 among the points, the even one without.
        let (same, opposite) = if ZERO { (even, odd) } else { (odd, even) };
        let last = extra && j + 1 == pairs;
        rows[first + 2 * j] = arithmetic.mul_add(p, opposite, same);
        rows[first + 2 * j + if last { 2 } else { 1 }] = arithmetic.neg_mul_add(p, opposite, same);
    }
    if ZERO {
        rows[0] = even_row(arithmetic, &k.all, pairs, &e, 0);
    }
    if smaller {
        rows[first + 2 * pairs] = even_row(arithmetic, &k.all, pairs, &d, first);
        for (row, &rescale) in rows.iter_mut().zip(&k.rescale).take(N - 1) {
            *row = arithmetic.mul(*row, arithmetic.constant(rescale));
        }
    }
    rows[if extra { N - 2 } else { N - 1 }] = even_row(arithmetic, &k.all, pairs, &e, first);
    rows
}

/// The output transform `Aᵀ p` at `N` points, with 0 among them or without: the `M` outputs of a tile.
// Plain indices: the loops must unroll into registers whatever the adaptors would make of them.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
pub(crate) fn output_line<A: Constants, const N: usize, const M: usize, const ZERO: bool>(
    arithmetic: A,
    k: &Coefficients<A::Coefficient>,
    products: [A::Value; N],
) -> [A::Value; M] {
    let first = usize::from(ZERO);
    let pairs = (N - 1 - first) / 2;
    let (extra, smaller) = (with_extra(N, ZERO), without_extra(N, ZERO));
    let zero = arithmetic.zero();
    // Even powers see the sums of the pairs, odd ones the differences.
    let mut parts = [[zero; MAX_PAIRS]; 2];
    for j in 0..pairs {
        let last = extra && j + 1 == pairs;
        let (plus, minus) = (products[first + 2 * j], products[first + 2 * j + if last { 2 } else { 1 }]);
        parts[0][j] = arithmetic.add(plus, minus);
        parts[1][j] = arithmetic.sub(plus, minus);
    }
    let infinity = products[if extra { N - 2 } else { N - 1 }];
    let mut outputs = [zero; M];
    for (i, output) in outputs.iter_mut().enumerate() {
        let power = |j: usize| arithmetic.constant(k.powers[i][j]);
        let mut sum = if i + 1 == M { infinity } else { zero };
        if ZERO && i == 0 {
            sum = if M == 1 { arithmetic.add(sum, products[0]) } else { products[0] };
        }
        for j in 0..pairs {
            sum = arithmetic.mul_add(power(j), parts[i % 2][j], sum);
        }
        if smaller {
            sum = arithmetic.mul_add(power(pairs), products[first + 2 * pairs], sum);
        }
        *output = sum;
    }
    outputs
}

/// Calls `$body` with the constants `$N` and `$ZERO` set to the number of points `$n` and whether 0 is one of them.
macro_rules! with_points {
    ($n:expr, $zero:expr, $N:ident, $ZERO:ident => $body:expr) => {
        $crate::line::with_points!(@ $n, $zero, $N, $ZERO,
            [(2, true) (4, true) (6, true) (7, true) (8, true) (6, false) (7, false)] => $body)
    };
    (@ $n:expr, $zero:expr, $N:ident, $ZERO:ident, [$(($points:literal, $with_zero:literal))*] => $body:expr) => {
        match ($n, $zero) {
            $(($points, $with_zero) => {
                const $N: usize = $points;
                const $ZERO: bool = $with_zero;
                $body
            })*
            (n, zero) => unreachable!("no transform has {n} points (0 among them: {zero})"),
        }
    };
}

/// [`with_points`], and the constant `$M` set to the number of outputs `$m`: those of 2 to [`MAX_TAPS`] taps, of 3, 5 and 7
/// for 8 points, of 5 for 7 with 0 among them, and of 1 tap for 2.
macro_rules! with_sizes {
    ($n:expr, $zero:expr, $m:expr, $N:ident, $ZERO:ident, $M:ident => $body:expr) => {
        $crate::line::with_sizes!(@ $n, $zero, $m, $N, $ZERO, $M, [(2, true, 2)
            (4, true, 2) (4, true, 3) (6, true, 2) (6, true, 3) (6, true, 4) (6, true, 5)
            (8, true, 2) (8, true, 4) (8, true, 6) (6, false, 2) (6, false, 3) (6, false, 4) (6, false, 5)
            (7, true, 3)
            (7, false, 3) (7, false, 4) (7, false, 5) (7, false, 6)] => $body)
    };
    (@ $n:expr, $zero:expr, $m:expr, $N:ident, $ZERO:ident, $M:ident,
        [$(($points:literal, $with_zero:literal, $outputs:literal))*] => $body:expr) => {
        match ($n, $zero, $m) {
            $(($points, $with_zero, $outputs) => {
                const $N: usize = $points;
                const $ZERO: bool = $with_zero;
                const $M: usize = $outputs;
                $body
            })*
            (n, zero, m) => unreachable!("no transform has {m} outputs of {n} points (0 among them: {zero})"),
        }
    };
}
pub(crate) use with_points;
pub(crate) use with_sizes;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cook_toom::CookToom;

    /// [`Arithmetic`] without rounding.
    #[derive(Clone, Copy)]
    struct Exact;

    impl Constants for Exact {
        type Coefficient = Fraction;
        fn constant(self, coefficient: Fraction) -> Fraction {
            coefficient
        }
    }

    impl Arithmetic for Exact {
        type Value = Fraction;
        fn zero(self) -> Fraction {
            Fraction::ZERO
        }
        fn add(self, a: Fraction, b: Fraction) -> Fraction {
            a + b
        }
        fn sub(self, a: Fraction, b: Fraction) -> Fraction {
            a - b
        }
        fn mul(self, a: Fraction, b: Fraction) -> Fraction {
            a * b
        }
        fn mul_add(self, a: Fraction, b: Fraction, c: Fraction) -> Fraction {
            a * b + c
        }
        fn neg_mul_add(self, a: Fraction, b: Fraction, c: Fraction) -> Fraction {
            c - a * b
        }
    }

    /// The matrix of a linear map on `N` values, rows first.
    fn matrix<const N: usize>(map: impl Fn([Fraction; N]) -> Vec<Fraction>) -> Vec<Vec<Fraction>> {
        let columns: Vec<_> =
            (0..N).map(|i| map(std::array::from_fn(|j| if i == j { Fraction::ONE } else { Fraction::ZERO }))).collect();
        (0..columns[0].len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
    }

    #[test]
    fn lines_are_cook_tooms_matrices() {
        const PAIRS: [Fraction; 3] = [Fraction::new(5, 8), Fraction::new(3, 2), Fraction::new(2, 1)];
        // The sizes that are compiled.
        for (pairs, zero, extended, taps) in [
            (0, true, false, &[1][..]),
            (1, true, true, &[2, 3]),
            (2, true, true, &[2, 3, 4, 5]),
            (3, true, true, &[3, 5, 7]),
            (3, true, false, &[5]),
            (3, false, false, &[2, 3, 4, 5]),
            (3, false, true, &[2, 3, 4, 5]),
        ] {
            let points = Points { pairs: &PAIRS[..pairs], zero };
            let n = points.base() + usize::from(extended);
            let k = Coefficients::new(&points, extended);
            for &taps in taps {
                let outputs = n + 1 - taps;
                let mut expected = CookToom::new(&points.finite(extended), taps);
                if extended {
                    // The last of the points comes after ∞.
                    expected.input.swap(n - 2, n - 1);
                    for row in &mut expected.output {
                        row.swap(n - 2, n - 1);
                    }
                } else if points.has_two_sizes() {
                    let left_out = -PAIRS[pairs - 1];
                    for (row, point) in expected.input.iter_mut().zip(points.finite(false)) {
                        for x in row {
                            *x = *x * (point - left_out);
                        }
                    }
                }
                with_sizes!(n, zero, outputs, N, ZERO, M => {
                    let input = |d| input_line::<_, N, ZERO>(Exact, &k, d).to_vec();
                    assert_eq!(matrix::<N>(input), expected.input, "{points:?} {extended}");
                    let output = |products| output_line::<_, N, M, ZERO>(Exact, &k, products).to_vec();
                    assert_eq!(matrix::<N>(output), expected.output, "{points:?} {extended} F({outputs}, {taps})");
                });
            }
        }
    }
}
