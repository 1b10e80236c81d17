//! The usage record and where it is kept.
//!
//! [`record`] is the published row; [`writer`] takes rows on the path of a request and keeps them in SQLite; [`query`]
//! reads them back for people and scripts. The file itself (columns, indices, versions) is in `schema`, the mapping
//! between a record and its row in `row`. Who fills a record is the proxy's business, who prints it the commands'.

mod checkpointer;
mod clock;
mod dimension;
mod durations;
mod error;
mod filter;
mod options;
pub mod query;
mod queue;
pub mod record;
mod row;
mod schema;
pub mod since;
mod soundness;
mod span;
pub mod spending;
pub mod stats;
mod store;
mod sweep;
mod sweeper;
mod worker;
pub mod writer;

#[cfg(test)]
mod query_tests;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod soundness_tests;
#[cfg(test)]
mod sweep_tests;
#[cfg(test)]
mod wal_tests;
#[cfg(test)]
mod writer_tests;

pub use dimension::{Dimension, Key};
pub use durations::Durations;
pub use error::{LedgerError, QueryError};
pub use options::{Durability, LedgerOptions, Retention, RetentionError};
pub use query::{Column, Condition, Found, Query, Reader, StatusRange};
pub use record::{Entry, Identity, Outcome, Payload, UsageRecord};
pub(crate) use row::source_name;
pub use since::Since;
pub(crate) use since::parse_age;
pub use soundness::examine;
pub use writer::{Committed, Ledger};

/// The ledger's name in the home directory.
pub const FILE_NAME: &str = "ledger.db";
