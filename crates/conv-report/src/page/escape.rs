//! The one way by which text of records comes into the page.

/// `text` as it may stand between tags and in quoted attributes, in HTML and in SVG; control characters, which no document
/// may hold, as spaces.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `text` as one word of a shell's command.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,=".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(escape("<script>a & \"b\" 'c'\u{0}"), "&lt;script&gt;a &amp; &quot;b&quot; &#39;c&#39; ");
    }

    #[test]
    fn nothing_of_a_word_is_a_command() {
        assert_eq!([quote("paper/conv2"), quote("a; rm 'b'"), quote("")], ["paper/conv2", r"'a; rm '\''b'\'''", "''"]);
        assert_eq!(quote("--out"), "'--out'");
    }
}
