//! Transforms of real `N × N` tiles, written once for vectors, doubles and counters. `N` is 8, 14, 16, 30 or 32.
//!
//! A tile's rows come first. Two real rows a, b go through one complex transform `Z` of `a + i·b`, from which
//! `2A(k) = Z(k) + conj Z(−k)` and `2B(k) = (Z(k) − conj Z(−k)) / i` are separated by additions. The values at k = 0 and
//! N/2 are real and share one place, so that a row of N reals stays N floats: N/2 complex *columns*. Column k > 0 then goes
//! through a transform of its own; column 0 holds two real columns, which are separated like two rows. The factors of
//! two are taken out of the weights ([`scale`]).
//!
//! What comes out is *planes*, one a frequency: N complex ones for each column k > 0; for column 0 there are N − 2 complex
//! ones and the 4 frequencies whose values are real. So N² real numbers, as many as the tile has.

use conv_simd::Arithmetic;

use super::arithmetic::{Complex, ROOTS_OF_3, ROOTS_OF_5, ROOTS_OF_7, ROOTS_OF_32, Root, Roots};

/// Room for one transform, which would be cleared at each call if it were local to it.
pub(super) struct Work<'a, A: Arithmetic, const N: usize> {
    /// Between the two passes.
    between: &'a mut [Complex<A>; N],
    /// A whole transform, before it is separated or after it is joined.
    whole: &'a mut [Complex<A>; N],
}

impl<'a, A: Arithmetic, const N: usize> Work<'a, A, N> {
    /// Values that a transform needs.
    pub const VALUES: usize = 4 * N;

    /// In the first [`Self::VALUES`] of these.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    pub fn new(room: &'a mut [A::Value]) -> Self {
        let (pairs, _) = room.as_chunks_mut();
        let (between, rest) = pairs.split_first_chunk_mut().expect("room for a transform");
        let (whole, _) = rest.split_first_chunk_mut().expect("room for a transform");
        Work { between, whole }
    }
}

/// Planes of column `column`.
pub(super) const fn planes<const N: usize>(column: usize) -> usize {
    if column == 0 { N + 2 } else { N }
}

/// Whether a plane's values are real: the last four of column 0.
pub(super) const fn is_real<const N: usize>(column: usize, plane: usize) -> bool {
    column == 0 && plane >= N - 2
}

/// What a plane of the weights is multiplied by: its own factor of two and the input's are undone, and the inverse is to
/// be divided by the tile's points.
pub(super) const fn scale<const N: usize>(column: usize, plane: usize) -> f64 {
    let separated = if is_real::<N>(column, plane) { 1.0 } else { 0.25 };
    separated / (N * N) as f64
}

#[inline(always)]
fn add<A: Arithmetic>(a: A, x: Complex<A>, y: Complex<A>) -> Complex<A> {
    [a.add(x[0], y[0]), a.add(x[1], y[1])]
}

#[inline(always)]
fn sub<A: Arithmetic>(a: A, x: Complex<A>, y: Complex<A>) -> Complex<A> {
    [a.sub(x[0], y[0]), a.sub(x[1], y[1])]
}

/// `x · root`.
#[inline(always)]
fn turn<A: Arithmetic>(a: A, x: Complex<A>, root: Complex<A>) -> Complex<A> {
    [a.neg_mul_add(x[1], root[1], a.mul(x[0], root[0])), a.mul_add(x[1], root[0], a.mul(x[0], root[1]))]
}

/// Two points.
#[inline(always)]
fn two<A: Arithmetic>(a: A, x: [Complex<A>; 2]) -> [Complex<A>; 2] {
    [add(a, x[0], x[1]), sub(a, x[0], x[1])]
}

/// `x(0)` to `x(P − 1)`, by a loop: `std::array::from_fn` and iterators over arrays by value leave copies through memory,
/// with which AVX2's transforms of fourteen points took 1.7 to 2.5 times as long (Zen 4).
#[inline(always)]
fn points<A: Arithmetic, const P: usize>(a: A, x: impl Fn(usize) -> Complex<A>) -> [Complex<A>; P] {
    let mut points = [[a.zero(); 2]; P];
    for (i, point) in points.iter_mut().enumerate() {
        *point = x(i);
    }
    points
}

