//! The promises of the gate, held over real sockets: one file a promise, a sentence a test.
//!
//! The gate runs as `tollgate serve` runs it, on loopback, between raw clients and either the simulator, which verifies
//! every signature over the octets that arrive, or an upstream that does what the test tells it to.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its output is shown then"
)]

mod architecture;
mod byte_exact_requests;
mod byte_exact_responses;
mod ca_commands;
mod callers;
mod certificates;
mod client_endings;
mod connections;
mod counted_first;
mod cut_streams;
mod destinations;
mod diagnoses;
mod doctor;
mod doors;
mod drains;
mod early_answers;
mod hostile;
mod http2;
mod landing;
mod large_bodies;
mod prices;
mod process;
mod recordings;
mod refusals;
mod run;
mod secrets;
mod signatures;
mod smuggling;
#[cfg(target_os = "linux")]
mod soak;
mod streaming;
mod support;
mod tunnels;
mod upstream_endings;
mod upstream_failures;
mod upstream_proxy;
