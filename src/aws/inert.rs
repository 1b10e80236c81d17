//! Text of a peer that drives no terminal and forges no line.
//!
//! Control characters (C0, DEL, C1), the marks that turn the direction of text and the odd line separators become escapes.
//! What is secret in a text is left to `mask`, where it is printed to the callers.

use std::fmt::{self, Write as _};

/// Text on one line, harmless: every control character is an escape.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a>(pub &'a str);

/// Text of several lines, harmless: line feeds and tabs are kept, CRLF becomes a line feed.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a>(pub &'a str);

/// Whether a character could do more to a terminal than show itself.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    // Nearly every character there is.
    if matches!(c, ' '..='~') {
        return false;
    }
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        for (at, harmful) in self.0.match_indices(is_harmful) {
            f.write_str(self.0.get(shown..at).unwrap_or_default())?;
            for c in harmful.chars() {
                write!(f, "{}", c.escape_default())?;
            }
            shown = at + harmful.len();
        }
        f.write_str(self.0.get(shown..).unwrap_or_default())
    }
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.split_inclusive('\n') {
            let (text, end) = match line.strip_suffix('\n') {
                Some(text) => (text.strip_suffix('\r').unwrap_or(text), "\n"),
                None => (line, ""),
            };
            for (at, part) in text.split('\t').enumerate() {
                if at > 0 {
                    f.write_char('\t')?;
                }
                Line(part).fmt(f)?;
            }
            f.write_str(end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let nasty = "a\u{1b}[31m\u{7f}\u{9b}b\r\n\tü\u{202e}x\r";
        assert_eq!(
            Line(nasty).to_string(),
            "a\\u{1b}[31m\\u{7f}\\u{9b}b\\r\\n\\tü\\u{202e}x\\r"
        );
        assert_eq!(
            Lines(nasty).to_string(),
            "a\\u{1b}[31m\\u{7f}\\u{9b}b\n\tü\\u{202e}x\\r"
        );
    }
}
