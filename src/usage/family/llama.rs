//! Meta Llama and models imported in its shape.
//!
//! In streams the prompt's count comes with the first chunk only, null later, and the other is a running total.

use super::{Count, Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("prompt_token_count", Meaning::Count(Count::Input)),
        ("generation_token_count", Meaning::Count(Count::Output)),
        ("stop_reason", Meaning::Word(Word::FinishReason)),
        ("generation", Meaning::Text),
    ],
    usage_at: &[],
    usage: &[],
};
