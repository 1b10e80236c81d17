//! What a call consumed, told from the bytes that passed by. Pure.
//!
//! [`observer`] is shown an exchange and gathers the rest: [`request`] reads what the client said, `coding` undoes
//! content codings on a copy, `response` and `chunk` take bodies and streams apart, `paths` and `family` know what
//! stands where in a document, and `tally` keeps the counts and settles them.

mod chunk;
mod coding;
mod family;
pub mod observer;
mod paths;
pub mod request;
mod response;
mod tally;
pub mod tokens;
mod zstd;

#[cfg(test)]
mod coding_tests;
#[cfg(test)]
mod family_tests;
#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod observer_tests;
#[cfg(test)]
mod test_support;
pub use observer::{ExchangeObserver, Observation};
pub use request::tags_from_header;
pub use tokens::{TokenUsage, UsageSource};
