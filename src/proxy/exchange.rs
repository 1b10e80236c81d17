//! One request and its response, from the decision where it goes to the record of how it went.
//!
//! Model calls are billed, so nothing is ever sent twice: the upstream connection is checked before the first byte, and
//! after that every ending is an ending. Who breaks off is passed on as breaking off, in both directions.

use std::io;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::time::Instant;

use super::admission::{self, Caller, NotAdmitted};
use super::drain::Drain;
use super::meter::{Arrival, Meter};
use super::relay::{ClientReader, NoResponse, Relay, RequestEnd, ResponseEnd, Settling};
use super::reply::{Kind, Reply};
use super::route::Plan;
use super::{Services, access, caller};
use crate::aws::sigv4::Credentials;
use crate::config::{LedgerFailure, Policy, Vouched};
use crate::ledger::Outcome;
use crate::net::dial::{DialError, Origin, Reach};
use crate::net::pool::UpstreamConnection;
use crate::net::stream::BoxDuplex;
use crate::wire::http1::forward::{self, RequestEdits};
use crate::wire::http1::{MessageFraming, RequestHead, Version};

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It may carry another request.
    Keep,
    /// Everything was said: close it properly.
    Close,
    /// Everything was said while the client was still sending: close it so that it can read the answer.
    Linger,
    /// The message is incomplete and its framing shows it: no proper end.
    Drop,
    /// The message is incomplete and nothing but a reset can show it.
    Reset,
}

/// How both directions ended, taken together.
enum Ended {
    Response(ResponseEnd),
    ClientGone,
    Malformed(Reply),
    /// The gate stops and waits no longer.
    Stopped,
}

/// Passes one request on and its response back.
pub async fn run(
    services: &Services,
    arrival: Arrival,
    head: &RequestHead,
    plan: Box<Plan>,
    policy: &Policy,
    (client, writer): (&mut ClientReader, &mut WriteHalf<BoxDuplex>),
) -> Afterwards {
    let meter = Meter::new(arrival, head, &plan, services, policy);
    let answer = Answer {
        services,
        arrival,
        meter: &meter,
        head,
        host: &plan.origin.host,
        observed: plan.observed,
    };

    if let Some(reply) = not_allowed(services, &plan, head, policy) {
        return answer.give(&reply, writer).await;
    }
    let forwarded = match forwarded_head(services, head, &plan) {
        Ok(forwarded) => forwarded,
        Err(reply) => return answer.give(&reply, writer).await,
    };

    if admission::concerns(services, &plan) {
        let sides = (&mut *client, &mut *writer);
        if let Err(afterwards) = Box::pin(admit(&answer, policy, &plan, sides)).await {
            return afterwards;
        }
    }
    let reach = reach(&plan, policy);
    let checked_out = tokio::select! {
        biased;
        checked_out = services.pool.check_out(&plan.origin, reach) => checked_out,
        // Nothing has been sent yet: a client that hangs up now has cost nothing.
        () = client.gone() => return answer.to_nobody().await,
        () = services.cut() => return answer.give(&stopping(), writer).await,
    };
    let mut upstream = match checked_out {
        Ok(upstream) => upstream,
        Err(error) => return answer.give(&dial_failure(&error), writer).await,
    };
    let relay = Relay {
        services,
        meter: &meter,
        method: head.method(),
        version: head.version(),
        half_closed: AtomicBool::new(false),
        owed: OnceLock::new(),
        undelimited: AtomicBool::new(false),
        drain: Drain::new(services, plan.observed),
        settling: Settling::default(),
    };
    let ended = both_ways(&relay, &mut upstream, client, writer, forwarded, &plan).await;
    let half_closed = relay.half_closed.into_inner();
    let cut = if relay.undelimited.into_inner() {
        Afterwards::Reset
    } else {
        Afterwards::Drop
    };
    let drained = relay.drain.is_running();
    match ended {
        Ended::Response(ResponseEnd::Complete {
            upstream_reusable,
            delimited,
        }) => {
            let request_complete = meter.is_request_complete();
            let leaves_nothing = leaves_nothing_behind(head.method(), plan.framing);
            if upstream_reusable && request_complete && leaves_nothing && !half_closed {
                services.pool.check_in(plan.origin, reach, upstream);
            }
            match (delimited && client_persists(head), request_complete) {
                _ if drained => Afterwards::Drop,
                (true, true) => Afterwards::Keep,
                (false, true) => Afterwards::Close,
                (_, false) => Afterwards::Linger,
            }
        }
        broken => {
            // The upstream must see the end now, not when the ledger has answered.
            drop(upstream);
            if drained {
                return answer.to_nobody().await;
            }
            conclude(broken, half_closed, cut, &answer, writer).await
        }
    }
}

