//! TwelveLabs: Pegasus, which writes about a film, and Marengo, which embeds one.
//!
//! Their bodies tell no counts; if headers do, these stand. The film is billed by its length, so that nothing of it can be
//! estimated from the words around it.

use super::{Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        // Pegasus: a text. The object of this name belongs to Anthropic.
        ("message", Meaning::NoTokens),
        ("finishReason", Meaning::Word(Word::FinishReason)),
        ("data[].embedding", Meaning::Embedding),
        ("data[].embeddingOption", Meaning::NoTokens),
        ("data[].startSec", Meaning::NoTokens),
    ],
    usage_at: &[],
    usage: &[],
};
