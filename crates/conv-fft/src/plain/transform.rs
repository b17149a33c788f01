//! Two-dimensional transforms of real tiles on rustfft.

use std::sync::Arc;

use conv_simd::Isa;
use rustfft::{Fft, FftDirection, FftNum, FftPlanner, FftPlannerScalar, num_complex};

pub(super) type Complex = num_complex::Complex<f32>;

/// Transforms of `rows × columns` real points to `columns/2 + 1` columns of `rows` complex ones and back.
///
/// The spectrum is stored by columns, `[column][row]`, so that the second pass is contiguous too. Two real rows go through
/// one complex transform and are separated by symmetry: with `Z` the transform of `a + i·b`,
/// `A(k) = (Z(k) + conj Z(−k)) / 2` and `B(k) = (Z(k) − conj Z(−k)) / 2i`.
pub(super) struct Transform<T> {
    rows: usize,
    columns: usize,
    row: [Arc<dyn Fft<T>>; 2],
    column: [Arc<dyn Fft<T>>; 2],
}

impl<T: FftNum> Transform<T> {
    /// Plans transforms of `[rows, columns]`, both even. rustfft chooses its own instructions, AVX at most, unless `isa`
    /// is portable.
    pub(super) fn new([rows, columns]: [usize; 2], isa: Isa) -> Self {
        let directions = [FftDirection::Forward, FftDirection::Inverse];
        let plan = |len| {
            if isa.name() == "portable" {
                let mut planner = FftPlannerScalar::new();
                directions.map(|direction| planner.plan_fft(len, direction))
            } else {
                let mut planner = FftPlanner::new();
                directions.map(|direction| planner.plan_fft(len, direction))
            }
        };
        Transform { rows, columns, row: plan(columns), column: plan(rows) }
    }

    /// Complex numbers of scratch that a transform needs: a row, and what rustfft asks for.
    pub(super) fn scratch_len(&self) -> usize {
        let asked = self.row.iter().chain(&self.column).map(|fft| fft.get_inplace_scratch_len()).max();
        self.columns + asked.unwrap_or(0)
    }

    /// Scratch for one caller.
    pub(super) fn scratch(&self) -> Vec<num_complex::Complex<T>> {
        vec![num_complex::Complex::new(T::zero(), T::zero()); self.scratch_len()]
    }

    /// `tile` `[rows][columns]` to `spectrum` `[columns/2 + 1][rows]`. Pairs of rows that `tile` has not are zero.
    pub(super) fn forward(
        &self,
        tile: &[T],
        spectrum: &mut [num_complex::Complex<T>],
        scratch: &mut [num_complex::Complex<T>],
    ) {
        let (line, scratch) = scratch.split_at_mut(self.columns);
        let half = T::one() / (T::one() + T::one());
        if tile.len() < self.rows * self.columns {
            spectrum.fill(num_complex::Complex::new(T::zero(), T::zero()));
        }
        for (pair, rows) in tile.chunks_exact(2 * self.columns).enumerate() {
            let (first, second) = rows.split_at(self.columns);
            for ((z, &a), &b) in line.iter_mut().zip(first).zip(second) {
                *z = num_complex::Complex::new(a, b);
            }
            self.row[0].process_with_scratch(line, scratch);
            for k in 0..=self.columns / 2 {
                let (z, mirror) = (line[k], line[(self.columns - k) % self.columns].conj());
                let (sum, difference) = ((z + mirror) * half, (z - mirror) * half);
                spectrum[k * self.rows + 2 * pair] = sum;
                spectrum[k * self.rows + 2 * pair + 1] = num_complex::Complex::new(difference.im, -difference.re);
            }
        }
        self.column[0].process_with_scratch(spectrum, scratch);
    }

    /// `spectrum`, which is destroyed, back to `tile`, not divided by the number of points.
    pub(super) fn inverse(
        &self,
        spectrum: &mut [num_complex::Complex<T>],
        tile: &mut [T],
        scratch: &mut [num_complex::Complex<T>],
    ) {
        let (line, scratch) = scratch.split_at_mut(self.columns);
        self.column[1].process_with_scratch(spectrum, scratch);
        for (pair, rows) in tile.chunks_exact_mut(2 * self.columns).enumerate() {
            for k in 0..=self.columns / 2 {
                let (a, b) = (spectrum[k * self.rows + 2 * pair], spectrum[k * self.rows + 2 * pair + 1]);
                let times_i = |z: num_complex::Complex<T>| num_complex::Complex::new(-z.im, z.re);
                line[k] = a + times_i(b);
                if k > 0 {
                    line[self.columns - k] = a.conj() + times_i(b.conj());
                }
            }
            self.row[1].process_with_scratch(line, scratch);
            let (first, second) = rows.split_at_mut(self.columns);
            for ((z, a), b) in line.iter().zip(first).zip(second) {
                (*a, *b) = (z.re, z.im);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition_and_returns() {
        let (rows, columns) = (4, 8);
        let transform = Transform::<f64>::new([rows, columns], Isa::best());
        let tile: Vec<f64> = (0..rows * columns).map(|i| ((i * 7) % 11) as f64 - 5.0).collect();
        let mut spectrum = vec![Default::default(); rows * (columns / 2 + 1)];
        transform.forward(&tile, &mut spectrum, &mut transform.scratch());
        for kx in 0..=columns / 2 {
            for ky in 0..rows {
                let term = |i: usize| {
                    let (y, x) = (i / columns, i % columns);
                    let turn = (kx * x) as f64 / columns as f64 + (ky * y) as f64 / rows as f64;
                    num_complex::Complex::from_polar(tile[i], -std::f64::consts::TAU * turn)
                };
                let exact: num_complex::Complex<f64> = (0..tile.len()).map(term).sum();
                assert!((exact - spectrum[kx * rows + ky]).norm() < 1e-12);
            }
        }
        let mut back = vec![0.0; tile.len()];
        transform.inverse(&mut spectrum, &mut back, &mut transform.scratch());
        let points = tile.len() as f64;
        assert!(back.iter().zip(&tile).all(|(b, t)| (b / points - t).abs() < 1e-12));
    }
}
