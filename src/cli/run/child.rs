//! The command itself: started in our place at the terminal, told what we are told, and its end passed on.
//!
//! It is in our process group. What the terminal sends (interrupt, quit) reaches it without us and does not end us before
//! it; stop and continue act on both. What is sent to us alone (terminate, hang-up, the user's two) is passed on. The child
//! is reaped only after it has been seen to end, so a signal can never reach a stranger with its number. POSIX.1 shell
//! §2.8.2 for exit statuses.

use std::fs::{self, File};
use std::future::poll_fn;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command, ExitStatus};
use std::task::Poll;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};
use tokio::task::spawn_blocking;

/// A running command, with our own ends tied to its.
pub(super) struct Child {
    process: process::Child,
    heard: Vec<Heard>,
}

/// A signal that we listen for, and whether the command is told.
struct Heard {
    arrivals: Arrivals,
    signal: Signal,
    passed: bool,
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
        // At a terminal the command gets these without us.
        let alone = File::open("/dev/tty").is_err();
        let kinds = [
            (SignalKind::terminate(), Signal::TERM, true),
            (SignalKind::hangup(), Signal::HUP, true),
            (SignalKind::interrupt(), Signal::INT, alone),
            (SignalKind::quit(), Signal::QUIT, alone),
            (SignalKind::user_defined1(), Signal::USR1, true),
            (SignalKind::user_defined2(), Signal::USR2, true),
        ];
        let listen = |(kind, signal_, passed)| {
            Ok::<_, io::Error>(Heard {
                arrivals: signal(kind)?,
                signal: signal_,
                passed,
            })
        };
        // A signal that we were told to ignore (nohup, a job in the background) the command ignores as well, and would not
        // if we had a handler before it was started. For all others there is one before it can be asked for.
        let ignored = ignored();
        let (late, early): (Vec<_>, Vec<_>) = kinds
            .into_iter()
            .partition(|(kind, ..)| is_in(ignored, *kind));
        let mut heard: Vec<Heard> = early.into_iter().map(listen).collect::<Result<_, _>>()?;
        let process = command.spawn()?;
        for kind in late {
            heard.push(listen(kind)?);
        }
        Ok(Self { process, heard })
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
                received = next(&mut self.heard) => received,
            };
            if let Some(received) = received
                && let Err(error) = kill_process(pid, received)
            {
                tracing::warn!(%error, signal = ?received, "the signal could not be passed on");
            }
        }
    }
}

/// The next signal that arrives; `None` when the command is not told of it.
async fn next(heard: &mut [Heard]) -> Option<Signal> {
    poll_fn(|context| {
        for heard in heard.iter_mut() {
            if let Poll::Ready(Some(())) = heard.arrivals.poll_recv(context) {
                return Poll::Ready(heard.passed.then_some(heard.signal));
            }
        }
        Poll::Pending
    })
    .await
}

/// The signals that this process ignores, a bit each from the lowest number on; all of them where nobody tells.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok())
        .unwrap_or(u64::MAX)
}

fn is_in(set: u64, kind: SignalKind) -> bool {
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(u32::MAX);
    set.checked_shr(bit).is_some_and(|rest| rest & 1 == 1)
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
    fn sets_of_signals_are_read_from_the_lowest_number_on() {
        for (set, inside) in [(0, false), (1, true), (1 << 1, false), (u64::MAX, true)] {
            assert_eq!(is_in(set, SignalKind::hangup()), inside, "{set:x}");
        }
        assert!(is_in(1 << 14, SignalKind::terminate()));
    }

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
