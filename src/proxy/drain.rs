//! Reading an answer on for a client that is gone, where the operator prefers the true count to the saved tokens.
//!
//! The default is not to: a hang-up is passed on, so that the gate never causes cost that a direct call would not. With
//! `on_client_abort = "drain"` the response direction goes on without its client, within limits of time, bytes and
//! number. One limit reached, and the upstream sees the hang-up after all.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::Services;
use crate::config::{ClientAbort, DrainLimits};

/// The drain of one exchange.
pub struct Drain<'a> {
    services: &'a Services,
    limits: Option<DrainLimits>,
    running: Mutex<Option<OwnedSemaphorePermit>>,
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
            begun: Notify::new(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Whether this exchange is to be drained if its client goes away.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.limits.is_some()
    }

    /// Whether the client is gone and its answer is read on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.permit().is_some()
    }

    /// The client is gone. Whether its answer is read on; not if nobody wants that, or too many are.
    #[must_use]
    pub fn begin(&self) -> bool {
        if self.limits.is_none() {
            return false;
        }
        let mut permit = self.permit();
        if permit.is_none() {
            let drains = std::sync::Arc::clone(&self.services.drains);
            *permit = drains.try_acquire_owned().ok();
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

    fn permit(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
