//! Whether the files of a ledger are sound, asked before anything is written to them.
//!
//! SQLite throws a WAL away whose beginning it cannot read, and one beside an empty file, without a word; what is in it may
//! be all there is of some records. So the files are looked at before SQLite opens them, and what is in them is checked
//! afterwards, for as long as a start can wait. What is found is only said: what to do about it is somebody's decision.
//! WAL format: <https://www.sqlite.org/walformat.html>.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::error::{LedgerError, QueryError};
use super::schema;

/// Looks at the ledger at `path` and at the WAL beside it.
///
/// # Errors
/// [`LedgerError::Orphan`] and [`LedgerError::DamagedWal`]; [`LedgerError::Create`] when they cannot be read.
pub(super) fn look(path: &Path) -> Result<(), LedgerError> {
    let unreadable = |source| LedgerError::Create {
        path: path.to_owned(),
        source,
    };
    let wal = beside(path, "-wal");
    let bytes = length(&wal).map_err(unreadable)?;
    if bytes == 0 {
        return Ok(());
    }
    if length(path).map_err(unreadable)? == 0 {
        return Err(LedgerError::Orphan {
            path: path.to_owned(),
            wal,
            bytes,
        });
    }
    // Another process may be writing it anew at this very moment.
    for _ in 0..ATTEMPTS {
        if is_wal(&wal).map_err(unreadable)? {
            return Ok(());
        }
        thread::sleep(ATTEMPT);
    }
    Err(LedgerError::DamagedWal {
        path: path.to_owned(),
        wal,
    })
}

const ATTEMPTS: usize = 3;
const ATTEMPT: Duration = Duration::from_millis(10);

/// Whether the ledger at `path` is sound, as far as `limit` is enough to tell. Writes nothing.
///
/// # Errors
/// What is wrong with it, or why it cannot be read.
pub fn examine(path: &Path, limit: Duration) -> Result<(), QueryError> {
    look(path)?;
    let connection = schema::open_for_reading(path)?;
    match damage(&connection, limit)? {
        None => Ok(()),
        Some(found) => Err(QueryError::Open(LedgerError::Damaged {
            path: path.to_owned(),
            found,
        })),
    }
}

/// Reads through the structure of the whole file, for `limit` at most; what is wrong, if anything is.
///
/// # Errors
/// What SQLite said other than that the file is damaged or the time over.
pub(super) fn damage(connection: &Connection, limit: Duration) -> rusqlite::Result<Option<String>> {
    let found = thread::scope(|scope| {
        let (done, over) = mpsc::channel::<()>();
        let handle = connection.get_interrupt_handle();
        let clock = thread::Builder::new().spawn_scoped(scope, move || {
            if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        if let Err(error) = clock {
            tracing::debug!(%error, "the ledger is not checked: no thread to bound the time");
            return Ok("ok".to_owned());
        }
        let found =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        // The clock has stopped before anything else is asked of the connection.
        drop(done);
        found
    });
    match found {
        Ok(found) if found == "ok" => Ok(None),
        Ok(found) => Ok(Some(found)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(None)
        }
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Whether SQLite says that the file is not what it should be.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// A file that belongs to the one at `path`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// 0 for a file that is not there, and for what is no file: SQLite says that better.
fn length(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(found.len()),
        Ok(_) => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Whether SQLite will find a WAL in the file, or nothing that could be one.
fn is_wal(path: &Path) -> io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?
        .take(HEADER_BYTES)
        .read_to_end(&mut header)?;
    let words: Vec<[u8; 4]> = header
        .chunks_exact(4)
        .filter_map(|word| word.try_into().ok())
        .collect();
    let &[
        magic,
        version,
        page_size,
        sequence,
        salt_1,
        salt_2,
        sum_1,
        sum_2,
    ] = words.as_slice()
    else {
        // Shorter than a header: no record has ever been in it.
        return Ok(true);
    };
    // The lowest bit of the magic number says how the words are read that the sums are made of.
    let read = if u32::from_be_bytes(magic) & 1 == 1 {
        u32::from_be_bytes
    } else {
        u32::from_le_bytes
    };
    let mut sums = (0_u32, 0_u32);
    for (first, second) in [(magic, version), (page_size, sequence), (salt_1, salt_2)] {
        sums.0 = sums.0.wrapping_add(read(first)).wrapping_add(sums.1);
        sums.1 = sums.1.wrapping_add(read(second)).wrapping_add(sums.0);
    }
    Ok(u32::from_be_bytes(magic) & !1 == MAGIC
        && u32::from_be_bytes(version) == VERSION
        && sums == (u32::from_be_bytes(sum_1), u32::from_be_bytes(sum_2)))
}

const HEADER_BYTES: u64 = 32;
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;
