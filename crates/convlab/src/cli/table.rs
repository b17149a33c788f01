//! Tables as text.

use std::fmt::Write;

/// Columns as wide as their widest cell, two spaces apart; the first is aligned left, and so is every column whose
/// cells are no numbers.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let columns: Vec<(usize, bool)> = (0..header.len())
        .map(|column| {
            let cells = || rows.iter().map(|row| cell(row, column));
            let width = cells().map(|text| text.chars().count()).max().unwrap_or(0);
            let number = |text: &String| text.starts_with(|c: char| c.is_ascii_digit() || c == '-') || text.is_empty();
            (width.max(header[column].chars().count()), column > 0 && cells().all(|text| number(&text)))
        })
        .collect();
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (column, &(width, right)) in columns.iter().enumerate() {
            let cell = cell(row, column);
            // Writing into a String cannot fail.
            let _ = if right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_right() {
        let rows = [vec!["a".into(), "1.5".into(), "x".into()], vec!["long".into(), "100".into(), "é".into()]];
        assert_eq!(table(&["name", "ms", "note"], &rows), "name   ms  note\na     1.5  x\nlong  100  é");
    }
}
