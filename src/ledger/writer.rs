//! The door to the ledger for whoever ends an exchange: hand in a record, learn that it is kept.
//!
//! [`Ledger::commit`] puts the record into a bounded queue and waits until one thread, which alone owns the database
//! connection, has committed it (`worker`). Everything that queued meanwhile shares one transaction. A committed record
//! was handed to the operating system (WAL, `synchronous=NORMAL`): it survives `kill -9` of this process at any instant
//! after `commit` returned; only a crash of the machine itself may cost the last commits.
//!
//! Traffic never depends on the disk: every wait here has a deadline, a ledger that cannot be written keeps records in
//! memory, and what finds no room there is lost, counted and reported: first the payload, then the record.

#[cfg(any(test, feature = "fuzzing"))]
mod collected;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout};

use super::clock::VouchedClock;
use super::error::LedgerError;
use super::options::{Durability, LedgerOptions};
use super::queue::{LIMITS, QueueLimits, Shared};
use super::record::{Outcome, Payload, UsageRecord};
use super::row;
use super::worker::{Command, Worker};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use collected::Collected;

/// The ledger, open for writing. Clones share one queue and one writer thread.
#[derive(Clone, Debug)]
pub struct Ledger {
    commands: mpsc::Sender<Command>,
    durability: Durability,
    shared: Arc<Shared>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Its row is committed; nothing that happens to this process can undo it.
    Stored,
    /// It waits in memory, because the ledger cannot be written now or took longer than [`COMMIT_DEADLINE`], or because
    /// nobody asked to wait ([`Durability::Relaxed`]).
    Queued,
    /// There was no room for it, or the ledger refused it. It was counted in [`Ledger::losses`].
    Lost,
}

/// How long a commit waits for the writer before it lets the exchange go on.
pub const COMMIT_DEADLINE: Duration = Duration::from_secs(1);

/// How long a commit waits for room in a full queue before it gives up the payload, then the record.
pub const QUEUE_DEADLINE: Duration = Duration::from_millis(250);

/// How long [`Ledger::close`] and [`Ledger::flush`] wait for what is queued.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// How far our clock may be ahead of an upstream's before that is worth a word.
const AHEAD: time::Duration = time::Duration::hours(1);

/// How much text of a record one slot stands for.
const SLOT_BYTES: usize = 4096;

/// What became of a record, and the record, where the thread has no more use for it: whoever handed it in takes it apart.
/// Memory that one thread asks for and another gives back all the time goes the long way round.
pub(super) type Answer = (Committed, Option<Box<Queued>>);

/// A record on its way. Dropped without having been settled, wherever that happens, it counts as lost.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) record: Box<UsageRecord>,
    pub(super) payload: Option<Payload>,
    /// It was part of a transaction whose outcome is unknown: its row may be there already.
    pub(super) tried: bool,
    acknowledge: Option<oneshot::Sender<Answer>>,
    settled: bool,
    shared: Arc<Shared>,
    slots: Option<OwnedSemaphorePermit>,
    payload_bytes: Option<OwnedSemaphorePermit>,
}

