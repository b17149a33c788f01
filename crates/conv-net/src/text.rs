//! Names and numbers of a file's own in messages: no longer than one reads, without what would disturb a terminal.

use std::fmt::Debug;

/// The most characters of a name that are shown.
const NAME: usize = 80;

/// The most elements of a list that are shown.
const LIST: usize = 10;

/// A name without what would disturb a terminal.
pub(crate) fn plain(name: &str) -> String {
    let cut: String = name.chars().take(NAME).collect();
    format!("{}{}", cut.escape_debug(), if cut.len() < name.len() { "…" } else { "" })
}

/// [`plain`] in quotes.
pub(crate) fn shown(name: &str) -> String {
    format!("'{}'", plain(name))
}

/// A list, or how it begins.
pub(crate) fn listed<T: Debug>(list: &[T]) -> String {
    match list.split_at_checked(LIST).filter(|(_, rest)| !rest.is_empty()) {
        None => format!("{list:?}"),
        Some((first, rest)) => {
            let first: Vec<String> = first.iter().map(|element| format!("{element:?}")).collect();
            format!("[{}, … {} more]", first.join(", "), rest.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(shown("conv\x1b[2J"), r"'conv\u{1b}[2J'");
        assert_eq!(plain(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
        assert_eq!(listed(&[1, 2]), "[1, 2]");
        assert_eq!(listed(&[7; 10]), format!("{:?}", [7; 10]));
        assert_eq!(listed(&[7; 12]), "[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, … 2 more]");
    }
}
