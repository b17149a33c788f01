//! Transposition, square by square.

/// Sides of the squares: a cache line of each row.
pub(crate) const SQUARE: usize = 16;

/// `to[row(r)][c] = map(c, from[c][r])` for all rows of `to` and all `c` below `columns`; the strides are the floats from
/// one row to the next. Square by square, so that every line fetched is used whole.
pub(crate) fn transpose(
    (from, from_stride): (&[f32], usize),
    (to, to_stride): (&mut [f32], usize),
    columns: usize,
    row: impl Fn(usize) -> usize,
    map: impl Fn(usize, f32) -> f32,
) {
    let rows = to.len() / to_stride;
    for first_row in (0..rows).step_by(SQUARE) {
        let height = SQUARE.min(rows - first_row);
        for first in (0..columns).step_by(SQUARE) {
            let width = SQUARE.min(columns - first);
            let mut square = [[0.0; SQUARE]; SQUARE];
            for (c, column) in square[..width].iter_mut().enumerate() {
                column[..height].copy_from_slice(&from[(first + c) * from_stride + first_row..][..height]);
            }
            for r in 0..height {
                let to = &mut to[row(first_row + r) * to_stride + first..][..width];
                for (c, value) in to.iter_mut().enumerate() {
                    *value = map(first + c, square[c][r]);
                }
            }
        }
    }
}
