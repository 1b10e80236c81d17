//! What is told of a rule and one of its keys: the JSON of `tollgate budgets` and of the admin port.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rule::{Counts, Key};
use super::state::{RuleState, Standing};
use super::window::Zone;

/// A rule and one of its keys. Amounts are decimal numbers; money is in US dollars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The rule.
    pub rule: String,
    /// What it is kept for, by the names of `per`; null values were unknown. `None`: nothing has been counted yet.
    pub key: Option<BTreeMap<String, Option<String>>>,
    /// What is counted: the key of the configuration.
    pub counts: String,
    /// `enforce` or `shadow`.
    pub mode: String,
    /// `minute`, `hour`, `day`, `month`, a length such as `24h`; `None` for concurrent calls.
    pub window: Option<String>,
    /// The zone of the window.
    pub zone: Option<String>,
    /// RFC 3339: records since then are counted.
    pub window_start: Option<String>,
    /// What settled calls have spent.
    pub spent: String,
    /// What running calls have reserved.
    pub reserved: String,
    /// How much there may be.
    pub limit: String,
    /// What is spent, as a percentage of the limit, rounded down.
    pub percent: u64,
    /// What will be spent at the end of the window if it goes on as until now.
    pub forecast: Option<String>,
    /// RFC 3339: when the window is over.
    pub resets_at: Option<String>,
    /// Calls that this rule refused, whatever their key, since the gate started.
    pub refused: u64,
    /// Calls that it would have refused, were it not in shadow.
    pub would_have_refused: u64,
}

/// A rule and all of its keys together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The rule.
    pub rule: String,
    /// What is counted.
    pub counts: Counts,
    /// What the settled calls of all keys have spent; money in picodollars, as everything here.
    pub spent: u128,
    /// What their running calls have reserved.
    pub reserved: u128,
    /// How much there may be for each key.
    pub limit: u128,
    /// What the key that has taken most has spent and reserved.
    pub fullest: u128,
    /// How many keys there are.
    pub keys: usize,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls that a rule in shadow would have refused.
    pub would_have_refused: u64,
}

impl Total {
    pub(super) fn of(state: &RuleState, now_ms: i64) -> Self {
        let mut total = Self {
            rule: state.rule.name.clone(),
            counts: state.rule.limit.counts,
            spent: 0,
            reserved: 0,
            limit: state.rule.limit.most.into(),
            fullest: 0,
            keys: 0,
            refused: state.refused,
            would_have_refused: state.would_have_refused,
        };
        for (_, Standing { spent, reserved }) in state.standings(now_ms) {
            total.spent += spent;
            total.reserved += reserved;
            total.fullest = total.fullest.max(spent + reserved);
            total.keys += usize::from(spent + reserved > 0);
        }
        total
    }
}

impl Report {
    pub(super) fn of(state: &RuleState, now_ms: i64) -> Vec<Self> {
        let mut keys: Vec<(&Key, Standing)> = state.standings(now_ms).collect();
        // What is kept for late calls alone is nobody's business.
        keys.retain(|(_, standing)| *standing != Standing::default());
        if keys.is_empty() {
            return vec![Self::one(state, None, Standing::default(), now_ms)];
        }
        keys.sort_by(|(a, left), (b, right)| right.spent.cmp(&left.spent).then_with(|| a.cmp(b)));
        let reports = keys.into_iter();
        reports
            .map(|(key, standing)| Self::one(state, Some(key), standing, now_ms))
            .collect()
    }

    fn one(state: &RuleState, key: Option<&Key>, standing: Standing, now_ms: i64) -> Self {
        let rule = &state.rule;
        let counts = rule.limit.counts;
        let most = u128::from(rule.limit.most);
        let window = rule.window.as_ref();
        let begins = window.map(|window| window.begins(now_ms));
        let ends = window.and_then(|window| window.ends(now_ms));
        let utc = Zone::utc();
        let zone = window.and_then(|window| window.zone());
        let say = |at_ms: i64| zone.unwrap_or(&utc).rfc3339(at_ms);
        let used = match counts {
            Counts::Concurrent => standing.reserved,
            _ => standing.spent,
        };
        let key = key.map(|key| {
            let parts = rule.per.iter().zip(&key.0);
            let parts = parts.map(|(part, value)| {
                let value = value.as_deref().map(str::to_owned);
                (part.name().into_owned(), value)
            });
            parts.collect()
        });
        Self {
            rule: rule.name.clone(),
            // A rule without `per` is one budget whether or not anything was counted.
            key: key.or_else(|| rule.per.is_empty().then(BTreeMap::new)),
            counts: counts.name().to_owned(),
            mode: rule.mode.as_str().to_owned(),
            window: window.map(|window| window.name().to_owned()),
            zone: zone.map(|zone| zone.name().to_owned()),
            window_start: begins.map(say),
            spent: counts.number(standing.spent),
            reserved: counts.number(standing.reserved),
            limit: counts.number(most),
            percent: percent(used, most),
            forecast: forecast(standing.spent, begins, ends, now_ms).map(|sum| counts.number(sum)),
            resets_at: ends.map(say),
            refused: state.refused,
            would_have_refused: state.would_have_refused,
        }
    }
}

fn percent(used: u128, most: u128) -> u64 {
    let percent = used.saturating_mul(100).checked_div(most);
    // Of nothing, anything is all.
    let percent = percent.unwrap_or(if used > 0 { 100 } else { 0 });
    u64::try_from(percent).unwrap_or(u64::MAX)
}

/// As much again in the time that is left as was spent in the time that is gone, in proportion.
fn forecast(spent: u128, begins: Option<i64>, ends: Option<i64>, now_ms: i64) -> Option<u128> {
    let (begins, ends) = (begins?, ends?);
    let gone = u128::try_from(now_ms - begins)
        .ok()
        .filter(|gone| *gone > 0)?;
    let length = u128::try_from(ends - begins).ok()?;
    Some(spent.checked_mul(length)? / gone)
}