/// Four points.
#[inline(always)]
fn four<A: Arithmetic>(a: A, x: [Complex<A>; 4]) -> [Complex<A>; 4] {
    let (even, odd) = ([add(a, x[0], x[2]), add(a, x[1], x[3])], [sub(a, x[0], x[2]), sub(a, x[1], x[3])]);
    let [[b_re, b_im], [d_re, d_im]] = odd;
    [
        add(a, even[0], even[1]),
        [a.add(b_re, d_im), a.sub(b_im, d_re)],
        sub(a, even[0], even[1]),
        [a.sub(b_re, d_im), a.add(b_im, d_re)],
    ]
}

/// Eight points: four even ones and four odd ones, whose turns by odd eighths cost additions and one multiply-add.
#[inline(always)]
fn eight<A: Roots>(a: A, x: [Complex<A>; 8]) -> [Complex<A>; 8] {
    let even = four(a, [x[0], x[2], x[4], x[6]]);
    let odd = four(a, [x[1], x[3], x[5], x[7]]);
    let [half, _] = a.root(&ROOTS_OF_32[4]);
    // (1 − i)·z and (1 + i)·z.
    let clockwise = |z: Complex<A>| [a.add(z[0], z[1]), a.sub(z[1], z[0])];
    let counter = |z: Complex<A>| [a.sub(z[0], z[1]), a.add(z[0], z[1])];
    let (first, third) = (clockwise(odd[1]), counter(odd[3]));
    let plus = |x: Complex<A>, y: Complex<A>| [a.mul_add(half, y[0], x[0]), a.mul_add(half, y[1], x[1])];
    let minus = |x: Complex<A>, y: Complex<A>| [a.neg_mul_add(half, y[0], x[0]), a.neg_mul_add(half, y[1], x[1])];
    let [re, im] = odd[2];
    [
        add(a, even[0], odd[0]),
        plus(even[1], first),
        [a.add(even[2][0], im), a.sub(even[2][1], re)],
        minus(even[3], third),
        sub(a, even[0], odd[0]),
        minus(even[1], first),
        [a.sub(even[2][0], im), a.add(even[2][1], re)],
        plus(even[3], third),
    ]
}

/// An odd number of points, whose roots are given: the definition, of which symmetry leaves half the products.
#[inline(always)]
fn odd<A: Roots, const P: usize>(a: A, roots: &[Root; P], x: [Complex<A>; P]) -> [Complex<A>; P] {
    let (mut y, mut sums, mut differences) = ([x[0]; P], x, x);
    for i in 1..=P / 2 {
        sums[i] = add(a, x[i], x[P - i]);
        differences[i] = sub(a, x[i], x[P - i]);
        y[0] = add(a, y[0], sums[i]);
    }
    for k in 1..=P / 2 {
        let (mut cosines, mut sines) = (x[0], [a.zero(); 2]);
        for i in 1..=P / 2 {
            let [cosine, sine] = a.root(&roots[i * k % P]);
            let ([sum_re, sum_im], [re, im]) = (sums[i], differences[i]);
            cosines = [a.mul_add(cosine, sum_re, cosines[0]), a.mul_add(cosine, sum_im, cosines[1])];
            sines = if i == 1 {
                [a.mul(sine, re), a.mul(sine, im)]
            } else {
                [a.mul_add(sine, re, sines[0]), a.mul_add(sine, im, sines[1])]
            };
        }
        // cosines ± i·sines.
        y[k] = [a.sub(cosines[0], sines[1]), a.add(cosines[1], sines[0])];
        y[P - k] = [a.add(cosines[0], sines[1]), a.sub(cosines[1], sines[0])];
    }
    y
}

/// Six points: twice three, without turns (see [`coprime`]).
#[inline(always)]
fn six<A: Roots>(a: A, x: [Complex<A>; 6]) -> [Complex<A>; 6] {
    let first = odd(a, &ROOTS_OF_3, [x[0], x[2], x[4]]);
    let second = odd(a, &ROOTS_OF_3, [x[3], x[5], x[1]]);
    let sum = |k: usize| add(a, first[k], second[k]);
    let difference = |k: usize| sub(a, first[k], second[k]);
    [sum(0), difference(1), sum(2), difference(0), sum(1), difference(2)]
}

