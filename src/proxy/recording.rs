//! How many records are being made, so that a stop can wait for them. Counted twice a call, hence by an atomic alone.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The records that are being made: estimated, priced, committed.
#[derive(Debug, Default)]
pub struct Recordings {
    running: AtomicUsize,
    none_left: Notify,
}

/// A record that is being made, for as long as this is not dropped.
pub(super) struct Recording<'a>(&'a Recordings);

impl Recordings {
    /// One more.
    pub(super) fn begin(&self) -> Recording<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        Recording(self)
    }

    /// How many there are.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Resolves when there are none.
    pub async fn over(&self) {
        loop {
            // Asked for before the count is looked at, so that the last one's end is not missed.
            let none_left = self.none_left.notified();
            if self.running() == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn it_is_over_when_the_last_one_is() {
        let recordings = Recordings::default();
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(recordings.over()).poll(&mut context).is_ready());
        let (first, second) = (recordings.begin(), recordings.begin());
        let mut over = pin!(recordings.over());
        assert_eq!(recordings.running(), 2);
        for recording in [first, second] {
            assert_eq!(over.as_mut().poll(&mut context), Poll::Pending);
            drop(recording);
        }
        assert!(over.poll(&mut context).is_ready());
        // Between the look at the count and the wait.
        let last = recordings.begin();
        let mut over = pin!(recordings.over());
        assert!(over.as_mut().poll(&mut context).is_pending());
        drop(last);
        let next = recordings.begin();
        assert!(over.as_mut().poll(&mut context).is_pending());
        drop(next);
        assert!(over.poll(&mut context).is_ready());
    }
}
