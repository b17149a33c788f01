//! Transposition, square by square.

/// Sides of the squares: a cache line of each row.
pub(crate) const SQUARE: usize = 16;

/// Gives `put` the `rows` rows of the transposed of `from`, whose `columns` rows begin `stride` floats apart, piece by piece:
/// the row, its first column, and the floats from there on. Square by square, so that every line fetched is used whole.
pub(crate) fn transpose(
    (from, stride): (&[f32], usize),
    [rows, columns]: [usize; 2],
    mut put: impl FnMut(usize, usize, &[f32]),
) {
    for first_row in (0..rows).step_by(SQUARE) {
        let height = SQUARE.min(rows - first_row);
        for first in (0..columns).step_by(SQUARE) {
            let width = SQUARE.min(columns - first);
            let mut square = [[0.0; SQUARE]; SQUARE];
            for c in 0..width {
                let column = &from[(first + c) * stride + first_row..][..height];
                square.iter_mut().zip(column).for_each(|(row, &value)| row[c] = value);
            }
            for (r, row) in square[..height].iter().enumerate() {
                put(first_row + r, first, &row[..width]);
            }
        }
    }
}
