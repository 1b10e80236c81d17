//! Anthropic: messages (InvokeModel, its stream, and the Messages API) and the legacy text completions.
//!
//! The input count is without cache tokens. In streams `message_start` tells the input, and an output that has only
//! begun; `message_delta` tells the running total of the output, and sometimes all of it again: the last word counts.

use super::{Count, Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("type", Meaning::Kind),
        ("model", Meaning::Word(Word::Model)),
        ("message.model", Meaning::Word(Word::Model)),
        ("stop_reason", Meaning::Word(Word::FinishReason)),
        ("message.stop_reason", Meaning::Word(Word::FinishReason)),
        ("delta.stop_reason", Meaning::Word(Word::FinishReason)),
        ("delta.text", Meaning::Text),
        ("delta.thinking", Meaning::Text),
        ("delta.partial_json", Meaning::Text),
        ("content[].text", Meaning::Text),
        ("content[].thinking", Meaning::Text),
        ("content[].input.**", Meaning::Text),
        ("completion", Meaning::Text),
        ("usage.output_tokens", Meaning::Count(Count::Output)),
        (
            "message.usage.output_tokens",
            Meaning::Count(Count::OutputFloor),
        ),
    ],
    usage_at: &["usage", "message.usage"],
    usage: &[
        ("input_tokens", Meaning::Count(Count::Input)),
        ("cache_read_input_tokens", Meaning::Count(Count::CacheRead)),
        (
            "cache_creation_input_tokens",
            Meaning::Count(Count::CacheWrite),
        ),
        (
            "cache_creation.ephemeral_5m_input_tokens",
            Meaning::Count(Count::CacheWrite5m),
        ),
        (
            "cache_creation.ephemeral_1h_input_tokens",
            Meaning::Count(Count::CacheWrite1h),
        ),
        (
            "output_tokens_details.thinking_tokens",
            Meaning::Count(Count::Reasoning),
        ),
        ("service_tier", Meaning::Word(Word::ServiceTier)),
    ],
};
