//! The file: its tables, its version, and how it is opened for writing and for reading.
//!
//! One flat row per exchange and the payloads in a table of their own, so that whoever opens `ledger.db` with `sqlite3`
//! finds the names of the usage record. The version is `PRAGMA user_version`; a change of the tables is one more script
//! in [`MIGRATIONS`]. Which values go into which column is left to `row`, when to checkpoint to `worker`.
//! The tables keep to what SQLite 3.8 understands, because the reader's `sqlite3` may be as old as their distribution.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::{LedgerError, QueryError};
use super::soundness;

/// Scripts that bring a file from version *n* to version *n* + 1. Never edited once released, only added to.
const MIGRATIONS: &[&str] = &[V1, V2, V3];

/// How long a statement waits for another process's lock before it fails with `SQLITE_BUSY`.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// A WAL that once grew beyond this is cut back to it.
const JOURNAL_SIZE_LIMIT: i64 = 64 * 1024 * 1024;

/// Page cache of the writer in KiB (negative is SQLite's way to say KiB): the hot ends of all indices fit, and the rows of
/// the next span. What does not is read again from where the system keeps it.
const CACHE_SIZE: i64 = -2 * 1024;

pub(super) const V1: &str = "
CREATE TABLE exchange (
    seq                   INTEGER PRIMARY KEY,
    id                    TEXT NOT NULL UNIQUE,
    time                  TEXT NOT NULL,
    time_ms               INTEGER NOT NULL,
    entry                 TEXT NOT NULL,
    client                TEXT NOT NULL,
    access_key_id         TEXT,
    account_id            TEXT,
    session               INTEGER,
    api_key               TEXT,
    proxy_user            TEXT,
    host                  TEXT,
    region                TEXT,
    operation             TEXT,
    model                 TEXT,
    stream                INTEGER NOT NULL,
    status                INTEGER,
    error_type            TEXT,
    aws_request_id        TEXT,
    input_tokens          INTEGER,
    output_tokens         INTEGER,
    cache_read_tokens     INTEGER,
    cache_write_tokens    INTEGER,
    cache_write_1h_tokens INTEGER,
    reasoning_tokens      INTEGER,
    total_tokens          INTEGER,
    usage_source          TEXT,
    cost_usd              TEXT,
    price_key             TEXT,
    price_as_of           TEXT,
    cost_status           TEXT NOT NULL,
    finish_reason         TEXT,
    outcome               TEXT NOT NULL,
    request_bytes         INTEGER NOT NULL,
    response_bytes        INTEGER NOT NULL,
    duration_ms           REAL NOT NULL,
    first_byte_ms         REAL,
    first_token_ms        REAL,
    tags                  TEXT NOT NULL
);
CREATE INDEX exchange_time ON exchange (time_ms);
CREATE INDEX exchange_model ON exchange (model, time_ms) WHERE model IS NOT NULL;
CREATE INDEX exchange_access_key_id ON exchange (access_key_id, time_ms) WHERE access_key_id IS NOT NULL;
CREATE INDEX exchange_account_id ON exchange (account_id, time_ms) WHERE account_id IS NOT NULL;
CREATE INDEX exchange_api_key ON exchange (api_key, time_ms) WHERE api_key IS NOT NULL;
CREATE INDEX exchange_proxy_user ON exchange (proxy_user, time_ms) WHERE proxy_user IS NOT NULL;
CREATE TABLE payload (
    id                 TEXT PRIMARY KEY,
    request_head       BLOB NOT NULL,
    request_body       BLOB NOT NULL,
    request_truncated  INTEGER NOT NULL,
    response_head      BLOB NOT NULL,
    response_body      BLOB NOT NULL,
    response_truncated INTEGER NOT NULL
);
CREATE VIEW calls AS
    SELECT time,
           coalesce(proxy_user, api_key, access_key_id, account_id) AS caller,
           operation,
           model,
           status,
           outcome,
           input_tokens,
           output_tokens,
           cache_read_tokens,
           cache_write_tokens,
           cost_usd,
           duration_ms,
           error_type,
           id
      FROM exchange
     ORDER BY time_ms DESC, seq DESC;
