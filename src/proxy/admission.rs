//! Whether a call may pass the budgets, what that reserves, and what it has spent in the end.
//!
//! Asked before an upstream connection is checked out, and only where there are rules. Who calls for what is told by the
//! record as far as it is known, under the same names that the ledger will have; what the call may come to by the body,
//! of which the beginning is looked at where a rule depends on it. The reservation goes with the meter, and is settled from
//! the finished record just before that is committed. The arithmetic is `spend::budget`'s.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Services;
use super::meter::{Arrival, Meter};
use super::peek::{NoPeek, peek};
use super::pieces::ClientReader;
use super::redact;
use super::reply::{Kind, Reply};
use super::route::Plan;
use super::settle::{self, Terms};
use crate::config::Policy;
use crate::ledger::UsageRecord;
use crate::spend::budget::{Admission, Ask, Budgets, Refusal, RefusalKind, SHADOW_TAG, Spent};
use crate::spend::{PricedCall, Usd};
use crate::telemetry::Seldom;
use crate::usage::TokenUsage;
use crate::usage::outlook::{Outlook, OutlookReader, generates_nothing};
use crate::wire::http1::{MessageFraming, RequestHead, Version};

/// The tag of records that met a limit: the rule.
pub(super) const RULE_TAG: &str = "tollgate-rule";

/// A call at the gate.
pub(super) struct Caller<'a> {
    pub(super) services: &'a Services,
    pub(super) policy: &'a Policy,
    pub(super) arrival: Arrival,
    pub(super) head: &'a RequestHead,
    pub(super) plan: &'a Plan,
    pub(super) meter: &'a Meter<'a>,
}

/// Why a call is not let through.
pub(super) enum NotAdmitted {
    /// It is answered by us.
    Refused(Reply),
    /// Nobody is left to be answered.
    ClientGone,
}

/// Whether there is anything to ask: it is a call of AWS, and there are rules. One that AWS does not charge for counts as
/// a call, and for nothing else.
pub(super) fn concerns(services: &Services, plan: &Plan) -> bool {
    !services.budgets.is_empty() && plan.observed && plan.call.is_some()
}

impl Caller<'_> {
    /// Asks the budgets, after a look at the body if that matters to them. What they reserve is the meter's to hold.
    pub(super) async fn admit(&self, client: &mut ClientReader) -> Result<(), NotAdmitted> {
        let Some(operation) = self.plan.call.as_ref().map(|call| call.operation) else {
            return Ok(());
        };
        let Some((mut record, mut terms)) = self.meter.preview() else {
            return Ok(());
        };
        let mut reader = OutlookReader::new(operation, self.head);
        self.identify(&mut record);
        let budgets = &self.services.budgets;
        // A model that only the body names may be one that a rule is for.
        if operation.names_model_in_body() || budgets.wants_body(&record.subject()) {
            self.look(client, &mut reader).await?;
        }
        let whole = match self.plan.framing {
            MessageFraming::ContentLength(length) => Some(length),
            MessageFraming::Empty => Some(0),
            MessageFraming::Chunked | MessageFraming::UntilClose => None,
        };
        let outlook = reader.finish(whole);
        let ask = ask(&outlook, &record);
        record.tags.extend(outlook.tags);
        record.model = record.model.take().or(outlook.model);
        terms.asked_tier = outlook.tier;
        terms.asked_latency = outlook.latency;
        self.identify(&mut record);
        let price = |input, output| {
            let usage = TokenUsage {
                input_tokens: Some(input),
                output_tokens: Some(output),
                ..TokenUsage::default()
            };
            cost(&record, &terms, &usage, self.policy)
        };
        let admitted = budgets.admit(&record.subject(), &ask, &price, self.arrival.time);
        match admitted {
            Ok(admission) => {
                self.note(&admission);
                self.meter.admitted(admission, record.model, terms);
                Ok(())
            }
            Err(refusal) => {
                let reply = reply(&refusal);
                if let Some(times) = REFUSED.note(&refusal.rule) {
                    let client = self.arrival.client;
                    tracing::warn!(%client, code = reply.code(), times, "{}", reply.message);
                }
                self.meter.attach(RULE_TAG, refusal.rule);
                Err(NotAdmitted::Refused(reply))
            }
        }
    }

    /// Names as the ledger will have them.
    fn identify(&self, record: &mut UsageRecord) {
        redact::record(record);
        settle::identify(record, &self.services.settings, self.policy);
    }

    async fn look(
        &self,
        client: &mut ClientReader,
        reader: &mut OutlookReader,
    ) -> Result<(), NotAdmitted> {
        // RFC 9110 §10.1.1: whoever waits for a 100 sends nothing before, and only the upstream may give it.
        let waits = self.head.version() == Version::Http11
            && self.head.fields().lists("expect", "100-continue");
        if waits && client.buffer.is_empty() {
            return Ok(());
        }
        let silence = self.services.settings.timeouts.body;
        let mut show = |content: &[u8]| reader.content(content);
        let peeked = tokio::select! {
            biased;
            peeked = peek(client, self.plan.framing, silence, &mut show) => peeked,
            () = self.services.cut() => {
                return Err(NotAdmitted::Refused(super::exchange::stopping()));
            }
        };
        peeked.map_err(|why| match why {
            NoPeek::ClientGone => NotAdmitted::ClientGone,
            NoPeek::Malformed(error) => {
                NotAdmitted::Refused(Reply::new(Kind::Malformed, error.to_string()))
            }
        })
    }

    fn note(&self, admission: &Admission) {
        for (tag, rules) in admission.tags() {
            if tag == SHADOW_TAG
                && let Some(times) = SHADOWED.note(&rules)
            {
                let client = self.arrival.client;
                tracing::info!(%client, rules, times, "a budget in shadow mode would have refused the call");
            }
            self.meter.attach(tag, rules);
        }
    }
}

