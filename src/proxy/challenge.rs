//! The answer to a request from somebody who has not proven who they are, and what becomes of the connection.
//!
//! Many clients ask without credentials first, and again with them on the same connection: it is kept where the rest of
//! the request can be told from what follows it, and is short enough to be read and dropped. RFC 9112 §9.3, RFC 9110 §11.7.

use std::time::Duration;

use bytes::Buf;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::exchange::client_persists;
use super::layer::HEAD_ROOM;
use super::relay::ClientReader;
use super::reply::{Kind, Reply};
use super::route::{Route, Scope};
use crate::ledger::Entry;
use crate::wire::http1::{MessageFraming, RequestHead};

/// Most of a body that is read to be dropped, framing included, and the longest time for it. What is longer costs its
/// sender the connection.
const MAX_DROPPED: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether who would read a refusal expects AWS, and the door they came by.
pub(super) fn reader(route: &Route, scope: &Scope) -> (bool, Entry) {
    match route {
        Route::Exchange(plan) => (plan.observed, plan.entry),
        Route::RefuseTyped(_, entry) => (true, *entry),
        Route::Open { .. } => (false, Entry::Connect),
        Route::Tunnel { .. } => (false, Entry::Tunnel),
        Route::RefusePlain(_) => (false, scope.entry()),
    }
}

/// Whether the connection can go on after `reply` to `head`, behind which `ahead` octets have been read.
pub(super) fn keeps(reply: &Reply, head: &RequestHead, ahead: usize) -> bool {
    // Who waits for 100 may send the body all the same, or not.
    let waits = head.fields().first("expect").is_some();
    let ends = match MessageFraming::of_request(head) {
        // What came behind it was meant for the tunnel.
        _ if head.method() == "CONNECT" => ahead == 0,
        Ok(MessageFraming::Empty | MessageFraming::Chunked) => true,
        Ok(MessageFraming::ContentLength(length)) => length <= MAX_DROPPED as u64,
        Ok(MessageFraming::UntilClose) | Err(_) => false,
    };
    reply.kind == Kind::ProxyAuthentication && client_persists(head) && ends && !waits
}

/// Reads the body of `head` and drops it; whether all of it came.
pub(super) async fn drop_body(head: &RequestHead, client: &mut ClientReader) -> bool {
    let Ok(framing) = MessageFraming::of_request(head) else {
        return false;
    };
    let mut decoder = framing.decoder();
    let mut left = MAX_DROPPED;
    let mut content = Vec::new();
    let whole = async {
        loop {
            let taken = decoder.push(&client.buffer, &mut content).ok()?;
            content.clear();
            client.buffer.advance(taken);
            left = left.checked_sub(taken)?;
            if decoder.ended() {
                return Some(());
            }
            client.buffer.reserve(HEAD_ROOM);
            match client.reader.read_buf(&mut client.buffer).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    };
    matches!(timeout(PATIENCE, whole).await, Ok(Some(())))
}
