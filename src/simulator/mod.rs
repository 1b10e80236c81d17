//! A Bedrock Runtime of our own: it verifies every signature and answers like the models do.
//!
//! `tollgate demo` uses it as upstream, and so do the tests, where it judges whether the gate changed a signed octet.
//! It therefore shares no parsing code with the proxy: heads are read with `httparse`, bodies by its own reader, and
//! signatures are computed again with `aws-sigv4` over what arrived. Only the sample client knows the gate's doors.
//!
//! - the judge: [`SimulatorStats`], [`SeenRequest`], [`Verdict`]; the keys it knows are [`ACCESS_KEY_ID`],
//!   [`SESSION_ACCESS_KEY_ID`] and [`BEARER_KEY`]
//! - the answers: token counts are computed from the request, one token for four octets; model ids that begin with
//!   `simulate.` bring about each kind of failure
//! - the sample client: [`client`]

mod answers;
mod canonical;
mod certificates;
pub mod client;
mod connection;
mod credentials;
mod endpoint;
mod fault;
mod percent;
mod presented;
mod reader;
mod received;
mod relay;
mod reply;
mod seen;
mod server;
mod verify;

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod verify_tests;

pub use certificates::CertificateError;
pub use credentials::{
    ACCESS_KEY_ID, BEARER_KEY, SECRET_ACCESS_KEY, SESSION_ACCESS_KEY_ID, SESSION_SECRET_ACCESS_KEY,
    SESSION_TOKEN,
};
pub use reader::ReadError;
pub use seen::{SeenRequest, SimulatorStats, Verdict};
pub use server::{Simulator, SimulatorError, SimulatorOptions};
