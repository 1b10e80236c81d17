//! What is learned about one exchange while it passes, and the record made of it when it ends.
//!
//! Both directions of the relay write here; each holds the lock for the time of one piece and never across a wait. An
//! exchange is settled once, by whoever sees its end first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use uuid::Uuid;

use super::reply::Reply;
use super::route::Plan;
use crate::aws::mask;
use crate::aws::sigv4::{self, Credentials};
use crate::ledger::{Entry, Identity, Outcome, Payload, UsageRecord};
use crate::spend::Cost;
use crate::usage::{ExchangeObserver, TokenUsage, tags_from_header};
use crate::wire::http1::{RequestHead, ResponseHead};

/// When and where a request head arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Our id of the exchange: UUIDv7.
    pub id: Uuid,
    /// Wall clock, for the record.
    pub time: OffsetDateTime,
    /// Monotonic clock, for durations.
    pub at: Instant,
    /// The client.
    pub client: SocketAddr,
}

/// The running account of one exchange.
pub struct Meter {
    arrival: Arrival,
    state: Mutex<State>,
}

struct State {
    /// Taken when the exchange is settled.
    open: Option<Open>,
    request_complete: bool,
    response_started: bool,
}

struct Open {
    record: UsageRecord,
    observer: Option<ExchangeObserver>,
    payload: Option<Capture>,
}

struct Capture {
    limit: usize,
    payload: Payload,
}

impl Arrival {
    /// A head from `client` that is complete now.
    #[must_use]
    pub fn now(client: SocketAddr) -> Self {
        Self {
            id: Uuid::now_v7(),
            time: OffsetDateTime::now_utc(),
            at: Instant::now(),
            client,
        }
    }

    /// A record in which nothing is known but this.
    #[must_use]
    pub fn record(&self, entry: Entry) -> UsageRecord {
        UsageRecord {
            id: self.id.to_string(),
            time: rfc3339(self.time),
            entry,
            client: self.client.to_string(),
            identity: Identity::default(),
            route: None,
            host: None,
            region: None,
            operation: None,
            model: None,
            model_name: None,
            response_model: None,
            service_tier: None,
            performance_latency: None,
            stream: false,
            status: None,
            error_type: None,
            aws_request_id: None,
            usage: TokenUsage::default(),
            units: BTreeMap::new(),
            cost: Cost::unpriced(),
            finish_reason: None,
            outcome: Outcome::Failed,
            request_bytes: 0,
            response_bytes: 0,
            duration_ms: 0.0,
            first_byte_ms: None,
            first_token_ms: None,
            tags: BTreeMap::new(),
            invocation_id: None,
            attempt: None,
            notes: Vec::new(),
        }
    }

    /// Milliseconds since then.
    #[must_use]
    pub fn elapsed_ms(&self) -> f64 {
        milliseconds(self.at.elapsed())
    }
}

impl Meter {
    /// Opens the account of a request that goes by `plan`; `capture` bytes of each body are kept.
    #[must_use]
    pub fn new(arrival: Arrival, head: &RequestHead, plan: &Plan, capture: usize) -> Self {
        let mut record = arrival.record(plan.entry);
        record.host = Some(plan.origin.host.clone());
        if plan.observed {
            record.identity = identity(&plan.credentials);
            let metadata = head.fields().first("x-amzn-bedrock-request-metadata");
            record
                .tags
                .extend(metadata.map(tags_from_header).unwrap_or_default());
        }
        record.region = match &plan.credentials {
            Credentials::SigV4(signature) => signature
                .scope
                .region
                .clone()
                .or_else(|| plan.region.clone()),
            _ => plan.region.clone(),
        };
        if let Some(call) = &plan.call {
            record.operation = Some(call.operation.name().to_owned());
            record.model.clone_from(&call.model);
        }
        let payload = plan.observed.then(|| Capture {
            limit: capture,
            payload: Payload {
                request_head: mask::request_head(head),
                ..Payload::default()
            },
        });
        let observer = plan
            .observed
            .then(|| ExchangeObserver::new(plan.call.as_ref().map(|call| call.operation)));
        let open = Open {
            record,
            observer,
            payload,
        };
        let state = State {
            open: Some(open),
            request_complete: false,
            response_started: false,
        };
        Self {
            arrival,
            state: Mutex::new(state),
        }
    }

    /// A piece of the request body has been passed on: `content` lies in `wire`.
    pub fn request_piece(&self, wire: &[u8], content: &[Range<usize>]) {
        if let Some(open) = &mut self.lock().open {
            open.record.request_bytes += wire.len() as u64;
            for content in content.iter().filter_map(|range| wire.get(range.clone())) {
                if let Some(observer) = &mut open.observer {
                    observer.request_content(content);
                }
                if let Some(Capture { limit, payload }) = &mut open.payload {
                    keep(
                        &mut payload.request_body,
                        &mut payload.request_truncated,
                        *limit,
                        content,
                    );
                }
            }
        }
    }

