//! Why the ledger cannot be opened or read.
//!
//! Two seams, two enums: [`LedgerError`] is what opening the file can meet, [`QueryError`] what reading it can meet.
//! Failures to *write* are no errors of anybody's: they are logged and retried by the writer while traffic goes on.

use std::io;
use std::path::PathBuf;

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file could not be created or made private.
    #[error("cannot create the ledger {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite could not open it.
    #[error("cannot open the ledger {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Its tables could not be brought to this version's.
    #[error("cannot bring the ledger {} from version {from} to version {to}", path.display())]
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
    #[error("cannot read the ledger")]
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