impl Ledger {
    /// Opens the ledger at `path` (created with mode 0600 if there is none) and starts its writer thread.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be created, opened, or was made by a newer version.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::open_with(path, &LedgerOptions::default())
    }

    /// As [`Ledger::open`], with options.
    ///
    /// # Errors
    /// [`LedgerError`], as [`Ledger::open`].
    pub fn open_with(path: &Path, options: &LedgerOptions) -> Result<Self, LedgerError> {
        Self::open_within(path, options, LIMITS)
    }

    pub(super) fn open_within(
        path: &Path,
        options: &LedgerOptions,
        limits: QueueLimits,
    ) -> Result<Self, LedgerError> {
        let clock = options.retention.age.map(|_| VouchedClock::default());
        let shared = Arc::new(Shared::new(limits, clock));
        // Unbounded as a channel: what bounds it are the permits that every queued record holds.
        let (commands, received) = mpsc::channel();
        let worker = Worker::open(path, options, received, Arc::clone(&shared))?;
        std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || worker.run())
            .map_err(LedgerError::Thread)?;
        Ok(Self {
            commands,
            durability: options.durability,
            shared,
        })
    }

    /// Keeps `record` and, if there is one, its payload. Resolves once the row is committed, at the latest after
    /// [`QUEUE_DEADLINE`] and [`COMMIT_DEADLINE`] together; with [`Durability::Relaxed`] once it is queued.
    ///
    /// Dropping the future never loses a record that has found room; one that was still waiting for room is counted as
    /// lost.
    pub fn commit(
        &self,
        record: impl Into<Box<UsageRecord>>,
        payload: Option<Payload>,
    ) -> impl Future<Output = Committed> + Send + '_ {
        self.commit_queued(Queued::new(record.into(), payload, &self.shared))
    }

    async fn commit_queued(&self, mut queued: Box<Queued>) -> Committed {
        if !queued.find_room().await {
            return Committed::Lost;
        }
        let waits = match self.durability {
            Durability::Strict => !self.shared.failing.load(Ordering::Relaxed),
            Durability::Relaxed => false,
        };
        let committed = if !waits {
            None
        } else {
            let (acknowledge, committed) = oneshot::channel();
            queued.acknowledge = Some(acknowledge);
            Some(committed)
        };
        if self.commands.send(Command::Commit(queued)).is_err() {
            self.shared.ended();
            return Committed::Lost;
        }
        let Some(committed) = committed else {
            return Committed::Queued;
        };
        match timeout(COMMIT_DEADLINE, committed).await {
            Ok(Ok((answer, _spent))) => answer,
            Ok(Err(_)) => {
                self.shared.ended();
                Committed::Lost
            }
            Err(_) => {
                self.shared.stalled();
                // Should the writer have come back at this very moment, it looks around once more.
                let (left, _) = oneshot::channel();
                self.commands.send(Command::Flush(left)).ok();
                Committed::Queued
            }
        }
    }

    /// An upstream that TLS vouches for said at the moment `at` that it was `date`. Retention goes by that where our own
    /// clock is ahead of it.
    pub fn vouch(&self, date: OffsetDateTime, at: std::time::Instant) {
        let Some(clock) = &self.shared.clock else {
            return;
        };
        let ahead = OffsetDateTime::now_utc() - date - at.elapsed();
        if clock.is_news(ahead > AHEAD) {
            tracing::warn!(
                seconds = ahead.whole_seconds(),
                "this machine's clock is ahead of an upstream's; how old records are is reckoned by the upstream's"
            );
        }
        if clock.tell(row::unix_ms(date), at) {
            // Should the writer be gone, there is nothing to remove either.
            self.commands.send(Command::Sweep).ok();
        }
    }

    /// Waits until everything queued so far is committed, at most [`DRAIN_DEADLINE`]. A ledger that is failing is tried
    /// once more at once. Returns how many records still wait.
    pub async fn flush(&self) -> usize {
        let (left, answer) = oneshot::channel();
        self.ask(Command::Flush(left), answer).await
    }

    /// Commits what is queued, closes the file and ends the writer thread; gives up after [`DRAIN_DEADLINE`]. Returns
    /// how many records were left and are lost. A record that another clone commits from now on is lost, too.
    pub async fn close(self) -> usize {
        let (left, answer) = oneshot::channel();
        self.ask(Command::Close(left), answer).await
    }

    /// How many records were lost since the start: no room while the ledger could not be written, or refused by it.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.shared.lost_records.load(Ordering::Relaxed)
    }

    /// How many payloads were lost since the start, those of lost records included.
    #[must_use]
    pub fn payload_losses(&self) -> u64 {
        self.shared.lost_payloads.load(Ordering::Relaxed)
    }

    /// How many transactions were committed since the start. Under load it stays far below the number of records.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    /// Whether the ledger cannot be written at the moment.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// How many places of the queue are taken, and how many there are. A record takes one, and one more for every
    /// 4 KiB of text in it.
    #[must_use]
    pub fn places(&self) -> (usize, usize) {
        let all = usize::try_from(self.shared.limits.slots).unwrap_or(usize::MAX);
        (self.shared.waiting(), all)
    }

    async fn ask(&self, command: Command, answer: oneshot::Receiver<usize>) -> usize {
        if self.commands.send(command).is_err() {
            return 0;
        }
        // The worker keeps the deadline itself; the margin is for a disk that hangs inside SQLite.
        match timeout(DRAIN_DEADLINE + COMMIT_DEADLINE, answer).await {
            Ok(left) => left.unwrap_or_default(),
            Err(_) => self.shared.waiting(),
        }
    }

    /// Removes everything that need not be kept at `now_ms`.
    #[cfg(test)]
    pub(super) async fn sweep(&self, now_ms: impl Into<Option<i64>>) -> super::sweep::Removed {
        let (removed, answer) = oneshot::channel();
        let command = Command::SweepAt(now_ms.into(), removed);
        self.commands.send(command).unwrap();
        answer.await.unwrap()
    }

    /// Runs `action` on the writer's thread and waits for nothing.
    #[cfg(test)]
    pub(super) fn on_writer_without_answer(
        &self,
        action: impl FnOnce(&rusqlite::Connection) + Send + 'static,
    ) {
        self.commands.send(Command::Run(Box::new(action))).unwrap();
    }

    /// Runs `action` on the writer's thread and connection.
    #[cfg(test)]
    pub(super) async fn on_writer<T: Send + 'static>(
        &self,
        action: impl FnOnce(&rusqlite::Connection) -> T + Send + 'static,
    ) -> T {
        let (result, answer) = oneshot::channel();
        let action = Box::new(move |connection: &rusqlite::Connection| {
            result.send(action(connection)).ok();
        });
        self.commands.send(Command::Run(action)).unwrap();
        answer.await.unwrap()
    }
}

