//! What is spent and reserved under one rule, by key and slot of time.
//!
//! A slot is a whole window of the calendar, or the sixtieth of a rolling one. What is over is forgotten, and so is a key
//! with nothing left in it; the number of keys is bounded, and those beyond share one budget: to forget one that has spent
//! would be to give it a new one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::rule::{Counts, Key, Rule};
use super::window::{HOUR, Span, Window};

/// Most keys of a rule that have a budget of their own.
pub(super) const MAX_KEYS: usize = 64 * 1024;

/// The value that stands for all keys beyond.
const OTHERS: &str = "(all others)";

/// Everything that is known under a rule.
#[derive(Debug)]
pub(super) struct RuleState {
    pub(super) id: u64,
    pub(super) rule: Arc<Rule>,
    keys: HashMap<Key, BTreeMap<i64, Slot>>,
    /// The latest that calls arrived: what is over is told by it.
    latest_ms: i64,
    /// When keys were last looked through for what is over.
    swept_ms: i64,
    /// Calls that were refused.
    pub(super) refused: u64,
    /// Calls that a rule in shadow would have refused.
    pub(super) would_have_refused: u64,
    pub(super) replay: Replay,
}

/// Whether rows of the ledger belong in here.
#[derive(Debug)]
pub(super) enum Replay {
    /// They were read.
    Done,
    /// They are to be read, and no call has been settled yet.
    First,
    /// They are to be read while calls go on; these were settled meanwhile, and their rows count no second time.
    Beside(HashSet<Box<str>>),
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    to_ms: i64,
    /// Of settled calls.
    spent: u128,
    /// By calls that run.
    reserved: u128,
}

/// What counts at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) spent: u128,
    pub(super) reserved: u128,
}

/// Where an amount was put, to be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: Key,
    pub(super) slot: i64,
}

/// The slot of what has no window.
const ALWAYS: Span = Span {
    from_ms: 0,
    to_ms: i64::MAX,
};

impl RuleState {
    pub(super) fn new(id: u64, rule: Arc<Rule>, replay: Replay) -> Self {
        // Nothing of what only runs stands in the ledger.
        let replay = match rule.limit.counts {
            Counts::Concurrent => Replay::Done,
            _ => replay,
        };
        Self {
            id,
            rule,
            keys: HashMap::new(),
            latest_ms: i64::MIN,
            swept_ms: i64::MIN,
            refused: 0,
            would_have_refused: 0,
            replay,
        }
    }

    /// A call arrived at `at_ms`, perhaps a while ago.
    pub(super) fn saw(&mut self, at_ms: i64) {
        self.latest_ms = self.latest_ms.max(at_ms);
        self.sweep_now_and_then();
    }

    /// What time it is, from somebody who knows: a clock that was ahead and is set right again is believed.
    pub(super) fn is_now(&mut self, now_ms: i64) {
        self.latest_ms = now_ms;
        self.sweep_now_and_then();
    }

    /// Where a call that arrived at `at_ms` is counted.
    pub(super) fn place(&self, mut key: Key, at_ms: i64) -> Place {
        if self.keys.len() >= MAX_KEYS && !self.keys.contains_key(&key) {
            for part in &mut key.0 {
                *part = Some(OTHERS.into());
            }
        }
        let slot = self.span(self.counted_at(at_ms)).from_ms;
        Place { key, slot }
    }

    /// What counts against a call that is counted in `place`.
    pub(super) fn standing(&self, place: &Place) -> Standing {
        let Some(slots) = self.keys.get(&place.key) else {
            return Standing::default();
        };
        let Some(Window::Rolling(_)) = self.rule.window else {
            let slot = slots.get(&place.slot).copied().unwrap_or_default();
            return Standing {
                spent: slot.spent,
                reserved: slot.reserved,
            };
        };
        // Later slots, too: a window that ends after a call that comes late has both in it.
        let begins = self.begins(place.slot);
        let mut standing = Standing::default();
        for slot in slots.range(begins..).map(|(_, slot)| slot) {
            standing.spent += slot.spent;
            standing.reserved += slot.reserved;
        }
        standing
    }

