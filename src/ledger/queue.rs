//! The queue between the door and the thread: how much it may hold, whether it is written at the moment, what was lost.
//!
//! Both sides see this and nothing else of each other. Queueing and waiting are left to `writer`, writing to `worker`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::clock::VouchedClock;
use super::row;
use super::writer::QUEUE_DEADLINE;

/// What the queue may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// Slots for records. A record takes one, and one more for every `SLOT_BYTES` of text in it.
    pub(super) slots: u32,
    /// Bytes of payloads. Apart from the slots, so that no payload can take a record's place.
    pub(super) payload_bytes: u32,
    /// [`QUEUE_DEADLINE`], shorter in tests.
    pub(super) wait: Duration,
}

/// 16 Ki records of up to 64 MiB together, and 64 MiB of payloads.
pub(super) const LIMITS: QueueLimits = QueueLimits {
    slots: 16 * 1024,
    payload_bytes: 64 * 1024 * 1024,
    wait: QUEUE_DEADLINE,
};

/// What the door and the thread behind it both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) slots: Arc<Semaphore>,
    pub(super) payload_bytes: Arc<Semaphore>,
    pub(super) limits: QueueLimits,
    /// The ledger cannot be written at the moment: nobody waits for it.
    pub(super) failing: AtomicBool,
    /// Something was lost since the queue was last empty, and it has been reported.
    pub(super) overflowing: AtomicBool,
    pub(super) lost_records: AtomicU64,
    pub(super) lost_payloads: AtomicU64,
    /// What time it is for retention, where that goes by age.
    pub(super) clock: Option<VouchedClock>,
    pub(super) transactions: AtomicU64,
}

impl Shared {
    pub(super) fn new(limits: QueueLimits, clock: Option<VouchedClock>) -> Self {
        Self {
            slots: semaphore(limits.slots),
            payload_bytes: semaphore(limits.payload_bytes),
            limits,
            failing: AtomicBool::new(false),
            overflowing: AtomicBool::new(false),
            lost_records: AtomicU64::new(0),
            lost_payloads: AtomicU64::new(0),
            clock,
            transactions: AtomicU64::new(0),
        }
    }

    /// What time it is for retention by age, if that can be told.
    pub(super) fn retention_ms(&self) -> Option<i64> {
        let wall = row::unix_ms(OffsetDateTime::now_utc());
        self.clock.as_ref()?.now(wall, std::time::Instant::now())
    }

    /// Permits, at once if there are any; waits until `deadline` unless the ledger is failing, when waiting is idle.
    pub(super) async fn take(
        &self,
        from: &Arc<Semaphore>,
        permits: u32,
        deadline: Instant,
    ) -> Option<OwnedSemaphorePermit> {
        if let Ok(taken) = Arc::clone(from).try_acquire_many_owned(permits) {
            return Some(taken);
        }
        if self.failing.load(Ordering::Relaxed) {
            return None;
        }
        timeout_at(deadline, Arc::clone(from).acquire_many_owned(permits))
            .await
            .ok()?
            .ok()
    }

    /// The ledger is failing and has filled half of the queue. What is left is for calls that cost something: a client
    /// that is refused comes again and again.
    pub(super) fn is_short_of_room(&self) -> bool {
        let slots = usize::try_from(self.limits.slots).unwrap_or(usize::MAX);
        self.failing.load(Ordering::Relaxed) && self.waiting() >= slots / 2
    }

    /// Somebody waited for `COMMIT_DEADLINE` in vain. Nobody else shall, until the writer shows itself again.
    pub(super) fn stalled(&self) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!("the ledger takes longer than it may; records wait in memory");
        }
    }

    /// The writer is gone and takes nothing any more: what comes now is lost, and nobody shall wait for it.
    pub(super) fn ended(&self) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the ledger is closed; records are lost until the gate is started again"
            );
        }
    }

    /// The writer has nothing left to write.
    pub(super) fn end_stall(&self) {
        if self.failing.load(Ordering::Relaxed) {
            self.failing.store(false, Ordering::Relaxed);
            tracing::info!("the ledger answers again");
        }
    }

    pub(super) fn count_loss(&self, records: u64, payloads: u64) {
        let records = self.lost_records.fetch_add(records, Ordering::Relaxed) + records;
        let payloads = self.lost_payloads.fetch_add(payloads, Ordering::Relaxed) + payloads;
        if !self.overflowing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                lost_records = records,
                lost_payloads = payloads,
                "records or payloads are lost: the ledger is full, closed or refuses them"
            );
        }
    }

    /// The queue is empty: the next loss is a new burst, worth a line of its own.
    pub(super) fn end_burst(&self) {
        if self.overflowing.load(Ordering::Relaxed)
            && self.overflowing.swap(false, Ordering::Relaxed)
        {
            tracing::info!(
                lost_records = self.lost_records.load(Ordering::Relaxed),
                lost_payloads = self.lost_payloads.load(Ordering::Relaxed),
                "the ledger has room again"
            );
        }
    }

    /// Whether nothing is queued or being written.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting() == 0
    }

    pub(super) fn waiting(&self) -> usize {
        let slots = usize::try_from(self.limits.slots).unwrap_or(usize::MAX);
        slots.saturating_sub(self.slots.available_permits())
    }
}

fn semaphore(permits: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(
        usize::try_from(permits)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS),
    ))
}
