//! The ledger as SQLite has it, read by plain SQL and by none of the gate's own code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// One row of `exchange`, as far as the books know what should stand there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) marker: Option<String>,
    pub(crate) client: String,
    pub(crate) entry: String,
    pub(crate) operation: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) outcome: String,
    pub(crate) error_type: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) cache_read: Option<u64>,
    pub(crate) cache_write: Option<u64>,
    pub(crate) source: Option<String>,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

const QUERY: &str = "SELECT seq, id, invocation_id, client, entry, operation, model, status, outcome, error_type, \
     aws_request_id, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usage_source, \
     request_bytes, response_bytes FROM exchange WHERE seq > ?1 ORDER BY seq";

/// The rows read so far.
#[derive(Debug)]
pub(crate) struct Rows {
    path: PathBuf,
    last: i64,
    pub(crate) rows: Vec<Row>,
}

impl Rows {
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            last: 0,
            rows: Vec::new(),
        }
    }

    /// Reads what has been committed since the last time, beside a gate that goes on writing.
    pub(crate) fn read_on(&mut self) -> rusqlite::Result<()> {
        let ledger = self.open()?;
        let mut query = ledger.prepare(QUERY)?;
        let mut found = query.query([self.last])?;
        while let Some(row) = found.next()? {
            self.last = row.get(0)?;
            self.rows.push(Row {
                id: row.get(1)?,
                marker: row.get(2)?,
                client: row.get(3)?,
                entry: row.get(4)?,
                operation: row.get(5)?,
                model: row.get(6)?,
                status: row.get(7)?,
                outcome: row.get(8)?,
                error_type: row.get(9)?,
                request_id: row.get(10)?,
                input: count(row, 11)?,
                output: count(row, 12)?,
                cache_read: count(row, 13)?,
                cache_write: count(row, 14)?,
                source: row.get(15)?,
                request_bytes: count(row, 16)?.unwrap_or_default(),
                response_bytes: count(row, 17)?.unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// What SQLite itself says of the file; `ok` if nothing is wrong.
    pub(crate) fn integrity(&self) -> rusqlite::Result<String> {
        self.open()?
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let ledger = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        ledger.busy_timeout(Duration::from_secs(30))?;
        Ok(ledger)
    }
}

/// A count; SQLite's integers are signed.
fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    let number: Option<i64> = row.get(column)?;
    number
        .map(|number| {
            u64::try_from(number)
                .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
        })
        .transpose()
}
