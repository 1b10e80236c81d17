//! The writer thread: takes everything queued, writes it in one transaction, then answers everybody who waited.
//!
//! It alone owns the connection. When SQLite fails (disk full, locked, I/O error, read-only) the transaction is rolled
//! back, the batch is kept, those who wait are told so, and the thread tries again with growing pauses; what bounds the
//! memory meanwhile are the permits each queued record holds (`writer`). Checkpoints are made beside it (`checkpointer`):
//! nobody waits for an fsync. What need not be kept is removed between commits (`sweeper`). The SQL is left to `store`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::LedgerError;
use super::options::{Durability, LedgerOptions};
use super::queue::Shared;
use super::store::{Store, passes_by_itself};
use super::sweeper::Sweeper;
use super::writer::{DRAIN_DEADLINE, Queued};

/// What the door asks of the thread.
pub(super) enum Command {
    Commit(Box<Queued>),
    Flush(oneshot::Sender<usize>),
    Close(oneshot::Sender<usize>),
    /// Somebody has said what time it is: what need not be kept can be removed.
    Sweep,
    /// Removes at this time what need not be kept, all of it.
    #[cfg(test)]
    SweepAt(Option<i64>, oneshot::Sender<super::sweep::Removed>),
    #[cfg(test)]
    Run(Box<dyn FnOnce(&rusqlite::Connection) + Send>),
}

pub(super) struct Worker {
    store: Store,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    pending: VecDeque<Box<Queued>>,
    /// Bytes of the payloads in `pending`.
    pending_bytes: usize,
    flushes: Vec<oneshot::Sender<usize>>,
    failure: Option<Failure>,
    closing: Option<Closing>,
    durability: Durability,
    /// Until when what is pending may wait for company, where nobody waits for it.
    gather_until: Option<Instant>,
    /// Records of the last transaction.
    last_batch: usize,
    sweeper: Sweeper,
}

/// The ledger cannot be written.
struct Failure {
    pause: Duration,
    next_try: Instant,
    /// Records written since, that is: records that had to wait.
    waited: u64,
}

/// The end is near.
struct Closing {
    deadline: Instant,
    done: Option<oneshot::Sender<usize>>,
}

/// Most records of one transaction, and most bytes of payload: bounds what a rollback throws away and how long the
/// first of a batch waits for the last.
const BATCH_RECORDS: usize = 1024;
const BATCH_PAYLOAD_BYTES: usize = 8 * 1024 * 1024;

/// How long a record waits for company when nobody waits for it.
const GATHER: Duration = Duration::from_millis(100);

/// How long the first record after a transaction of [`CROWD`] or more waits for company: where so many come at a time, as
/// many again are on their way, and a transaction costs as much as several rows. A record that comes alone never waits.
const CROWD_GATHER: Duration = Duration::from_micros(200);
const CROWD: usize = 4;

