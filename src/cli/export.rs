//! `tollgate export`: records for other programs, as JSON lines, CSV or HAR.
//!
//! Records are read page by page and written one by one, so memory does not grow with the ledger. JSON lines are the
//! records themselves, with `--payloads` as `tollgate show --json` prints them; the flat columns are in `flat`, the HTTP
//! archive in `har`. A file appears under its name only when it is whole, and only its owner can read it (`file`).

mod file;
mod flat;
mod har;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use time::OffsetDateTime;

use super::filter::Filter;
use super::progress::Progress;
use super::show::FoundJson;
use super::spreadsheet;
use super::terminal::{ReportError, to_stdout, write_json, write_json_value};
use crate::ledger::query::Records;
use crate::ledger::{FILE_NAME, Found, Reader};

/// What `tollgate export` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    /// JSON lines, comma-separated values, or an HTTP archive 1.2
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Format,
    /// Write to this file, mode 0600, once it is whole [default: standard output, as `-` says, too]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// With what was kept of heads and bodies; not for CSV
    #[arg(long)]
    pub payloads: bool,
    /// Which records.
    #[command(flatten)]
    pub filter: Filter,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The usage record, one a line
    Jsonl,
    /// Flat columns, for spreadsheets
    Csv,
    /// HTTP archive 1.2, for browsers and proxies
    Har,
}

/// Writes the records of the ledger in `home` to where `args` say.
///
/// # Errors
/// [`ReportError`] if there is no ledger, it cannot be read, or the output cannot be written.
pub fn run(args: &ExportArgs, home: &Path) -> Result<(), ReportError> {
    let now = OffsetDateTime::now_utc();
    match args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"))
    {
        None => to_stdout(|out| {
            let mut progress = Progress::beside_output("exporting");
            print(args, home, now, out, &mut || progress.step())
        }),
        Some(path) if is_ledger(path, home) => Err(ReportError::OverLedger {
            path: path.to_owned(),
        }),
        Some(path) => {
            let mut progress = Progress::new("exporting");
            file::write(path, |out| {
                print(args, home, now, out, &mut || progress.step())
            })
        }
    }
}

/// Whether `path` is one of the ledger's own files.
fn is_ledger(path: &Path, home: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    ["", "-wal", "-shm"].iter().any(|suffix| {
        let own = home.join(format!("{FILE_NAME}{suffix}"));
        own.canonicalize().is_ok_and(|own| own == path)
    })
}

/// Writes the records of the ledger in `home` to `out`, as of `now`; `each` is called for each of them.
///
/// # Errors
/// [`ReportError`], as [`run`].
pub fn print(
    args: &ExportArgs,
    home: &Path,
    now: OffsetDateTime,
    out: &mut impl Write,
    each: &mut impl FnMut(),
) -> Result<(), ReportError> {
    if args.payloads && args.format == Format::Csv {
        return Err(ReportError::NoPayloads);
    }
    let reader = Reader::open(&home.join(FILE_NAME))?;
    let records = reader.records(&args.filter.query(now))?;
    match args.format {
        Format::Jsonl => print_jsonl(args, &reader, records, out, each),
        Format::Csv => print_csv(records, out, each),
        Format::Har => print_har(args, &reader, records, out, each),
    }
}

fn print_jsonl(
    args: &ExportArgs,
    reader: &Reader,
    records: Records<'_>,
    out: &mut impl Write,
    each: &mut impl FnMut(),
) -> Result<(), ReportError> {
    for record in records {
        let record = record?;
        if args.payloads {
            let payload = reader.payload(&record.id)?;
            write_json(out, &FoundJson::new(&Found { record, payload }))?;
        } else {
            write_json(out, &record)?;
        }
        each();
    }
    Ok(())
}

fn print_csv(
    records: Records<'_>,
    out: &mut impl Write,
    each: &mut impl FnMut(),
) -> Result<(), ReportError> {
    let mut csv = spreadsheet::writer(out);
    spreadsheet::write(&mut csv, flat::COLUMNS)?;
    for record in records {
        spreadsheet::write(&mut csv, flat::cells(&record?))?;
        each();
    }
    Ok(csv.flush()?)
}

fn print_har(
    args: &ExportArgs,
    reader: &Reader,
    records: Records<'_>,
    out: &mut impl Write,
    each: &mut impl FnMut(),
) -> Result<(), ReportError> {
    write!(
        out,
        "{{\"log\":{{\"version\":\"1.2\",\"creator\":{{\"name\":\"tollgate\",\"version\":\"{}\"}},\"entries\":[",
        env!("CARGO_PKG_VERSION")
    )?;
    for (at, record) in records.enumerate() {
        let record = record?;
        // Method, path and header fields are in the heads, which are kept with the bodies.
        let mut payload = reader.payload(&record.id)?.unwrap_or_default();
        if !args.payloads {
            payload.request_body.clear();
            payload.response_body.clear();
        }
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        write_json_value(out, &har::Entry::new(&record, &payload, args.payloads))?;
        each();
    }
    out.write_all(b"\n]}}\n")?;
    Ok(())
}

#[cfg(test)]
mod tests;
