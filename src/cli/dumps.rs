//! No core dumps: what is in memory while calls pass (session tokens, bearer keys, the CA's key) must not end up in a file.
//!
//! A process that serves only takes away its own leave to dump core, for good. `tollgate run` cannot do that: a limit
//! would be passed on to the command, which runs as it always does. There it is the process alone that is marked as not
//! to be dumped, where the system knows such a mark (Linux); it is gone when the command takes the process's place.

use rustix::process::{Resource, Rlimit, setrlimit};

/// For a process that runs nobody else's programs.
pub(super) fn refuse() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be switched off: a crash may write secrets to a file");
    }
}

/// For this process and none that it starts.
#[cfg(target_os = "linux")]
pub(super) fn refuse_for_ourselves() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps could not be switched off: a crash may write secrets to a file");
    }
}

/// No other system has a mark that is not passed on.
#[cfg(not(target_os = "linux"))]
pub(super) fn refuse_for_ourselves() {}
