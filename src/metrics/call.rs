//! The numbers of the calls of one operation to one model, each kept where it was first found.
//!
//! A look-up hashes every label, and a call that went well adds to half a dozen of them. What is not needed is not looked
//! up either, for that would show it with nothing in it.

use std::sync::{Arc, OnceLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::labels::CallLabels;
use super::money::{Dollars, Picodollars};

#[derive(Debug)]
pub(super) struct Call {
    pub(super) labels: CallLabels,
    pub(super) input: OnceLock<Histogram>,
    pub(super) output: OnceLock<Histogram>,
    pub(super) cache_read: OnceLock<Histogram>,
    pub(super) cache_write: OnceLock<Histogram>,
    pub(super) cost: OnceLock<Counter<Dollars, Picodollars>>,
    /// Of those in which nothing went wrong.
    pub(super) durations: OnceLock<Histogram>,
    pub(super) first_tokens: OnceLock<Histogram>,
}

impl Call {
    pub(super) fn of(operation: &'static str, model: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            labels: CallLabels::new(operation, model),
            input: OnceLock::new(),
            output: OnceLock::new(),
            cache_read: OnceLock::new(),
            cache_write: OnceLock::new(),
            cost: OnceLock::new(),
            durations: OnceLock::new(),
            first_tokens: OnceLock::new(),
        })
    }
}
