//! What happens when the benchmark is told to end early: the programs that it started end, and its directory goes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;

static PROGRAMS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Watches for SIGINT and SIGTERM; `directory` is removed when one comes.
pub(crate) fn watch(directory: &Path) -> Result<(), Failure> {
    DIRECTORY.get_or_init(|| directory.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupted, mut terminated) = runtime.block_on(async {
        Ok::<_, Failure>((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    })?;
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupted.recv() => {}
                    _ = terminated.recv() => {}
                }
            });
            end();
        })?;
    Ok(())
}

/// Notes that this program runs.
pub(crate) fn started(pid: u32) {
    programs().push(pid);
}

/// Notes that it has ended.
pub(crate) fn ended(pid: u32) {
    programs().retain(|known| *known != pid);
}

/// Sends a signal to a program of ours; it may have ended by itself.
pub(crate) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        kill_process(pid, signal).ok();
    }
}

#[expect(
    clippy::exit,
    reason = "the main thread is measuring and need not come to its end"
)]
fn end() {
    for pid in programs().iter() {
        send(*pid, Signal::TERM);
    }
    if let Some(directory) = DIRECTORY.get() {
        std::fs::remove_dir_all(directory).ok();
    }
    // 128 and SIGINT, as shells count.
    std::process::exit(130);
}

fn programs() -> std::sync::MutexGuard<'static, Vec<u32>> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}
