//! What the simulator saw: a bounded list of requests as received, and three counters.
//!
//! Tests compare these octets with the ones they sent through the gate.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimulatorStats {
    /// Requests whose credentials were good, whatever the answer was.
    pub accepted: u64,
    /// Requests that were refused: a bad signature, the trace of a bad relay, malformed HTTP.
    pub refused: u64,
    /// Connections that completed their TLS handshake.
    pub connections: u64,
}

/// One request as received.
#[derive(Clone)]
pub struct SeenRequest {
    /// Which connection it came on, counted from 1.
    pub connection: u64,
    /// The name the client asked for in the TLS handshake.
    pub server_name: String,
    /// The head, octet for octet, with its empty line. Empty when the head itself could not be read.
    pub head: Bytes,
    /// The body, transfer coding removed. Empty when it was not read.
    pub body: Bytes,
    /// The body as it was on the wire; differs from `body` when it was chunked.
    pub body_on_wire: Bytes,
    /// What the verifier said.
    pub verdict: Verdict,
}

/// What the verifier said about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Good credentials.
    Accepted {
        /// The access key id, or `bearer`.
        caller: String,
    },
    /// Refused.
    Refused {
        /// Name of the error, as in `x-amzn-ErrorType`.
        name: String,
        /// Its message.
        message: String,
    },
}

/// Counters and list, shared by all connections.
#[derive(Default)]
pub(super) struct Seen {
    accepted: AtomicU64,
    refused: AtomicU64,
    connections: AtomicU64,
    requests: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    requests: VecDeque<SeenRequest>,
    octets: usize,
}

/// Most requests that are kept.
const MOST_REQUESTS: usize = 256;
/// Most octets that are kept, the newest request excepted.
const MOST_OCTETS: usize = 64 * 1024 * 1024;

impl Seen {
    /// Counts a connection and numbers it.
    pub(super) fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a request and keeps it, dropping the oldest ones beyond the limits.
    pub(super) fn request(&self, request: SeenRequest) {
        match request.verdict {
            Verdict::Accepted { .. } => self.accepted.fetch_add(1, Ordering::Relaxed),
            Verdict::Refused { .. } => self.refused.fetch_add(1, Ordering::Relaxed),
        };
        let mut kept = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        kept.octets += request.octets();
        kept.requests.push_back(request);
        while kept.requests.len() > MOST_REQUESTS
            || (kept.octets > MOST_OCTETS && kept.requests.len() > 1)
        {
            let oldest = kept
                .requests
                .pop_front()
                .map_or(0, |oldest| oldest.octets());
            kept.octets -= oldest;
        }
    }

    /// The counters now.
    pub(super) fn stats(&self) -> SimulatorStats {
        SimulatorStats {
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }

    /// The kept requests, oldest first.
    pub(super) fn log(&self) -> Vec<SeenRequest> {
        let kept = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        kept.requests.iter().cloned().collect()
    }
}

impl SeenRequest {
    fn octets(&self) -> usize {
        self.head.len() + self.body.len() + self.body_on_wire.len()
    }
}

/// Heads hold credentials and bodies hold prompts: only sizes are shown.
impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenRequest")
            .field("connection", &self.connection)
            .field("server_name", &self.server_name)
            .field("head_bytes", &self.head.len())
            .field("body_bytes", &self.body.len())
            .field("verdict", &self.verdict)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(length: usize) -> SeenRequest {
        SeenRequest {
            connection: 1,
            server_name: "localhost".to_owned(),
            head: Bytes::new(),
            body: Bytes::from(vec![0; length]),
            body_on_wire: Bytes::new(),
            verdict: Verdict::Accepted {
                caller: "bearer".to_owned(),
            },
        }
    }

    #[test]
    fn the_oldest_go_first() {
        let seen = Seen::default();
        for length in 0..MOST_REQUESTS + 10 {
            seen.request(request(length));
        }
        let log = seen.log();
        assert_eq!((log.len(), log[0].body.len()), (MOST_REQUESTS, 10));
        assert_eq!(seen.stats().accepted, MOST_REQUESTS as u64 + 10);
        seen.request(request(MOST_OCTETS + 1));
        assert_eq!(seen.log().len(), 1);
        seen.request(request(1));
        assert_eq!(seen.log().len(), 1);
    }
}
