//! Many durations in little memory: counts in buckets whose width grows with what they hold.
//!
//! A bucket is 1/64 of a power of two of microseconds wide, so that a quantile read back is at most 0.8 % off. Only
//! buckets that hold something take memory, and there are some 3,800 at most.

use std::time::Duration;

/// How long things took.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    /// Each bucket that holds something and how much, in order.
    buckets: Vec<(u16, u64)>,
    count: u64,
}

/// A power of two is divided into 2 to the power of this many buckets.
const BITS: u32 = 6;

impl Durations {
    /// Adds one, in milliseconds. What is no duration counts as none at all.
    pub fn add(&mut self, milliseconds: f64) {
        let duration = Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default();
        let bucket = bucket(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        match self.buckets.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(at) => {
                if let Some((_, count)) = self.buckets.get_mut(at) {
                    *count += 1;
                }
            }
            Err(at) => self.buckets.insert(at, (bucket, 1)),
        }
        self.count += 1;
    }

    /// The duration, in milliseconds, that `percent` of them do not exceed; `None` when there are none.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<f64> {
        let wanted = self.count.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        found.map(|(bucket, _)| Duration::from_micros(middle(*bucket)).as_secs_f64() * 1000.0)
    }
}

/// Small values have a bucket of their own; above, the highest bits decide.
fn bucket(micros: u64) -> u16 {
    let excess = (u64::BITS - micros.leading_zeros()).saturating_sub(BITS + 1);
    let bucket = (u64::from(excess) << BITS) + (micros >> excess);
    // At most 57 × 64 + 127.
    u16::try_from(bucket).unwrap_or(u16::MAX)
}

/// The value in the middle of a bucket.
fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let excess = (bucket >> BITS).saturating_sub(1);
    let lowest = (bucket - (excess << BITS)) << excess;
    lowest + ((1_u64 << excess) - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_never_further_off_than_said() {
        let mut micros = 1_u64;
        while micros < u64::MAX / 200 {
            for value in [micros - 1, micros, micros + 1] {
                let back = middle(bucket(value));
                assert!(back.abs_diff(value) * 125 <= value, "{value} {back}");
            }
            micros = micros * 5 / 4 + 1;
        }
        assert_eq!(bucket(u64::MAX), 57 * 64 + 127);
    }

    #[test]
    fn buckets_follow_each_other() {
        let mut last = bucket(0);
        for micros in 1..100_000 {
            let next = bucket(micros);
            assert!(next == last || next == last + 1, "{micros}");
            last = next;
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut durations = Durations::default();
        assert_eq!(durations.percentile(50), None);
        for ms in (1..=100).rev() {
            durations.add(f64::from(ms));
        }
        durations.add(f64::NAN);
        for (percent, expected) in [(50, 50.0), (95, 95.0), (100, 100.0)] {
            let found = durations.percentile(percent).unwrap();
            assert!(
                (found - expected).abs() <= expected * 0.01,
                "{percent}: {found}"
            );
        }
        let mut one = Durations::default();
        one.add(0.0);
        assert_eq!(one.percentile(95), Some(0.0));
    }
}
