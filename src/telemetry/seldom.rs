//! Something that can happen ten thousand times a second and deserves a line every ten seconds.
//!
//! The first is told at once; what follows is counted, and told with its number when there is time for another line.
//! Nothing goes untold: whoever keeps one of these asks it now and then for the rest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts what is not told yet.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

/// The time between two lines.
const PAUSE: Duration = Duration::from_secs(10);

impl Seldom {
    /// It happened. How often since the last line, if there is to be one now.
    #[must_use]
    pub fn note(&self, now: Instant) -> Option<u64> {
        let mut state = self.lock();
        state.untold += 1;
        state.tell(now)
    }

    /// How often it happened since the last line, if there is to be one now.
    #[must_use]
    pub fn rest(&self, now: Instant) -> Option<u64> {
        self.lock().tell(now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, now: Instant) -> Option<u64> {
        let is_due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= PAUSE);
        if self.untold == 0 || !is_due {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_with_its_number() {
        let seldom = Seldom::default();
        let start = Instant::now();
        assert_eq!(seldom.rest(start), None);
        assert_eq!(seldom.note(start), Some(1));
        for _ in 0..1000 {
            assert_eq!(seldom.note(start + PAUSE / 2), None);
        }
        assert_eq!(seldom.rest(start + PAUSE / 2), None);
        assert_eq!(seldom.rest(start + PAUSE), Some(1000));
        assert_eq!(seldom.rest(start + 3 * PAUSE), None);
        assert_eq!(seldom.note(start + 3 * PAUSE), Some(1));
    }
}
