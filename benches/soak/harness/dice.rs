//! Chance that can be repeated: SplitMix64 (Steele, Lea, Flood 2014), seeded once a run and once a client.
//!
//! The same seed makes every client do the same things in the same order; what the scheduler makes of it is another
//! matter.

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of its own for the `n`th of many.
    pub(crate) fn apart(&self, n: u64) -> Self {
        let mut own = Self(self.0 ^ n.wrapping_mul(0xd6e8_feb8_6659_fd93));
        own.roll();
        own
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low + self.roll() % span.max(1)
    }

    /// [`Dice::between`] for sizes.
    pub(crate) fn size(&mut self, low: usize, high: usize) -> usize {
        let wide = |size| u64::try_from(size).unwrap_or(u64::MAX);
        usize::try_from(self.between(wide(low), wide(high))).unwrap_or(low)
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }

    /// One of `choices`, the first if there is only that.
    pub(crate) fn pick<'a, T>(&mut self, first: &'a T, others: &'a [T]) -> &'a T {
        match self.size(0, others.len()) {
            0 => first,
            n => others.get(n - 1).unwrap_or(first),
        }
    }

    /// One of `choices`, each as often as its weight says; `otherwise` when there are none.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)], otherwise: T) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.between(1, total.max(1));
        for (weight, choice) in choices {
            if left <= *weight {
                return *choice;
            }
            left -= weight;
        }
        otherwise
    }
}
