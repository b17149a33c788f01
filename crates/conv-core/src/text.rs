//! Text from elsewhere, as messages show it.

/// Characters that are shown on either side of the place that is meant.
const SHOWN: usize = 100;

/// What a message shows of `text`, which may be of any length and hold anything: its first characters, in one line.
pub fn shown(text: &str) -> String {
    around(text, 0).0
}

/// What is shown around the character after `column` others, and how many are before it there.
pub(crate) fn around(text: &str, column: usize) -> (String, usize) {
    let first = column.saturating_sub(SHOWN);
    let mut rest = text.chars().skip(first).map(|c| if c.is_control() { ' ' } else { c });
    let start = if first > 0 { "…" } else { "" };
    let shown: String = start.chars().chain(rest.by_ref().take(column - first + SHOWN)).collect();
    let end = if rest.next().is_some() { "…" } else { "" };
    (shown + end, column - first + usize::from(first > 0))
}
