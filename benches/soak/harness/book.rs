//! What was sent, what came back, and what the upstream saw: the soak's own books, kept apart from the gate's.
//!
//! Every request that carries a marker has one entry. What carries none (a CONNECT that is refused, octets that are no
//! request) is known by its client's address. Whether the ledger agrees is for `audit` to say.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::reading::End;

/// The books of one run.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
    /// Even while a gate runs; odd from just before it is killed until the next one serves.
    generation: AtomicU32,
}

/// Everything that was noted.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) exchanges: HashMap<Uuid, Exchange>,
    pub(crate) unmarked: Vec<Unmarked>,
    /// What was seen to be wrong at once, without any ledger.
    pub(crate) findings: Vec<String>,
    /// What was done, by name.
    pub(crate) visits: HashMap<&'static str, u64>,
}

/// One request with a marker.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) asked: Asked,
    /// `None` until the client is done with it.
    pub(crate) told: Option<Told>,
    pub(crate) upstream: Seen,
    /// The gate was killed while it ran, or while its record was on its way.
    pub(crate) overtaken: bool,
    /// When the client was done with it.
    pub(crate) ended: Option<Instant>,
}

/// What a client is about to ask.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) client: SocketAddr,
    /// Name of the door as the record has it.
    pub(crate) entry: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) model: String,
    /// CRC-32 of target and content as the upstream must see them.
    pub(crate) crc: u32,
    /// Octets of the body on the wire.
    pub(crate) body_bytes: u64,
    /// The status of the upstream's answer, if there is to be a whole one.
    pub(crate) status: u16,
    /// The upstream was asked to break off, or is one that does.
    pub(crate) troubled: bool,
    /// It follows another request on the same connection without having waited for its answer.
    pub(crate) follows: bool,
    /// Error codes of the gate that are the right answer.
    pub(crate) refusal: Option<&'static str>,
}

/// How far a client got with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sent {
    /// Less than a head.
    Little,
    Head,
    All,
}

/// What became of a request, as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) sent: Sent,
    pub(crate) heard: Heard,
    /// The client went first.
    pub(crate) left: bool,
}

/// What a client heard.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// No final response.
    Nothing(Option<End>),
    /// A response that did not come to its end.
    Begun {
        status: u16,
    },
    Whole(Whole),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    /// Our own code, if it was the gate that answered.
    pub(crate) code: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) tokens: Tokens,
    /// Octets of the body on the wire.
    pub(crate) body_bytes: u64,
}

/// The usage that an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tokens {
    Told {
        input: Option<u64>,
        output: Option<u64>,
        cache_read: Option<u64>,
        cache_write: Option<u64>,
    },
    /// A successful answer that tells none: the gate may estimate.
    Untold,
    /// Nothing was consumed.
    None,
}

/// What the upstream saw of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Heads that carried its marker.
    pub(crate) heads: u32,
    /// CRC-32 of target and content, once all of it came.
    pub(crate) crc: Option<u32>,
    /// A whole answer was written.
    pub(crate) answered: bool,
}

/// Something that must leave a record although it carries no marker.
#[derive(Clone, Debug)]
pub(crate) struct Unmarked {
    pub(crate) client: SocketAddr,
    pub(crate) what: &'static str,
    /// Whether there must be a record, or only may.
    pub(crate) certain: bool,
    pub(crate) status: Option<u16>,
    pub(crate) outcomes: &'static [&'static str],
    /// Octets from and to the client.
    pub(crate) bytes: Option<(u64, u64)>,
    pub(crate) overtaken: bool,
    pub(crate) ended: Instant,
}

/// Longer than the record of an answer that nobody waits for takes to be committed.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

impl Book {
    /// Which gate is running.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// A gate is about to be killed, or another one serves.
    pub(crate) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        let mut pages = self.pages();
        for exchange in pages.exchanges.values_mut() {
            exchange.overtaken |= exchange.ended.is_some_and(is_recent);
        }
        for unmarked in &mut pages.unmarked {
            unmarked.overtaken |= is_recent(unmarked.ended);
        }
    }

    /// Whether a connection opened in `generation` cannot be held against the gate any more.
    pub(crate) fn is_overtaken(&self, generation: u32) -> bool {
        !generation.is_multiple_of(2) || self.generation() != generation
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client is about to send.
    pub(crate) fn begin(&self, marker: Uuid, asked: Asked) {
        let exchange = Exchange {
            asked,
            told: None,
            upstream: Seen::default(),
            overtaken: false,
            ended: None,
        };
        self.pages().exchanges.insert(marker, exchange);
    }

    /// A client, connected in `generation`, is done.
    pub(crate) fn end(&self, marker: Uuid, told: Told, generation: u32) {
        let overtaken = self.is_overtaken(generation);
        if let Some(exchange) = self.pages().exchanges.get_mut(&marker) {
            exchange.told = Some(told);
            exchange.overtaken = overtaken;
            exchange.ended = Some(Instant::now());
        }
    }

    /// The upstream has read a head with this marker; false if nobody sent it.
    pub(crate) fn seen_head(&self, marker: Uuid) {
        self.upstream(marker, |seen| seen.heads += 1);
    }

    /// The upstream has read all of it.
    pub(crate) fn seen_all(&self, marker: Uuid, crc: u32) {
        self.upstream(marker, |seen| seen.crc = Some(crc));
    }

    /// The upstream begins to write the last octets of a whole answer.
    pub(crate) fn answered(&self, marker: Uuid) {
        self.upstream(marker, |seen| seen.answered = true);
    }

    fn upstream(&self, marker: Uuid, note: impl FnOnce(&mut Seen)) {
        let mut pages = self.pages();
        match pages.exchanges.get_mut(&marker) {
            Some(exchange) => note(&mut exchange.upstream),
            None => pages.find(format!("the upstream saw {marker}, which nobody sent")),
        }
    }

    /// Something without a marker was done by a client connected in `generation`.
    pub(crate) fn unmarked(&self, mut unmarked: Unmarked, generation: u32) {
        unmarked.overtaken = self.is_overtaken(generation);
        self.pages().unmarked.push(unmarked);
    }

    /// Something is wrong.
    pub(crate) fn find(&self, what: String) {
        self.pages().find(what);
    }

    /// A visit of this name was made.
    pub(crate) fn visit(&self, name: &'static str) {
        *self.pages().visits.entry(name).or_default() += 1;
    }

    /// How many requests with a marker have been begun.
    pub(crate) fn begun(&self) -> usize {
        self.pages().exchanges.len()
    }
}

/// Most findings that are kept word for word.
const MOST_FINDINGS: usize = 1000;

impl Pages {
    fn find(&mut self, what: String) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(what);
        }
    }
}

fn is_recent(ended: Instant) -> bool {
    ended.elapsed() < ON_ITS_WAY
}
