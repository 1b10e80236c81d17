//! What `/proc` says of the gate, once a second: memory, descriptors by kind, sockets by state, threads, time on the
//! processor. proc(5).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// The gate at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the watch began.
    pub(crate) at: f64,
    /// Resident memory in KiB: all of it, and the part that is no file.
    pub(crate) rss_kib: u64,
    pub(crate) anon_kib: u64,
    pub(crate) threads: u64,
    /// Descriptors by kind.
    pub(crate) descriptors: BTreeMap<String, u64>,
    /// TCP sockets by state.
    pub(crate) sockets: BTreeMap<&'static str, u64>,
    /// Time on the processor since the start, in clock ticks of a hundredth of a second.
    pub(crate) ticks: u64,
    /// Size of the ledger and of its write-ahead log, in bytes.
    pub(crate) ledger_bytes: u64,
    pub(crate) wal_bytes: u64,
}

impl Sample {
    pub(crate) fn all_descriptors(&self) -> u64 {
        self.descriptors.values().sum()
    }

    /// Sockets that lead to somebody.
    pub(crate) fn connected(&self) -> u64 {
        let states = self.sockets.iter();
        states
            .filter(|(state, _)| **state != "listen")
            .map(|(_, count)| count)
            .sum()
    }
}

/// Looks at the process `pid` with the ledger below `home`.
pub(crate) fn look(pid: u32, home: &Path, at: f64) -> io::Result<Sample> {
    let root = PathBuf::from(format!("/proc/{pid}"));
    let status = fs::read_to_string(root.join("status"))?;
    let (descriptors, inodes) = descriptors(&root)?;
    let size = |name: &str| fs::metadata(home.join(name)).map_or(0, |file| file.len());
    Ok(Sample {
        at,
        rss_kib: number(&status, "VmRSS:"),
        anon_kib: number(&status, "RssAnon:"),
        threads: number(&status, "Threads:"),
        sockets: sockets(&root, &inodes),
        descriptors,
        ticks: ticks(&fs::read_to_string(root.join("stat"))?),
        ledger_bytes: size("ledger.db"),
        wal_bytes: size("ledger.db-wal"),
    })
}

fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.and_then(|line| line.split_whitespace().next());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}

/// User and system time: the 14th and the 15th field, counted after the name, which may hold anything.
pub(crate) fn ticks(stat: &str) -> u64 {
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let times = after.split_whitespace().skip(11).take(2);
    times.filter_map(|time| time.parse::<u64>().ok()).sum()
}

/// Descriptors by kind, and the inodes of those that are sockets.
fn descriptors(root: &Path) -> io::Result<(BTreeMap<String, u64>, HashMap<u64, ()>)> {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut inodes = HashMap::new();
    for entry in fs::read_dir(root.join("fd"))? {
        // It may have been closed meanwhile.
        let Ok(target) = entry.and_then(|entry| fs::read_link(entry.path())) else {
            continue;
        };
        let target = target.to_string_lossy();
        let inode = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
            .and_then(|digits| digits.parse().ok());
        if let Some(inode) = inode {
            inodes.insert(inode, ());
        }
        *kinds.entry(kind(&target)).or_default() += 1;
    }
    Ok((kinds, inodes))
}

fn kind(target: &str) -> String {
    if target.starts_with('/') {
        let name = target.rsplit('/').next().unwrap_or(target);
        return format!("file {name}");
    }
    let end = target
        .find([':', '['])
        .filter(|_| !target.starts_with("anon_inode"));
    let name = end.and_then(|end| target.get(..end)).unwrap_or(target);
    name.trim_start_matches("anon_inode:").to_owned()
}

/// TCP sockets of the process by state. The tables hold everybody's in this network.
fn sockets(root: &Path, inodes: &HashMap<u64, ()>) -> BTreeMap<&'static str, u64> {
    let mut states = BTreeMap::new();
    for table in ["net/tcp", "net/tcp6"] {
        let Ok(table) = fs::read_to_string(root.join(table)) else {
            continue;
        };
        for line in table.lines().skip(1) {
            let mut columns = line.split_whitespace();
            let (Some(state), Some(inode)) = (columns.nth(3), columns.nth(5)) else {
                continue;
            };
            if inode
                .parse()
                .is_ok_and(|inode: u64| inodes.contains_key(&inode))
            {
                *states.entry(state_name(state)).or_default() += 1;
            }
        }
    }
    states
}

/// `include/net/tcp_states.h`.
fn state_name(state: &str) -> &'static str {
    match state {
        "01" => "established",
        "02" => "syn_sent",
        "04" => "fin_wait1",
        "05" => "fin_wait2",
        "08" => "close_wait",
        "09" => "last_ack",
        "0A" => "listen",
        "0B" => "closing",
        _ => "other",
    }
}

/// Looks once a second until it is dropped.
pub(crate) struct Watch {
    samples: Arc<Mutex<Vec<Sample>>>,
    looking: JoinHandle<()>,
    begun: Instant,
    pid: u32,
    home: PathBuf,
}

impl Watch {
    pub(crate) fn begin(pid: u32, home: &Path) -> Self {
        let samples = Arc::<Mutex<Vec<Sample>>>::default();
        let begun = Instant::now();
        let home = home.to_owned();
        let looking = tokio::spawn({
            let (samples, home) = (Arc::clone(&samples), home.clone());
            async move {
                let mut second = interval(Duration::from_secs(1));
                second.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    second.tick().await;
                    let at = begun.elapsed().as_secs_f64();
                    let home = home.clone();
                    let look = tokio::task::spawn_blocking(move || look(pid, &home, at));
                    if let Ok(Ok(sample)) = look.await {
                        samples
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(sample);
                    }
                }
            }
        });
        Self {
            samples,
            looking,
            begun,
            pid,
            home,
        }
    }

    /// Seconds since it began.
    pub(crate) fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// One look, now.
    pub(crate) fn look(&self) -> io::Result<Sample> {
        look(self.pid, &self.home, self.now())
    }

    /// Everything that was seen.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}
