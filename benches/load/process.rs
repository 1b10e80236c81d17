//! A contender's processes: starting, stopping, and what the operating system says they used.
//!
//! Processor time is the scheduler's own count in nanoseconds (`/proc/PID/task/TID/schedstat`), summed over the process and
//! everything it started. Threads that have ended are missing from that count, but not from the one in clock ticks
//! (`/proc/PID/stat`), so whichever is larger by more than its resolution is believed. Memory: `VmRSS` and `VmHWM`.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Failure;
use crate::interrupt;
use crate::machine::{self, Cores};

/// A program under test.
pub(crate) struct Process {
    child: Child,
    /// When it was started.
    pub started: Instant,
}

/// Memory of a process and what it started, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Now.
    pub resident: u64,
    /// The most it ever was.
    pub peak: u64,
}

impl Process {
    /// Starts a program on these cores; what it says goes to `log`.
    pub(crate) fn start(command: &mut Command, cores: &Cores, log: &Path) -> Result<Self, Failure> {
        let said = File::create(log.with_extension("out"))?;
        let complained = File::create(log.with_extension("err"))?;
        command.stdin(Stdio::null()).stdout(said).stderr(complained);
        machine::pin(cores);
        let started = Instant::now();
        let child = command.spawn();
        machine::pin(&Cores::any());
        let child = child.map_err(|error| {
            format!(
                "{} does not start: {error}",
                command.get_program().display()
            )
        })?;
        interrupt::started(child.id());
        Ok(Self { child, started })
    }

    /// Waits until a connection to `port` is accepted, and tells how long after the start that was.
    pub(crate) fn accepts(&mut self, port: u16, patience: Duration) -> Result<Duration, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        loop {
            if TcpStream::connect_timeout(&address, patience).is_ok() {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended with {status} instead of listening").into());
            }
            if self.started.elapsed() > patience {
                return Err(format!("nothing listens on port {port} after {patience:?}").into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Processor time used so far, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        self.tree().into_iter().map(processor_time).sum()
    }

    /// Memory in use.
    pub(crate) fn memory(&self) -> Memory {
        let mut sum = Memory::default();
        for pid in self.tree() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            sum.resident += kibibytes(&status, "VmRSS:");
            sum.peak += kibibytes(&status, "VmHWM:");
        }
        sum
    }

    /// The process and all that it started.
    fn tree(&self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let parent = fields(&stat).nth(1)?.parse().ok()?;
                Some((pid, parent))
            })
            .collect();
        let mut tree = vec![self.child.id()];
        let mut next = 0;
        while let Some(parent) = tree.get(next).copied() {
            tree.extend(
                parents
                    .iter()
                    .filter(|(_, of)| *of == parent)
                    .map(|(pid, _)| *pid),
            );
            next += 1;
        }
        tree
    }

    /// Asks it to end, and makes it end if it does not within a few seconds.
    pub(crate) fn stop(&mut self) {
        let tree = self.tree();
        interrupt::send(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        tree.into_iter()
            .for_each(|pid| interrupt::send(pid, Signal::KILL));
        drop(self.child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        interrupt::ended(self.child.id());
    }
}

/// How long a program may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What stands behind the name in a `stat` file; the name may hold spaces and parentheses.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split_ascii_whitespace()
}

fn processor_time(pid: u32) -> Duration {
    let threads: u64 = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path().join("schedstat");
            let text = fs::read_to_string(path).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    let threads = Duration::from_nanos(threads);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // utime and stime are the 14th and 15th field, the 12th and 13th behind the name.
    let ticks: u64 = fields(&stat)
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    let ticks = Duration::from_nanos(ticks * 1_000_000_000 / TICKS_PER_SECOND);
    if ticks > threads + 2 * Duration::from_nanos(1_000_000_000 / TICKS_PER_SECOND) {
        ticks
    } else {
        threads
    }
}

/// `USER_HZ`, which is 100 wherever Linux runs Rust.
const TICKS_PER_SECOND: u64 = 100;

fn kibibytes(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// A port that nothing listens on at this moment.
pub(crate) fn free_port() -> io::Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
