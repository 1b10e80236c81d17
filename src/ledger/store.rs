//! The connection as the writer thread uses it: one batch, one transaction, and a checkpoint now and then.
//!
//! It tells apart what is wrong with one row (the row is refused, the others go on) and what is wrong with the file
//! (nothing of the batch is committed, all of it may be written again). When to write and what to tell whom is left to
//! `worker`, the columns to `row`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::checkpointer::Checkpointer;
use super::error::LedgerError;
use super::options::Retention;
use super::record::{Entry, Payload, UsageRecord};
use super::sweep::Removed;
use super::writer::Queued;
use super::{row, schema, soundness, span, sweep};

/// The connection and what is prepared for it.
pub(super) struct Store {
    pub(super) path: PathBuf,
    /// Gone before the connection is: the last one to go merges the WAL into the file.
    checkpointer: Option<Checkpointer>,
    pub(super) connection: Connection,
    insert_exchange: String,
    insert_payload: String,
    scratch: Vec<u8>,
    /// Rows committed since it was last looked whether a span is full.
    unspanned: usize,
    /// About how many bytes the WAL has grown by since it was last measured.
    unmeasured: usize,
    /// Length of the WAL, in pages, when it was last checkpointed.
    checkpointed_at: u32,
    /// When the first transaction was committed that no checkpoint has been made for.
    behind_since: Option<Instant>,
}

/// Growth of the WAL, in bytes and as far as it can be told from here, after which it is measured: asking costs as much
/// as a small commit.
const MEASURE_AFTER: usize = 1024 * 1024;

/// What a transaction and what a row adds to the WAL at least: a page of the table and one of each index, and its text.
const TRANSACTION_BYTES: usize = 16 * 1024;
const ROW_BYTES: usize = 1024;

/// Rows of a span.
const SPAN_ROWS: usize = 1024;

/// Spans written between two transactions at most; each takes about half a millisecond.
const SPANS_AT_ONCE: usize = 4;

/// Growth of the WAL, in pages of 4 KiB, after which it is checkpointed beside whatever is written: 32 MiB. Less would mean
/// more fsyncs, and pages that change with every transaction written to the file more often.
const CHECKPOINT_AFTER: u32 = 8000;

/// What is committed is in the file, and on the disk, after about this long: all that a machine that dies can lose.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// Growth after which a WAL is checkpointed that is soon to begin anew, so that little is left of it for the writer: 4 MiB.
const LAST_CHECKPOINTS_AFTER: u32 = 1000;

/// Length, in pages, at which the writer makes the checkpoint itself, so that the WAL can begin anew: 128 MiB.
const BEGIN_ANEW_AT: u32 = 32_000;

/// Length, in pages, at which records come in faster than the disk takes them: 256 MiB. From there on the writer lets the
/// checkpoint beside it catch up, this long for every further mebibyte; whoever waits for a record gathers in the next
/// transaction, which makes less of a WAL.
const OUTGROWN_AT: u32 = 2 * BEGIN_ANEW_AT;
const CATCH_UP: Duration = Duration::from_millis(100);

/// How long a start waits for the check of the whole file; a second is enough for some hundred megabytes.
const CHECK: Duration = Duration::from_secs(1);