/// The answer to a call that is not let through.
fn reply(refusal: &Refusal) -> Reply {
    let kind = match refusal.kind {
        RefusalKind::Spent => Kind::BudgetSpent,
        RefusalKind::Rate => Kind::RateLimited,
    };
    Reply::new(kind, refusal.message.as_str()).after(refusal.retry_after)
}

fn ask(outlook: &Outlook, record: &UsageRecord) -> Ask {
    let model = record.model.as_deref().or(outlook.model.as_deref());
    let generates = !model.is_some_and(generates_nothing);
    Ask {
        input_tokens: outlook.input_tokens,
        max_output_tokens: if generates {
            outlook.max_output_tokens
        } else {
            Some(0)
        },
    }
}

/// What a usage is to the budgets while it grows.
pub(super) fn spent_so_far(usage: &TokenUsage, cost: Option<Usd>) -> Spent {
    Spent {
        input_tokens: usage.input_tokens.unwrap_or(0),
        output_tokens: usage.output_tokens.unwrap_or(0),
        total_tokens: usage.total_tokens.unwrap_or(0),
        cost,
    }
}

/// What so much would cost under the record's model and the terms of the call.
pub(super) fn cost(
    record: &UsageRecord,
    terms: &Terms,
    usage: &TokenUsage,
    policy: &Policy,
) -> Option<Usd> {
    let call = PricedCall {
        usage,
        ..terms.call(record)
    };
    policy.prices.cost(&call).usd
}

/// Settles what a call reserved from its record; of one that reserved nothing, since there were no rules when it began or
/// it never came as far as that, counts what the ledger will say.
pub(super) fn settle(budgets: &Budgets, admission: Option<Admission>, record: &UsageRecord) {
    let Some(admission) = admission else {
        if record.is_spending()
            && !budgets.is_empty()
            && let Ok(at) = OffsetDateTime::parse(&record.time, &Rfc3339)
        {
            budgets.count(&record.id, &record.subject(), &record.spent(), at);
        }
        return;
    };
    if !record.is_spending() {
        admission.withdraw();
        return;
    }
    for crossed in admission.settle_record(&record.id, &record.subject(), &record.spent()) {
        if let Some(times) = CROSSED.note(&crossed.rule) {
            let (rule, percent) = (crossed.rule, crossed.percent);
            let (spent, limit) = (crossed.spent, crossed.limit);
            tracing::warn!(
                rule,
                percent,
                spent,
                limit,
                times,
                "a budget has reached a threshold"
            );
        }
    }
}

/// Calls that were refused, by rule.
static REFUSED: Lines = Lines::new();
/// Thresholds that were passed, by rule.
static CROSSED: Lines = Lines::new();
/// Calls that a shadow would have refused, by rules.
static SHADOWED: Lines = Lines::new();

/// How often each of a few things is told.
struct Lines(Mutex<BTreeMap<String, Seldom>>);

/// Most of them that are told apart.
const MAX_LINES: usize = 1000;

impl Lines {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// It happened. How often since the last line about it, if there is to be one now.
    fn note(&self, what: &str) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MAX_LINES && !lines.contains_key(what) {
            return None;
        }
        lines
            .entry(what.to_owned())
            .or_default()
            .note(Instant::now())
    }
}
