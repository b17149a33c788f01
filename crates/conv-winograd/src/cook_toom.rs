//! Matrices of Winograd's minimal filtering F(m, r) from interpolation points, by Cook–Toom, in exact fractions.
//!
//! With n = m + r − 1 points the identity is `y = Aᵀ [(G g) ⊙ (Bᵀ d)]`, where `y[i] = Σ_a g[a] · d[i + a]`: `m` outputs of a
//! correlation with `r` taps from `n` inputs, by `n` products instead of `m·r`.
//!
//! Where it comes from: the *product* of a polynomial with m coefficients and one with r coefficients has n, so it is
//! fixed by its values at n points, which are products of values (Toom 1963, Cook 1966). The point ∞ stands for the
//! leading coefficient. Going from values back to coefficients is Lagrange's interpolation with
//! `N(x) = Π (x − p_k)` over the finite points. A correlation is the transpose of that multiplication (Winograd 1980;
//! Blahut, *Fast Algorithms for Signal Processing*, chapter 5), so evaluation of the m coefficients, transposed, gives
//! the outputs (`Aᵀ`), and interpolation, transposed, is applied to the inputs (`Bᵀ`). For neural networks: Lavin and
//! Gray, *Fast Algorithms for Convolutional Neural Networks*, 2015.

use crate::fraction::Fraction;

/// The three matrices of F(m, r), rows first.
#[derive(Debug, Clone)]
pub(crate) struct CookToom {
    /// `Aᵀ`, m × n (for tests: [`crate::line`] computes it by pairs): `p_k^i`, and 1 for the last output at ∞.
    #[cfg(test)]
    pub output: Vec<Vec<Fraction>>,
    /// `G`, n × r: `p_k^a / N'(p_k)`, and 1 for the last tap at ∞.
    pub filter: Vec<Vec<Fraction>>,
    /// `Bᵀ`, n × n (for tests as well): the coefficients of `N(x) / (x − p_k)`, and those of `N(x)` at ∞.
    #[cfg(test)]
    pub input: Vec<Vec<Fraction>>,
}

impl CookToom {
    /// F(m, taps) at the finite `points`, all different, and at ∞: m = points + 2 − taps.
    pub fn new(points: &[Fraction], taps: usize) -> Self {
        let n = points.len() + 1;
        // At ∞ only the highest power counts.
        let powers = |count: usize, k: usize| -> Vec<Fraction> {
            (0..count)
                .map(|i| match points.get(k) {
                    Some(point) => point.power(i),
                    None if i + 1 == count => Fraction::ONE,
                    None => Fraction::ZERO,
                })
                .collect()
        };
        // N(x) / (x − p_k): the product over the other points; at its own point its value is N'(p_k).
        let input: Vec<Vec<Fraction>> = (0..n).map(|k| vanishing_at(points, k, n)).collect();
        let filter = (0..n)
            .map(|k| {
                let scale = points.get(k).map_or(Fraction::ONE, |&point| evaluate(&input[k], point).inverse());
                powers(taps, k).into_iter().map(|power| power * scale).collect()
            })
            .collect();
        CookToom {
            filter,
            #[cfg(test)]
            output: (0..n + 1 - taps).map(|i| (0..n).map(|k| powers(n + 1 - taps, k)[i]).collect()).collect(),
            #[cfg(test)]
            input,
        }
    }
}

/// The `n` coefficients, lowest first, of `Π (x − p)` over all `points` but the one numbered `except` (∞ is none of them).
fn vanishing_at(points: &[Fraction], except: usize, n: usize) -> Vec<Fraction> {
    let mut product = vec![Fraction::ZERO; n];
    product[0] = Fraction::ONE;
    for (_, &point) in points.iter().enumerate().filter(|(k, _)| *k != except) {
        for i in (0..n).rev() {
            let below = if i > 0 { product[i - 1] } else { Fraction::ZERO };
            product[i] = below - point * product[i];
        }
    }
    product
}

fn evaluate(coefficients: &[Fraction], x: Fraction) -> Fraction {
    coefficients.iter().rev().fold(Fraction::ZERO, |sum, &c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(matrix: &[Vec<Fraction>], vector: &[Fraction]) -> Vec<Fraction> {
        let dot = |row: &Vec<Fraction>| row.iter().zip(vector).fold(Fraction::ZERO, |sum, (&a, &b)| sum + a * b);
        matrix.iter().map(dot).collect()
    }

    #[test]
    fn lavin_and_gray_f2x3() {
        // Their F(2, 3) up to the scale of each point, which may move between Bᵀ and G, and a sign at ∞.
        let matrices = CookToom::new(&[0, 1, -1].map(|p| Fraction::new(p, 1)), 3);
        let integers = |rows: &[Vec<Fraction>]| -> Vec<Vec<f64>> {
            rows.iter().map(|row| row.iter().map(|x| x.to_f64()).collect()).collect()
        };
        assert_eq!(integers(&matrices.output), [[1., 1., 1., 0.], [0., 1., -1., 1.]]);
        assert_eq!(
            integers(&matrices.input),
            [[-1., 0., 1., 0.], [0., 1., 1., 0.], [0., -1., 1., 0.], [0., -1., 0., 1.]]
        );
        assert_eq!(integers(&matrices.filter), [[-1., 0., 0.], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0., 0., 1.]]);
    }

    #[test]
    fn defining_identity_holds_exactly() {
        let points =
            [(0, 1), (5, 8), (-5, 8), (3, 2), (-3, 2), (-1, 1), (3, 1), (1, 4)].map(|(a, b)| Fraction::new(a, b));
        for finite in 1..=points.len() {
            let n = finite + 1;
            for taps in 1..=n {
                let m = n + 1 - taps;
                let matrices = CookToom::new(&points[..finite], taps);
                let d: Vec<_> = (0..n).map(|i| Fraction::new((i * i * 7 % 11) as i128 - 5, 3)).collect();
                let g: Vec<_> = (0..taps).map(|i| Fraction::new((i * 5 % 7) as i128 - 2, 5)).collect();
                let products: Vec<_> = apply(&matrices.filter, &g)
                    .into_iter()
                    .zip(apply(&matrices.input, &d))
                    .map(|(u, v)| u * v)
                    .collect();
                let expected: Vec<_> =
                    (0..m).map(|i| (0..taps).fold(Fraction::ZERO, |sum, a| sum + g[a] * d[i + a])).collect();
                assert_eq!(apply(&matrices.output, &products), expected, "F({m}, {taps})");
            }
        }
    }
}
