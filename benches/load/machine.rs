//! The machine under the benchmark: its cores, which threads and programs run on which, its limits, its name.

use std::fs;
use std::process::Command;

/// A set of cores; empty means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cores(pub Vec<usize>);

impl Cores {
    /// Any core.
    pub(crate) const fn any() -> Self {
        Self(Vec::new())
    }

    /// One core.
    pub(crate) fn one(core: usize) -> Self {
        Self(vec![core])
    }

    /// How many a program may use that is given this set.
    pub(crate) fn count(&self) -> usize {
        if self.0.is_empty() {
            available()
        } else {
            self.0.len()
        }
    }
}

/// How many cores this machine gives us.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Keeps the calling thread on these cores. Programs that it starts inherit the set.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cores: &Cores) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    if cores.0.is_empty() {
        (0..CpuSet::MAX_CPU.min(1024)).for_each(|core| set.set(core));
    } else {
        cores.0.iter().for_each(|core| set.set(*core));
    }
    // A machine that forbids it runs the benchmark all the same, with more noise.
    sched_setaffinity(None, &set).ok();
}

/// Where threads cannot be kept on a core they run on any.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: &Cores) {}

/// Lets us and what we start open as many files as ten thousand tunnels need, as far as that is allowed.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const WANTED: u64 = 65_536;
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.unwrap_or(WANTED);
    let wanted = |maximum| Rlimit {
        current: Some(maximum),
        maximum: Some(maximum),
    };
    // Only root may go beyond what is set.
    if setrlimit(Resource::Nofile, wanted(WANTED.max(most))).is_err() {
        // A scenario that needs more fails and says so.
        setrlimit(Resource::Nofile, wanted(most)).ok();
    }
}

/// How many files a process may open.
pub(crate) fn file_limit() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.unwrap_or(1024)
}

/// How many processes wanted to run during the last minute, on average.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Processor, cores, memory, kernel.
pub(crate) fn describe() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
    };
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let megahertz = field("/proc/cpuinfo", "cpu MHz").unwrap_or_default();
    let kilobytes: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|value| value.split(' ').next()?.parse().ok())
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{processor} at {} MHz, {} cores, {} GiB, Linux {}",
        megahertz.split('.').next().unwrap_or_default(),
        available(),
        kilobytes.div_ceil(1024 * 1024),
        kernel.split('-').next().unwrap_or_default().trim(),
    )
}

/// The commit that is measured, with a word when files differ from it.
pub(crate) fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&[
        "status",
        "--porcelain",
        "--",
        "src",
        "Cargo.toml",
        "Cargo.lock",
    ]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} and changes"),
    }
}
