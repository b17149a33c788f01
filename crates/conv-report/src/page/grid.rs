//! Tables as HTML. Sorting and filtering come by the page's script; without it they are plain tables.

use super::escape::escape;
use crate::tables::Table;

/// So many rows are shown at once; longer tables are opened by a click.
const SHORT: usize = 24;

/// `table` with its caption and its notes.
pub(super) fn grid(table: &Table) -> String {
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let numeric: Vec<bool> = (0..table.header.len())
        .map(|column| column > 0 && table.rows.iter().all(|row| is_quantity(&cell(row, column))))
        .collect();
    let class = |column: usize| if numeric[column] { " class=\"n\"" } else { "" };
    let header = table.header.iter().enumerate();
    let header: String =
        header.map(|(column, name)| format!("<th scope=\"col\"{}>{}</th>", class(column), escape(name))).collect();
    let row = |row: &Vec<String>| {
        let cells = (1..table.header.len()).map(|i| format!("<td{}>{}</td>", class(i), escape(&cell(row, i))));
        format!("<tr><th scope=\"row\">{}</th>{}</tr>\n", escape(&cell(row, 0)), cells.collect::<String>())
    };
    let caption = escape(&table.caption);
    let body: String = table.rows.iter().map(row).collect();
    let notes: String = table.notes.iter().map(|note| format!("<p class=\"note\">{}</p>\n", escape(note))).collect();
    let html = format!(
        "<div class=\"grid\">\n<p class=\"caption\">{caption}</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\n<table>\n\
         <thead><tr>{header}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n{notes}</div>\n"
    );
    if table.rows.len() <= SHORT {
        return html;
    }
    let (of, _) = table.caption.split_once("; ").unwrap_or((&table.caption, ""));
    let told = escape(&format!("{} rows, {of}: {}", table.rows.len(), table.header.join(", ")));
    format!("<details class=\"long\">\n<summary>Table of {told}</summary>\n{html}</details>\n")
}

/// `2.77`, `1.93 MiB`, `12,345`, or nothing.
fn is_quantity(cell: &str) -> bool {
    let mut words = cell.split(' ');
    let number = words.next().is_some_and(|word| word.is_empty() || word.replace(',', "").parse::<f64>().is_ok());
    number && words.count() <= 1
}
