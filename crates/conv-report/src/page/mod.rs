//! One page to read, made from records alone: the answer first, then charts with their tables, then what measured it.
//!
//! # Design
//!
//! The page is one string of HTML that asks for nothing: styles and script are inside it, charts are SVG elements of it, and its
//! own policy forbids the network. It is read in the order of the questions: *what do I run* ([`answer`], sentences made from what
//! [`compare`] found), *what does that look like* ([`charts`], the pictures of [`crate::charts`], each with its [`figure`] of words
//! for those who do not see it, above the tables of [`crate::tables`]), *on what, and how again* ([`machine`], [`again`]). A file
//! of records has many settings; in each section the first is open and the others are `details`, which need no script. The script
//! adds only what a reader can do without: sorting by a header, filtering by a text box. Charts keep their light ground in the
//! dark, so that their colours mean the same. Everything that a record says passes [`escape`] on its way.

mod again;
mod answer;
mod charts;
mod compare;
mod escape;
mod figure;
mod grid;
mod machine;
mod setting;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::plot::{PlotError, check};
use crate::record::Record;

/// What the page is, and that it may ask for nothing.
const HEAD: &str = include_str!("head.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page of `records`, which were read from `path`.
///
/// # Errors
/// [`PlotError::Empty`] if they hold no measurement, [`PlotError::Value`] if one has a value that none can have.
pub fn page(records: &[Record], path: &Path) -> Result<String, PlotError> {
    check(records, path)?;
    if !records.iter().any(|record| record.algorithm.is_some()) {
        return Err(PlotError::Empty { path: path.into() });
    }
    let title = format!("convlab on {}", escape::escape(setting::newest_cpu(records)));
    let sections = charts::sections(records);
    let links = sections.iter().map(|section| (section.id, section.title)).chain([("machine", "The machine")]);
    let links: String = links.map(|(id, title)| format!("<li><a href=\"#{id}\">{title}</a></li>\n")).collect();
    let charts: String = sections
        .iter()
        .map(|section| {
            format!("<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", section.id, section.title, section.html)
        })
        .collect();
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n{HEAD}<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p>Which way of computing a convolution is fastest here, what it costs in memory, and how exact it is: \
         made from {count} records.</p>\n{answer}<nav aria-label=\"Sections\">\n<ul>\n{links}</ul>\n</nav>\n{charts}\
         <section id=\"machine\">\n<h2>The machine</h2>\n{machine}<h3>To make it again</h3>\n{again}</section>\n</main>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        count = records.len(),
        answer = answer::answer(records),
        machine = machine::machine(records),
        again = again::again(records),
    ))
}
