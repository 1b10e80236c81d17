//! AI21 Jurassic-2. Jamba speaks OpenAI's shape.
//!
//! Its bodies tell no counts: headers do.

use super::{Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        (
            "completions[].finishReason.reason",
            Meaning::Word(Word::FinishReason),
        ),
        ("completions[].data.text", Meaning::Text),
    ],
    usage_at: &[],
    usage: &[],
};
