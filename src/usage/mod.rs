//! What a call consumed, told from the bytes that passed by. Pure.
//!
//! [`observer`] is shown an exchange and gathers the rest: [`request`] and `prompt` read what the client said, `outlook`
//! what that may consume at most, `coding` undoes content codings on a copy, `answer`, `response` and `chunk` take heads,
//! bodies and streams apart, `path`, `trie`, `paths` and `family` know what stands where in a document, [`patterns`] what
//! the operator added to that, `tally`, `counts` and `words` keep what was told and settle it. `untold` says what is
//! missing, [`estimate`](mod@estimate) counts it from the [`sample`] that was kept.

mod answer;
mod chunk;
pub(crate) mod coding;
mod counts;
pub mod estimate;
mod family;
pub mod observer;
pub(crate) mod outlook;
mod path;
mod paths;
pub mod patterns;
mod prompt;
pub mod request;
mod response;
pub mod sample;
mod tally;
pub mod tokens;
mod trie;
mod untold;
mod words;
mod zstd;

#[cfg(test)]
mod coding_tests;
#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod estimate_tests;
#[cfg(test)]
mod facts_tests;
#[cfg(test)]
mod family_tests;
#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod observer_tests;
#[cfg(test)]
mod pattern_tests;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tokenizer_tests;
pub use estimate::{Untold, estimate};
pub use observer::{CACHE_COUNTED_TWICE, CACHE_EXCEEDS_INPUT, ExchangeObserver, Observation};
pub use path::PathError;
pub use patterns::{PatternError, PatternTable, Patterns, TaughtCount};
pub use request::tags_from_header;
pub use sample::Sample;
pub use tokens::{TokenUsage, UsageSource};
