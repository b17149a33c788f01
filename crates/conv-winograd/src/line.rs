//! The one-dimensional transforms as they are computed, written once for vectors, exact fractions and error bounds.
//!
//! Points are 0, pairs ±p, ∞, and perhaps one extra point c after them; an even number n of points has no extra point.
//! With `Q(x) = Π (x² − p²)` and `Q_j = Q / (x² − p_j²)`, Cook–Toom's rows (`Bᵀ`, see [`crate::cook_toom`]) are
//!
//! | point | polynomial | uses |
//! |---|---|---|
//! | 0 | `Q` | even inputs only |
//! | ±p_j | `x (x ± p_j) Q_j = x² Q_j ± p_j · x Q_j` | an even and an odd part, shared by the pair |
//! | ∞ | `x Q` | odd inputs only |
//!
//! so that n = 6 costs 12 multiply-adds, n = 8 costs 24, where the plain matrices have 22 and 48 nonzero entries. The
//! output transform shares the sums and differences of a pair in the same way.
//!
//! **The extra point** multiplies every polynomial by `(x − c)`: the rows of the smaller set are applied to
//! `e_i = d_{i+1} − c·d_i`. Cook–Toom would also divide a filter's value at p by `p − c`. Here the rows are divided
//! instead, so that tiles with and without the extra point share their transformed weights, which is what makes mixed
//! tile sizes on one map cheap.

use crate::fraction::Fraction;

/// The largest number of pairs.
pub(crate) const MAX_PAIRS: usize = 3;
/// The largest number of points.
pub(crate) const MAX_POINTS: usize = 2 * MAX_PAIRS + 2;
/// The most outputs of a tile along one axis.
pub(crate) const MAX_OUTPUTS: usize = MAX_POINTS;