/// `y(k) = Σ_j x(j)·exp(−2πi·jk/N)`.
#[inline(always)]
fn transform<A: Roots, const N: usize>(
    a: A,
    between: &mut [Complex<A>; N],
    x: impl Fn(usize) -> Complex<A>,
    mut y: impl FnMut(usize, Complex<A>),
) {
    match N {
        8 => {
            let points = eight(a, points(a, x));
            for (k, &value) in points.iter().enumerate() {
                y(k, value);
            }
        }
        14 => coprime::<A, N, 7, 2>(a, |x| odd(a, &ROOTS_OF_7, x), |x| two(a, x), between, x, y),
        30 => coprime::<A, N, 5, 6>(a, |x| odd(a, &ROOTS_OF_5, x), |x| six(a, x), between, x, y),
        _ => fours(a, between, x, y),
    }
}

/// Sixteen or thirty-two points: fours across, turns, then fours or eights.
#[inline(always)]
fn fours<A: Roots, const N: usize>(
    a: A,
    between: &mut [Complex<A>; N],
    x: impl Fn(usize) -> Complex<A>,
    mut y: impl FnMut(usize, Complex<A>),
) {
    let rest = N / 4;
    for j in 0..rest {
        let points = four(a, points(a, |i| x(j + i * rest)));
        between[j] = points[0];
        for (k, &value) in points.iter().enumerate().skip(1) {
            between[k * rest + j] = turn(a, value, a.root(&ROOTS_OF_32[j * k * (32 / N)]));
        }
    }
    for k in 0..4 {
        if N == 16 {
            let points = four(a, points(a, |j| between[k * rest + j]));
            for (i, &value) in points.iter().enumerate() {
                y(k + 4 * i, value);
            }
        } else {
            let points = eight(a, points(a, |j| between[k * rest + j]));
            for (i, &value) in points.iter().enumerate() {
                y(k + 4 * i, value);
            }
        }
    }
}

/// `P · Q` points, without common factors: transforms of P points, then of Q, without turns between them, because
/// `j = Q·p + P·q` and `k ≡ p` modulo P, `k ≡ q` modulo Q, make `exp(−2πi·jk/N)` a product (Good, "The Interaction
/// Algorithm and Practical Fourier Analysis", 1958).
#[inline(always)]
fn coprime<A: Roots, const N: usize, const P: usize, const Q: usize>(
    a: A,
    first: impl Fn([Complex<A>; P]) -> [Complex<A>; P],
    second: impl Fn([Complex<A>; Q]) -> [Complex<A>; Q],
    between: &mut [Complex<A>; N],
    x: impl Fn(usize) -> Complex<A>,
    mut y: impl FnMut(usize, Complex<A>),
) {
    let (sources, targets) = const { (coprime_sources::<P, Q>(), coprime_targets::<P, Q>()) };
    for q in 0..Q {
        let points = first(points(a, |p| x(sources[q][p])));
        for (p, &value) in points.iter().enumerate() {
            between[p * Q + q] = value;
        }
    }
    for p in 0..P {
        let points = second(points(a, |q| between[p * Q + q]));
        for (q, &value) in points.iter().enumerate() {
            y(targets[p][q], value);
        }
    }
}

/// `[q][p]`: `Q·p + P·q` modulo `P·Q`.
const fn coprime_sources<const P: usize, const Q: usize>() -> [[usize; P]; Q] {
    let mut sources = [[0; P]; Q];
    let mut j = 0;
    while j < P * Q {
        sources[j / P][j % P] = (Q * (j % P) + P * (j / P)) % (P * Q);
        j += 1;
    }
    sources
}

/// `[p][q]`: what is p modulo P and q modulo Q.
const fn coprime_targets<const P: usize, const Q: usize>() -> [[usize; Q]; P] {
    let mut targets = [[0; Q]; P];
    let mut k = 0;
    while k < P * Q {
        targets[k % P][k % Q] = k;
        k += 1;
    }
    targets
}

