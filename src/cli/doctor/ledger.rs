//! The ledger and the disk it is on.

use std::path::Path;
use std::time::Duration;

use super::chain;
use super::finding::{Finding, Level};
use crate::ledger::{FILE_NAME, LedgerError, QueryError, Reader, examine};

/// How long the whole file is read for.
const PATIENCE: Duration = Duration::from_secs(3);

const MIB: u64 = 1024 * 1024;
/// Less than this is soon full.
const LITTLE: u64 = 1024 * MIB;
/// Less than this is as good as full: SQLite needs room for its journal.
const NOTHING: u64 = 32 * MIB;

pub(super) fn check(home: &Path) -> Vec<Finding> {
    let mut findings = vec![ledger(&home.join(FILE_NAME))];
    findings.extend(free_bytes(home).map(space));
    findings
}

fn ledger(path: &Path) -> Finding {
    let read = || -> Result<(u32, i64), QueryError> {
        examine(path, PATIENCE)?;
        let reader = Reader::open(path)?;
        Ok((reader.version()?, reader.last_seq()?))
    };
    match read() {
        Ok((version, last)) => Finding::ok(
            "ledger",
            format!(
                "opens, version {version}, {last} rows written; whether records were lost is known to the running \
                 gate's log alone"
            ),
        ),
        Err(QueryError::Missing { .. }) => {
            Finding::ok("ledger", "there is none yet: the gate makes it")
        }
        Err(error @ QueryError::Older { .. }) => {
            Finding::warn("ledger", error.to_string()).mend("tollgate serve")
        }
        Err(error) => {
            let mend = mend(&error, path);
            Finding::fail("ledger", chain(&error)).mend(mend)
        }
    }
}

/// The line that lets the gate start again, and keeps what there is.
fn mend(error: &QueryError, path: &Path) -> String {
    match error {
        QueryError::Open(LedgerError::Orphan { wal, .. } | LedgerError::DamagedWal { wal, .. }) => {
            format!("move it away: mv '{0}' '{0}.old'", wal.display())
        }
        // Whatever it is, it is not the file.
        QueryError::Open(LedgerError::Open { .. }) => format!(
            "see who else uses it, and whether this user may: fuser -v '{0}'; ls -l '{0}'*",
            path.display()
        ),
        _ => format!(
            "move it away with what is beside it, to start a new one: mkdir '{0}.old' && mv '{0}' '{0}'-* '{0}.old'",
            path.display()
        ),
    }
}

/// What so many free bytes mean.
pub(super) fn space(free: u64) -> Finding {
    let level = match free {
        ..NOTHING => Level::Fail,
        NOTHING..LITTLE => Level::Warn,
        LITTLE.. => Level::Ok,
    };
    let finding = Finding::new(
        "disk",
        level,
        format!("{} MiB are free for the ledger", free / MIB),
    );
    match level {
        Level::Ok => finding,
        Level::Warn | Level::Fail => {
            finding.mend("make room, or let the gate do it: --retain 30d,1GB, --payload preview")
        }
    }
}

/// What an ordinary user may still write where `home` is or will be.
#[cfg(unix)]
fn free_bytes(home: &Path) -> Option<u64> {
    let there = home.ancestors().find(|path| path.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}
