//! Rerank: Cohere's and Amazon's models through InvokeModel, and the Rerank operation of the agent runtime.
//!
//! Billed by the query. One answer is one query: how many a long list of documents counts as, nobody tells.

use super::{Family, Meaning};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("results[].relevance_score", Meaning::Query),
        ("results[].relevanceScore", Meaning::Query),
    ],
    usage_at: &[],
    usage: &[],
};