/// Where the request may lead: what a route is configured to lead to is named by the operator.
fn reach(plan: &Plan, policy: &Policy) -> Reach {
    let Origin { host, port, .. } = &plan.origin;
    let rule = plan
        .route
        .as_deref()
        .and_then(|prefix| policy.route(prefix));
    let upstream = rule.and_then(|rule| rule.upstream.as_ref());
    let is_routed = upstream.is_some_and(|(name, at)| name == host && at == port);
    Reach {
        observed: plan.observed,
        vouched: if is_routed {
            Vouched::Itself
        } else {
            plan.vouched
        },
    }
}

/// Why the caller may not do this, or not by the route that the request came by.
fn not_allowed(
    services: &Services,
    plan: &Plan,
    head: &RequestHead,
    policy: &Policy,
) -> Option<Reply> {
    let user = plan.proxy_user.as_deref().filter(|_| plan.proven);
    if let Err(reply) = access::check(policy, plan, user) {
        return Some(reply);
    }
    let rule = policy.route(plan.route.as_deref()?)?;
    rule.allow.as_ref()?;
    let mut identity = caller::identity(head, &plan.credentials, &services.sessions);
    identity.proxy_user.clone_from(&plan.proxy_user);
    let names = caller::names(&identity, &policy.aliases);
    if rule.allows(names.iter().map(String::as_str)) {
        return None;
    }
    let who = names
        .first()
        .map_or("nobody that this gate knows", String::as_str);
    let why = format!(
        "{who} may not use the route {}: none of its names is among `allow` of that [[route]]",
        rule.prefix
    );
    Some(Reply::new(Kind::AccessDenied, why))
}

/// Asks the budgets about a call. Whom they turn away is answered, if it is still there.
async fn admit(
    answer: &Answer<'_>,
    policy: &Policy,
    plan: &Plan,
    (client, writer): (&mut ClientReader, &mut WriteHalf<BoxDuplex>),
) -> Result<(), Afterwards> {
    let caller = Caller {
        services: answer.services,
        policy,
        arrival: answer.arrival,
        head: answer.head,
        plan,
        meter: answer.meter,
    };
    match caller.admit(client).await {
        Ok(()) => Ok(()),
        Err(NotAdmitted::Refused(reply)) => {
            take_body(client, answer.meter, plan.framing);
            Err(answer.give(&reply, writer).await)
        }
        Err(NotAdmitted::ClientGone) => Err(answer.to_nobody().await),
    }
}

/// Takes the body of a request that is not sent on, if it is here as a whole, so that another may follow it.
fn take_body(client: &mut ClientReader, meter: &Meter<'_>, framing: MessageFraming) {
    let mut ranges = Vec::new();
    let mut decoder = framing.decoder();
    match decoder.push(&client.buffer, &mut ranges) {
        Ok(taken) if decoder.ended() => {
            let body = client.buffer.split_to(taken);
            meter.request_piece(&body, &ranges);
            meter.request_complete();
        }
        // The connection ends with the answer.
        _ => {}
    }
}