impl Store {
    /// Opens a file that can be written, as far as that can be told beforehand.
    pub(super) fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut store = Self {
            path: path.to_owned(),
            checkpointer: None,
            connection: schema::open_for_writing(path)?,
            insert_exchange: row::insert_exchange_sql(),
            insert_payload: row::insert_payload_sql(),
            scratch: Vec::new(),
            // A span may have become full just before the end of another process.
            unspanned: SPAN_ROWS,
            unmeasured: MEASURE_AFTER,
            checkpointed_at: 0,
            behind_since: None,
        };
        let opening = |source| LedgerError::opening(path, source);
        // What is damaged is left as it is: nothing of a WAL is moved into the file when it is closed again.
        store.checkpoint_at_the_end(false).map_err(opening)?;
        let damage = soundness::damage(&store.connection, CHECK).map_err(opening)?;
        let damage = match damage {
            Some(found) => Some(found),
            None => store.try_out().map_err(opening)?,
        };
        if let Some(found) = damage {
            return Err(LedgerError::Damaged {
                path: path.to_owned(),
                found,
            });
        }
        store.checkpoint_at_the_end(true).map_err(opening)?;
        store.checkpointer = Checkpointer::start(path)?;
        Ok(store)
    }

    fn checkpoint_at_the_end(&self, yes: bool) -> rusqlite::Result<bool> {
        let no = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        self.connection.set_db_config(no, !yes)
    }

    /// Writes a record and takes it back, which finds what the check had no time for: damage where records are written,
    /// and tables that are not there. What is wrong, if anything is.
    fn try_out(&mut self) -> rusqlite::Result<Option<String>> {
        let begun = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = match begun {
            Ok(transaction) => transaction,
            // Somebody else is writing to it, so it can be written.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let id = uuid::Uuid::now_v7().to_string();
        let time = "1970-01-01T00:00:00Z".to_owned();
        let record = UsageRecord::new(id, time, Entry::Tunnel, String::new());
        let tried = transaction
            .prepare(&self.insert_exchange)
            .and_then(|mut insert| row::insert_exchange(&mut insert, &record, &mut self.scratch))
            .and_then(|_| transaction.prepare(&self.insert_payload))
            .and_then(|mut insert| {
                row::insert_payload(&mut insert, &record.id, &Payload::default())
            });
        transaction.rollback()?;
        match tried {
            Ok(()) => Ok(None),
            // A statement that cannot be compiled: the tables are not ours.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
                Ok(Some(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Commits `batch` in one transaction and tells which of it SQLite will never take. An error means that nothing of
    /// it is known to be committed, and that all of it may be written again.
    pub(super) fn write(&mut self, batch: &mut [Box<Queued>]) -> rusqlite::Result<Vec<usize>> {
        self.run("BEGIN IMMEDIATE")?;
        let inserted = self.insert(batch);
        let refused = match inserted.and_then(|refused| self.run("COMMIT").map(|()| refused)) {
            Ok(refused) => refused,
            Err(error) => {
                // Some errors have ended the transaction already.
                if !self.connection.is_autocommit()
                    && let Err(error) = self.run("ROLLBACK")
                {
                    tracing::debug!(%error, "a transaction of the ledger cannot be rolled back");
                }
                return Err(error);
            }
        };
        self.behind_since.get_or_insert_with(Instant::now);
        self.unspanned += batch.len();
        let payloads: usize = batch.iter().map(|queued| queued.payload_len()).sum();
        self.unmeasured += TRANSACTION_BYTES + batch.len() * ROW_BYTES + payloads;
        Ok(refused)
    }

    /// Inserts `batch` and tells which of it SQLite will never take.
    fn insert(&mut self, batch: &mut [Box<Queued>]) -> rusqlite::Result<Vec<usize>> {
        let mut refused = Vec::new();
        let mut exchange = self.connection.prepare_cached(&self.insert_exchange)?;
        let mut payload = self.connection.prepare_cached(&self.insert_payload)?;
        for (at, queued) in batch.iter_mut().enumerate() {
            match row::insert_exchange(&mut exchange, &queued.record, &mut self.scratch) {
                Ok(true) => {}
                Ok(false) if queued.tried => {}
                Ok(false) => {
                    refuse(&mut refused, at, queued, &"its id is in the ledger already");
                    continue;
                }
                Err(error) if is_about_the_row(&error) => {
                    refuse(&mut refused, at, queued, &error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            let Some(captured) = &queued.payload else {
                continue;
            };
            match row::insert_payload(&mut payload, &queued.record.id, captured) {
                Ok(()) => {}
                Err(error) if is_about_the_row(&error) => queued.drop_payload(),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Runs a statement that is parsed once.
    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(statement)?
            .execute([])
            .map(|_| ())
    }

    /// Removes a little of what need not be kept at `now_ms`; if that is not known, nothing for its age.
    pub(super) fn sweep(
        &mut self,
        retention: &Retention,
        now_ms: Option<i64>,
    ) -> rusqlite::Result<Removed> {
        sweep::step(&mut self.connection, retention, now_ms)
    }

    /// Does what is to be done now and then, once those who waited were answered.
    pub(super) fn tidy(&mut self) {
        if self.unspanned >= SPAN_ROWS
            && let Err(error) = self.write_spans()
        {
            // Readers look at the rows themselves as long as no span tells of them.
            tracing::warn!(error = %error, "the ledger's spans cannot be written");
        }
        if self.unmeasured >= MEASURE_AFTER || self.is_long_behind() {
            self.unmeasured = 0;
            self.checkpoint();
        }
    }

    /// How long [`tidy`](Self::tidy) may wait when nothing is written; `None` for ever.
    pub(super) fn pause(&self) -> Option<Duration> {
        let due = self.behind_since? + CHECKPOINT_WITHIN;
        // Should one be running when the next is due, there is no hurry.
        Some(due.saturating_duration_since(Instant::now()).max(CATCH_UP))
    }

    fn is_long_behind(&self) -> bool {
        self.behind_since
            .is_some_and(|since| since.elapsed() >= CHECKPOINT_WITHIN)
    }

    fn write_spans(&mut self) -> rusqlite::Result<()> {
        self.unspanned = 0;
        let last_seq: i64 = self
            .connection
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM exchange")?
            .query_row([], |row| row.get(0))?;
        let next = span::next(&self.connection)?;
        let full = last_seq / span::ROWS;
        for n in (next..full).take(SPANS_AT_ONCE) {
            span::write(&mut self.connection, n)?;
        }
        let behind = usize::try_from(full - next).unwrap_or_default() > SPANS_AT_ONCE;
        // The rest of the way with the next transactions.
        let rows = usize::try_from(last_seq % span::ROWS).unwrap_or_default();
        self.unspanned = if behind { SPAN_ROWS } else { rows };
        Ok(())
    }

    /// Has the WAL's pages moved into the file when enough of them have come together. Without it the WAL would grow for
    /// ever; a failure is no harm to what is committed, and the next growth tries again.
    fn checkpoint(&mut self) {
        let length = match self.wal("PRAGMA wal_checkpoint(NOOP)") {
            Ok(length) => length,
            Err(error) => {
                tracing::warn!(error = %error, "the ledger's WAL cannot be measured");
                return;
            }
        };
        if let Some(checkpointer) = &self.checkpointer
            && checkpointer.is_busy()
        {
            if length >= OUTGROWN_AT {
                checkpointer.wait(CATCH_UP);
            }
            return;
        }
        if length < self.checkpointed_at {
            // It was complete at the last checkpoint and has started again from its beginning.
            self.checkpointed_at = 0;
        }
        let after = if length + CHECKPOINT_AFTER < BEGIN_ANEW_AT {
            CHECKPOINT_AFTER
        } else {
            LAST_CHECKPOINTS_AFTER
        };
        if length - self.checkpointed_at < after && !self.is_long_behind() {
            return;
        }
        self.checkpointed_at = length;
        self.behind_since = None;
        match &self.checkpointer {
            Some(checkpointer) if length < BEGIN_ANEW_AT => checkpointer.begin(),
            // What was written since the last one is little.
            _ => {
                if let Err(error) = self.wal("PRAGMA wal_checkpoint(PASSIVE)") {
                    tracing::warn!(error = %error, "the ledger's WAL cannot be checkpointed");
                }
            }
        }
    }

    /// Runs a checkpoint pragma; the length of the WAL in pages.
    fn wal(&self, pragma: &str) -> rusqlite::Result<u32> {
        let mut statement = self.connection.prepare_cached(pragma)?;
        let length: i64 = statement.query_row([], |row| row.get(1))?;
        // −1 when there is no WAL.
        Ok(u32::try_from(length).unwrap_or(0))
    }

    /// A new connection, in case the old one is what is broken. If there is none to be had, the old one is kept.
    pub(super) fn reopen(&mut self) {
        match schema::open_for_writing(&self.path) {
            Ok(connection) => {
                self.connection = connection;
                self.checkpointed_at = 0;
            }
            Err(error) => tracing::debug!(error = %error, "the ledger cannot be reopened"),
        }
    }
}

fn refuse(refused: &mut Vec<usize>, at: usize, queued: &Queued, why: &dyn fmt::Display) {
    tracing::error!(id = %queued.record.id, error = %why, "the ledger refuses a record");
    refused.push(at);
}

/// Whether an error is the fault of one row, so that writing it again would fail again.
fn is_about_the_row(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    ) || matches!(error, rusqlite::Error::ToSqlConversionFailure(_))
}

/// Whether an error says nothing against the connection: the lock will be released, space will be made.
pub(super) fn passes_by_itself(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
    )
}
