//! Rules and callers for the tests of budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;
use time::macros::datetime;

use super::{
    Admission, Ask, Budgets, Counts, Glob, Limit, Match, Mode, OnExceeded, Per, Refusal, Report,
    Rule, Spent, Subject, Unpriced, Window, Zone,
};
use crate::spend::Usd;

/// A quarter past noon.
pub(super) const NOON: OffsetDateTime = datetime!(2026-11-27 12:15 UTC);

static NO_TAGS: BTreeMap<String, String> = BTreeMap::new();

/// A rule that is for everybody: so many of these in a day.
pub(super) fn rule(counts: Counts, most: u64) -> Rule {
    Rule {
        name: "cap".to_owned(),
        matches: Vec::new(),
        per: Vec::new(),
        limit: Limit { counts, most },
        window: (counts != Counts::Concurrent).then(|| Window::Day(Zone::utc())),
        warn_at: Vec::new(),
        mode: Mode::Enforce,
        on_exceeded: OnExceeded::Finish,
        unpriced: Unpriced::Deny,
        assume_output_tokens: 100,
    }
}

pub(super) fn only(part: Per, globs: &[&str]) -> Match {
    Match {
        part,
        globs: globs.iter().map(|glob| Glob::new(glob)).collect(),
    }
}

pub(super) fn subject(key: &str) -> Subject<'_> {
    Subject {
        access_key_id: Some(key),
        account_id: Some("123456789012"),
        api_key: None,
        proxy_user: Some("alice"),
        name: Some("search team"),
        role: None,
        model: Some("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        model_name: None,
        operation: Some("Converse"),
        region: Some("us-east-1"),
        route: None,
        tags: &NO_TAGS,
    }
}

pub(super) fn budgets(rules: impl Into<Vec<Rule>>) -> Arc<Budgets> {
    Arc::new(Budgets::new(rules.into()))
}

pub(super) fn ask(input_tokens: u64, output: u64) -> Ask {
    Ask {
        input_tokens,
        max_output_tokens: Some(output),
    }
}

pub(super) fn spent(input_tokens: u64, output_tokens: u64) -> Spent {
    Spent {
        input_tokens,
        output_tokens,
        total_tokens: input_tokens + output_tokens,
        cost: price(input_tokens, output_tokens),
    }
}

/// Two picodollars for input, ten for output.
pub(super) fn price(input: u64, output: u64) -> Option<Usd> {
    Some(Usd::from_picos(2 * input + 10 * output))
}

pub(super) fn admit(
    budgets: &Arc<Budgets>,
    key: &str,
    ask: Ask,
    at: OffsetDateTime,
) -> Result<Admission, Refusal> {
    budgets.admit(&subject(key), &ask, &price, at)
}

/// The only line of a report.
pub(super) fn line(budgets: &Budgets, now: OffsetDateTime) -> Report {
    let mut reports = budgets.report(now);
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}
