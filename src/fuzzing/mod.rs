//! What the fuzzers run: for every reader of what a peer or an operator sends, a function that takes any bytes and
//! panics when a promise of that reader is broken.
//!
//! Compiled into tests and, for the binaries below `fuzz/`, with the feature `fuzzing`; never into the program. A body
//! holds its reader against one that shares no code with it (`strict`, `serde_json`, the AWS SDK's frame decoder), against
//! itself with the input cut elsewhere, or against a sentence of the documentation. Unit tests run every body over the
//! seeds in `fuzz/corpus/` and over mutations of them. See `docs/fuzzing.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a body that finds something says so by panicking"
)]

mod aws;
mod bodies;
mod certificates;
mod configuration;
mod exchange;
mod http1;
mod masking;
mod observer;
mod pipe;
mod prices;
mod proxy_reply;
mod screen;
mod strict;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod strict_tests;

/// A reader under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its binary in `fuzz/fuzz_targets/` and of its seeds in `fuzz/corpus/`.
    pub name: &'static str,
    /// Reads any bytes; panics when a promise is broken.
    pub body: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("request_head", http1::request_head),
    target("response_head", http1::response_head),
    target("chunked", http1::chunked),
    target("requests", http1::requests),
    target("responses", http1::responses),
    target("forward", http1::forward),
    target("request_target", http1::request_target),
    target("route", http1::route),
    target("sniff", http1::sniff),
    target("event_stream", bodies::event_stream),
    target("event_stream_repaired", bodies::event_stream_repaired),
    target("server_sent_events", bodies::server_sent_events),
    target("json", bodies::json),
    target("content_coding", bodies::content_coding),
    target("credentials", aws::credentials),
    target("percent", aws::percent),
    target("operation", aws::operation),
    target("model_id", aws::model_id),
    target("endpoint", aws::endpoint),
    target("user_agent", aws::user_agent),
    target("sts", aws::sts),
    target("diagnosis", aws::diagnosis),
    target("masked_head", masking::masked_head),
    target("masked_target", masking::masked_target),
    target("masked_body", masking::masked_body),
    target("observer", observer::observer),
    target("observer_repaired", observer::observer_repaired),
    target("estimate", observer::estimate),
    target("configuration", configuration::configuration),
    target("upstream_proxy", configuration::upstream_proxy),
    target("no_proxy", configuration::no_proxy),
    target("price_file", prices::price_file),
    target("price_book", prices::price_book),
    target("certificates", certificates::certificates),
    target("proxy_reply", proxy_reply::proxy_reply),
    target("screen", screen::screen),
    target("exchange", exchange::exchange),
];

const fn target(name: &'static str, body: fn(&[u8])) -> Target {
    Target { name, body }
}

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

/// Runs the body of the target `name` over `data`.
///
/// # Panics
/// When a promise is broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    (find(name).expect("a target").body)(data);
}

/// The first byte of an input, which steers its body, and the rest, which is what is read.
fn steered(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(&steer, rest)| (steer, rest))
}

/// The parts of an input between the marks of two 0xff bytes; as many as are asked for, empty ones where there are fewer.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = [&[][..]; N];
    let mut rest = data;
    for (index, part) in parts.iter_mut().enumerate() {
        let end = if index + 1 < N {
            memchr::memmem::find(rest, MARK)
        } else {
            None
        };
        match end {
            Some(end) => {
                *part = &rest[..end];
                rest = &rest[end + MARK.len()..];
            }
            None => {
                *part = rest;
                rest = &[];
            }
        }
    }
    parts
}

/// Stands between the parts of an input. Neither JSON nor a head has reason to hold it.
const MARK: &[u8] = &[0xff, 0xff];

/// `bytes` in pieces: one by one where `steer` is even, else of sizes that depend on it alone.
fn pieces(bytes: &[u8], steer: u8) -> impl Iterator<Item = &[u8]> {
    let mut sizes = Random::new(u64::from(steer));
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let size = if steer.is_multiple_of(2) {
            1
        } else {
            1 + sizes.below(2 * usize::from(steer))
        };
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// Numbers that are the same every time (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `limit`; 0 where that is 0.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from(self.next() % limit).unwrap()
    }
}