";

/// Who a claim belongs to and whether it was proved, what it cost in a number that sums, and units other than tokens.
const V2: &str = "
ALTER TABLE exchange ADD COLUMN verified INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchange ADD COLUMN name TEXT;
ALTER TABLE exchange ADD COLUMN role TEXT;
ALTER TABLE exchange ADD COLUMN sdk TEXT;
ALTER TABLE exchange ADD COLUMN app_id TEXT;
ALTER TABLE exchange ADD COLUMN route TEXT;
ALTER TABLE exchange ADD COLUMN model_name TEXT;
ALTER TABLE exchange ADD COLUMN response_model TEXT;
ALTER TABLE exchange ADD COLUMN service_tier TEXT;
ALTER TABLE exchange ADD COLUMN performance_latency TEXT;
ALTER TABLE exchange ADD COLUMN units TEXT NOT NULL DEFAULT '{}';
ALTER TABLE exchange ADD COLUMN cost_picousd INTEGER;
ALTER TABLE exchange ADD COLUMN invocation_id TEXT;
ALTER TABLE exchange ADD COLUMN attempt INTEGER;
ALTER TABLE exchange ADD COLUMN notes TEXT NOT NULL DEFAULT '[]';
UPDATE exchange
   SET cost_picousd = CAST(cost_usd AS INTEGER) * 1000000000000
                    + CASE instr(cost_usd, '.') WHEN 0 THEN 0
                      ELSE CAST(substr(substr(cost_usd, instr(cost_usd, '.') + 1) || '000000000000', 1, 12) AS INTEGER) END
 WHERE cost_usd IS NOT NULL;
CREATE INDEX exchange_name ON exchange (name, time_ms) WHERE name IS NOT NULL;
CREATE INDEX exchange_role ON exchange (role, time_ms) WHERE role IS NOT NULL;
CREATE INDEX exchange_model_name ON exchange (model_name, time_ms) WHERE model_name IS NOT NULL;
DROP VIEW calls;
CREATE VIEW calls AS
    SELECT time,
           coalesce(name, proxy_user, api_key, access_key_id, account_id) AS caller,
           operation,
           coalesce(model_name, model) AS model,
           status,
           outcome,
           input_tokens,
           output_tokens,
           cache_read_tokens,
           cache_write_tokens,
           cost_usd,
           cost_status,
           duration_ms,
           error_type,
           id
      FROM exchange
     ORDER BY time_ms DESC, seq DESC;
";

/// Spans instead of an index a column (`span`). What is left are the indices that rows join at their end.
const V3: &str = "
DROP INDEX exchange_model;
DROP INDEX exchange_access_key_id;
DROP INDEX exchange_account_id;
DROP INDEX exchange_api_key;
DROP INDEX exchange_proxy_user;
DROP INDEX exchange_name;
DROP INDEX exchange_role;
DROP INDEX exchange_model_name;
CREATE TABLE span (
    n      INTEGER PRIMARY KEY,
    min_ms INTEGER NOT NULL,
    max_ms INTEGER NOT NULL
);
CREATE TABLE span_value (
    n     INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (n, value)
) WITHOUT ROWID;
CREATE INDEX span_value_value ON span_value (value);
INSERT INTO span
    SELECT seq / 1024, min(time_ms), max(time_ms) FROM exchange
     WHERE seq / 1024 < (SELECT max(seq) / 1024 FROM exchange)
     GROUP BY seq / 1024;
INSERT INTO span_value
    SELECT s, v FROM (
        SELECT seq / 1024 AS s, model AS v FROM exchange
         UNION SELECT seq / 1024, model_name FROM exchange
         UNION SELECT seq / 1024, name FROM exchange
         UNION SELECT seq / 1024, role FROM exchange
         UNION SELECT seq / 1024, access_key_id FROM exchange
         UNION SELECT seq / 1024, account_id FROM exchange
         UNION SELECT seq / 1024, api_key FROM exchange
         UNION SELECT seq / 1024, proxy_user FROM exchange)
     WHERE v IS NOT NULL AND s < (SELECT max(seq) / 1024 FROM exchange);
