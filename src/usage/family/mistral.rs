//! Mistral's text models and, with OpenAI-like choices, its chat models.
//!
//! Their bodies tell no counts: headers do, and the metrics in the last chunk of a stream.

use super::{Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("outputs[].stop_reason", Meaning::Word(Word::FinishReason)),
        ("outputs[].text", Meaning::Text),
        ("choices[].stop_reason", Meaning::Word(Word::FinishReason)),
    ],
    usage_at: &[],
    usage: &[],
};
