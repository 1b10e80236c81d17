//! An upstream that answers every whole request with a number of its own and keeps every octet it was sent.
//!
//! What is whole is told by the strict reader in `reference`, not by the gate. The numbers count requests over all
//! connections, so that a client which gets another's answer can tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::reference::{self, Reading};
use super::{Gate, Message, Peer, RawClient, RawUpstream, shown, within};

/// What the upstream saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A whole request.
    Request {
        /// Which connection it came by, from 0.
        connection: usize,
        /// What it was answered with, from 1.
        number: usize,
        /// Every octet of it.
        octets: Vec<u8>,
    },
    /// A connection ended with these octets, which are no whole request.
    Rest(Vec<u8>),
}

/// A recording upstream and the gate before it.
pub(crate) struct Recorder {
    pub(crate) gate: Gate,
    seen: Mutex<UnboundedReceiver<Seen>>,
    recording: JoinHandle<()>,
}

impl Recorder {
    /// An upstream of TLS, and a gate before it.
    pub(crate) async fn start() -> Self {
        let upstream = RawUpstream::tls().await;
        let gate = Gate::before(&upstream).await;
        let (sender, seen) = unbounded_channel();
        let recording = tokio::spawn(record(upstream, sender));
        Self {
            gate,
            seen: Mutex::new(seen),
            recording,
        }
    }

    /// What was seen next.
    pub(crate) async fn next(&self, what: &str) -> Seen {
        let next = async { self.seen.lock().await.recv().await };
        within(what, next).await.expect("the upstream is there")
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.recording.abort();
    }
}

/// The answer with this number, to a request with `method`.
pub(crate) fn answer(number: usize, method: &str) -> Vec<u8> {
    let body = format!("answer {number}");
    let sent = if method == "HEAD" { "" } else { &body };
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nX-Number: {number}\r\nContent-Length: {length}\r\n\r\n{sent}")
        .into_bytes()
}

/// Fails unless the next that `client` hears is the answer with this number, octet for octet.
pub(crate) async fn expect_answer(client: &mut RawClient, number: usize, method: &str, why: &str) {
    let found: Message = client.answer_to(method).await;
    let expected = answer(number, method);
    assert!(
        found.raw() == expected,
        "{why}: the client got {} instead of {}",
        shown(&found.raw()),
        shown(&expected)
    );
}

async fn record(upstream: RawUpstream, to: UnboundedSender<Seen>) {
    let requests = Arc::new(AtomicUsize::new(0));
    for connection in 0.. {
        let peer = upstream.accept_some_time().await;
        tokio::spawn(serve(connection, peer, Arc::clone(&requests), to.clone()));
    }
}

async fn serve(
    connection: usize,
    mut peer: Peer,
    requests: Arc<AtomicUsize>,
    to: UnboundedSender<Seen>,
) {
    let mut left = Vec::new();
    while let Ok(buffer) = peer.more().await {
        left.extend_from_slice(&buffer.split());
        while let Reading::Whole(whole) = reference::request(&left) {
            let octets: Vec<u8> = left.drain(..whole.length).collect();
            let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
            let method = String::from_utf8_lossy(&whole.start[0]).into_owned();
            let seen = Seen::Request {
                connection,
                number,
                octets,
            };
            if to.send(seen).is_err() || peer.try_send(answer(number, &method)).await.is_err() {
                return;
            }
        }
    }
    if !left.is_empty() {
        to.send(Seen::Rest(left)).ok();
    }
}