impl Queued {
    fn new(record: Box<UsageRecord>, payload: Option<Payload>, shared: &Arc<Shared>) -> Box<Self> {
        Box::new(Self {
            record,
            payload,
            tried: false,
            acknowledge: None,
            settled: false,
            shared: Arc::clone(shared),
            slots: None,
            payload_bytes: None,
        })
    }

    /// Takes the room it needs in the queue, without its payload if there is none for that.
    async fn find_room(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        if self.record.outcome == Outcome::Refused && shared.is_short_of_room() {
            return false;
        }
        let deadline = Instant::now() + shared.limits.wait;
        let slots = u32::try_from(1 + self.record.text_bytes() / SLOT_BYTES)
            .unwrap_or(u32::MAX)
            .min(shared.limits.slots);
        self.slots = shared.take(&shared.slots, slots, deadline).await;
        if self.slots.is_none() {
            return false;
        }
        let Some(payload) = &self.payload else {
            return true;
        };
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if bytes <= shared.limits.payload_bytes {
            self.payload_bytes = shared.take(&shared.payload_bytes, bytes, deadline).await;
        }
        if self.payload_bytes.is_none() {
            self.drop_payload();
        }
        true
    }

    /// Goes on without the payload, which counts as lost.
    pub(super) fn drop_payload(&mut self) {
        if self.payload.take().is_some() {
            self.payload_bytes = None;
            self.shared.count_loss(0, 1);
        }
    }

    /// The row is committed.
    pub(super) fn stored(mut self: Box<Self>) {
        self.settled = true;
        // What waits for room need not wait until it is taken apart.
        self.slots = None;
        self.payload_bytes = None;
        if let Some(acknowledge) = self.acknowledge.take() {
            // The one who waited may have gone away; the record is kept all the same.
            acknowledge.send((Committed::Stored, Some(self))).ok();
        }
    }

    /// The ledger will never take this row. It counts as lost.
    pub(super) fn refused(mut self) {
        // Counted before the answer: whoever is told of a loss can see it.
        self.settled = true;
        self.shared.count_loss(1, u64::from(self.payload.is_some()));
        self.answer(Committed::Lost);
    }

    /// Whoever waits need not wait any longer.
    pub(super) fn answer_queued(&mut self) {
        self.answer(Committed::Queued);
    }

    pub(super) fn payload_len(&self) -> usize {
        self.payload.as_ref().map_or(0, Payload::len)
    }

    fn answer(&mut self, committed: Committed) {
        if let Some(acknowledge) = self.acknowledge.take() {
            // The one who waited may have gone away; the record is kept all the same.
            acknowledge.send((committed, None)).ok();
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.count_loss(1, u64::from(self.payload.is_some()));
        }
    }
}
