//! Writing for people and scripts: nothing a peer sent may drive the terminal.
//!
//! Model names, heads and bodies are a peer's bytes. What is harmful in them (`aws::inert`) is shown as escapes: in text as
//! `\u{1b}`, in JSON as `\u001b`, which leaves the value what it was. Also here: the error of the commands that print from the ledger, and the end of a pipe.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;

pub use crate::aws::inert::{Line, Lines, is_harmful};
use crate::ledger::{LedgerError, QueryError};

/// Why a command that prints from the ledger failed.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The ledger could not be read, or what was asked for is not there.
    #[error(transparent)]
    Ledger(#[from] QueryError),
    /// The output could not be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Payloads were asked for in a format that has no place for them.
    #[error("--payloads: CSV has no place for payloads; take --format jsonl or har")]
    NoPayloads,
    /// The output would take the ledger's place.
    #[error("{} is the ledger itself; name another file", path.display())]
    OverLedger {
        /// The file.
        path: PathBuf,
    },
}

impl ReportError {
    /// Whether what was asked for is wrong, rather than something that went wrong.
    #[must_use]
    pub fn is_wrong_usage(&self) -> bool {
        matches!(self, Self::NoPayloads | Self::OverLedger { .. })
    }
}

impl From<LedgerError> for ReportError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error.into())
    }
}

/// Runs `print` with standard output, locked and buffered. A reader who has gone away is no error.
///
/// # Errors
/// What `print` returns, and what flushing meets.
pub fn to_stdout(
    print: impl FnOnce(&mut BufWriter<io::StdoutLock<'static>>) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = print(&mut out).and_then(|()| Ok(out.flush()?));
    // What is still buffered has nowhere to go; dropping the buffer would only try again.
    drop(out.into_parts());
    until_pipe_closes(printed)
}

/// `Ok` when the only thing wrong is that nobody reads any longer, as after `| head`.
///
/// # Errors
/// Every other error, as it is.
pub fn until_pipe_closes(printed: Result<(), ReportError>) -> Result<(), ReportError> {
    match printed {
        Err(ReportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes `value` as JSON on one line.
///
/// # Errors
/// What `out` returns.
pub fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    write_json_value(out, value)?;
    out.write_all(b"\n")
}

/// Writes `value` as JSON and nothing after it.
pub(super) fn write_json_value(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, HarmlessJson);
    Ok(value.serialize(&mut serializer)?)
}

struct HarmlessJson;

impl serde_json::ser::Formatter for HarmlessJson {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        write_json_text(writer, fragment)
    }
}

/// Writes a piece of JSON text, escaping what JSON itself lets through. All of it lies below U+10000.
pub(crate) fn write_json_text(out: &mut (impl Write + ?Sized), text: &str) -> io::Result<()> {
    for part in text.split_inclusive(is_harmful) {
        match part.chars().next_back().filter(|&c| is_harmful(c)) {
            None => out.write_all(part.as_bytes())?,
            Some(c) => {
                let before = part.strip_suffix(c).unwrap_or_default();
                out.write_all(before.as_bytes())?;
                write!(out, "\\u{:04x}", u32::from(c))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_harmless_and_still_the_same_value() {
        let nasty: String = (0..0x3000).filter_map(char::from_u32).collect();
        let mut out = Vec::new();
        write_json(&mut out, &nasty).unwrap();
        assert_eq!(out.pop(), Some(b'\n'));
        let text = String::from_utf8(out).unwrap();
        assert!(!text.chars().any(is_harmful));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), nasty);
        assert!(text.contains('ü'));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(until_pipe_closes(Err(closed.into())).is_ok());
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(until_pipe_closes(Err(full.into())).is_err());
    }
}
