//! Removes what need not be kept, in steps so small that a commit hardly waits for one.
//!
//! By age, exchanges go with their payloads. By size, the oldest payloads go first, then the oldest exchanges; what
//! counts are the pages in use. Then free pages beyond a reserve are given back to the file system, where the file was
//! made for that. The row committed last always stays, without its payload if need be: `seq` is never given twice, on
//! which whoever follows the ledger relies. When a step is taken is left to `worker`, what time it is to the caller.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::options::Retention;
use super::span;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) exchanges: u64,
    pub(super) payloads: u64,
    /// Pages given back to the file system.
    pub(super) pages: u64,
}

/// Most rows of one step, and most bytes of payload but for the last one.
const ROWS: i64 = 64;
const PAYLOAD_BYTES: i64 = 1024 * 1024;

/// Pages given back in one step.
const PAGES: i64 = 128;

/// Free pages that are kept for what comes next: so many, or a sixteenth of those in use.
const RESERVE: i64 = 1024;
const RESERVE_SHARE: i64 = 16;

impl Removed {
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.exchanges += other.exchanges;
        self.payloads += other.payloads;
        self.pages += other.pages;
    }
}

/// One step at `now_ms`; if that is not known, nothing is old. When it removed nothing there is nothing left to remove.
pub(super) fn step(
    connection: &mut Connection,
    retention: &Retention,
    now_ms: Option<i64>,
) -> rusqlite::Result<Removed> {
    let mut removed = Removed::default();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let (Some(age), Some(now_ms)) = (retention.age, now_ms) {
        let age = i64::try_from(age.whole_milliseconds()).unwrap_or(i64::MAX);
        removed = older_than(&transaction, now_ms.saturating_sub(age))?;
    }
    if let Some(bytes) = retention.bytes
        && removed.is_nothing()
    {
        removed = larger_than(&transaction, i64::try_from(bytes).unwrap_or(i64::MAX))?;
    }
    transaction.commit()?;
    if removed.is_nothing() && !retention.is_unlimited() {
        removed.pages = give_back(connection)?;
    }
    Ok(removed)
}

fn older_than(transaction: &Transaction<'_>, before_ms: i64) -> rusqlite::Result<Removed> {
    let mut removed = remove_exchanges(transaction, before_ms, || Ok(true))?;
    let last = transaction
        .prepare_cached(
            "DELETE FROM payload WHERE id = (SELECT id FROM exchange WHERE time_ms < ?1 AND seq = (SELECT max(seq) FROM exchange))",
        )?
        .execute([before_ms])?;
    removed.payloads += u64::try_from(last).unwrap_or_default();
    Ok(removed)
}

fn larger_than(transaction: &Transaction<'_>, bytes: i64) -> rusqlite::Result<Removed> {
    let too_large = || Ok(used_bytes(transaction)? > bytes);
    if !too_large()? {
        return Ok(Removed::default());
    }
    let removed = remove_payloads(transaction, too_large)?;
    if removed.is_nothing() {
        return remove_exchanges(transaction, i64::MAX, too_large);
    }
    Ok(removed)
}

/// Removes exchanges from before `before_ms` and their payloads, oldest first, as long as `wanted`.
fn remove_exchanges(
    transaction: &Transaction<'_>,
    before_ms: i64,
    wanted: impl Fn() -> rusqlite::Result<bool>,
) -> rusqlite::Result<Removed> {
    let mut oldest = transaction.prepare_cached(
        "SELECT seq, id FROM exchange WHERE time_ms < ?1 AND +seq < (SELECT max(seq) FROM exchange)
         ORDER BY time_ms, seq LIMIT ?2",
    )?;
    let oldest = oldest.query_map((before_ms, ROWS), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let oldest: Vec<(i64, String)> = oldest.collect::<rusqlite::Result<_>>()?;
    let mut size = transaction.prepare_cached(
        "SELECT length(request_head) + length(request_body) + length(response_head) + length(response_body)
         FROM payload WHERE id = ?1",
    )?;
    let mut payload = transaction.prepare_cached("DELETE FROM payload WHERE id = ?1")?;
    let mut exchange = transaction.prepare_cached("DELETE FROM exchange WHERE seq = ?1")?;
    let mut removed = Removed::default();
    let mut bytes = 0_i64;
    for (seq, id) in oldest {
        if bytes >= PAYLOAD_BYTES || !wanted()? {
            break;
        }
        let mut sizes = size.query([&id])?;
        if let Some(row) = sizes.next()? {
            bytes = bytes.saturating_add(row.get(0)?);
        }
        drop(sizes);
        removed.payloads += u64::try_from(payload.execute([&id])?).unwrap_or_default();
        removed.exchanges += u64::try_from(exchange.execute([seq])?).unwrap_or_default();
    }
    if removed.exchanges > 0 {
        span::remove_gone(transaction)?;
    }
    Ok(removed)
}

/// Removes payloads, those committed first first, as long as `wanted`.
fn remove_payloads(
    transaction: &Transaction<'_>,
    wanted: impl Fn() -> rusqlite::Result<bool>,
) -> rusqlite::Result<Removed> {
    let mut oldest = transaction.prepare_cached(
        "SELECT rowid, length(request_head) + length(request_body) + length(response_head) + length(response_body)
         FROM payload ORDER BY rowid LIMIT ?1",
    )?;
    let oldest = oldest.query_map([ROWS], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let oldest: Vec<(i64, i64)> = oldest.collect::<rusqlite::Result<_>>()?;
    let mut payload = transaction.prepare_cached("DELETE FROM payload WHERE rowid = ?1")?;
    let mut removed = Removed::default();
    let mut bytes = 0_i64;
    for (rowid, size) in oldest {
        if bytes >= PAYLOAD_BYTES || !wanted()? {
            break;
        }
        bytes = bytes.saturating_add(size);
        removed.payloads += u64::try_from(payload.execute([rowid])?).unwrap_or_default();
    }
    Ok(removed)
}

/// Gives free pages at most back that are beyond the reserve; how many.
fn give_back(connection: &Connection) -> rusqlite::Result<u64> {
    const INCREMENTAL: i64 = 2;
    if pragma(connection, "auto_vacuum")? != INCREMENTAL {
        return Ok(0);
    }
    let free = pragma(connection, "freelist_count")?;
    let used = pragma(connection, "page_count")? - free;
    let beyond = free - RESERVE.max(used / RESERVE_SHARE);
    if beyond <= 0 {
        return Ok(0);
    }
    let pages = beyond.min(PAGES);
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let given = free - pragma(connection, "freelist_count")?;
    Ok(u64::try_from(given).unwrap_or_default())
}

/// Bytes of the pages that hold something.
pub(super) fn used_bytes(connection: &Connection) -> rusqlite::Result<i64> {
    let used = pragma(connection, "page_count")? - pragma(connection, "freelist_count")?;
    Ok(used * pragma(connection, "page_size")?)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA {name}"))?;
    statement.query_row([], |row| row.get(0))
}
