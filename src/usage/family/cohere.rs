//! Cohere: Command, Command R and Embed.
//!
//! Their bodies tell no counts: headers do, and the metrics in the last chunk of a stream. An embedding generates none.

use super::{Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        (
            "generations[].finish_reason",
            Meaning::Word(Word::FinishReason),
        ),
        ("generations[].text", Meaning::Text),
        ("finish_reason", Meaning::Word(Word::FinishReason)),
        ("response.finish_reason", Meaning::Word(Word::FinishReason)),
        ("text", Meaning::Text),
        ("embeddings", Meaning::Embedding),
    ],
    usage_at: &[],
    usage: &[],
};
