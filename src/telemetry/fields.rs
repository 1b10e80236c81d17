//! The fields of a diagnostic: one line, whatever a peer put into them, and nothing in it that a peer keeps secret.
//!
//! A value that is more than one word is quoted, so that nothing in it can be read as another field. Control characters
//! and marks of text direction become escapes. Credentials have no business here; what looks like one is masked all the
//! same, for the day that somebody logs what they should not.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::aws::inert::Line;
use crate::aws::mask;

/// Writes the message and `name=value` for each other field.
pub(super) struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor {
            writer,
            separator: "",
            written: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.written
    }
}

struct Visitor<'writer> {
    writer: Writer<'writer>,
    separator: &'static str,
    written: fmt::Result,
}

const MESSAGE: &str = "message";

/// What records of the `log` crate say about themselves.
const FROM_LOG: &str = "log.";

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: &str, quoted: bool) {
        if self.written.is_err() || field.name().starts_with(FROM_LOG) {
            return;
        }
        let value = mask::word(value);
        self.written = if field.name() == MESSAGE {
            write!(self.writer, "{}{}", self.separator, Line(&value))
        } else {
            let name = field.name();
            write!(self.writer, "{}{name}=", self.separator)
                .and_then(|()| write_value(&mut self.writer, &value, quoted))
        };
        self.separator = " ";
    }
}

/// Writes a value as one word, in quotes if it is not one.
pub(super) fn write_value(out: &mut impl fmt::Write, value: &str, quoted: bool) -> fmt::Result {
    if !quoted && is_word(value) {
        return write!(out, "{}", Line(value));
    }
    out.write_char('"')?;
    for part in value.split_inclusive(['"', '\\']) {
        let end = part.chars().next_back().filter(|c| matches!(c, '"' | '\\'));
        let text = end.and_then(|end| part.strip_suffix(end)).unwrap_or(part);
        write!(out, "{}", Line(text))?;
        if let Some(end) = end {
            write!(out, "\\{end}")?;
        }
    }
    out.write_char('"')
}

fn is_word(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '='))
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value, true);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, &format!("{value:?}"), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_word_or_in_quotes() {
        let rows = [
            ("plain", "plain"),
            ("ü:1", "ü:1"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a=b", "\"a=b\""),
            ("a\" b=\"c", "\"a\\\" b=\\\"c\""),
            ("\\\" \\", "\"\\\\\\\" \\\\\""),
            ("a\nb", "\"a\\nb\""),
            ("a\u{1b}[2J\u{202e}", "a\\u{1b}[2J\\u{202e}"),
            ("a\u{2028}b", "\"a\\u{2028}b\""),
        ];
        for (value, expected) in rows {
            let mut written = String::new();
            write_value(&mut written, value, false).unwrap();
            assert_eq!(written, expected, "{value:?}");
        }
    }
}