/// What a transform computes with.
pub(crate) trait Arithmetic: Copy {
    /// A constant.
    type Coefficient: Copy;
    /// What is transformed.
    type Value: Copy;
    /// A constant as a value.
    fn constant(self, coefficient: Self::Coefficient) -> Self::Value;
    /// Zero.
    fn zero(self) -> Self::Value;
    /// `a + b`.
    fn add(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a − b`.
    fn sub(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a · b`.
    fn mul(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a · b + c`.
    fn mul_add(self, a: Self::Value, b: Self::Value, c: Self::Value) -> Self::Value;
    /// `c − a · b`.
    fn neg_mul_add(self, a: Self::Value, b: Self::Value, c: Self::Value) -> Self::Value;
}

/// Interpolation points of one axis: 0, the pairs and ∞ always; the extra point for tiles one output larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Points {
    /// The positive one of each pair.
    pub pairs: &'static [Fraction],
    /// The extra point.
    pub extra: Option<Fraction>,
}

impl Points {
    /// Points of a tile without the extra one.
    pub fn base(&self) -> usize {
        2 * self.pairs.len() + 2
    }

    /// The finite points in order: 0, p₁, −p₁, … and, where there is one, the extra point.
    pub fn finite(&self, extended: bool) -> Vec<Fraction> {
        let pairs = self.pairs.iter().flat_map(|&p| [p, -p]);
        std::iter::once(Fraction::ZERO).chain(pairs).chain(self.extra.filter(|_| extended)).collect()
    }
}

/// The constants of the transforms at one set of points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients<C> {
    /// p_j.
    pairs: [C; MAX_PAIRS],
    /// The coefficients of Q below its leading one.
    all: [C; MAX_PAIRS],
    /// The coefficients of each Q_j below its leading one.
    others: [[C; MAX_PAIRS - 1]; MAX_PAIRS],
    /// c.
    extra: C,
    /// `1 / (p − c)` for the finite points before the extra one.
    rescale: [C; MAX_POINTS - 1],
    /// `powers[i]`: p_j^i for each pair, then c^i.
    powers: [[C; MAX_PAIRS + 1]; MAX_OUTPUTS],
}

impl Coefficients<Fraction> {
    pub fn new(points: &Points) -> Self {
        let squares: Vec<_> = points.pairs.iter().map(|&p| p * p).collect();
        // Coefficients in x² of Π (x² − s), lowest first, the leading 1 included.
        let product = |squares: &mut dyn Iterator<Item = Fraction>| {
            squares.fold(vec![Fraction::ONE], |product, square| {
                (0..=product.len())
                    .map(|i| {
                        let below = if i > 0 { product[i - 1] } else { Fraction::ZERO };
                        below - square * product.get(i).copied().unwrap_or(Fraction::ZERO)
                    })
                    .collect()
            })
        };
        let extra = points.extra.unwrap_or(Fraction::ZERO);
        let mut others = [[Fraction::ZERO; MAX_PAIRS - 1]; MAX_PAIRS];
        for (j, row) in others.iter_mut().enumerate().take(squares.len()) {
            let without = squares.iter().enumerate().filter(|(k, _)| *k != j).map(|(_, &square)| square);
            *row = padded(product(&mut { without }).into_iter());
        }
        let pairs = padded(points.pairs.iter().copied());
        let mut powers = [[Fraction::ZERO; MAX_PAIRS + 1]; MAX_OUTPUTS];
        for (i, row) in powers.iter_mut().enumerate() {
            *row = padded(pairs.into_iter().chain([extra]).map(|p| p.power(i)));
        }
        let differences = points.finite(false).into_iter().map(|p| p - extra);
        Coefficients {
            pairs,
            all: padded(product(&mut squares.iter().copied()).into_iter()),
            others,
            extra,
            rescale: padded(differences.filter(|_| points.extra.is_some()).map(Fraction::inverse)),
            powers,
        }
    }
}

/// The first values, and zeros up to the array's length.
fn padded<const LEN: usize>(mut values: impl Iterator<Item = Fraction>) -> [Fraction; LEN] {
    std::array::from_fn(|_| values.next().unwrap_or(Fraction::ZERO))
}

impl<C: Copy> Coefficients<C> {
    /// The same constants as another type.
    pub fn map<D>(&self, convert: impl Fn(C) -> D + Copy) -> Coefficients<D> {
        Coefficients {
            pairs: self.pairs.map(convert),
            all: self.all.map(convert),
            others: self.others.map(|row| row.map(convert)),
            extra: convert(self.extra),
            rescale: self.rescale.map(convert),
            powers: self.powers.map(|row| row.map(convert)),
        }
    }
}

/// The input transform `Bᵀ d` at `N` points.
#[inline(always)]
pub(crate) fn input_line<A: Arithmetic, const N: usize>(
    arithmetic: A,
    k: &Coefficients<A::Coefficient>,
    d: [A::Value; N],
) -> [A::Value; N] {
    if N.is_multiple_of(2) {
        return base_rows(arithmetic, k, d);
    }
    let mut e = d;
    for i in 0..N - 1 {
        e[i] = arithmetic.neg_mul_add(arithmetic.constant(k.extra), d[i], d[i + 1]);
    }
    let mut rows = base_rows(arithmetic, k, e);
    for (row, &rescale) in rows.iter_mut().zip(&k.rescale).take(N - 2) {
        *row = arithmetic.mul(*row, arithmetic.constant(rescale));
    }
    rows[N - 1] = infinity_row(arithmetic, k, &d);
    rows
}

/// The rows of the points 0, ±p, ∞; of an odd `N` the last one is left as it was.
#[inline(always)]
fn base_rows<A: Arithmetic, const N: usize>(
    arithmetic: A,
    k: &Coefficients<A::Coefficient>,
    d: [A::Value; N],
) -> [A::Value; N] {
    let pairs = (N - 2) / 2;
    let mut rows = d;
    let mut zero = d[2 * pairs];
    for i in 0..pairs {
        zero = arithmetic.mul_add(arithmetic.constant(k.all[i]), d[2 * i], zero);
    }
    for j in 0..pairs {
        let (mut even, mut odd) = (d[2 * pairs], d[2 * pairs - 1]);
        for i in 0..pairs - 1 {
            even = arithmetic.mul_add(arithmetic.constant(k.others[j][i]), d[2 * i + 2], even);
            odd = arithmetic.mul_add(arithmetic.constant(k.others[j][i]), d[2 * i + 1], odd);
        }
        rows[1 + 2 * j] = arithmetic.mul_add(arithmetic.constant(k.pairs[j]), odd, even);
        rows[2 + 2 * j] = arithmetic.neg_mul_add(arithmetic.constant(k.pairs[j]), odd, even);
    }
    rows[2 * pairs + 1] = infinity_row(arithmetic, k, &d);
    rows[0] = zero;
    rows
}

/// `x Q`: the row of ∞, and of the extra point.
#[inline(always)]
fn infinity_row<A: Arithmetic, const N: usize>(
    arithmetic: A,
    k: &Coefficients<A::Coefficient>,
    d: &[A::Value; N],
) -> A::Value {
    let pairs = (N - 2) / 2;
    let mut row = d[2 * pairs + 1];
    for i in 0..pairs {
        row = arithmetic.mul_add(arithmetic.constant(k.all[i]), d[2 * i + 1], row);
    }
    row
}

// Plain indices: the loops must unroll into registers whatever the adaptors would make of them.
#[allow(clippy::needless_range_loop)]
/// The output transform `Aᵀ p` at `N` points: the `M` outputs of a tile.
#[inline(always)]
pub(crate) fn output_line<A: Arithmetic, const N: usize, const M: usize>(
    arithmetic: A,
    k: &Coefficients<A::Coefficient>,
    products: [A::Value; N],
) -> [A::Value; M] {
    let pairs = (N - 2) / 2;
    let zero = arithmetic.zero();
    // Even powers see the sums of the pairs, odd ones the differences.
    let mut parts = [[zero; MAX_PAIRS]; 2];
    for j in 0..pairs {
        parts[0][j] = arithmetic.add(products[1 + 2 * j], products[2 + 2 * j]);
        parts[1][j] = arithmetic.sub(products[1 + 2 * j], products[2 + 2 * j]);
    }
    let mut outputs = [zero; M];
    for (i, output) in outputs.iter_mut().enumerate() {
        let mut sum = match (i, i + 1 == M) {
            (0, _) => products[0],
            (_, true) => products[2 * pairs + 1],
            _ => zero,
        };
        if i == 0 && M == 1 {
            sum = arithmetic.add(sum, products[2 * pairs + 1]);
        }
        for j in 0..pairs {
            sum = arithmetic.mul_add(arithmetic.constant(k.powers[i][j]), parts[i % 2][j], sum);
        }
        if !N.is_multiple_of(2) {
            sum = arithmetic.mul_add(arithmetic.constant(k.powers[i][MAX_PAIRS]), products[N - 1], sum);
        }
        *output = sum;
    }
    outputs
}

/// Calls `$body` with the constant `$N` set to the number of points `$n`.
macro_rules! with_points {
    ($n:expr, $N:ident => $body:expr) => {
        $crate::line::with_constant!($n, $N in [2 3 4 5 6 7 8] => $body)
    };
}

/// Calls `$body` with the constants `$N` and `$M` set to the numbers of points `$n` and outputs `$m`.
macro_rules! with_sizes {
    ($n:expr, $m:expr, $N:ident, $M:ident => $body:expr) => {
        $crate::line::with_sizes!($n, $m, $N, $M, [2: 1 2, 3: 1 2 3, 4: 1 2 3, 5: 1 2 3 4, 6: 1 2 3 4 5,
            7: 1 2 3 4 5 6, 8: 1 2 3 4 5 6 7] => $body)
    };
    ($n:expr, $m:expr, $N:ident, $M:ident, [$($points:literal: $($outputs:literal)*),*] => $body:expr) => {
        match $n {
            $($points => {
                const $N: usize = $points;
                $crate::line::with_constant!($m, $M in [$($outputs)*] => $body)
            })*
            n => unreachable!("no transform has {n} points"),
        }
    };
}

/// Calls `$body` with the constant `$N` set to `$n`, one of the values listed.
macro_rules! with_constant {
    ($n:expr, $N:ident in [$($value:literal)*] => $body:expr) => {
        match $n {
            $($value => { const $N: usize = $value; $body })*
            n => unreachable!("no transform has the size {n}"),
        }
    };
}
pub(crate) use with_constant;
pub(crate) use with_points;
pub(crate) use with_sizes;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cook_toom::CookToom;

    /// [`Arithmetic`] without rounding.
    #[derive(Clone, Copy)]
    struct Exact;

    impl Arithmetic for Exact {
        type Coefficient = Fraction;
        type Value = Fraction;
        fn constant(self, coefficient: Fraction) -> Fraction {
            coefficient
        }
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
        for n in 2..=MAX_POINTS {
            let extended = n % 2 == 1;
            let points = Points { pairs: &PAIRS[..(n - 2) / 2], extra: extended.then_some(Fraction::new(-1, 1)) };
            let k = Coefficients::new(&points);
            for taps in 1..=n {
                let mut expected = CookToom::new(&points.finite(extended), taps);
                if extended {
                    // There the extra point comes before ∞ and the rows before it are not divided.
                    expected.input.swap(n - 2, n - 1);
                    for row in &mut expected.output {
                        row.swap(n - 2, n - 1);
                    }
                    for (row, point) in expected.input.iter_mut().zip(points.finite(false)) {
                        for x in row {
                            *x = *x * (point - Fraction::new(-1, 1)).inverse();
                        }
                    }
                }
                let outputs = n + 1 - taps;
                with_points!(n, N => {
                    assert_eq!(matrix::<N>(|d| input_line(Exact, &k, d).to_vec()), expected.input, "input, n = {n}");
                });
                if taps == 1 && n > 2 {
                    continue; // Pointless, and not compiled.
                }
                with_sizes!(n, outputs, N, M => {
                    let transform = |products| output_line::<_, N, M>(Exact, &k, products).to_vec();
                    assert_eq!(matrix::<N>(transform), expected.output, "F({outputs}, {taps})");
                });
            }
        }
    }
}
