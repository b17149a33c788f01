//! Tables as text.

use std::fmt::Write;

/// Columns as wide as their widest cell, two spaces apart; the first is aligned left, and so is every column whose
/// cells are no numbers.
pub fn table(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let columns: Vec<(usize, bool)> = (0..header.len())
        .map(|column| {
            let cells = || rows.iter().map(|row| cell(row, column));
            let width = cells().map(|text| text.chars().count()).max().unwrap_or(0);
            (width.max(header[column].as_ref().chars().count()), column > 0 && cells().all(|text| is_number(&text)))
        })
        .collect();
    let header: Vec<String> = header.iter().map(|name| name.as_ref().to_owned()).collect();
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

/// The same as Markdown.
pub fn markdown(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    // What comes from a file may hold anything; a cell is one line without bars.
    let clean = |cell: &str| cell.replace(char::is_control, " ").replace('|', "\\|");
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let is_number = |column: usize| rows.iter().all(|row| row.get(column).is_none_or(|cell| is_number(cell)));
    let rule = (0..header.len()).map(|column| if column > 0 && is_number(column) { "---:" } else { "---" });
    let mut lines =
        vec![line(header.iter().map(|name| name.as_ref().to_owned()).collect()), line(rule.map(Into::into).collect())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(|cell| clean(cell)).collect())));
    lines.join("\n")
}

/// The same as CSV (RFC 4180), a line for the header and one for each row, each with its end.
pub fn csv(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let field = |cell: &str| match cell.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    };
    let line = |cells: Vec<String>| cells.join(",") + "\r\n";
    let names = line(header.iter().map(|name| field(name.as_ref())).collect());
    rows.iter().fold(names, |text, row| text + &line(row.iter().map(|cell| field(cell)).collect()))
}

/// Whether a cell is aligned as a number; an empty one does not object.
fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_cells_is_quoted() {
        let rows = [vec!["a, b".into(), "say \"c\"".into()], vec!["two\nlines".into(), String::new()]];
        assert_eq!(csv(&["x", "y"], &rows), "x,y\r\n\"a, b\",\"say \"\"c\"\"\"\r\n\"two\nlines\",\r\n");
    }

    #[test]
    fn numbers_are_aligned_right() {
        let rows = [vec!["a".into(), "1.5".into(), "x".into()], vec!["long".into(), "100".into(), "é".into()]];
        assert_eq!(table(&["name", "ms", "note"], &rows), "name   ms  note\na     1.5  x\nlong  100  é");
        let rows = [vec!["a|b".into(), "1.5".into(), "x\ny".into()]];
        assert_eq!(
            markdown(&["name", "ms", "note"], &rows),
            "| name | ms | note |\n| --- | ---: | --- |\n| a\\|b | 1.5 | x y |"
        );
    }
}
