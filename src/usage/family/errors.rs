//! Error documents: AWS's own, OpenAI's and Anthropic's.
//!
//! `__type` and `code` at the top are believed only in an answer that is an error; `error` is one wherever it comes.

use super::{Family, Meaning};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("__type", Meaning::FailureType),
        ("code", Meaning::FailureCode),
        ("error.type", Meaning::ErrorType),
        ("error.code", Meaning::ErrorCode),
    ],
    usage_at: &[],
    usage: &[],
};
