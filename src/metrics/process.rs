//! What the system knows of this process, under the names that every Prometheus client gives it. Linux, and only what a
//! process may read of itself where the rest of `/proc` is hidden from it.

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, WithCurrentSystemInfo};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

use super::levels::gauge;
use super::{approximate, register, rows};

/// Registers what can be read; where `/proc` is hidden, nothing.
pub(super) fn register_to(to: &mut Registry) {
    if let Err(error) = try_register(to) {
        tracing::debug!(%error, "metrics of the process cannot be read");
    }
}

fn try_register(to: &mut Registry) -> ProcResult<()> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let per_second = approximate(procfs::ticks_per_second());
    let cpu = approximate(stat.utime.saturating_add(stat.stime)) / per_second;
    register(to, rows::CPU, ConstCounter::new(cpu));
    gauge(to, rows::OPEN_FDS, signed(process.fd_count()? as u64));
    if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
        gauge(to, rows::MAX_FDS, signed(most));
    }
    gauge(to, rows::RESIDENT, signed(stat.rss_bytes().get()));
    gauge(to, rows::VIRTUAL, signed(stat.vsize));
    gauge(to, rows::THREADS, stat.num_threads);
    Ok(())
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