/// The head for the upstream, if this request is to have one.
fn forwarded_head(services: &Services, head: &RequestHead, plan: &Plan) -> Result<Vec<u8>, Reply> {
    if plan.observed
        && services.settings.accounting.on_ledger_failure == LedgerFailure::Refuse
        && services.ledger.is_failing()
    {
        let why =
            "the ledger cannot be written, and this gate serves nothing that it cannot record";
        return Err(Reply::new(Kind::LedgerFailing, why));
    }
    let signed = |name: &str| matches!(&plan.credentials, Credentials::SigV4(signature) if signature.signs(name));
    let edits = RequestEdits {
        target: plan.target.as_deref(),
        host: plan.host.as_deref(),
    };
    let mut forwarded = Vec::new();
    forward::request_head(head, edits, &signed, &mut forwarded)
        .map_err(|error| Reply::new(Kind::Misdirected, error.to_string()))?;
    Ok(forwarded)
}

/// What an ending that is not a whole response means for the record and for the client. `cut`: how the client is shown
/// that what it has of a response is not all.
async fn conclude(
    ended: Ended,
    half_closed: bool,
    cut: Afterwards,
    answer: &Answer<'_>,
    writer: &mut WriteHalf<BoxDuplex>,
) -> Afterwards {
    let Answer {
        services, meter, ..
    } = answer;
    let (outcome, afterwards) = match ended {
        // An upstream that closes after we ended our side answers the client's hang-up, not the request.
        Ended::Response(ResponseEnd::None(NoResponse::Closed(_))) if half_closed => {
            (Outcome::ClientAborted, Afterwards::Drop)
        }
        Ended::Response(ResponseEnd::None(why)) => {
            return answer.give(&no_response(&why), writer).await;
        }
        Ended::Malformed(reply) if !meter.is_response_started() => {
            return answer.give(&reply, writer).await;
        }
        Ended::Stopped if !meter.is_response_started() => {
            return answer.give(&stopping(), writer).await;
        }
        Ended::Stopped => (Outcome::UpstreamAborted, cut),
        Ended::Response(ResponseEnd::Cut) if !half_closed => (Outcome::UpstreamAborted, cut),
        Ended::Response(
            ResponseEnd::Cut | ResponseEnd::ClientGone | ResponseEnd::Complete { .. },
        )
        | Ended::ClientGone
        | Ended::Malformed(_) => (Outcome::ClientAborted, cut),
    };
    services.record(meter.settle(outcome, false)).await;
    afterwards
}

async fn both_ways(
    relay: &Relay<'_>,
    upstream: &mut UpstreamConnection,
    client: &mut ClientReader,
    writer: &mut WriteHalf<BoxDuplex>,
    head: Vec<u8>,
    plan: &Plan,
) -> Ended {
    let mut request = pin!(relay.send_request(client, &mut upstream.writer, head, plan.framing));
    let mut response =
        pin!(relay.pass_response(&mut upstream.reader, &mut upstream.buffer, writer));
    let mut sending = true;
    let mut stopped = pin!(relay.services.cut());
    let patience = LAST_WORDS.min(relay.services.settings.timeouts.body);
    let mut last_words = pin!(tokio::time::sleep(patience));
    let mut dying = false;
    let mut drained = pin!(relay.drain.over());
    let early = loop {
        tokio::select! {
            biased;
            end = &mut response => return Ended::Response(end),
            end = &mut request, if sending => {
                sending = false;
                match end {
                    RequestEnd::ClientGone
                        if relay.meter.is_request_complete() && relay.drain.begin() => {}
                    RequestEnd::ClientGone => break Ended::ClientGone,
                    RequestEnd::Malformed(error) => {
                        break Ended::Malformed(Reply::new(Kind::Malformed, error.to_string()));
                    }
                    // What the upstream has to say may still come, and decides.
                    RequestEnd::HalfClosed => {}
                    RequestEnd::UpstreamGone => {
                        dying = true;
                        last_words.as_mut().reset(Instant::now() + patience);
                    }
                }
            }
            () = &mut last_words, if dying && !relay.meter.is_response_started() => {
                let why = io::Error::new(io::ErrorKind::TimedOut, "it takes no more of the request");
                return Ended::Response(ResponseEnd::None(NoResponse::Closed(why)));
            }
            () = &mut drained => break Ended::ClientGone,
            () = &mut stopped => break Ended::Stopped,
        }
    };
    if relay.settling.is_running() {
        tokio::select! {
            biased;
            end = &mut response => return Ended::Response(end),
            () = relay.settling.over() => {}
        }
    }
    early
}

