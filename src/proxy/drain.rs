//! Reading an answer on for a client that is gone, where the operator prefers the true count to the saved tokens.
//!
//! The default is not to: a hang-up is passed on, so that the gate never causes cost that a direct call would not. With
//! `on_client_abort = "drain"` the response direction goes on without its client, within limits of time, bytes and
//! number. One limit reached, and the upstream sees the hang-up after all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::Services;
use crate::config::{ClientAbort, DrainLimits};

/// The drain of one exchange.
pub struct Drain<'a> {
    services: &'a Services,
    limits: Option<DrainLimits>,
    running: Mutex<Option<OwnedSemaphorePermit>>,
    /// The client stopped sending and may be gone.
    held: Mutex<Option<OwnedSemaphorePermit>>,
    begun: Notify,
    bytes: AtomicU64,
}

impl<'a> Drain<'a> {
    /// A drain that has not begun. Only what is `observed` has a count to be known.
    #[must_use]
    pub fn new(services: &'a Services, observed: bool) -> Self {
        let limits = match services.settings.accounting.on_client_abort {
            ClientAbort::Drain(limits) if observed => Some(limits),
            ClientAbort::Drain(_) | ClientAbort::Close => None,
        };
        Self {
            services,
            limits,
            running: Mutex::new(None),
            held: Mutex::new(None),
            begun: Notify::new(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Whether the client is gone and its answer is read on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.limits.is_some() && lock(&self.running).is_some()
    }

    /// The client is gone. Whether its answer is read on; not if nobody wants that, or too many are.
    #[must_use]
    pub fn begin(&self) -> bool {
        if self.limits.is_none() {
            return false;
        }
        let mut permit = lock(&self.running);
        if permit.is_none() {
            *permit = lock(&self.held).take().or_else(|| self.acquire());
            self.begun.notify_one();
        }
        permit.is_some()
    }

    /// So many more bytes were read for nobody; false when these are too many.
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.limits
            .is_some_and(|limits| before.saturating_add(bytes) <= limits.bytes)
    }

    /// Resolves when the drain has begun and its time is over.
    pub async fn over(&self) {
        match self.limits {
            Some(limits) => {
                self.begun.notified().await;
                tokio::time::sleep(limits.time).await;
            }
            None => std::future::pending().await,
        }
    }

    /// The client stopped sending: perhaps that was all it had to say, perhaps it is gone. Resolves when the upstream
    /// is to hear of it: at once unless this exchange is to be drained, else when a drain would have come to its limit.
    pub async fn half_closed(&self) {
        let Some(limits) = self.limits else {
            return;
        };
        let Some(permit) = self.acquire() else {
            return;
        };
        *lock(&self.held) = Some(permit);
        tokio::time::sleep(limits.time).await;
        *lock(&self.held) = None;
    }

    fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.services.drains).try_acquire_owned().ok()
    }
}

fn lock(
    permit: &Mutex<Option<OwnedSemaphorePermit>>,
) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
    permit.lock().unwrap_or_else(PoisonError::into_inner)
}
