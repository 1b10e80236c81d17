//! An exchange whose account is closed: what nobody told is estimated, then it is priced and named.
//!
//! Everything that takes time happens here, after the meter has let go of the exchange and before the ledger takes the
//! record. What is estimated and how is left to `usage`, what it costs to `spend`.

use std::sync::Once;
use std::thread;
use std::time::Instant;

use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::capture::Share;
use super::{caller, redact};
use crate::aws::{Service, sts};
use crate::config::users::is_run;
use crate::config::{Policy, Settings};
use crate::ledger::{Payload, UsageRecord};
use crate::spend::PricedCall;
use crate::spend::budget::Admission;
use crate::telemetry::panics;
use crate::usage::estimate::{self, Untold, estimate};

/// The tag of records that passed through the gate of one run.
pub const RUN_TAG: &str = "tollgate-run";

/// An exchange whose account is closed.
pub struct Settled {
    /// Its record.
    pub record: Box<UsageRecord>,
    /// What was captured of it.
    pub payload: Option<Payload>,
    /// The room that it takes until the ledger has it.
    pub(super) share: Option<Share>,
    /// What has to be estimated before it can be priced.
    pub untold: Option<Untold>,
    /// What the price depends on besides the record.
    pub terms: Terms,
    /// What time it was where it was answered, and when we heard that.
    pub told: Option<(OffsetDateTime, Instant)>,
    /// The session that it issued, if it was STS who answered.
    pub session: Option<sts::Session>,
    /// What budgets hold for it.
    pub admission: Option<Admission>,
}

/// What a price depends on besides what is recorded.
#[derive(Debug, Default)]
pub struct Terms {
    /// The service behind the host.
    pub endpoint: Option<Service>,
    /// The service tier that was asked for.
    pub asked_tier: Option<String>,
    /// The latency configuration that was asked for.
    pub asked_latency: Option<String>,
}

impl Terms {
    /// The call of `record`, for the price book.
    pub(super) fn call<'a>(&'a self, record: &'a UsageRecord) -> PricedCall<'a> {
        PricedCall {
            model: record.model.as_deref(),
            response_model: record.response_model.as_deref(),
            endpoint: self.endpoint,
            region: record.region.as_deref(),
            service_tier: record.service_tier.as_deref(),
            asked_tier: self.asked_tier.as_deref(),
            performance_latency: record
                .performance_latency
                .as_deref()
                .or(self.asked_latency.as_deref()),
            usage: &record.usage,
        }
    }
}

/// Estimates that are made at the same time.
static ESTIMATES: Semaphore = Semaphore::const_new(2);

/// Has the tokenizer ready by the time it may be wanted: its vocabulary is read beside the first answer whose end may
/// have to wait for an estimate, not at that end.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = thread::Builder::new().spawn(estimate::prepare) {
            tracing::debug!(%error, "the tokenizer is read when it is first used");
        }
    });
}

impl Settled {
    /// A record of something that was never an exchange.
    #[must_use]
    pub fn only(record: Box<UsageRecord>, payload: Option<Payload>) -> Box<Self> {
        Box::new(Self {
            record,
            payload,
            share: None,
            untold: None,
            terms: Terms::default(),
            told: None,
            session: None,
            admission: None,
        })
    }

    /// Fills in what nobody told, where that can be estimated. Slow the first time: the vocabulary is large.
    async fn estimate(&mut self) {
        let Some(untold) = self.untold.take() else {
            return;
        };
        let mut usage = self.record.usage.clone();
        // Many streams may be cut at once; those who still run need the processor more.
        let _turn = ESTIMATES.acquire().await;
        let estimated = tokio::task::spawn_blocking(move || {
            estimate(&mut usage, &untold);
            usage
        });
        match estimated.await {
            Ok(usage) => self.record.usage = usage,
            Err(error) => {
                let why = panics::ended(&error);
                tracing::warn!(why, id = self.record.id, "tokens could not be estimated");
            }
        }
    }

    /// Makes the record what is kept: estimated where need be, without credentials, priced and named.
    pub async fn finish(&mut self, settings: &Settings, policy: &Policy) {
        self.estimate().await;
        redact::record(&mut self.record);
        if let Some(payload) = self.payload.take() {
            let (payload, given_up) = redact::payload(payload).await;
            if given_up {
                self.record.notes.push(redact::BODY_WITHHELD.to_owned());
            }
            self.payload = Some(payload);
        }
        self.record.cost = policy.prices.cost(&self.terms.call(&self.record));
        identify(&mut self.record, settings, policy);
    }
}

/// Puts the names into `record` that people know its caller and its model by. Doing it twice changes nothing.
pub(super) fn identify(record: &mut UsageRecord, settings: &Settings, policy: &Policy) {
    caller::name(record, &policy.aliases);
    // A run names itself to a gate that others use as well; that says which run it was and not who.
    let named = record.identity.proxy_user.take_if(|user| is_run(user));
    if let Some(run) = settings.run.clone().or(named) {
        record.tags.insert(RUN_TAG.to_owned(), run);
    }
}
