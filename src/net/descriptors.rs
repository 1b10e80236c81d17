//! File descriptors: how many this process may have, and how a lack of them is known. getrlimit(2), accept(2), socket(2).

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What macOS lets a process have when its limit says that there is none.
const OPEN_MAX: u64 = 10_240;

/// Most descriptors that this process can have once [`raise`] was called; `None` where there is no limit.
#[must_use]
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Raises the soft limit to the hard one. The soft one is kept low for programs that use select(2); commands that we start
/// inherit it, so this comes after them.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(before) = current else {
        return;
    };
    let highest = maximum.unwrap_or(u64::MAX);
    let raised = [maximum, Some(OPEN_MAX.min(highest))]
        .into_iter()
        .filter(|wanted| wanted.is_none_or(|wanted| wanted > before))
        .any(|current| setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok());
    tracing::debug!(before, highest, raised, "the limit of descriptors");
}

/// Whether something failed because this process or the machine has no descriptor, or no memory for one, to spare.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        code,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_known_by_its_code() {
        for (code, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOBUFS, true),
            (Errno::NOMEM, true),
            (Errno::CONNREFUSED, false),
            (Errno::CONNABORTED, false),
        ] {
            assert_eq!(is_shortage(&io::Error::from(code)), expected, "{code:?}");
        }
        assert!(!is_shortage(&io::ErrorKind::TimedOut.into()));
    }
}
