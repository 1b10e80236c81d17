//! A call that was let through, and what it holds until it is settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::engine::Budgets;
use super::refusal::Refusal;
use super::rule::{Counts, Rule};
use super::state::Place;
use super::{Spent, Subject};

/// The tag of records whose call found a soft threshold reached: rules with the highest percentage each.
pub const WARNING_TAG: &str = "tollgate-budget-warning";

/// The tag of records whose call a rule in shadow would have refused: the rules.
pub const SHADOW_TAG: &str = "tollgate-budget-shadow";

/// What a call reserves. Dropped, it gives that back with nothing spent, but the call itself is counted: its record will be.
#[must_use = "what is reserved is given back as soon as this is dropped"]
#[derive(Debug)]
pub struct Admission {
    budgets: Arc<Budgets>,
    pub(super) holds: Vec<Hold>,
    pub(super) shadowed: Vec<String>,
    warnings: Vec<(String, u32)>,
    at_ms: i64,
}

/// What is reserved under one rule.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) id: u64,
    pub(super) place: Place,
    /// Grows with what a running call has taken; only ever changed under the lock of all states.
    pub(super) amount: AtomicU64,
}

/// A soft threshold that the settlement of a call passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// The rule.
    pub rule: String,
    /// The percentage of its limit.
    pub percent: u32,
    /// What is spent now, as people read it.
    pub spent: String,
    /// The limit, likewise.
    pub limit: String,
}

impl Hold {
    pub(super) fn held(&self) -> u64 {
        self.amount.load(Ordering::Relaxed)
    }
}

impl Admission {
    pub(super) fn new(budgets: Arc<Budgets>, at_ms: i64) -> Self {
        Self {
            budgets,
            holds: Vec::new(),
            shadowed: Vec::new(),
            warnings: Vec::new(),
            at_ms,
        }
    }

    /// What belongs among the tags of the record.
    #[must_use]
    pub fn tags(&self) -> Vec<(&'static str, String)> {
        let mut tags = Vec::new();
        if !self.warnings.is_empty() {
            let warnings = self.warnings.iter();
            let warnings = warnings.map(|(rule, percent)| format!("{rule} {percent}%"));
            tags.push((WARNING_TAG, warnings.collect::<Vec<_>>().join(", ")));
        }
        if !self.shadowed.is_empty() {
            tags.push((SHADOW_TAG, self.shadowed.join(", ")));
        }
        tags
    }

    /// The true usage, under the rules that the call was admitted by and in the windows of the time of its admission.
    pub fn settle(mut self, spent: &Spent) {
        let holds = std::mem::take(&mut self.holds);
        self.budgets.release(&holds, |rule| rule.spent(spent));
    }

    /// The record of the call: its id, and whom and what it is of in the end. It counts exactly where a replay of the ledger
    /// would count it, whatever was known when it was admitted, and under rules that were replaced meanwhile. Tells which
    /// soft thresholds this passed.
    pub fn settle_record(mut self, id: &str, subject: &Subject<'_>, spent: &Spent) -> Vec<Crossed> {
        let holds = std::mem::take(&mut self.holds);
        let mut crossed = Vec::new();
        if holds.is_empty() && self.budgets.is_empty() {
            return crossed;
        }
        let seen = |rule: &Rule, before: u128, after: u128| {
            let passed = rule.warn_at.iter().rev();
            let mut passed = passed.filter(|percent| {
                let percent = **percent;
                !has_reached(rule, percent, before) && has_reached(rule, percent, after)
            });
            if let Some(percent) = passed.next() {
                let counts = rule.limit.counts;
                crossed.push(Crossed {
                    rule: rule.name.clone(),
                    percent: *percent,
                    spent: counts.say(after),
                    limit: counts.say(rule.limit.most.into()),
                });
            }
        };
        let record = (id, self.at_ms);
        self.budgets.settle(&holds, record, subject, spent, seen);
        crossed
    }

    /// The call was refused for another reason after all: its record counts for nothing.
    pub fn withdraw(mut self) {
        let holds = std::mem::take(&mut self.holds);
        self.budgets.release(&holds, |_| 0);
    }

    /// In mid-stream, when the call has taken `so_far`: a rule whose `on_exceeded` is `cut` is spent.
    #[must_use]
    pub fn exceeded(&self, so_far: &Spent) -> Option<Refusal> {
        if self.holds.is_empty() {
            return None;
        }
        self.budgets.exceeded(&self.holds, so_far, self.at_ms)
    }

    pub(super) fn note_warnings(&mut self, rule: &Rule, spent: u128) {
        let mut reached = rule.warn_at.iter().rev();
        if let Some(percent) = reached.find(|percent| has_reached(rule, **percent, spent)) {
            self.warnings.push((rule.name.clone(), *percent));
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if !self.holds.is_empty() {
            let call = |rule: &Rule| u64::from(rule.limit.counts == Counts::Requests);
            self.budgets.release(&self.holds, call);
        }
    }
}

fn has_reached(rule: &Rule, percent: u32, spent: u128) -> bool {
    spent.saturating_mul(100) >= u128::from(rule.limit.most).saturating_mul(percent.into())
}
