//! tollgate: an HTTPS forward proxy for AWS Bedrock Runtime that counts every token and changes no signed byte.
//!
//! A request goes through the house once, front to back:
//!
//! ```text
//! accept → sniff → (TLS) → read head → route → admit → check out → relay ⇄ observe → settle → price → record
//! net      wire    net     wire        proxy   spend   net         proxy   usage     proxy    spend   ledger
//! ```
//!
//! The rooms, from the pure ones up. Imports go downwards only.
//!
//! - [`wire`]: bytes ↔ protocol facts. Knows no AWS, no sockets, no clock.
//! - [`aws`]: what those bytes mean to AWS: signatures, endpoints, operations, model ids, and what must be masked.
//! - [`usage`]: what a call consumed, told from what passed by.
//! - [`spend`]: what that cost, and what may be spent.
//! - [`ledger`]: the usage record and where it is kept.
//! - [`net`]: sockets, certificates, the pool of upstream connections.
//! - [`proxy`]: the walk itself.
//! - [`admin`]: health, readiness and metrics, on a port of their own.
//! - [`metrics`]: every metric in one table.
//! - [`config`]: flags, environment and file become settings.
//! - [`app`]: builds the services, announces the addresses, runs until told to stop.
//! - [`running`]: which gate serves a home.
//! - [`simulator`]: a Bedrock Runtime of our own that verifies every signature, for the demo and the tests.
//! - [`cli`]: the commands.

pub mod admin;
pub mod app;
pub mod aws;
pub mod cli;
pub mod config;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ledger;
pub mod metrics;
pub mod net;
pub mod proxy;
pub mod running;
pub mod simulator;
pub mod spend;
pub mod telemetry;
pub mod usage;
pub mod wire;
