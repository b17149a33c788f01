//! Tables as text.

use crate::ranking::MARK;

/// Columns as wide as their widest cell, two spaces apart; the first is aligned left, and so is every column whose
/// cells are no numbers.
pub fn table(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    aligned(&[header.iter().map(|name| name.as_ref().to_owned()).collect()], rows)
}

/// The same below a header of several lines.
pub(crate) fn aligned(header: &[Vec<String>], rows: &[Vec<String>]) -> String {
    let cell = |row: &Vec<String>, column: usize| clean(row.get(column).map_or("", String::as_str));
    let lines = || header.iter().chain(rows);
    let columns: Vec<(usize, bool)> = (0..header.first().map_or(0, Vec::len))
        .map(|column| {
            let width = lines().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
            (width, is_number_column(rows, column))
        })
        .collect();
    let mut text = String::new();
    for row in lines() {
        let mut line = String::new();
        for (column, &(width, right)) in columns.iter().enumerate() {
            let cell = cell(row, column);
            // A width that is formatted may not be beyond 65535.
            let padding = " ".repeat(width - cell.chars().count());
            line += &if right { format!("{padding}{cell}  ") } else { format!("{cell}{padding}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

/// `text` in a line: what comes from a file may hold anything, also what a terminal obeys.
pub(crate) fn clean(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// `text`, or `limit` characters of it, `head` of them from its beginning.
pub(crate) fn shortened(text: &str, limit: usize, head: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.into();
    }
    let tail = text.chars().skip(length - (limit - 1 - head));
    text.chars().take(head).chain(['…']).chain(tail).collect()
}

/// Breaks `text` at spaces into lines of at most `width` characters; longer words stay whole.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => *line += &format!(" {word}"),
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// The same as Markdown.
pub fn markdown(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let clean = |cell: &str| clean(cell).replace('|', "\\|");
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let rule = (0..header.len()).map(|column| if is_number_column(rows, column) { "---:" } else { "---" });
    let mut lines =
        vec![line(header.iter().map(|name| clean(name.as_ref())).collect()), line(rule.map(Into::into).collect())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(|cell| clean(cell)).collect())));
    lines.join("\n")
}

/// The same as CSV (RFC 4180), a line for the header and one for each row, each with its end. Numbers stay numbers: a last column
/// names those of the row that are marked as disturbed, if any is.
pub fn csv(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let field = |cell: &str| {
        let cell = cell.replace(|c: char| c.is_control() && !"\t\r\n".contains(c), " ");
        if cell.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    };
    let line = |cells: Vec<String>| cells.join(",") + "\r\n";
    let any = rows.iter().flatten().any(|cell| is_marked(cell));
    let names = line(header.iter().map(AsRef::as_ref).chain(any.then_some("disturbed")).map(field).collect());
    let row = |row: &Vec<String>| {
        let marked = header.iter().map(AsRef::as_ref).zip(row).filter(|(_, cell)| is_marked(cell));
        let disturbed = marked.map(|(name, _)| name).collect::<Vec<_>>().join("; ");
        let numbers = row.iter().map(|cell| if is_marked(cell) { cell.trim_end_matches(MARK) } else { cell });
        line(numbers.chain(any.then_some(disturbed.as_str())).map(field).collect())
    };
    rows.iter().fold(names, |text, cells| text + &row(cells))
}

/// Whether a cell is a number that leans on a disturbed measurement.
pub(crate) fn is_marked(cell: &str) -> bool {
    is_number(cell) && cell.ends_with(MARK)
}

/// Whether a column is aligned as numbers; the first never is.
pub(crate) fn is_number_column(rows: &[Vec<String>], column: usize) -> bool {
    column > 0 && rows.iter().all(|row| row.get(column).is_none_or(|cell| is_number(cell)))
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
    fn numbers_of_csv_stay_numbers() {
        let rows = [vec!["a ~".into(), "1.5 ~".into(), "2 ~".into()], vec!["b".into(), "1.5".into(), "2".into()]];
        assert_eq!(csv(&["x", "ms", "times"], &rows), "x,ms,times,disturbed\r\na ~,1.5,2,ms; times\r\nb,1.5,2,\r\n");
        assert_eq!(csv(&["x", "ms"], &[vec!["a ~".into(), "1".into()]]), "x,ms\r\na ~,1\r\n");
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

    #[test]
    fn names_of_any_length_make_a_table() {
        let rows = [vec!["n".repeat(70_000), "1".repeat(70_000)], vec!["m".into(), "1".into()]];
        assert!(table(&["name", "ms"], &rows).lines().all(|line| line.chars().count() == 140_002));
        assert!(crate::narrow(&["name", "ms"], &rows).lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn nothing_of_a_cell_is_obeyed_by_a_terminal() {
        let (header, rows) = (["\u{1b}[1m", "b"], [vec!["\u{1b}[2J\na".into(), "\u{9b}\t".into()]]);
        let narrow = crate::narrow(&header, &rows);
        for text in [table(&header, &rows), markdown(&header, &rows), narrow] {
            assert!(!text.contains(|c: char| c.is_control() && c != '\n') && text.contains("[2J a"), "{text}");
        }
        assert_eq!(csv(&["a"], &[vec!["\u{1b}[2J\ta\nb".into()]]), "a\r\n\" [2J\ta\nb\"\r\n");
    }
}
