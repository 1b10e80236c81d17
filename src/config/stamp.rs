//! Whether a file is still the one that was read.
//!
//! Links are followed: a ConfigMap is replaced by turning a link round, and most editors put a new file under the old name.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file and what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// Where it is.
    pub path: PathBuf,
    /// `None`: it was not there.
    stamp: Option<Stamp>,
}

/// What no two versions of a file have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamped {
    /// The file at `path`, as it is now.
    #[must_use]
    pub fn now(path: &Path) -> Self {
        let stamp = std::fs::metadata(path).ok().map(|found| Stamp {
            place: (found.dev(), found.ino()),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        });
        Self {
            path: path.to_owned(),
            stamp,
        }
    }

    /// Whether it is another now.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        Self::now(&self.path) != *self
    }
}
