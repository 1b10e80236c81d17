//! CountTokens and the Messages API's `count_tokens`: what a call would cost.
//!
//! Nothing was consumed, so the count is a unit of its own and never usage.

use super::{Family, Meaning};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("inputTokens", Meaning::Unit("counted_tokens")),
        ("input_tokens", Meaning::Unit("counted_tokens")),
    ],
    usage_at: &[],
    usage: &[],
};
