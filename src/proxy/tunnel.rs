//! Blind tunnels: bytes both ways, never opened, counted only as bytes. RFC 9110 §9.3.6.
//!
//! The upstream is dialled before the 200, so that a failure is an answer. Either side may stop sending while the other
//! goes on. A tunnel ends with both of its sides; before that in two cases: one side has ended and the other is silent for
//! as long as an upstream may be, or the gate stops and nobody is waited for (`traffic`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::copy_bidirectional;

use super::Services;
use super::closing::{answer_and_linger, send, shut_down};
use super::meter::Arrival;
use super::reply::{Kind, Reply};
use super::settle::Settled;
use super::traffic::{Counted, Traffic};
use crate::ledger::{Entry, Identity, Outcome, UsageRecord};
use crate::net::dial::{DialError, Reach};
use crate::net::stream::{BoxDuplex, Prefixed};

/// The answer to a CONNECT that stands.
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Connects `client` with `host:port` until both sides have said everything.
pub async fn run(
    services: &Services,
    arrival: Arrival,
    who: Identity,
    mut client: BoxDuplex,
    early: Bytes,
    (host, port): (&str, u16),
) {
    let mut record = arrival.record(Entry::Tunnel);
    record.identity = who;
    record.host = Some(host.to_owned());
    let reach = Reach::unobserved(services.policy().hosts.vouch(host));
    let dialled = tokio::select! {
        biased;
        dialled = services.pool.connect(host, port, reach) => dialled.map_err(|error| refusal(&error)),
        () = services.cut() => Err(Reply::new(Kind::Stopping, "tollgate is stopping")),
    };
    let mut upstream = match dialled {
        Ok(upstream) => upstream,
        Err(reply) => {
            record.error_type = Some(reply.error_type().to_owned());
            record.status = Some(reply.status());
            tracing::warn!(client = %arrival.client, host, code = reply.code(), "{}", reply.message);
            finish(services, arrival, record, reply.outcome()).await;
            return turn_away(services, client, &reply).await;
        }
    };
    record.status = Some(200);
    if send(&mut client, ESTABLISHED).await.is_err() {
        finish(services, arrival, record, Outcome::ClientAborted).await;
        return;
    }
    let traffic = Arc::new(Traffic::new());
    let mut client = Counted::new(Prefixed::new(early, client), Arc::clone(&traffic));
    let ended = tokio::select! {
        ended = copy_bidirectional(&mut client, &mut upstream) => match ended {
            Ok(_) => Ended::BothSides,
            Err(_) => Ended::Broken,
        },
        () = traffic.silent_for(services.settings.timeouts.tunnel) => Ended::Broken,
        () = unused(services, &traffic) => Ended::Unused,
        () = services.cut() => Ended::Broken,
    };
    (record.request_bytes, record.response_bytes) = traffic.bytes();
    let outcome = match ended {
        Ended::BothSides | Ended::Unused => Outcome::Complete,
        Ended::Broken if client.failed => Outcome::ClientAborted,
        Ended::Broken => Outcome::UpstreamAborted,
    };
    finish(services, arrival, record, outcome).await;
    if matches!(ended, Ended::Unused) {
        shut_down(&mut upstream).await;
        shut_down(&mut client).await;
    }
}

/// Says why there is no tunnel.
async fn turn_away(services: &Services, client: BoxDuplex, reply: &Reply) {
    let answer = reply.plain("CONNECT", true);
    tokio::select! {
        biased;
        () = answer_and_linger(client, &answer) => {}
        () = services.cut() => {}
    }
}

/// How a tunnel came to its end.
enum Ended {
    /// Each side has said everything.
    BothSides,
    /// The gate stops and nobody waits for anything.
    Unused,
    /// One side broke off, or we did.
    Broken,
}

/// How long a tunnel that nobody waits for may be silent before a gate that stops closes it.
const QUIET: Duration = Duration::from_secs(1);

/// Resolves when the gate stops and the tunnel is one that a client keeps for later: the upstream had the last word, and
/// that was a while ago. Whoever has asked and is not answered is let wait, as any other call is.
async fn unused(services: &Services, traffic: &Traffic) {
    services.draining().await;
    traffic.answered_and_silent(QUIET).await;
}

async fn finish(
    services: &Services,
    arrival: Arrival,
    mut record: Box<UsageRecord>,
    outcome: Outcome,
) {
    record.outcome = outcome;
    record.duration_ms = arrival.elapsed_ms();
    services.record(Some(Settled::only(record, None))).await;
}

fn refusal(error: &DialError) -> Reply {
    let kind = match error {
        error if error.is_refusal() => Kind::Denied,
        error if error.is_shortage() => Kind::NoDescriptor,
        _ => Kind::UpstreamUnreachable,
    };
    Reply::new(kind, error.to_string())
}
