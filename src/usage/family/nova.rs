//! Amazon Nova through InvokeModel: Converse's members, in streams below the name of their event; Nova Sonic's events.
//!
//! Nova's understanding models tell usage where Converse does (see that family). Their embeddings tell it in headers.
//! Nova Sonic's totals are running totals of the session: the last one counts.

use super::{Count, Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("messageStop.stopReason", Meaning::Word(Word::FinishReason)),
        ("contentBlockDelta.delta.text", Meaning::Text),
        ("contentBlockDelta.delta.toolUse.input", Meaning::Text),
        (
            "contentBlockDelta.delta.reasoningContent.text",
            Meaning::Text,
        ),
        (
            "event.usageEvent.totalInputTokens",
            Meaning::Count(Count::Input),
        ),
        (
            "event.usageEvent.totalOutputTokens",
            Meaning::Count(Count::Output),
        ),
        ("event.textOutput.content", Meaning::Text),
        ("event.audioOutput.content", Meaning::Speech),
        (
            "event.contentEnd.stopReason",
            Meaning::Word(Word::FinishReason),
        ),
        ("embeddings", Meaning::Embedding),
    ],
    usage_at: &[],
    usage: &[],
};
