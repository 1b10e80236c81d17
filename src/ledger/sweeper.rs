//! When the writer thread removes what need not be kept: while nobody waits, or for a small share of its time.
//!
//! Once a minute it looks whether there is anything to remove, and then takes one small step after the other with rests
//! between them, short ones while the ledger is idle and long ones while it is not. What a step does is left to `sweep`,
//! what time it is to `clock`.

use std::time::{Duration, Instant};

use super::options::Retention;
use super::store::Store;
use super::sweep::Removed;

/// The retention at work.
pub(super) struct Sweeper {
    retention: Retention,
    /// When the next step may be taken.
    due: Instant,
    /// What was removed since there was last nothing to remove.
    removed: Removed,
}

/// How often it is looked for something to remove.
const EVERY: Duration = Duration::from_secs(60);

/// The rest after a step, in multiples of the time it took: a step has half of the time that nobody else needs, and a
/// twentieth of the time that somebody does.
const REST_WHEN_IDLE: u32 = 1;
const REST_WHEN_BUSY: u32 = 19;

impl Sweeper {
    pub(super) fn new(retention: Retention) -> Self {
        Self {
            retention,
            due: Instant::now(),
            removed: Removed::default(),
        }
    }

    /// How long there is nothing to do; `None` for ever.
    pub(super) fn pause(&self) -> Option<Duration> {
        (!self.retention.is_unlimited()).then(|| self.due.saturating_duration_since(Instant::now()))
    }

    pub(super) fn is_due(&self) -> bool {
        self.pause().is_some_and(|pause| pause.is_zero())
    }

    /// There may be something to remove.
    pub(super) fn look_now(&mut self) {
        self.due = Instant::now();
    }

    /// Takes one step at `now_ms`; if that is not known, nothing is old.
    pub(super) fn step(&mut self, store: &mut Store, idle: bool, now_ms: Option<i64>) {
        let begun = Instant::now();
        match store.sweep(&self.retention, now_ms) {
            Ok(removed) if removed.is_nothing() => {
                self.report();
                self.due = Instant::now() + EVERY;
            }
            Ok(removed) => {
                self.removed.add(removed);
                let rest = if idle { REST_WHEN_IDLE } else { REST_WHEN_BUSY };
                let end = Instant::now();
                self.due = end + end.saturating_duration_since(begun) * rest;
            }
            Err(error) => {
                tracing::warn!(error = %error, "old records cannot be removed from the ledger; tried again in a minute");
                self.due = Instant::now() + EVERY;
            }
        }
    }

    fn report(&mut self) {
        let removed = std::mem::take(&mut self.removed);
        if removed.exchanges > 0 || removed.payloads > 0 {
            tracing::info!(
                exchanges = removed.exchanges,
                payloads = removed.payloads,
                pages_given_back = removed.pages,
                "what need not be kept was removed from the ledger"
            );
        }
    }

    /// Takes steps until there is nothing to remove at `now_ms`.
    #[cfg(test)]
    pub(super) fn run(&self, store: &mut Store, now_ms: Option<i64>) -> Removed {
        let mut all = Removed::default();
        loop {
            let removed = store.sweep(&self.retention, now_ms).unwrap_or_default();
            if removed.is_nothing() {
                return all;
            }
            all.add(removed);
        }
    }
}
