//! Whose a home directory is, and what lies in it: somebody else's is not used.
//!
//! Whoever can put files into a home can put an authority there that clients come to trust, name a gate of their own in
//! `gate.lock`, or lay a link under a name that we are about to write to. So a home belongs to whoever uses it (or to
//! root, who may do all this anyway), and no other user may write to it. Root itself is warned and not kept from working:
//! it serves the homes of others. Where the platform has no owners, there is nothing to look at.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

/// The names we give files in a home; others are nobody's business here.
const OURS: &[&str] = &[
    "ca.pem",
    "bundle.pem",
    "issuer.pem",
    "ca-key.pem",
    "ca.lock",
    ".ca-staged",
    ".ca-committed",
    "gate.lock",
    "ledger.db",
    "ledger.db-wal",
    "ledger.db-shm",
    "ledger.db-journal",
];

/// What is wrong, for a person, and whether to go on all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intrusion {
    /// What was found and what to do.
    pub(crate) why: String,
    /// Only root goes on.
    pub(crate) tolerated: bool,
}

/// Looks at `home` and at what of ours is in it.
///
/// # Errors
/// What the system says when it cannot be looked at.
pub(crate) fn look(home: &Path) -> io::Result<Option<Intrusion>> {
    let us = us();
    if let Some(found) = judge_home(&fs::metadata(home)?, us) {
        return Ok(Some(found));
    }
    for name in OURS {
        let Ok(metadata) = fs::symlink_metadata(home.join(name)) else {
            continue;
        };
        if let Some(found) = judge_entry(name, &metadata, us) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether an opened file is one that somebody else put there.
pub(crate) fn is_foreign(metadata: &Metadata) -> bool {
    stranger(metadata, us()).is_some() && us() != Some(ROOT)
}

const ROOT: u32 = 0;

#[cfg(unix)]
fn us() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn us() -> Option<u32> {
    None
}

#[cfg(unix)]
fn owner(metadata: &Metadata) -> Option<u32> {
    Some(std::os::unix::fs::MetadataExt::uid(metadata))
}

#[cfg(not(unix))]
fn owner(_: &Metadata) -> Option<u32> {
    None
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

/// The owner, if it is neither we nor root.
fn stranger(metadata: &Metadata, us: Option<u32>) -> Option<u32> {
    owner(metadata).filter(|uid| Some(*uid) != us && *uid != ROOT)
}

fn judge_home(metadata: &Metadata, us: Option<u32>) -> Option<Intrusion> {
    let tolerated = us == Some(ROOT);
    if let Some(uid) = stranger(metadata, us) {
        let why = format!(
            "it belongs to another user (uid {uid}), who could put anything there; name a directory of your own with \
             --home"
        );
        return Some(Intrusion { why, tolerated });
    }
    let mode = mode(metadata);
    (mode & WRITABLE_BY_ALL != 0).then(|| Intrusion {
        why: format!(
            "every user can put files there (mode {mode:04o}); `chmod 700` closes it, or name a directory below it with \
             --home, which is then made for you alone"
        ),
        tolerated,
    })
}

const WRITABLE_BY_ALL: u32 = 0o002;

fn judge_entry(name: &str, metadata: &Metadata, us: Option<u32>) -> Option<Intrusion> {
    stranger(metadata, us).map(|uid| Intrusion {
        why: format!(
            "{name} in it was put there by another user (uid {uid}); see what it is, and remove it"
        ),
        tolerated: us == Some(ROOT),
    })
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn judged(path: &Path, us: u32) -> Option<Intrusion> {
        judge_home(&fs::metadata(path).unwrap(), Some(us))
    }

    #[test]
    fn a_home_is_used_by_its_owner() {
        let home = tempfile::tempdir().unwrap();
        let owner = owner(&fs::metadata(home.path()).unwrap()).unwrap();
        assert_eq!(judged(home.path(), owner), None);
        if owner == ROOT {
            // What belongs to root is no stranger's: give it to somebody.
            std::os::unix::fs::chown(home.path(), Some(4711), None).unwrap();
        }
        let found = judged(home.path(), 4712).unwrap();
        assert!(found.why.contains("another user (uid "), "{}", found.why);
        assert!(!found.tolerated);
        assert!(judged(home.path(), ROOT).is_none_or(|found| found.tolerated));
    }

    #[test]
    fn nobody_else_can_write_to_it() {
        let home = tempfile::tempdir().unwrap();
        let owner = owner(&fs::metadata(home.path()).unwrap()).unwrap();
        for (mode, open) in [
            (0o700, false),
            (0o755, false),
            (0o775, false),
            (0o702, true),
            (0o777, true),
            (0o1777, true),
        ] {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(judged(home.path(), owner).is_some(), open, "{mode:o}");
        }
    }

    #[test]
    fn what_another_user_put_into_it_is_found() {
        let home = tempfile::tempdir().unwrap();
        let us = owner(&fs::metadata(home.path()).unwrap()).unwrap();
        for name in OURS {
            let path = home.path().join(name);
            std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
            let metadata = fs::symlink_metadata(&path).unwrap();
            assert_eq!(judge_entry(name, &metadata, Some(us)), None);
            // Links belong to whoever laid them, whatever they lead to.
            if us != ROOT {
                continue;
            }
            std::os::unix::fs::lchown(&path, Some(4711), None).unwrap();
            let found = look(home.path()).unwrap().unwrap();
            assert!(found.why.starts_with(name), "{}", found.why);
            assert!(found.tolerated, "root goes on");
            fs::remove_file(&path).unwrap();
        }
    }
}