/// Pauses between attempts while the ledger cannot be written.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Worker {
    pub(super) fn open(
        path: &Path,
        options: &LedgerOptions,
        commands: Receiver<Command>,
        shared: Arc<Shared>,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            store: Store::open(path)?,
            commands,
            shared,
            pending: VecDeque::new(),
            pending_bytes: 0,
            flushes: Vec::new(),
            failure: None,
            closing: None,
            durability: options.durability,
            gather_until: None,
            last_batch: 0,
            sweeper: Sweeper::new(options.retention),
        })
    }

    /// Works until the ledger is closed or nobody is left who could commit.
    pub(super) fn run(mut self) {
        while self.receive() {
            self.write();
            // Those who have to be written all the time are not spared it, only asked for less of it.
            if self.failure.is_none() && self.sweeper.is_due() {
                self.sweep();
            }
        }
        self.end();
    }

    /// Collects commands until there is something to write; false when there never will be.
    fn receive(&mut self) -> bool {
        loop {
            if self.pending.is_empty() && self.failure.is_none() {
                self.answer_flushes();
                self.shared.end_burst();
                self.shared.end_stall();
            }
            match self.next_command() {
                Next::Command(command) => self.take(command),
                Next::Sweep => self.sweep(),
                Next::Tidy => self.store.tidy(),
                Next::Write => return true,
                Next::End => return false,
            }
            if self.failure.is_none() && self.batch_is_full() {
                return true;
            }
        }
    }

    fn next_command(&mut self) -> Next {
        if self.pending.is_empty() {
            if self.closing.is_some() {
                return Next::End;
            }
            return self.next_when_idle();
        }
        let Some(failure) = &self.failure else {
            return self.next_when_pending();
        };
        if self.closing.as_ref().is_some_and(Closing::is_over) {
            return Next::End;
        }
        let pause = failure.next_try.saturating_duration_since(Instant::now());
        if pause.is_zero() {
            return Next::Write;
        }
        match self.commands.recv_timeout(pause) {
            Ok(command) => Next::Command(command),
            Err(RecvTimeoutError::Timeout) => Next::Write,
            Err(RecvTimeoutError::Disconnected) => {
                // Every handle was dropped without `close`: the same deadline, and nobody to tell.
                self.closing.get_or_insert_with(|| Closing::new(None));
                std::thread::sleep(pause);
                Next::Write
            }
        }
    }

    fn next_when_idle(&self) -> Next {
        let sweep = self.sweeper.pause().map(|pause| (pause, Next::Sweep));
        let tidy = self.store.pause().map(|pause| (pause, Next::Tidy));
        let first = sweep
            .into_iter()
            .chain(tidy)
            .min_by_key(|(pause, _)| *pause);
        let next = match first {
            None => self.commands.recv().map_or(Next::End, Next::Command),
            Some((pause, then)) => match self.commands.recv_timeout(pause) {
                Ok(command) => Next::Command(command),
                Err(RecvTimeoutError::Timeout) => then,
                Err(RecvTimeoutError::Disconnected) => Next::End,
            },
        };
        if self.last_batch >= CROWD && matches!(next, Next::Command(Command::Commit(_))) {
            // Not a wait for the next command, which would wake this thread for each of them.
            std::thread::sleep(CROWD_GATHER);
        }
        next
    }

    fn next_when_pending(&self) -> Next {
        let pause = self.gather_until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if pause.is_zero() {
            return match self.commands.try_recv() {
                Ok(command) => Next::Command(command),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => Next::Write,
            };
        }
        match self.commands.recv_timeout(pause) {
            Ok(command) => Next::Command(command),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Next::Write,
        }
    }

    fn sweep(&mut self) {
        let now_ms = self.shared.retention_ms();
        let idle = self.shared.is_idle();
        self.sweeper.step(&mut self.store, idle, now_ms);
        self.store.tidy();
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Commit(mut queued) => {
                if self.failure.is_some() {
                    queued.answer_queued();
                }
                if self.pending.is_empty() && self.durability == Durability::Relaxed {
                    self.gather_until = Some(Instant::now() + GATHER);
                }
                self.pending_bytes += queued.payload_len();
                self.pending.push_back(queued);
            }
            Command::Flush(done) => {
                self.flushes.push(done);
                self.try_now();
            }
            Command::Close(done) => {
                self.closing = Some(Closing::new(Some(done)));
                self.try_now();
            }
            Command::Sweep => self.sweeper.look_now(),
            #[cfg(test)]
            Command::SweepAt(now_ms, done) => {
                done.send(self.sweeper.run(&mut self.store, now_ms)).ok();
            }
            #[cfg(test)]
            Command::Run(action) => action(&self.store.connection),
        }
    }

    fn try_now(&mut self) {
        self.gather_until = None;
        if let Some(failure) = &mut self.failure {
            failure.next_try = Instant::now();
        }
    }

    fn batch_is_full(&self) -> bool {
        self.pending.len() >= BATCH_RECORDS || self.pending_bytes >= BATCH_PAYLOAD_BYTES
    }

    /// How many of the oldest pending records make the next transaction; at least one.
    fn batch_len(&self) -> usize {
        let mut bytes = 0_usize;
        let fitting = self
            .pending
            .iter()
            .take(BATCH_RECORDS)
            .take_while(|queued| {
                bytes = bytes.saturating_add(queued.payload_len());
                bytes <= BATCH_PAYLOAD_BYTES
            })
            .count();
        fitting.max(1).min(self.pending.len())
    }

    fn write(&mut self) {
        self.gather_until = None;
        let batch = self.batch_len();
        let slice = self.pending.make_contiguous();
        let slice = slice.get_mut(..batch).unwrap_or_default();
        match self.store.write(slice) {
            Ok(refused) => self.written(batch, &refused),
            Err(error) => self.failed(batch, &error),
        }
    }

    /// The first `batch` pending records are committed, but for those `refused`.
    fn written(&mut self, batch: usize, refused: &[usize]) {
        self.shared.transactions.fetch_add(1, Ordering::Relaxed);
        self.last_batch = batch;
        for (at, queued) in self.pending.drain(..batch).enumerate() {
            if refused.contains(&at) {
                queued.refused();
            } else {
                queued.stored();
            }
        }
        self.pending_bytes = self.pending.iter().map(|queued| queued.payload_len()).sum();
        if let Some(failure) = &mut self.failure {
            failure.waited += u64::try_from(batch).unwrap_or(u64::MAX);
            // Not before the backlog is written: who came now would have to wait for all of it.
            if self.pending.is_empty() {
                tracing::info!(
                    records = failure.waited,
                    path = %self.store.path.display(),
                    "the ledger can be written again; the records that waited are in it"
                );
                self.failure = None;
                self.shared.failing.store(false, Ordering::Relaxed);
            } else {
                failure.next_try = Instant::now();
            }
        }
        self.store.tidy();
    }

    /// The first `batch` pending records could not be committed; they stay, and nobody waits for them any longer.
    fn failed(&mut self, batch: usize, error: &rusqlite::Error) {
        self.shared.failing.store(true, Ordering::Relaxed);
        for queued in self.pending.iter_mut().take(batch) {
            queued.tried = true;
        }
        for queued in &mut self.pending {
            queued.answer_queued();
        }
        let now = Instant::now();
        if let Some(failure) = &mut self.failure {
            failure.pause = (failure.pause * 2).min(LONGEST_PAUSE);
            failure.next_try = now + failure.pause;
        } else {
            tracing::error!(
                error = %error,
                path = %self.store.path.display(),
                "the ledger cannot be written; records wait in memory and traffic goes on"
            );
            self.failure = Some(Failure {
                pause: FIRST_PAUSE,
                next_try: now + FIRST_PAUSE,
                waited: 0,
            });
        }
        self.answer_flushes();
        if !passes_by_itself(error) {
            self.store.reopen();
        }
    }

    fn answer_flushes(&mut self) {
        for done in self.flushes.drain(..) {
            done.send(self.pending.len()).ok();
        }
    }

    fn end(self) {
        let left = self.pending.len();
        if left > 0 {
            tracing::error!(
                records = left,
                path = %self.store.path.display(),
                "the ledger was closed before it could be written; these records are lost"
            );
        }
        // Before anybody is told that the ledger is closed. The last connection to go merges the WAL into the file.
        drop(self.store);
        drop(self.pending);
        for done in self.flushes {
            done.send(left).ok();
        }
        if let Some(done) = self.closing.and_then(|closing| closing.done) {
            done.send(left).ok();
        }
    }
}

enum Next {
    Command(Command),
    Sweep,
    Tidy,
    Write,
    End,
}

impl Closing {
    fn new(done: Option<oneshot::Sender<usize>>) -> Self {
        Self {
            deadline: Instant::now() + DRAIN_DEADLINE,
            done,
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}
