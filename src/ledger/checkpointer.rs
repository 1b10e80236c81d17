//! Checkpoints beside the writer: a thread with a connection of its own moves the pages of the WAL into the file, so that
//! no record waits for an fsync.
//!
//! SQLite lets one connection checkpoint while another writes. What it does not do for a writer that never rests is begin
//! the WAL anew, for which all of it has to be in the file at one moment. That, and when to checkpoint, is `store`'s.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::error::LedgerError;
use super::schema;

/// The thread. It ends, and is waited for, when this is dropped.
pub(super) struct Checkpointer {
    ask: Option<SyncSender<()>>,
    busy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread for the ledger at `path`; `None` when there is no thread to be had, which costs time and nothing
    /// else.
    ///
    /// # Errors
    /// When the ledger cannot be opened once more.
    pub(super) fn start(path: &Path) -> Result<Option<Self>, LedgerError> {
        let connection = schema::open_for_checkpoints(path)?;
        let (ask, asked) = sync_channel(1);
        let busy = Arc::new(AtomicBool::new(false));
        let until_done = Arc::clone(&busy);
        let thread = Builder::new()
            .name("ledger-checkpoints".to_owned())
            .spawn(move || work(&connection, &asked, &until_done));
        Ok(match thread {
            Ok(thread) => Some(Self {
                ask: Some(ask),
                busy,
                thread: Some(thread),
            }),
            Err(error) => {
                tracing::warn!(%error, "the ledger's writer makes the checkpoints itself");
                None
            }
        })
    }

    /// Whether a checkpoint is being made.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Waits until no checkpoint is being made, at most for `limit`.
    pub(super) fn wait(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.is_busy() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Has a checkpoint made; nobody waits for it.
    pub(super) fn begin(&self) {
        self.busy.store(true, Ordering::Release);
        let asked = self
            .ask
            .as_ref()
            .is_some_and(|ask| ask.try_send(()).is_ok());
        if !asked {
            self.busy.store(false, Ordering::Release);
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.ask.take());
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the thread that checkpoints the ledger has panicked");
        }
    }
}

fn work(connection: &Connection, asked: &Receiver<()>, busy: &AtomicBool) {
    while asked.recv().is_ok() {
        let made = connection
            .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")
            .and_then(|mut statement| statement.query_row([], |_| Ok(())));
        if let Err(error) = made {
            // No harm to what is committed; the next growth tries again.
            tracing::warn!(%error, "the ledger's WAL cannot be checkpointed");
        }
        busy.store(false, Ordering::Release);
    }
}
