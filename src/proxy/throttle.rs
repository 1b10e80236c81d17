//! How often somebody may be wrong about a password. Pure: the time is an argument.
//!
//! Failures are counted for a client's address together with the user it names, for the address, and for the user, each
//! with its own patience. Whoever has been wrong too often within a minute is not listened to for a while, which doubles
//! with every time that it happens again. What is counted is bounded, and forgotten when nothing more happens.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Failures by key.
#[derive(Debug)]
pub(super) struct Throttle<K> {
    /// Failures within [`WINDOW`] until a key is not listened to.
    patience: u32,
    failures: HashMap<K, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    since: Instant,
    last: Instant,
    /// How often it was not listened to before.
    times: u32,
    until: Option<Instant>,
}

/// The time in which failures add up.
const WINDOW: Duration = Duration::from_secs(60);
/// How long a key is not listened to the first time, and the longest.
const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// A key is forgotten when it did not fail for so long.
const MEMORY: Duration = Duration::from_secs(60 * 60);
/// Most keys that are remembered; the one that failed longest ago gives way.
const MOST: usize = 16 * 1024;

impl<K: Copy + Eq + Hash> Throttle<K> {
    pub(super) fn new(patience: u32) -> Self {
        Self {
            patience,
            failures: HashMap::new(),
        }
    }

    /// How long `key` is not listened to, if it is not.
    pub(super) fn shut_for(&self, key: &K, now: Instant) -> Option<Duration> {
        let until = self.failures.get(key)?.until?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// `key` was wrong.
    pub(super) fn failed(&mut self, key: K, now: Instant) {
        if !self.failures.contains_key(&key) {
            self.make_room(now);
        }
        let failures = self.failures.entry(key).or_insert(Failures {
            count: 0,
            since: now,
            last: now,
            times: 0,
            until: None,
        });
        if now.saturating_duration_since(failures.last) > MEMORY {
            failures.times = 0;
        }
        if now.saturating_duration_since(failures.since) > WINDOW {
            failures.count = 0;
            failures.since = now;
        }
        failures.count += 1;
        failures.last = now;
        if failures.count >= self.patience {
            let pause = FIRST
                .saturating_mul(1 << failures.times.min(16))
                .min(LONGEST);
            failures.until = Some(now + pause);
            failures.times += 1;
            // What comes after the pause is counted anew.
            failures.count = 0;
        }
    }

    /// `key` was right.
    pub(super) fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    fn make_room(&mut self, now: Instant) {
        if self.failures.len() < MOST {
            return;
        }
        self.failures.retain(|_, failures| {
            now.saturating_duration_since(failures.last) < WINDOW
                || failures.until.is_some_and(|until| until > now)
        });
        if self.failures.len() < MOST {
            return;
        }
        let oldest = self
            .failures
            .iter()
            .min_by_key(|(_, failures)| failures.last);
        if let Some(oldest) = oldest.map(|(key, _)| *key) {
            self.failures.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn whoever_is_wrong_too_often_is_not_listened_to_for_longer_each_time() {
        let mut throttle = Throttle::new(3);
        let mut now = Instant::now();
        for pause in [30, 60, 120, 240, 480, 900, 900] {
            for _ in 0..3 {
                assert_eq!(throttle.shut_for(&"a", now), None);
                throttle.failed("a", now);
                now += SECOND;
            }
            assert_eq!(throttle.shut_for(&"b", now), None);
            assert_eq!(throttle.shut_for(&"a", now), Some(SECOND * (pause - 1)));
            now += SECOND * (pause - 1);
        }
        assert_eq!(throttle.shut_for(&"a", now), None);
    }

    #[test]
    fn failures_far_apart_do_not_add_up_and_success_forgets_them() {
        let mut throttle = Throttle::new(3);
        let mut now = Instant::now();
        for _ in 0..20 {
            throttle.failed("a", now);
            now += WINDOW / 2 + SECOND;
        }
        assert_eq!(throttle.shut_for(&"a", now), None);
        for _ in 0..20 {
            throttle.failed("b", now);
            throttle.failed("b", now);
            throttle.succeeded(&"b");
        }
        assert_eq!(throttle.shut_for(&"b", now), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut throttle = Throttle::new(1);
        let start = Instant::now();
        for key in 0..MOST + 10 {
            throttle.failed(key, start + Duration::from_micros(key as u64));
        }
        assert_eq!(throttle.failures.len(), MOST);
        let now = start + SECOND;
        assert!(
            throttle.shut_for(&0, now).is_none() && throttle.shut_for(&(MOST + 9), now).is_some()
        );
        throttle.failed(usize::MAX, start + MEMORY);
        assert_eq!(throttle.failures.len(), 1, "what is over is forgotten");
    }
}
