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

mod access_rules;
mod admin;
mod admission;
mod architecture;
mod authentication;
mod budget_cuts;
mod budget_state;
mod byte_exact_requests;
mod byte_exact_responses;
mod ca_commands;
mod callers;
mod canaries;
mod certificates;
mod client_certificates;
mod client_endings;
mod clocks;
mod connection_limits;
mod connections;
mod counted_first;
mod crashes;
mod cut_streams;
mod debug_output;
mod descriptors;
mod destinations;
mod diagnoses;
mod disks;
mod doctor;
mod doors;
mod drains;
mod early_answers;
mod generated_messages;
mod head_limits;
mod held;
mod host_rules;
mod hostile;
mod hostile_responses;
mod http2;
mod inert_lines;
mod killed;
mod landing;
mod large_bodies;
mod leaks;
mod loops;
mod metrics;
mod mint_limits;
mod peeked_bodies;
mod prices;
mod private_files;
mod process;
mod recordings;
mod refusals;
mod reloads;
mod run;
mod secrets;
mod service;
mod signatures;
mod smuggling;
#[cfg(target_os = "linux")]
mod soak;
mod stops;
mod streaming;
mod support;
mod time_limits;
mod tunnels;
mod upstream_certificates;
mod upstream_endings;
mod upstream_failures;
mod upstream_proxy;
mod users_command;