/// `y(j) = Σ_k x(k)·exp(2πi·jk/N)`: the same with real and imaginary parts exchanged on both sides.
#[inline(always)]
fn inverse<A: Roots, const N: usize>(
    a: A,
    between: &mut [Complex<A>; N],
    x: impl Fn(usize) -> Complex<A>,
    mut y: impl FnMut(usize, Complex<A>),
) {
    let swapped = |[re, im]: Complex<A>| [im, re];
    transform(a, between, |k| swapped(x(k)), |j, value| y(j, swapped(value)));
}

/// From `z = A + i·B` and its mirror image: `[2A, 2B]`.
#[inline(always)]
fn separate<A: Arithmetic>(a: A, z: Complex<A>, mirror: Complex<A>) -> [Complex<A>; 2] {
    [[a.add(z[0], mirror[0]), a.sub(z[1], mirror[1])], [a.add(z[1], mirror[1]), a.sub(mirror[0], z[0])]]
}

/// `A + i·B`, and its mirror image `conj A + i·conj B`.
#[inline(always)]
fn join<A: Arithmetic>(a: A, x: Complex<A>, y: Complex<A>) -> [Complex<A>; 2] {
    [[a.sub(x[0], y[1]), a.add(x[1], y[0])], [a.add(x[0], y[1]), a.sub(y[0], x[1])]]
}

/// Two rows to their columns: `x(j)` is the pair of elements j, `y(row, column, value)` takes what comes out.
#[inline(always)]
pub(super) fn rows_forward<A: Roots, const N: usize>(
    a: A,
    work: &mut Work<'_, A, N>,
    x: impl Fn(usize) -> Complex<A>,
    mut y: impl FnMut(usize, usize, Complex<A>),
) {
    let whole = &mut *work.whole;
    transform(a, work.between, x, |k, value| whole[k] = value);
    let ([first, second], [first_half, second_half]) = (whole[0], whole[N / 2]);
    y(0, 0, [first, first_half]);
    y(1, 0, [second, second_half]);
    for k in 1..N / 2 {
        let [first, second] = separate(a, whole[k], whole[N - k]);
        y(0, k, first);
        y(1, k, second);
    }
}

/// A column's N elements to its planes. Of a real plane only the real part counts.
#[inline(always)]
pub(super) fn column_forward<A: Roots, const N: usize>(
    a: A,
    work: &mut Work<'_, A, N>,
    column: usize,
    x: impl Fn(usize) -> Complex<A>,
    mut y: impl FnMut(usize, Complex<A>),
) {
    if column > 0 {
        return transform(a, work.between, x, y);
    }
    let whole = &mut *work.whole;
    transform(a, work.between, x, |k, value| whole[k] = value);
    for k in 1..N / 2 {
        let [first, second] = separate(a, whole[k], whole[N - k]);
        y(2 * k - 2, first);
        y(2 * k - 1, second);
    }
    let ([first, second], [first_half, second_half]) = (whole[0], whole[N / 2]);
    for (i, value) in [first, second, first_half, second_half].into_iter().enumerate() {
        y(N - 2 + i, [value; 2]);
    }
}

/// A column's planes back to its N elements.
#[inline(always)]
pub(super) fn column_inverse<A: Roots, const N: usize>(
    a: A,
    work: &mut Work<'_, A, N>,
    column: usize,
    x: impl Fn(usize) -> Complex<A>,
    y: impl FnMut(usize, Complex<A>),
) {
    if column > 0 {
        return inverse(a, work.between, x, y);
    }
    let whole = &mut *work.whole;
    for k in 1..N / 2 {
        [whole[k], whole[N - k]] = join(a, x(2 * k - 2), x(2 * k - 1));
    }
    whole[0] = [x(N - 2)[0], x(N - 1)[0]];
    whole[N / 2] = [x(N)[0], x(N + 1)[0]];
    inverse(a, work.between, |k| whole[k], y);
}

