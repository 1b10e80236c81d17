//! Error documents: AWS's own, OpenAI's and Anthropic's.
//!
//! `__type` and `code` at the top are believed only in an answer that is an error; `error` is one wherever it comes.

use super::{Clue, Family, Meaning};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("__type", Meaning::Error(Clue::AwsType)),
        ("code", Meaning::Error(Clue::AwsCode)),
        ("error.type", Meaning::Error(Clue::Type)),
        ("error.code", Meaning::Error(Clue::Code)),
    ],
    usage_at: &[],
    usage: &[],
};