/// How long an upstream that takes no more of a request may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Our own answer to an exchange: recorded, then sent.
struct Answer<'a> {
    services: &'a Services,
    arrival: Arrival,
    meter: &'a Meter<'a>,
    head: &'a RequestHead,
    host: &'a str,
    observed: bool,
}

impl Answer<'_> {
    /// The client is gone: it is recorded, and there is nothing to say.
    async fn to_nobody(&self) -> Afterwards {
        let aborted = self.meter.settle(Outcome::ClientAborted, false);
        self.services.record(aborted).await;
        Afterwards::Drop
    }

    async fn give(&self, reply: &Reply, writer: &mut WriteHalf<BoxDuplex>) -> Afterwards {
        // Without the body's end in hand, what follows could be taken for a request.
        let close = !self.meter.is_request_complete() || !client_persists(self.head);
        let method = self.head.method();
        let bytes = if self.observed {
            reply.typed(method, &self.arrival.id.to_string(), close)
        } else {
            reply.plain(method, close)
        };
        // What budgets refuse may be very much; `admission` says as much of it as anybody reads.
        if !matches!(reply.kind, Kind::BudgetSpent | Kind::RateLimited) {
            tracing::warn!(client = %self.arrival.client, host = self.host, code = reply.code(), "{}", reply.message);
        }
        self.services
            .record(self.meter.settle_with(reply, &bytes))
            .await;
        let sent = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        let limit = self.services.settings.timeouts.body;
        let sent = tokio::select! {
            biased;
            sent = tokio::time::timeout(limit, sent) => sent,
            // Who takes nothing is not waited for when nothing may go on; others have it by now.
            () = self.services.cut() => return Afterwards::Drop,
        };
        match sent {
            Ok(Ok(())) if close => Afterwards::Linger,
            Ok(Ok(())) => Afterwards::Keep,
            _ => Afterwards::Drop,
        }
    }
}

/// RFC 9112 §9.3; an HTTP/1.0 client is served one request a connection.
pub(super) fn client_persists(head: &RequestHead) -> bool {
    head.version() == Version::Http11
        && !head.fields().lists("connection", "close")
        && !head.fields().lists("proxy-connection", "close")
}

/// Whether a server that has answered is sure to have read the whole request. One that expects no body of a method may
/// have left it where the next request should begin (CL.0); RFC 9110 §9.3.1 names the danger.
fn leaves_nothing_behind(method: &str, framing: MessageFraming) -> bool {
    framing.is_bodiless() || matches!(method, "POST" | "PUT" | "PATCH")
}

/// The answer while the gate stops.
pub(super) fn stopping() -> Reply {
    let why = "tollgate is stopping and did not wait for the upstream any longer";
    Reply::new(Kind::Stopping, why)
}

fn dial_failure(error: &DialError) -> Reply {
    let kind = match error {
        DialError::Forbidden { .. } | DialError::Denied { .. } | DialError::Ours { .. } => {
            Kind::Denied
        }
        DialError::Tls { .. } => Kind::UpstreamTls,
        error if error.is_shortage() => Kind::NoDescriptor,
        DialError::Resolve { .. }
        | DialError::NoAddress { .. }
        | DialError::NoDescriptor { .. }
        | DialError::Connect { .. }
        | DialError::Proxy { .. } => Kind::UpstreamUnreachable,
    };
    Reply::new(kind, error.to_string())
}

fn no_response(why: &NoResponse) -> Reply {
    let kind = match why {
        NoResponse::Closed(_) => Kind::UpstreamUnreachable,
        NoResponse::Silent(_) => Kind::UpstreamSilent,
        NoResponse::Head(_) | NoResponse::Framing(_) | NoResponse::Refused(_) => {
            Kind::UpstreamProtocol
        }
    };
    let message = match why {
        // A retry is the caller's to decide, who knows what a second answer costs.
        NoResponse::Closed(_) => format!(
            "{why}. It may or may not have worked on the call, which was not sent a second time"
        ),
        _ => why.to_string(),
    };
    Reply::new(kind, message)
}