";

/// Opens the ledger for the writer: creates it with mode 0600, brings it to this version, sets it up.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, LedgerError> {
    soundness::look(path)?;
    make_private(path).map_err(|source| LedgerError::Create {
        path: path.to_owned(),
        source,
    })?;
    let open = |source| LedgerError::opening(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(open)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(open)?;
    // Before WAL mode is set: a file of a newer version is left exactly as it is.
    let found = version(&connection).map_err(open)?;
    refuse_newer(path, found)?;
    if found == 0 && has_tables(&connection).map_err(open)? {
        return Err(LedgerError::Foreign {
            path: path.to_owned(),
        });
    }
    // Only before the first page is written: an older file keeps its free pages and fills them again.
    if is_empty(&connection).map_err(open)? {
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(open)?;
    }
    set_up(&connection).map_err(open)?;
    // What needs no change needs no lock either: a file that somebody else is writing to can be opened.
    if found < known_version() {
        migrate(path, &mut connection)?;
    }
    Ok(connection)
}

/// Opens the ledger once more, for a thread that checkpoints it beside the writer.
pub(super) fn open_for_checkpoints(path: &Path) -> Result<Connection, LedgerError> {
    let open = |source| LedgerError::opening(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(open)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(open)?;
    // A first look at the file has it join the WAL now, while that is small.
    version(&connection).map_err(open)?;
    Ok(connection)
}

/// Opens the ledger for queries, writing nothing.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, QueryError> {
    if !path.exists() {
        return Err(QueryError::Missing {
            path: path.to_owned(),
        });
    }
    let open = |source| LedgerError::opening(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(open)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(open)?;
    let found = version(&connection).map_err(open)?;
    refuse_newer(path, found)?;
    if found < known_version() {
        return Err(QueryError::Older {
            path: path.to_owned(),
            found,
            known: known_version(),
        });
    }
    Ok(connection)
}

/// Creates the file if there is none, so that SQLite never creates it with the umask's mode. SQLite gives `-wal` and
/// `-shm` the mode of the file they belong to.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    options.open(path)?;
    Ok(())
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode NORMAL hands every commit to the operating system and leaves the fsync to checkpoints: a killed
    // process loses nothing, a machine that loses power may lose the last commits but never the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // Checkpoints are made when `store` says so.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
    connection.pragma_update(None, "cache_size", CACHE_SIZE)
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), LedgerError> {
    let failed = |from: u32, source| LedgerError::Migrate {
        path: path.to_owned(),
        from,
        to: known_version(),
        source,
    };
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|source| failed(0, source))?;
    // Read again under the lock: another process may have migrated meanwhile.
    let found = version(&transaction).map_err(|source| failed(0, source))?;
    refuse_newer(path, found)?;
    if found > 0 && found < known_version() {
        tracing::info!(
            path = %path.display(),
            from = found,
            to = known_version(),
            bytes = fs::metadata(path).map_or(0, |file| file.len()),
            "the ledger is brought to this version; with many records this takes a while"
        );
    }
    for (to, script) in (1_u32..).zip(MIGRATIONS) {
        if to > found {
            transaction
                .execute_batch(script)
                .and_then(|()| transaction.pragma_update(None, "user_version", to))
                .map_err(|source| failed(found, source))?;
        }
    }
    transaction.commit().map_err(|source| failed(found, source))
}

fn refuse_newer(path: &Path, found: u32) -> Result<(), LedgerError> {
    if found > known_version() {
        return Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known: known_version(),
        });
    }
    Ok(())
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| {
        row.get::<_, i64>(0).map(|tables| tables > 0)
    })
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))
        .map(|pages| pages == 0)
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    // The pragma is a signed 32-bit integer; a negative one is no version of ours and counts as newer.
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map(|found| u32::try_from(found).unwrap_or(u32::MAX))
}

fn known_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}
