//! Tables for a terminal: as text of which no line is wider than 80 columns.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::iter;

use crate::text::{aligned, shortened, table, wrapped};

/// Columns of a terminal.
const WIDTH: usize = 80;

/// Between two columns of a table.
const GAP: usize = 2;

/// What tells rows apart is shortened to no fewer characters.
const SHORTEST: usize = 16;

/// So many columns tell rows apart at the most: network, batch, threads.
const MOST_KEYS: usize = 3;

/// A [`table`] of at most 80 columns. If that is too few for it, names of columns take several lines, long names of rows lose
/// their middle, and what does not fit side by side follows below, beside the first columns again: as many as tell rows apart.
pub fn narrow(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let header: Vec<&str> = header.iter().map(AsRef::as_ref).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str).chain([header[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    // Reckoned before it is drawn: rows are as wide as the longest of names that may be very long.
    if (0..header.len()).map(|column| width(column) + GAP).sum::<usize>() <= WIDTH + GAP {
        return table(&header, rows);
    }
    let told_apart = |keys: usize| rows.iter().map(|row| row.get(..keys)).collect::<HashSet<_>>().len();
    let keys = (1..=MOST_KEYS.min(header.len())).min_by_key(|&keys| Reverse(told_apart(keys))).unwrap_or(0);
    let of = |limit| Narrow::new(&header, rows, keys, limit);
    let limit = (SHORTEST..=WIDTH / 2).rev().min_by_key(|&limit| of(limit).loss()).unwrap_or(SHORTEST);
    let narrow = of(limit);
    narrow.parts().iter().map(|columns| narrow.drawn(columns)).collect::<Vec<_>>().join("\n\n")
}

/// A table with a limit.
struct Narrow<'a> {
    header: &'a [&'a str],
    rows: &'a [Vec<String>],
    /// So many of the first columns tell the rows apart.
    keys: usize,
    /// Characters of a cell of these.
    limit: usize,
    /// Characters of any other cell: what is left beside these.
    rest: usize,
    /// That of the widest cell of each column, or of the longest word of its name.
    widths: Vec<usize>,
}

