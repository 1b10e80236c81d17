//! AI21 Jurassic-2, and the finish reason that TwelveLabs Pegasus tells. Jamba speaks OpenAI's shape.
//!
//! Their bodies tell no counts: headers do.

use super::{Family, Meaning};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("completions[].finishReason.reason", Meaning::FinishReason),
        ("finishReason", Meaning::FinishReason),
    ],
    usage_at: &[],
    usage: &[],
};
