//! The ledger and the disk it is on.

use std::path::Path;

use super::chain;
use super::finding::{Finding, Level};
use crate::ledger::{FILE_NAME, QueryError, Reader};

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
            let mend = format!(
                "move it away to start a new one: mv '{0}' '{0}.old'",
                path.display()
            );
            Finding::fail("ledger", chain(&error)).mend(mend)
        }
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
