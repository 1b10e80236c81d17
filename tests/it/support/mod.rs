//! The kit of the integration tests: a gate of one's own, both of its peers as literal bytes, and a deadline for
//! everything that is waited for.
//!
//! Nothing is shared between tests: every gate has its own home, port and authority, every upstream its own
//! certificate. Nobody sleeps; a test waits for the event it is about, and fails when it does not come in time.

pub(crate) mod admin;
pub(crate) mod budgets;
pub(crate) mod canary;
pub(crate) mod door;
pub(crate) mod faults;
pub(crate) mod frames;
pub(crate) mod gate;
pub(crate) mod generated;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod recorder;
pub(crate) mod reference;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod signing;
pub(crate) mod traces;
pub(crate) mod trickle;
pub(crate) mod upstream;
pub(crate) mod walk;

use std::time::{Duration, Instant};

pub(crate) use door::Door;
pub(crate) use gate::Gate;
pub(crate) use log::Log;
pub(crate) use message::Message;
pub(crate) use peer::{End, Going, Peer, RawClient};
pub(crate) use recorder::Recorder;
pub(crate) use upstream::RawUpstream;

/// A host that every gate opens.
pub(crate) const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com";

/// Far more than anything here takes, so that only what never comes is late.
const DEADLINE: Duration = Duration::from_secs(20);

/// What `event` comes to; a panic that names `what` when it does not come.
pub(crate) async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what}: nothing within {DEADLINE:?}"),
    }
}

/// Waits until `holds`, which nothing announces.
pub(crate) async fn until(what: &str, holds: impl FnMut() -> bool) {
    until_so(what, holds, String::new).await;
}

/// The same, and `found` tells what there is instead when it never holds.
pub(crate) async fn until_so(
    what: &str,
    mut holds: impl FnMut() -> bool,
    found: impl Fn() -> String,
) {
    let deadline = Instant::now() + DEADLINE;
    // Most of it is so after a few turns of everybody else.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "{what}: not within {DEADLINE:?}. {}",
            found()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Bytes as a person reads them in a failed assertion.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Compares bytes, and shows them as text when they differ.
#[track_caller]
pub(crate) fn assert_bytes(found: &[u8], expected: &[u8], what: &str) {
    assert!(
        found == expected,
        "{what}\n   found: {}\nexpected: {}",
        shown(found),
        shown(expected)
    );
}