    /// The whole request has been passed on.
    pub fn request_complete(&self) {
        self.lock().request_complete = true;
    }

    /// Whether the whole request has been passed on.
    #[must_use]
    pub fn is_request_complete(&self) -> bool {
        self.lock().request_complete
    }

    /// Whether any byte of a final response may have reached the client.
    #[must_use]
    pub fn is_response_started(&self) -> bool {
        self.lock().response_started
    }

    /// The final response head has arrived.
    pub fn response_head(&self, head: &ResponseHead) {
        let mut state = self.lock();
        state.response_started = true;
        if let Some(open) = &mut state.open {
            open.record.first_byte_ms = Some(self.arrival.elapsed_ms());
            open.record.status = Some(head.status());
            if let Some(observer) = &mut open.observer {
                observer.response_head(head);
            }
            if let Some(Capture { payload, .. }) = &mut open.payload {
                payload.response_head = mask::response_head(head);
            }
        }
    }

    /// A piece of the response body: `content` lies in `wire`.
    pub fn response_piece(&self, wire: &[u8], content: &[Range<usize>]) {
        if let Some(open) = &mut self.lock().open {
            open.record.response_bytes += wire.len() as u64;
            for content in content.iter().filter_map(|range| wire.get(range.clone())) {
                if let Some(observer) = &mut open.observer {
                    observer.response_content(content);
                    if open.record.first_token_ms.is_none() && observer.first_token_seen() {
                        open.record.first_token_ms = Some(self.arrival.elapsed_ms());
                    }
                }
                if let Some(Capture { limit, payload }) = &mut open.payload {
                    keep(
                        &mut payload.response_body,
                        &mut payload.response_truncated,
                        *limit,
                        content,
                    );
                }
            }
        }
    }

    /// Closes the account: the record and what was captured. `None` when it has been closed before.
    pub fn settle(&self, outcome: Outcome) -> Option<(UsageRecord, Option<Payload>)> {
        let Open {
            mut record,
            observer,
            payload,
        } = self.lock().open.take()?;
        record.outcome = outcome;
        record.duration_ms = self.arrival.elapsed_ms();
        if let Some(observer) = observer {
            let seen = observer.finish(outcome == Outcome::Complete);
            record.usage = seen.usage;
            record.stream = seen.stream;
            record.error_type = seen.error_type;
            record.aws_request_id = seen.aws_request_id;
            record.finish_reason = seen.finish_reason;
            record.tags.extend(seen.tags);
            if record.model.is_none() {
                record.model = seen.model;
            }
        }
        Some((record, payload.map(|capture| capture.payload)))
    }

    /// Closes the account of an exchange that we answer ourselves, with the bytes `sent`.
    pub fn settle_with(
        &self,
        reply: &Reply,
        sent: &[u8],
    ) -> Option<(UsageRecord, Option<Payload>)> {
        let (mut record, mut payload) = self.settle(reply.outcome())?;
        if let Some(payload) = &mut payload {
            reply_into(payload, sent);
        }
        record.status = Some(reply.status());
        record.error_type = Some(reply.error_type().to_owned());
        Some((record, payload))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts an answer of ours where a response stands.
pub fn reply_into(payload: &mut Payload, sent: &[u8]) {
    let body = memchr::memmem::find(sent, b"\r\n\r\n").map_or(sent.len(), |end| end + 4);
    let (head, body) = sent.split_at(body);
    payload.response_head = head.to_vec();
    payload.response_body = body.to_vec();
}

/// Who `credentials` claim to be.
#[must_use]
pub fn identity(credentials: &Credentials) -> Identity {
    match credentials {
        Credentials::SigV4(signature) => {
            let id = &signature.scope.access_key_id;
            Identity {
                account_id: sigv4::account_of(id),
                session: Some(sigv4::is_session(id)),
                access_key_id: Some(id.clone()),
                ..Identity::default()
            }
        }
        Credentials::Bearer { label } => Identity {
            api_key: Some(label.clone()),
            ..Identity::default()
        },
        Credentials::Other | Credentials::None => Identity::default(),
    }
}

fn keep(kept: &mut Vec<u8>, truncated: &mut bool, limit: usize, content: &[u8]) {
    let room = limit.saturating_sub(kept.len()).min(content.len());
    kept.extend_from_slice(content.get(..room).unwrap_or_default());
    *truncated |= room < content.len();
}

fn rfc3339(time: OffsetDateTime) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time.format(format).unwrap_or_default()
}

/// Rounded to a microsecond: what lies below is noise.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
