//! What is learned about one exchange while it passes, and the record made of it when it ends.
//!
//! Both directions of the relay write here; each holds the lock for the time of one piece and never across a wait. An
//! exchange is settled once, by whoever sees its end first.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use uuid::Uuid;

use super::admission::{self, RULE_TAG};
use super::capture::{Capture, SHORT_OF_MEMORY};
use super::cutting::EXCEPTION;
use super::diagnosis::Suspect;
use super::reply::Reply;
use super::route::Plan;
use super::settle::{Settled, Terms};
use super::{Services, caller, settle};
use crate::aws::sigv4::Credentials;
use crate::aws::{Service, mask, sts};
use crate::config::Policy;
use crate::ledger::{Entry, Identity, Outcome, Payload, UsageRecord};
use crate::spend::budget::{Admission, Refusal};
use crate::usage::ExchangeObserver;
use crate::wire::http1::{RequestHead, ResponseHead, Scheme};

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
pub struct Meter<'a> {
    arrival: Arrival,
    head: &'a RequestHead,
    policy: &'a Policy,
    state: Mutex<State>,
}

struct State {
    /// Taken when the exchange is settled.
    open: Option<Box<Open>>,
    request_complete: bool,
    response_started: bool,
}

struct Open {
    record: Box<UsageRecord>,
    observer: Option<ExchangeObserver>,
    payload: Option<Capture>,
    /// The beginning of an answer of STS that may issue a session.
    session: Option<Vec<u8>>,
    suspect: Option<Suspect>,
    terms: Terms,
    /// What budgets hold for it.
    admission: Option<Admission>,
    /// Tags that policy attaches: no tag of the caller's replaces them.
    attached: Vec<(&'static str, String)>,
    notes: Vec<&'static str>,
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
    pub fn record(&self, entry: Entry) -> Box<UsageRecord> {
        let (id, time) = (self.id.to_string(), rfc3339(self.time));
        let client = self.client.to_string();
        Box::new(UsageRecord::new(id, time, entry, client))
    }

    /// Milliseconds since then.
    #[must_use]
    pub fn elapsed_ms(&self) -> f64 {
        milliseconds(self.at.elapsed())
    }
}

impl<'a> Meter<'a> {
    /// Opens the account of a request that goes by `plan`.
    #[must_use]
    pub fn new(
        arrival: Arrival,
        head: &'a RequestHead,
        plan: &Plan,
        services: &Services,
        policy: &'a Policy,
    ) -> Self {
        let settings = &services.settings;
        let host = &plan.origin.host;
        // Other services of AWS carry credentials in their bodies: their heads are all that is ever kept of them.
        let foreign = plan.endpoint.is_none() && sts::is_aws(host);
        let capture = if foreign { 0 } else { settings.capture_limit() };
        let mut record = arrival.record(plan.entry);
        record.host = Some(host.clone());
        record.route.clone_from(&plan.route);
        if plan.observed {
            record.identity = caller::identity(head, &plan.credentials, &services.sessions);
            caller::attempt(&mut record, head);
        }
        if plan.observed || plan.proven {
            record.identity.proxy_user.clone_from(&plan.proxy_user);
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
        let payload = plan
            .observed
            .then(|| Capture::new(mask::request_head(head), capture, &services.captures));
        let observer = (plan.observed && !foreign).then(|| {
            let call = plan.call.as_ref();
            let mut observer = ExchangeObserver::for_call(
                call.map(|call| call.operation),
                &policy.usage_patterns,
                host,
                plan.route.as_deref(),
                record.model.as_deref(),
            );
            observer.request_head(head);
            observer
        });
        // Anybody on the way could have written an answer that came without TLS.
        let learns = settings.accounting.learn_sessions
            && plan.observed
            && plan.origin.scheme == Scheme::Https
            && sts::is_endpoint(host);
        // Apart from what waits while the exchange runs, which is moved about until then.
        let open = Box::new(Open {
            record,
            observer,
            payload,
            session: learns.then(Vec::new),
            suspect: plan
                .observed
                .then(|| Suspect::new(plan.origin.scheme == Scheme::Https)),
            terms: Terms {
                // Behind a name that does not tell, a call of Bedrock Runtime is one all the same.
                endpoint: plan
                    .endpoint
                    .or_else(|| plan.call.as_ref().map(|_| Service::Runtime)),
                ..Terms::default()
            },
            admission: None,
            attached: Vec::new(),
            notes: Vec::new(),
        });
        let state = State {
            open: Some(open),
            request_complete: false,
            response_started: false,
        };
        Self {
            arrival,
            head,
            policy,
            state: Mutex::new(state),
        }
    }

    /// What will be in the record as far as it is known now, and what else its price depends on; `None` when the exchange
    /// is settled.
    pub(super) fn preview(&self) -> Option<(UsageRecord, Terms)> {
        let state = self.lock();
        let open = state.open.as_ref()?;
        let endpoint = open.terms.endpoint;
        let terms = Terms {
            endpoint,
            ..Terms::default()
        };
        Some(((*open.record).clone(), terms))
    }

    /// Holds what budgets reserved for a call of `model` until it is settled.
    pub(super) fn admitted(&self, admission: Admission, model: Option<String>, terms: Terms) {
        if let Some(open) = &mut self.lock().open {
            open.admission = Some(admission);
            open.record.model = model;
            open.terms = terms;
        }
    }

    /// Attaches a tag to the record.
    pub(super) fn attach(&self, tag: &'static str, value: String) {
        if let Some(open) = &mut self.lock().open {
            open.attached.push((tag, value));
        }
    }

    /// Whether the response is a stream in which a budget can run out.
    pub(super) fn may_exceed(&self) -> bool {
        let state = self.lock();
        let Some(open) = &state.open else {
            return false;
        };
        let observer = open.observer.as_ref();
        open.admission.is_some() && observer.is_some_and(ExchangeObserver::is_good_stream)
    }

    /// The rule that ends the stream because of what has come of it.
    pub(super) fn exceeded(&self) -> Option<Refusal> {
        let mut state = self.lock();
        let Open {
            record,
            observer,
            admission,
            terms,
            ..
        } = &mut **state.open.as_mut()?;
        let usage = observer.as_ref()?.so_far();
        let cost = admission::cost(record, terms, &usage, self.policy);
        admission
            .as_mut()?
            .exceeded(&admission::spent_so_far(&usage, cost))
    }

    /// A stream that a rule would have ended goes on, for its framing knows no other end.
    pub(super) fn not_cut(&self, refusal: &Refusal) {
        if let Some(open) = &mut self.lock().open {
            open.attached.push((RULE_TAG, refusal.rule.clone()));
            open.notes.push(NOT_CUT);
        }
    }

    /// Closes the account of a stream that was given an end of ours, `sent`.
    pub(super) fn settle_cut(&self, why: Option<&Refusal>, sent: &[u8]) -> Option<Box<Settled>> {
        if let Some(open) = &mut self.lock().open {
            open.record.response_bytes += sent.len() as u64;
            open.notes.push(CUT);
            if let Some(refusal) = why {
                open.attached.push((RULE_TAG, refusal.rule.clone()));
            }
        }
        let mut settled = self.settle(Outcome::Complete, false)?;
        settled.record.error_type = Some(EXCEPTION.to_owned());
        Some(settled)
    }

    /// A piece of the request body has been passed on: `content` lies in `wire`.
    pub fn request_piece(&self, wire: &[u8], content: &[Range<usize>]) {
        if let Some(open) = &mut self.lock().open {
            open.record.request_bytes += wire.len() as u64;
            for content in content.iter().filter_map(|range| wire.get(range.clone())) {
                if let Some(observer) = &mut open.observer {
                    observer.request_content(content);
                }
                if let Some(capture) = &mut open.payload {
                    capture.request_content(content);
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
                if observer.may_end_uncounted() {
                    settle::prepare();
                }
            }
            if let Some(suspect) = &mut open.suspect {
                suspect.answered(head);
            }
            if let Some(capture) = &mut open.payload {
                capture.response_head(mask::response_head(head));
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
                if let Some(session) = &mut open.session {
                    let room = MAX_SESSION_ANSWER.saturating_sub(session.len());
                    session.extend_from_slice(content.get(..room).unwrap_or(content));
                }
                if let Some(capture) = &mut open.payload {
                    capture.response_content(content);
                }
            }
        }
    }

    /// Closes the account; `None` when it has been closed before. `whole`: the response came to its proper end,
    /// whoever was still there to see it.
    pub fn settle(&self, outcome: Outcome, whole: bool) -> Option<Box<Settled>> {
        let Open {
            mut record,
            observer,
            payload,
            session,
            suspect,
            mut terms,
            admission,
            attached,
            notes,
        } = *self.lock().open.take()?;
        record.outcome = outcome;
        record.duration_ms = self.arrival.elapsed_ms();
        let accepted = record
            .status
            .is_some_and(|status| (200..300).contains(&status));
        record.identity.verified = accepted && is_somebody(&record.identity);
        let mut untold = None;
        if let Some(observer) = observer {
            let seen = observer.finish(whole);
            untold = seen.untold;
            terms.asked_tier = seen.asked_tier;
            terms.asked_latency = seen.asked_latency;
            record.usage = seen.usage;
            record.units = seen.units;
            record.stream = seen.stream;
            record.error_type = seen.error_type;
            record.aws_request_id = seen.aws_request_id;
            record.finish_reason = seen.finish_reason;
            record.response_model = seen.response_model;
            record.service_tier = seen.service_tier;
            record.performance_latency = seen.performance_latency;
            record.tags.extend(seen.tags);
            record.notes = seen.notes.into_iter().map(str::to_owned).collect();
            if record.model.is_none() {
                record.model = seen.model;
            }
        }
        let attached = attached
            .into_iter()
            .map(|(tag, value)| (tag.to_owned(), value));
        record.tags.extend(attached);
        record.notes.extend(notes.into_iter().map(str::to_owned));
        let (payload, share) = match payload {
            Some(capture) => {
                if capture.is_short() {
                    record.notes.push(SHORT_OF_MEMORY.to_owned());
                }
                let (payload, share) = capture.finish();
                (Some(payload), Some(share))
            }
            None => (None, None),
        };
        let told = suspect.as_ref().and_then(Suspect::told);
        if let Some(suspect) = suspect {
            suspect.explain(self.head, &mut record, OffsetDateTime::now_utc());
        }
        Some(Box::new(Settled {
            record,
            payload,
            share,
            untold,
            terms,
            told,
            admission,
            session: session
                .filter(|_| accepted && whole)
                .and_then(|answer| sts::session(&answer)),
        }))
    }

    /// Closes the account of an exchange that we answer ourselves, with the bytes `sent`.
    pub fn settle_with(&self, reply: &Reply, sent: &[u8]) -> Option<Box<Settled>> {
        let mut settled = self.settle(reply.outcome(), false)?;
        if let Some(payload) = &mut settled.payload {
            reply_into(payload, sent);
        }
        settled.record.status = Some(reply.status());
        settled.record.error_type = Some(reply.error_type().to_owned());
        settled.record.identity.verified = false;
        Some(settled)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A note: the stream was ended when a budget ran out in it.
const CUT: &str = "budget-cut";
/// A note: a budget ran out in the stream, whose framing left no room for an end before its own.
const NOT_CUT: &str = "budget-not-cut";

/// More than STS needs to issue a session.
const MAX_SESSION_ANSWER: usize = 64 * 1024;

fn is_somebody(identity: &Identity) -> bool {
    identity.access_key_id.is_some() || identity.api_key.is_some()
}

/// Puts an answer of ours where a response stands.
pub fn reply_into(payload: &mut Payload, sent: &[u8]) {
    let body = memchr::memmem::find(sent, b"\r\n\r\n").map_or(sent.len(), |end| end + 4);
    let (head, body) = sent.split_at(body);
    payload.response_head = head.to_vec();
    payload.response_body = body.to_vec();
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
