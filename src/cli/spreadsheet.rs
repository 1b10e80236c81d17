//! Cells of CSV that stay what they are when a spreadsheet opens them.
//!
//! A cell that begins with `=`, `+`, `-`, `@`, a tab or a line end can become a formula there, and model names or tags
//! are a peer's bytes: such a text gets an apostrophe before it, which spreadsheets take for "this is text". Control
//! characters are escaped as they are in tables. Columns of numbers are ours and stay as they are. RFC 4180.

use std::io::{self, Write};

use super::terminal::Line;

/// Writes rows that end as RFC 4180 has it, quoted where they have to be.
pub(super) fn writer<W: Write>(out: W) -> csv::Writer<W> {
    csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(out)
}

/// Writes one row.
pub(super) fn write(
    csv: &mut csv::Writer<impl Write>,
    row: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> io::Result<()> {
    csv.write_record(row)
        .map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })
}

/// What a formula can begin with, in either width: some spreadsheets take the wide forms for the others.
const FORMULA: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

/// A text as a cell.
#[must_use]
pub fn cell(text: &str) -> String {
    let harmless = Line(text).to_string();
    if text.starts_with(FORMULA) {
        return format!("'{harmless}");
    }
    harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_formula() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\\t=1"),
            ("\r=1", "'\\r=1"),
            ("\n=1", "'\\n=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("us.amazon.nova", "us.amazon.nova"),
            ("a=1", "a=1"),
            ("", ""),
            ("a\u{1b}b", "a\\u{1b}b"),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
