//! The command itself: started in our place at the terminal, told what we are told, and its end passed on.
//!
//! It is in our process group. What the terminal sends (interrupt, quit) reaches it without us and does not end us before
//! it; stop and continue act on both. What is sent to us alone (terminate, hang-up, the user's two) is passed on. The child
//! is reaped only after it has been seen to end, so a signal can never reach a stranger with its number. POSIX.1 shell
//! §2.8.2 for exit statuses.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command, ExitStatus};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};
use tokio::task::spawn_blocking;

/// A running command, with our own ends tied to its.
pub(super) struct Child {
    process: process::Child,
    signals: Signals,
    /// Nobody but us can tell it of an interrupt.
    alone: bool,
}

/// Those of the signals that we were not told to ignore.
struct Signals {
    terminate: Option<Arrivals>,
    hang_up: Option<Arrivals>,
    interrupt: Option<Arrivals>,
    quit: Option<Arrivals>,
    user1: Option<Arrivals>,
    user2: Option<Arrivals>,
}

/// Not found: the status that shells give.
const NOT_FOUND: u8 = 127;
/// Found, but not to be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Added to the number of the signal that ended a command.
const SIGNALLED: i32 = 128;

impl Child {
    /// Starts `command`.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        // Before there is a command: from its first moment on, nothing may end us and leave it behind.
        let signals = Signals::listen(ignored())?;
        Ok(Self {
            process: command.spawn()?,
            signals,
            alone: File::open("/dev/tty").is_err(),
        })
    }

    /// Waits for its end; gives the exit status to pass on.
    pub(super) async fn end(mut self) -> io::Result<u8> {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        let Some(pid) = pid else {
            return self.process.wait().map(status);
        };
        let mut ended = spawn_blocking(move || seen_to_end(pid));
        loop {
            let received = tokio::select! {
                seen = &mut ended => {
                    seen.map_err(io::Error::other)??;
                    return self.process.wait().map(status);
                }
                received = self.signals.next() => received,
            };
            let from_terminal = matches!(received, Signal::INT | Signal::QUIT) && !self.alone;
            if !from_terminal && let Err(error) = kill_process(pid, received) {
                tracing::warn!(%error, signal = ?received, "the signal could not be passed on");
            }
        }
    }
}

impl Signals {
    /// A handler would be undone for the command, and what is ignored for us (by nohup, or as a job in the background)
    /// has to be ignored for it: such a signal gets none.
    fn listen(ignored: u64) -> io::Result<Self> {
        let arrivals = |kind: SignalKind| {
            let bit = u32::try_from(kind.as_raw_value() - 1).ok();
            let is_ignored = bit.and_then(|bit| ignored.checked_shr(bit)).unwrap_or(0) & 1 == 1;
            (!is_ignored).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            terminate: arrivals(SignalKind::terminate())?,
            hang_up: arrivals(SignalKind::hangup())?,
            interrupt: arrivals(SignalKind::interrupt())?,
            quit: arrivals(SignalKind::quit())?,
            user1: arrivals(SignalKind::user_defined1())?,
            user2: arrivals(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            () = arrival(&mut self.terminate) => Signal::TERM,
            () = arrival(&mut self.hang_up) => Signal::HUP,
            () = arrival(&mut self.interrupt) => Signal::INT,
            () = arrival(&mut self.quit) => Signal::QUIT,
            () = arrival(&mut self.user1) => Signal::USR1,
            () = arrival(&mut self.user2) => Signal::USR2,
        }
    }
}

async fn arrival(arrivals: &mut Option<Arrivals>) {
    let received = match arrivals {
        Some(arrivals) => arrivals.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

/// The signals that this process was started to ignore, one bit each, where the system tells: Linux does (proc(5)).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Returns when the process has ended, and leaves it to be reaped.
fn seen_to_end(pid: Pid) -> io::Result<()> {
    loop {
        match waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        ) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Resolves at an interrupt, a terminate or a hang-up that comes once it is awaited.
pub(super) async fn interrupted() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut a), Ok(mut b), Ok(mut c)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
        _ = c.recv() => {}
    }
}

fn status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|number| SIGNALLED + number));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// The exit status for a command that could not be started.
pub(super) fn status_of_start(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        for (raw, expected) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, 137), (15, 143)] {
            assert_eq!(status(ExitStatus::from_raw(raw)), expected);
        }
        assert_eq!(status_of_start(&io::ErrorKind::NotFound.into()), 127);
        assert_eq!(
            status_of_start(&io::ErrorKind::PermissionDenied.into()),
            126
        );
    }
}
