//! Why the ledger cannot be opened or read.
//!
//! Two seams, two enums: [`LedgerError`] is what opening the file can meet, [`QueryError`] what reading it can meet.
//! Failures to *write* are no errors of anybody's: they are logged and retried by the writer while traffic goes on.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::soundness::is_damage;

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file could not be created, looked at or made private.
    #[error("cannot create the ledger {}: {}", path.display(), mend_file(source))]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite could not open it.
    #[error("cannot open the ledger {}: {}", path.display(), mend(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It is not what SQLite wrote.
    #[error(
        "the ledger {0} is damaged ({found}); nothing was changed. To start a new one, move this one away with what \
         is beside it: mkdir '{0}.old' && mv '{0}' '{0}'-* '{0}.old'. To save what can be read: \
         sqlite3 '{0}' .recover | sqlite3 saved.db",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        found: String,
    },
    /// It is missing or empty, and its WAL is not.
    #[error(
        "the ledger {} is missing or empty, but {} still holds {bytes} bytes of it, which opening would throw away; \
         nothing was changed. Put the ledger back, or, to start a new one, move that file away",
        path.display(), wal.display()
    )]
    Orphan {
        /// The file.
        path: PathBuf,
        /// The WAL beside it.
        wal: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Its WAL is none, and opening would throw it away.
    #[error(
        "{1} is damaged, and opening the ledger would throw it away with the last records that are in it; nothing was \
         changed. Put it right from a copy, or, to go on without those records, move it away: mv '{1}' '{1}.old'. \
         Everything else is in {0}",
        path.display(), wal.display()
    )]
    DamagedWal {
        /// The file.
        path: PathBuf,
        /// The WAL beside it.
        wal: PathBuf,
    },
    /// It is a database of somebody else's.
    #[error(
        "{} is a database, but not a ledger of tollgate; nothing was changed. Move it away, or choose another --home",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its tables could not be brought to this version's.
    #[error("cannot bring the ledger {} from version {from} to version {to}: {}", path.display(), mend(source))]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The version it has.
        from: u32,
        /// The version that was tried.
        to: u32,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A newer tollgate made it.
    #[error(
        "the ledger {} has version {found}, this tollgate knows versions up to {known}: \
         use a newer tollgate, or move the file away to start a new ledger",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version we know.
        known: u32,
    },
    /// The writer's thread could not be started.
    #[error("cannot start the ledger's writer thread")]
    Thread(#[source] io::Error),
}

impl LedgerError {
    /// What SQLite said when the ledger at `path` was opened.
    pub(super) fn opening(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if is_damage(&source) {
            let found = source.to_string();
            Self::Damaged { path, found }
        } else {
            Self::Open { path, source }
        }
    }
}

/// What helps against an error of SQLite's.
fn mend(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process holds it locked; end that process, and start again"
        }
        Some(ErrorCode::DiskFull) => "there is no room for it; make some, and start again",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "it may not be written; look at the owner and the mode of the file and of its directory, and whether the \
             file system is mounted read-only"
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "it is damaged; `tollgate doctor` says what to do"
        }
        _ => {
            "see that this user may write the file, those beside it (-wal, -shm) and its directory, and that the disk is \
             well and has room"
        }
    }
}

/// What helps against an error of the file system's.
fn mend_file(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::IsADirectory => "a directory stands in its place; move that away",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "there is no room for it; make some, and start again"
        }
        io::ErrorKind::ReadOnlyFilesystem => "its file system is mounted read-only",
        _ => "see that this user may write the file and its directory",
    }
}

/// Why the ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no file.
    #[error("there is no ledger at {}: `tollgate serve` creates it", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is a file without this version's tables.
    #[error(
        "the ledger {} has version {found} and must be brought to version {known}: start `tollgate serve` once",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The version that can be read.
        known: u32,
    },
    /// It could not be opened, or is of a newer version.
    #[error(transparent)]
    Open(#[from] LedgerError),
    /// A query failed.
    #[error("cannot read the ledger: {}", mend(.0))]
    Read(#[from] rusqlite::Error),
    /// A time was not understood.
    #[error(
        "{given:?} is no time: give RFC 3339, YYYY-MM-DD, or an age such as 90s, 10m, 2h, 3d or 1w"
    )]
    Since {
        /// What was given.
        given: String,
    },
    /// `--status` was not understood.
    #[error(
        "{given:?} is no status: give one such as 200 or 4xx, with `!` before it for all others"
    )]
    Status {
        /// What was given.
        given: String,
    },
    /// A dimension of the sums was not understood.
    #[error("{given:?} is nothing to sum by: give {known}, or tag:KEY")]
    Dimension {
        /// What was given.
        given: String,
        /// What can be given.
        known: String,
    },
    /// There are more groups than memory is spent on.
    #[error("there are more than {limit} groups: sum by fewer or coarser things, or filter")]
    TooManyGroups {
        /// How many there may be.
        limit: usize,
    },
    /// What was given cannot be part of an id.
    #[error("{given:?} is no part of an id: ids are made of hexadecimal digits and dashes")]
    NotAnId {
        /// What was given.
        given: String,
    },
    /// No exchange has this id.
    #[error("no exchange in the ledger has an id that begins or ends with {given:?}")]
    NotFound {
        /// What was given.
        given: String,
    },
    /// Several exchanges have it.
    #[error("{given:?} is ambiguous, give more of the id: {}{}", matches.join(", "), if *more { ", …" } else { "" })]
    Ambiguous {
        /// What was given.
        given: String,
        /// The first ids that match.
        matches: Vec<String>,
        /// Whether there are others.
        more: bool,
    },
}