    /// How long until `wanted` of what is spent in the window counts no more, from `at_ms`.
    pub(super) fn frees_ms(&self, place: &Place, wanted: u128, at_ms: i64) -> Option<i64> {
        let window = self.rule.window.as_ref()?;
        let begins = self.begins(place.slot);
        let slots = self.keys.get(&place.key)?.range(begins..);
        let mut freed = 0;
        for (_, slot) in slots {
            freed += slot.spent + slot.reserved;
            if freed >= wanted {
                return Some(window.expires(slot.to_ms).saturating_sub(at_ms));
            }
        }
        None
    }

    pub(super) fn reserve(&mut self, place: &Place, amount: u64) {
        self.slot(place).reserved += u128::from(amount);
    }

    /// Takes back what was reserved.
    pub(super) fn release(&mut self, place: &Place, amount: u64) {
        if let Some(slots) = self.keys.get_mut(&place.key) {
            if let Some(slot) = slots.get_mut(&place.slot) {
                slot.reserved = slot.reserved.saturating_sub(u128::from(amount));
                if slot.spent == 0 && slot.reserved == 0 {
                    slots.remove(&place.slot);
                }
            }
            if slots.is_empty() {
                self.keys.remove(&place.key);
            }
        }
    }

    pub(super) fn spend(&mut self, place: &Place, amount: u64) {
        if amount > 0 {
            self.slot(place).spent += u128::from(amount);
        }
    }

    /// A row of the ledger, in the window that its own time lies in.
    pub(super) fn replay(&mut self, key: Key, at_ms: i64, amount: u64) {
        let mut place = self.place(key, at_ms);
        place.slot = self.span(at_ms).from_ms;
        self.spend(&place, amount);
    }

    /// Every key and what counts for it now.
    pub(super) fn standings(&self, now_ms: i64) -> impl Iterator<Item = (&Key, Standing)> {
        let slot = self.span(now_ms).from_ms;
        self.keys.keys().map(move |key| {
            let place = Place {
                key: key.clone(),
                slot,
            };
            (key, self.standing(&place))
        })
    }

    /// Forgets what is over; not with every call, for there may be many keys.
    fn sweep_now_and_then(&mut self) {
        let length = self
            .rule
            .window
            .as_ref()
            .map_or(i64::MAX, Window::longest_ms);
        let pause = (length / 4).min(HOUR);
        if self.swept_ms > self.latest_ms || self.latest_ms.saturating_sub(self.swept_ms) > pause {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let Some(window) = &self.rule.window else {
            return;
        };
        self.swept_ms = self.latest_ms;
        let over = self.latest_ms.saturating_sub(window.grace_ms());
        self.keys.retain(|_, slots| {
            slots.retain(|_, slot| slot.reserved > 0 || window.expires(slot.to_ms) > over);
            !slots.is_empty()
        });
    }

    fn slot(&mut self, place: &Place) -> &mut Slot {
        let window = self.rule.window.as_ref();
        let slots = self.keys.entry(place.key.clone()).or_default();
        slots.entry(place.slot).or_insert_with(|| Slot {
            to_ms: span(window, place.slot).to_ms,
            ..Slot::default()
        })
    }

    fn span(&self, at_ms: i64) -> Span {
        span(self.rule.window.as_ref(), at_ms)
    }

    fn begins(&self, slot: i64) -> i64 {
        let window = self.rule.window.as_ref();
        window.map_or(ALWAYS.from_ms, |window| window.begins(slot))
    }

    fn grace_ms(&self) -> i64 {
        let window = self.rule.window.as_ref();
        window.map_or(0, Window::grace_ms)
    }

    /// When a call is taken to have arrived: what was before that may be forgotten.
    fn counted_at(&self, at_ms: i64) -> i64 {
        at_ms.max(self.latest_ms.saturating_sub(self.grace_ms()))
    }
}

fn span(window: Option<&Window>, at_ms: i64) -> Span {
    window.map_or(ALWAYS, |window| window.slot(at_ms))
}