impl<'a> Narrow<'a> {
    fn new(header: &'a [&'a str], rows: &'a [Vec<String>], keys: usize, limit: usize) -> Self {
        let mut narrow = Narrow { header, rows, keys, limit, rest: WIDTH, widths: Vec::new() };
        for (column, name) in header.iter().enumerate() {
            if column == keys {
                let beside = narrow.widths.iter().map(|width| width + GAP).sum();
                narrow.rest = WIDTH.saturating_sub(beside).max(SHORTEST);
            }
            let cells = rows.iter().map(|row| narrow.cell(row, column).chars().count());
            let words = name.split(' ').map(|word| word.chars().count());
            narrow.widths.push(cells.chain(words).max().unwrap_or(0));
        }
        narrow
    }

    /// What is least wanted first: lines that are too wide, rows that are the same now, characters of other cells than names, parts.
    fn loss(&self) -> (bool, Reverse<usize>, usize, usize) {
        let key = |row: &Vec<String>| (0..self.keys).map(|column| self.cell(row, column)).collect::<Vec<_>>();
        let told_apart = self.rows.iter().map(key).collect::<HashSet<_>>().len();
        let others = self.rows.iter().flat_map(|row| row.iter().skip(self.keys));
        let lost = others.map(|cell| cell.chars().count().saturating_sub(self.rest)).sum();
        let parts = self.parts();
        (!parts.iter().all(|columns| self.fits(columns)), Reverse(told_apart), lost, parts.len())
    }

    /// The columns of each part.
    fn parts(&self) -> Vec<Vec<usize>> {
        let keys: Vec<usize> = (0..self.keys).collect();
        let beside_keys = |columns: &[usize]| [&keys[..], columns].concat();
        let is_alone = |column: &usize| self.header.iter().filter(|name| **name == self.header[*column]).count() == 1;
        let mut parts: Vec<Vec<usize>> = vec![Vec::new()];
        for column in self.keys..self.header.len() {
            let last = parts.len() - 1;
            let with = [&parts[last][..], &[column]].concat();
            if parts[last].is_empty() || self.fits(&beside_keys(&with)) {
                parts[last] = with;
                continue;
            }
            // What bears the name of another column stays beside the one before it, which says whose it is.
            let from =
                with.iter().rposition(is_alone).filter(|&from| from > 0 && self.fits(&beside_keys(&with[from..])));
            let from = from.unwrap_or(with.len() - 1);
            parts[last] = with[..from].to_vec();
            parts.push(with[from..].to_vec());
        }
        parts.iter().map(|columns| beside_keys(columns)).collect()
    }

    fn fits(&self, columns: &[usize]) -> bool {
        columns.iter().map(|&column| self.widths[column] + GAP).sum::<usize>() <= WIDTH + GAP
    }

    /// The end of a name tells layers apart, the beginning of another text says what it is.
    fn cell(&self, row: &[String], column: usize) -> String {
        let text = row.get(column).map_or("", String::as_str);
        if column < self.keys {
            shortened(text, self.limit, self.limit / 3)
        } else {
            shortened(text, self.rest, self.rest / 3 * 2)
        }
    }

    fn drawn(&self, columns: &[usize]) -> String {
        let mut names: Vec<Vec<String>> =
            columns.iter().map(|&column| wrapped(self.header[column], self.widths[column])).collect();
        let height = names.iter().map(Vec::len).max().unwrap_or(0);
        for name in &mut names {
            // The last line of each is next to its values.
            name.splice(0..0, iter::repeat_n(String::new(), height - name.len()));
        }
        let header: Vec<Vec<String>> =
            (0..height).map(|line| names.iter().map(|name| name[line].clone()).collect()).collect();
        let row = |row: &Vec<String>| columns.iter().map(|&column| self.cell(row, column)).collect();
        aligned(&header, &self.rows.iter().map(row).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(names: &[&str], values: &[&str]) -> Vec<Vec<String>> {
        let row = |name: &&str| [name].into_iter().chain(values).map(ToString::to_string).collect();
        names.iter().map(row).collect()
    }

    #[track_caller]
    fn assert_fits(text: &str) {
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let (header, rows) = (["layer", "max error"], rows(&["paper/conv1"], &["1.2e-7"]));
        assert_eq!(narrow(&header, &rows), table(&header, &rows));
    }

    #[test]
    fn names_lose_their_middle_and_stay_apart() {
        let names = ["densenet121/denseblock2.denselayer12.conv1", "densenet121/denseblock3.denselayer12.conv1"];
        let header = ["layer", "algorithm", "ms", "x direct", "memory", "max error"];
        let text = narrow(&header, &rows(&names, &["fft/t16", "1.234", "12.34", "12.3 MiB", "1.2e-7"]));
        let expected = [
            "                                                             x               max",
            "layer                                 algorithm     ms  direct    memory   error",
            "densenet121/…ock2.denselayer12.conv1  fft/t16    1.234   12.34  12.3 MiB  1.2e-7",
            "densenet121/…ock3.denselayer12.conv1  fft/t16    1.234   12.34  12.3 MiB  1.2e-7",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        // With names of two dozen characters it would be one part.
        let values = ["winograd/f4x3-mix4", "1234.567", "12.34", "12.3 MiB", "1.2e-7"];
        let text = narrow(&header, &rows(&names, &values));
        assert_fits(&text);
        assert_eq!(text.lines().collect::<HashSet<_>>().len(), 9, "{text}");
    }

    #[test]
    fn what_does_not_fit_beside_follows_below_with_its_names() {
        let header = ["layer", "direct ms", "im2col", "x direct", "fft", "x direct", "winograd", "x direct"];
        let values = ["12.345", "im2col/indirect", "0.98", "fft/t16-gauss", "1.23", "winograd/f4x3-mix4", "2.34"];
        let text = narrow(&header, &rows(&["mobilenet_v2/features.18.0", "mobilenet_v2/features.18.1"], &values));
        assert_fits(&text);
        let parts: Vec<&str> = text.split("\n\n").collect();
        let begins: Vec<bool> = parts.iter().map(|part| part.contains("mobilenet_v2/features.18.1")).collect();
        assert_eq!(begins, [true, true], "{text}");
        let fft = parts.iter().position(|part| part.contains("fft/t16-gauss")).unwrap();
        assert!(parts[fft].contains("1.23"), "which family is faster is beside it:\n{text}");
    }

    #[test]
    fn nothing_is_too_wide_or_too_narrow_to_draw() {
        let long = "n".repeat(200);
        let cells = [&long; 9].map(String::as_str);
        assert_fits(&narrow(&["a", "b", "c", "d", "e", "f", "g", "h", "i"], &vec![cells.map(Into::into).into(); 2]));
        assert_eq!(narrow(&["a"; 60], &[]).lines().count(), 5, "names without rows, in three parts");
        narrow(&[&long], &[vec![]]);
    }

    #[test]
    fn rows_are_told_apart_by_as_many_columns_as_it_takes() {
        let header =
            ["network", "batch", "threads", "peer/onnxruntime", "peer/openvino", "peer-bf16/openvino", "peer/mnn"];
        let mut rows = rows(&["a", "a"], &["1", "2", "1.0", "2.0", "3.0", "4.0"]);
        rows[1][1] = "16".into();
        let text = narrow(&header, &rows);
        assert_fits(&text);
        let second = text.split("\n\n").nth(1).unwrap();
        assert!(second.contains("batch") && !second.contains("threads"), "{text}");
    }
}
