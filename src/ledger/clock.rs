//! What time it is for retention: never later than an upstream has said.
//!
//! A clock that jumps ahead makes every record look old, and what was removed does not come back when the clock does. But
//! whoever answers a call says what time it is there (`Date`, RFC 9110 §6.6.1), and TLS says who that is. So age is reckoned
//! by our own clock only as far as the latest such word, carried on by the monotonic clock, agrees. A clock that is behind
//! keeps records longer and does no harm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The latest word of an upstream.
#[derive(Debug, Default)]
pub(super) struct VouchedClock {
    told: Mutex<Option<Told>>,
    /// Our own clock was found to be ahead.
    ahead: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    unix_ms: i64,
    at: Instant,
}

impl Told {
    fn by(self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.at).as_millis();
        self.unix_ms
            .saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

impl VouchedClock {
    /// An upstream said at the moment `at` that it was `unix_ms`. Whether that was the first word.
    pub(super) fn tell(&self, unix_ms: i64, at: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // One upstream whose clock is behind does not turn back what others have said.
        if told.is_none_or(|told| told.by(at) < unix_ms) {
            return told.replace(Told { unix_ms, at }).is_none();
        }
        false
    }

    /// Whether our own clock is `ahead`, and was not when that was asked before.
    pub(super) fn is_news(&self, ahead: bool) -> bool {
        self.ahead.swap(ahead, Ordering::Relaxed) != ahead && ahead
    }

    /// The time at which age is reckoned while our own clock shows `wall_ms`; `None` as long as nobody has said anything.
    pub(super) fn now(&self, wall_ms: i64, now: Instant) -> Option<i64> {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.map(|told| told.by(now).min(wall_ms))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn our_clock_is_believed_as_far_as_an_upstream_agrees() {
        let clock = VouchedClock::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(clock.now(500 * DAY, at(0)), None);
        assert!(clock.tell(100 * DAY, at(0)));
        for (wall, expected) in [(500 * DAY, 100 * DAY), (99 * DAY, 99 * DAY)] {
            assert_eq!(clock.now(wall, at(0)), Some(expected));
        }
        // Time goes on while nobody says anything.
        assert_eq!(clock.now(500 * DAY, at(86_400)), Some(101 * DAY));
        // Somebody whose clock is behind is not believed, somebody whose clock has gone on is.
        assert!(!clock.tell(50 * DAY, at(86_400)));
        assert_eq!(clock.now(500 * DAY, at(86_400)), Some(101 * DAY));
        assert!(!clock.tell(103 * DAY, at(86_400)));
        assert_eq!(clock.now(500 * DAY, at(86_400)), Some(103 * DAY));
        assert_eq!(clock.now(102 * DAY, at(86_400)), Some(102 * DAY));
    }
}
