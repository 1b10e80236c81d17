//! Aligned columns for people: as wide as what they hold, growing as more comes.
//!
//! Cells are expected to be harmless already: [`text`] makes them so.

use std::io::{self, Write};

use super::terminal::Line;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table, printed block by block under one header.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    /// Width of each column so far; no header has been written while it is empty.
    widths: Vec<usize>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: impl IntoIterator<Item = (impl Into<String>, Align)>) -> Self {
        let columns = columns.into_iter();
        Self {
            columns: columns.map(|(name, align)| (name.into(), align)).collect(),
            widths: Vec::new(),
        }
    }

    /// Prints rows aligned with each other, and before the first ones the header.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn print_block<R: AsRef<[String]>>(
        &mut self,
        rows: &[R],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let header = self.widths.is_empty().then_some(header.as_slice());
        self.widths.resize(self.columns.len(), 0);
        let rows = || header.into_iter().chain(rows.iter().map(AsRef::as_ref));
        for row in rows() {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in rows() {
            self.print_row(row, out)?;
        }
        Ok(())
    }

    fn print_row(&self, row: &[String], out: &mut impl Write) -> io::Result<()> {
        let mut line = String::new();
        for ((cell, &width), (_, align)) in row.iter().zip(&self.widths).zip(&self.columns) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            line.push_str(&match align {
                Align::Right => format!("{cell:>width$}"),
                Align::Left => format!("{cell:<width$}"),
            });
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// What is not known.
#[must_use]
pub fn unknown() -> String {
    "-".to_owned()
}

/// A text as a cell, harmless.
#[must_use]
pub fn text(text: Option<&str>) -> String {
    text.map_or_else(unknown, |text| Line(text).to_string())
}
