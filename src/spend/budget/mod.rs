//! Budgets: how much a caller may consume in a window of time, decided before a call and settled after it. Pure.
//!
//! A [`Rule`] says who and what it is for, what it counts and how much of that there may be in which window. [`Budgets`]
//! keeps what is spent and what running calls have reserved. A call is admitted if for every rule that is enforced what is
//! spent, what is reserved and what the call may consume at most are within the limit together; what it reserved is held
//! until it is settled, so that any number of concurrent calls cannot overspend. A call whose reservation alone is more than
//! what is left is refused: nothing is admitted on the hope that it will need less.
//!
//! What is spent in a window is the sum over the usage records whose time lies in it, so that replaying the ledger in any
//! order leads to the same state. Integers throughout; money in picodollars. Reading the ledger and answering clients is left
//! to others.

mod admission;
mod engine;
mod refusal;
mod report;
mod rule;
mod state;
mod window;

#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod window_tests;

use std::collections::BTreeMap;

pub use admission::{Admission, Crossed, SHADOW_TAG, WARNING_TAG};
pub use engine::Budgets;
pub use refusal::{Refusal, RefusalKind};
pub use report::{Report, Total};
pub use rule::{Counts, Glob, Limit, Match, Mode, OnExceeded, Per, Rule, Unpriced};
pub use window::{Rolling, Window, Zone};

use super::cost::Usd;

/// Who calls and what for: what rules match and group by. Every part as in the usage record.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The access key id of the credential scope.
    pub access_key_id: Option<&'a str>,
    /// The account.
    pub account_id: Option<&'a str>,
    /// The label of a bearer key.
    pub api_key: Option<&'a str>,
    /// The user who authenticated to the proxy.
    pub proxy_user: Option<&'a str>,
    /// The name that the operator gave the caller.
    pub name: Option<&'a str>,
    /// The role of a session.
    pub role: Option<&'a str>,
    /// The model as the client named it.
    pub model: Option<&'a str>,
    /// The name that the operator gave the model.
    pub model_name: Option<&'a str>,
    /// The operation.
    pub operation: Option<&'a str>,
    /// The region.
    pub region: Option<&'a str>,
    /// The prefix of the route.
    pub route: Option<&'a str>,
    /// `requestMetadata`, and what policy attached.
    pub tags: &'a BTreeMap<String, String>,
}

/// What a call may consume at most, as far as it is known at admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Input tokens, estimated from the bytes of the body.
    pub input_tokens: u64,
    /// What the body allows at most; `None`: the rule's `assume_output_tokens`.
    pub max_output_tokens: Option<u64>,
}

/// What a call consumed, as its record says; what is unknown is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Input tokens, without cache reads and writes.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Input, output, cache reads and cache writes.
    pub total_tokens: u64,
    /// What it cost; `None`: unpriced.
    pub cost: Option<Usd>,
}
