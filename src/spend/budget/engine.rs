//! All rules together: what decides whether a call may pass, and what is told of them.
//!
//! One lock, held for the time of a look-up in a few tables. Which rules are for a call is found out before it is taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use time::OffsetDateTime;

use super::admission::{Admission, Hold};
use super::refusal::{Met, Refusal, RefusalKind};
use super::report::{Report, Total};
use super::rule::{Asked, Mode, OnExceeded, Rule, is_free};
use super::state::{Replay, RuleState};
use super::window::{instant, unix_ms};
use super::{Ask, Spent, Subject};
use crate::spend::cost::Usd;

/// The rules, and what is spent under them.
#[derive(Debug, Default)]
pub struct Budgets {
    /// There is a rule: without one nothing is looked at.
    any: AtomicBool,
    rules: RwLock<Rules>,
    states: Mutex<States>,
}

/// Each rule with the number of its state.
type Rules = Arc<[(u64, Arc<Rule>)]>;

#[derive(Debug, Default)]
struct States {
    by_id: BTreeMap<u64, RuleState>,
    next_id: u64,
}

impl Budgets {
    /// Nothing is spent yet; rows of the ledger may be [replayed](Self::replay).
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let budgets = Self::default();
        budgets.exchange(rules, || Replay::First);
        budgets
    }

    /// Other rules. One that has the same name and measures the same keeps what is spent and reserved; what is spent under
    /// all others is to be [replayed](Self::replay_row) from the ledger, while calls go on, until
    /// [`replayed`](Self::replayed). True if there are any.
    pub fn replace(&self, rules: Vec<Rule>) -> bool {
        self.exchange(rules, || Replay::Beside(Default::default()))
    }

    fn exchange(&self, rules: Vec<Rule>, replay: impl Fn() -> Replay) -> bool {
        let mut states = self.lock();
        let mut before = std::mem::take(&mut states.by_id);
        let mut known = Vec::with_capacity(rules.len());
        let mut wanting = false;
        for rule in rules.into_iter().map(Arc::new) {
            let kept = before.iter().find_map(|(id, state)| {
                let same = state.rule.name == rule.name && state.rule.measures_as(&rule);
                same.then_some(*id)
            });
            let state = match kept.and_then(|id| before.remove(&id)) {
                Some(mut state) => {
                    state.rule = Arc::clone(&rule);
                    state
                }
                None => {
                    states.next_id += 1;
                    RuleState::new(states.next_id, Arc::clone(&rule), replay())
                }
            };
            wanting |= !matches!(state.replay, Replay::Done);
            known.push((state.id, rule));
            states.by_id.insert(state.id, state);
        }
        self.any.store(!known.is_empty(), Ordering::Release);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = known.into();
        wanting
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Whether the beginning of the body is worth a look: a rule that may be for `subject` depends on what is in it.
    #[must_use]
    pub fn wants_body(&self, subject: &Subject<'_>) -> bool {
        !self.is_empty()
            && self
                .rules()
                .iter()
                .any(|(_, rule)| rule.may_match(subject) && rule.wants_body(subject))
    }

    /// Decides about a call that arrived at `at`, which is the time of its record. `price` tells what so many input and
    /// output tokens of its model cost; `None`: there is no price.
    ///
    /// # Errors
    /// [`Refusal`]: a rule is spent. One that waiting does not help is told before one that it does.
    pub fn admit(
        self: &Arc<Self>,
        subject: &Subject<'_>,
        ask: &Ask,
        price: &dyn Fn(u64, u64) -> Option<Usd>,
        at: OffsetDateTime,
    ) -> Result<Admission, Refusal> {
        let at_ms = unix_ms(at);
        let mut admission = Admission::new(Arc::clone(self), at_ms);
        if self.is_empty() {
            return Ok(admission);
        }
        let rules = self.rules();
        let wanted: Vec<_> = rules
            .iter()
            .filter(|(_, rule)| rule.matches(subject))
            .map(|(id, rule)| (*id, rule.key(subject), rule.asked(subject, ask, price)))
            .collect();
        let mut states = self.lock();
        let mut refusals: Vec<(u64, Refusal)> = Vec::new();
        for (id, key, asked) in wanted {
            let Some(state) = states.by_id.get_mut(&id) else {
                continue;
            };
            state.saw(at_ms);
            let rule = Arc::clone(&state.rule);
            let place = state.place(key, at_ms);
            let standing = state.standing(&place);
            let most = u128::from(rule.limit.most);
            let left = most.saturating_sub(standing.spent + standing.reserved);
            let amount = asked.of_what_is_left(u64::try_from(left).unwrap_or(u64::MAX));
            let needed = standing.spent + standing.reserved + u128::from(amount);
            // A budget that is spent admits nothing that could cost, not even what is thought to count for nothing.
            let is_spent = rule.window.is_some() && standing.spent >= most;
            let is_over = needed > most || (is_spent && !is_free(subject));
            let met = Met {
                rule: &rule,
                key: &place.key,
                standing,
                asked: amount,
                at_ms,
                frees_ms: is_over
                    .then(|| state.frees_ms(&place, needed.saturating_sub(most), at_ms))
                    .flatten(),
            };
            let refusal = match asked {
                Asked::Unpriced => Some(met.unpriced(subject.model_name.or(subject.model))),
                Asked::Amount { .. } => is_over.then(|| met.refusal()),
            };
            match refusal {
                Some(refusal) if rule.mode == Mode::Enforce => refusals.push((id, refusal)),
                Some(_) => {
                    state.would_have_refused += 1;
                    admission.shadowed.push(rule.name.clone());
                }
                None => {}
            }
            admission.note_warnings(&rule, standing.spent);
            admission.holds.push(Hold {
                id,
                place,
                amount: AtomicU64::new(amount),
            });
        }
        if !refusals.is_empty() {
            // What was noted of shadows stands; nothing is reserved.
            admission.holds.clear();
            for (id, _) in &refusals {
                if let Some(state) = states.by_id.get_mut(id) {
                    state.refused += 1;
                }
            }
            drop(states);
            let worst = refusals.into_iter().map(|(_, refusal)| refusal);
            let worst = worst
                .max_by_key(|refusal| (refusal.kind == RefusalKind::Spent, refusal.retry_after));
            return worst.map_or(Ok(admission), Err);
        }
        for hold in &admission.holds {
            if let Some(state) = states.by_id.get_mut(&hold.id) {
                state.reserve(&hold.place, hold.held());
            }
        }
        drop(states);
        Ok(admission)
    }

    /// The record of a call that was admitted before there were rules: it counts as a replay of the ledger would count it.
    pub fn count(&self, id: &str, subject: &Subject<'_>, spent: &Spent, at: OffsetDateTime) {
        if !self.is_empty() {
            self.settle(&[], (id, unix_ms(at)), subject, spent, |_, _, _| {});
        }
    }

    /// A row of the ledger whose time is `at`, under every rule that waits for rows.
    pub fn replay(&self, subject: &Subject<'_>, spent: &Spent, at: OffsetDateTime) {
        self.replay_row("", subject, spent, unix_ms(at));
    }

    /// As [`replay`](Self::replay), for the record `id`, `at_ms` milliseconds since 1970: one that was settled after the
    /// rules were replaced is not counted again.
    pub fn replay_row(&self, id: &str, subject: &Subject<'_>, spent: &Spent, at_ms: i64) {
        let rules = self.rules();
        let mut states = self.lock();
        for (number, rule) in rules.iter() {
            let Some(state) = states.by_id.get_mut(number) else {
                continue;
            };
            let wanted = match &state.replay {
                Replay::Done => false,
                Replay::First => true,
                Replay::Beside(settled) => !settled.contains(id),
            };
            if wanted && rule.matches(subject) {
                state.replay(rule.key(subject), at_ms, rule.spent(spent));
            }
        }
    }

    /// All rows that matter were replayed.
    pub fn replayed(&self) {
        for state in self.lock().by_id.values_mut() {
            state.replay = Replay::Done;
        }
    }

    /// The first instant whose rows matter to a rule that waits for rows, when it is `now`.
    #[must_use]
    pub fn needs_since(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let now_ms = unix_ms(now);
        let states = self.lock();
        let waiting = states.by_id.values();
        let waiting = waiting.filter(|state| !matches!(state.replay, Replay::Done));
        let begins = waiting.filter_map(|state| Some(state.rule.window.as_ref()?.begins(now_ms)));
        begins.min().and_then(instant)
    }

    /// Whether a rule looks at tags, which take time to read from a row.
    #[must_use]
    pub fn uses_tags(&self) -> bool {
        self.rules().iter().any(|(_, rule)| rule.uses_tags())
    }

    /// What time it is. To be told every now and then, so that what is over is forgotten, and a clock that was set back is
    /// believed.
    pub fn keep_time(&self, now: OffsetDateTime) {
        if !self.is_empty() {
            let now_ms = unix_ms(now);
            let mut states = self.lock();
            states
                .by_id
                .values_mut()
                .for_each(|state| state.is_now(now_ms));
        }
    }

    /// What is spent, reserved and left under each rule for each of its keys, when it is `now`.
    #[must_use]
    pub fn report(&self, now: OffsetDateTime) -> Vec<Report> {
        let now_ms = unix_ms(now);
        let rules = self.rules();
        let mut states = self.lock();
        let mut reports = Vec::new();
        for (id, _) in rules.iter() {
            if let Some(state) = states.by_id.get_mut(id) {
                state.is_now(now_ms);
                reports.extend(Report::of(state, now_ms));
            }
        }
        reports
    }

    /// The same for all keys of each rule together.
    #[must_use]
    pub fn totals(&self, now: OffsetDateTime) -> Vec<Total> {
        let now_ms = unix_ms(now);
        let rules = self.rules();
        let mut states = self.lock();
        let mut totals = Vec::new();
        for (id, _) in rules.iter() {
            if let Some(state) = states.by_id.get_mut(id) {
                state.is_now(now_ms);
                totals.push(Total::of(state, now_ms));
            }
        }
        totals
    }

    /// Takes back what `holds` reserve.
    pub(super) fn release(&self, holds: &[Hold], spend: impl Fn(&Rule) -> u64) {
        let mut states = self.lock();
        for hold in holds {
            if let Some(state) = states.by_id.get_mut(&hold.id) {
                let amount = spend(&state.rule);
                state.spend(&hold.place, amount);
                state.release(&hold.place, hold.held());
            }
        }
    }

    /// As [`release`](Self::release), but what is spent counts under every rule that is for `subject` now, once. What it
    /// brought each place to is told to `seen`.
    pub(super) fn settle(
        &self,
        holds: &[Hold],
        (record, at_ms): (&str, i64),
        subject: &Subject<'_>,
        spent: &Spent,
        mut seen: impl FnMut(&Rule, u128, u128),
    ) {
        let rules = self.rules();
        let mut states = self.lock();
        for (id, rule) in rules.iter().filter(|(_, rule)| rule.matches(subject)) {
            let Some(state) = states.by_id.get_mut(id) else {
                continue;
            };
            if let Replay::Beside(settled) = &mut state.replay {
                settled.insert(record.into());
            }
            let mut place = state.place(rule.key(subject), at_ms);
            if let Some(hold) = holds.iter().find(|hold| hold.id == *id) {
                place.slot = hold.place.slot;
            }
            let before = state.standing(&place).spent;
            state.spend(&place, rule.spent(spent));
            seen(rule, before, state.standing(&place).spent);
        }
        for hold in holds {
            if let Some(state) = states.by_id.get_mut(&hold.id) {
                state.release(&hold.place, hold.held());
            }
        }
    }

    /// A rule that ends streams and is spent once a running call has taken `so_far`; what the call holds grows with what it
    /// has taken.
    pub(super) fn exceeded(&self, holds: &[Hold], so_far: &Spent, at_ms: i64) -> Option<Refusal> {
        let mut states = self.lock();
        let mut met = None;
        for hold in holds {
            let Some(state) = states.by_id.get_mut(&hold.id) else {
                continue;
            };
            let rule = Arc::clone(&state.rule);
            let taken = rule.spent(so_far);
            let held = hold.amount.fetch_max(taken, Ordering::Relaxed);
            state.reserve(&hold.place, taken.saturating_sub(held));
            let standing = state.standing(&hold.place);
            let cuts = rule.on_exceeded == OnExceeded::Cut && rule.mode == Mode::Enforce;
            let most = u128::from(rule.limit.most);
            if met.is_none() && cuts && standing.spent + u128::from(taken) > most {
                let refusal = Met {
                    rule: &rule,
                    key: &hold.place.key,
                    standing,
                    asked: taken,
                    at_ms,
                    frees_ms: state.frees_ms(&hold.place, u128::from(taken), at_ms),
                };
                met = Some(refusal.exceeded(taken));
                state.refused += 1;
            }
        }
        met
    }

    fn rules(&self) -> Rules {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