/// Two rows' columns, `x(row, column)`, back to the pairs of elements.
#[inline(always)]
pub(super) fn rows_inverse<A: Roots, const N: usize>(
    a: A,
    work: &mut Work<'_, A, N>,
    x: impl Fn(usize, usize) -> Complex<A>,
    y: impl FnMut(usize, Complex<A>),
) {
    let whole = &mut *work.whole;
    let (first, second) = (x(0, 0), x(1, 0));
    whole[0] = [first[0], second[0]];
    whole[N / 2] = [first[1], second[1]];
    for k in 1..N / 2 {
        [whole[k], whole[N - k]] = join(a, x(0, k), x(1, k));
    }
    inverse(a, work.between, |k| whole[k], y);
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::tiled::arithmetic::{WIDE, Wide};

    /// Element `(y, x)` of a tile.
    fn element(y: usize, x: usize) -> f64 {
        ((y * 29 + x * 7 + x * x * y) % 23) as f64 - 11.0
    }

    /// `Σ_yx element(y, x)·exp(−2πi(y·v + x·u)/N)`.
    fn naive<const N: usize>(v: usize, u: usize) -> [f64; 2] {
        let mut sum = [0.0; 2];
        for y in 0..N {
            for x in 0..N {
                let angle = -TAU * ((y * v + x * u) % N) as f64 / N as f64;
                sum[0] += element(y, x) * angle.cos();
                sum[1] += element(y, x) * angle.sin();
            }
        }
        sum
    }

    /// The frequency `(vertical, horizontal)` of a plane.
    fn frequency<const N: usize>(column: usize, plane: usize) -> [usize; 2] {
        match plane {
            _ if column > 0 => [plane, column],
            _ if plane < N - 2 => [plane / 2 + 1, plane % 2 * (N / 2)],
            _ => [(plane - (N - 2)) / 2 * (N / 2), (plane - (N - 2)) % 2 * (N / 2)],
        }
    }

    fn check<const N: usize>() {
        let wide = |value: f64| [value; WIDE];
        let mut room = vec![[0.0; WIDE]; Work::<Wide, N>::VALUES];
        let mut work = Work::<Wide, N>::new(&mut room);
        let mut rows = vec![[[0.0; WIDE]; 2]; N * N / 2];
        for pair in (0..N).step_by(2) {
            let x = |j| [wide(element(pair, j)), wide(element(pair + 1, j))];
            rows_forward(Wide, &mut work, x, |row, column, value| rows[column * N + pair + row] = value);
        }
        let mut back = vec![[[0.0; WIDE]; 2]; N * N / 2];
        for column in 0..N / 2 {
            let mut values = vec![[[f64::NAN; WIDE]; 2]; planes::<N>(column)];
            let x = |j: usize| rows[column * N + j];
            column_forward(Wide, &mut work, column, x, |plane, value| values[plane] = value);
            for (plane, value) in values.iter_mut().enumerate() {
                let [v, u] = frequency::<N>(column, plane);
                let real = is_real::<N>(column, plane);
                // What two rows share one transform for; a column is separated once more.
                let factor = if real { 1.0 } else { 2.0 };
                let exact = naive::<N>(v, u);
                for part in 0..if real { 1 } else { 2 } {
                    let error = (value[part][3] - factor * exact[part]).abs();
                    assert!(error < 1e-9, "column {column} plane {plane} part {part}: {error}");
                }
                *value = value.map(|part| wide(part[3] / factor));
            }
            column_inverse(Wide, &mut work, column, |plane| values[plane], |y, value| back[column * N + y] = value);
        }
        let points = (N * N) as f64;
        for pair in (0..N).step_by(2) {
            rows_inverse(
                Wide,
                &mut work,
                |row, column| back[column * N + pair + row],
                |x, values| {
                    for (row, value) in values.into_iter().enumerate() {
                        let error = (value[5] / points - element(pair + row, x)).abs();
                        assert!(error < 1e-9, "row {} column {x}: {error}", pair + row);
                    }
                },
            );
        }
    }

    #[test]
    fn transforms_are_the_definition_and_return() {
        check::<8>();
        check::<14>();
        check::<16>();
        check::<30>();
        check::<32>();
    }
}
