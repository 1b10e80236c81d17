//! What a gate holds: connections, descriptors, tasks and memory, counted from outside, to see that a fault leaves
//! nothing of them behind.
//!
//! Connections are read from the kernel's own table (proc(5), `/proc/net/tcp`), where the gate's are known by its port
//! and by that of its upstream; so gates that share a process with other tests can be told from those. Where there is
//! no such table only the tasks are counted.

use std::net::SocketAddr;

use tokio::runtime::Handle;

use super::process::Process;
use super::until_so;

/// What is held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    /// Connections with clients.
    pub(crate) clients: usize,
    /// Connections with the upstream.
    pub(crate) upstreams: usize,
    /// Tasks of the runtime, where the gate shares the test's; descriptors of the process, where it has its own.
    pub(crate) others: usize,
}

impl Traces {
    /// What a gate in this process holds, and what else runs here.
    pub(crate) fn here(gate: SocketAddr, upstream: SocketAddr) -> Self {
        Self::with(
            Handle::current().metrics().num_alive_tasks(),
            gate,
            upstream,
        )
    }

    /// What a gate with a process of its own holds.
    pub(crate) fn of(process: &Process, upstream: SocketAddr) -> Self {
        Self::with(descriptors(process.pid()), process.address, upstream)
    }

    fn with(others: usize, gate: SocketAddr, upstream: SocketAddr) -> Self {
        let (clients, upstreams) = connections(gate, upstream);
        Self {
            clients,
            upstreams,
            others,
        }
    }

    fn is_no_more_than(self, other: Self) -> bool {
        self.clients <= other.clients
            && self.upstreams <= other.upstreams
            && self.others <= other.others
    }
}

/// Waits until `now` is nothing more than `before`.
pub(crate) async fn nothing_more(what: &str, before: Traces, now: impl Fn() -> Traces) {
    until_so(
        &format!("{what} leaves nothing behind"),
        || now().is_no_more_than(before),
        || format!("before: {before:?}, now: {:?}", now()),
    )
    .await;
}

/// How many connections `gate` holds with its clients, and with `upstream`.
pub(crate) fn connections(gate: SocketAddr, upstream: SocketAddr) -> (usize, usize) {
    const LISTEN: &str = "0A";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let (mut clients, mut upstreams) = (0, 0);
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // What no process holds any longer has no inode.
        if fields[3] == LISTEN || fields[9] == "0" {
            continue;
        }
        clients += usize::from(port(fields[1]) == gate.port());
        upstreams += usize::from(port(fields[2]) == upstream.port());
    }
    (clients, upstreams)
}

fn port(address: &str) -> u16 {
    let (_, port) = address.split_once(':').unwrap();
    u16::from_str_radix(port, 16).unwrap()
}

/// How many descriptors a process has open; 0 where nobody tells.
pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// How much memory a process holds, in KiB; 0 where nobody tells.
pub(crate) fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0)
}
