//! OpenAI shapes: chat completions and Responses, as JSON, as server-sent events, and inside InvokeModel chunks.
//!
//! Jamba, DeepSeek, Qwen, gpt-oss, Writer and others speak chat completions through InvokeModel. Input counts include
//! cache tokens here, whose breakdown stands in the details beside them; reasoning is a breakdown of the output.

use super::{Clue, Count, Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("type", Meaning::Kind),
        ("model", Meaning::Word(Word::Model)),
        ("service_tier", Meaning::Word(Word::ServiceTier)),
        ("response.model", Meaning::Word(Word::Model)),
        ("response.service_tier", Meaning::Word(Word::ServiceTier)),
        ("choices[].finish_reason", Meaning::Word(Word::FinishReason)),
        ("choices[].stop_reason", Meaning::Word(Word::FinishReason)),
        ("choices[].text", Meaning::Text),
        ("choices[].delta.content", Meaning::Text),
        ("choices[].delta.refusal", Meaning::Text),
        ("choices[].delta.reasoning", Meaning::Text),
        ("choices[].delta.reasoning_content", Meaning::Text),
        (
            "choices[].delta.tool_calls[].function.arguments",
            Meaning::Text,
        ),
        ("choices[].delta.audio.data", Meaning::Speech),
        ("choices[].message.content", Meaning::Text),
        ("choices[].message.content[].text", Meaning::Text),
        ("choices[].message.refusal", Meaning::Text),
        ("choices[].message.reasoning", Meaning::Text),
        ("choices[].message.reasoning_content", Meaning::Text),
        (
            "choices[].message.tool_calls[].function.arguments",
            Meaning::Text,
        ),
        ("choices[].message.audio.data", Meaning::Speech),
        // Responses: the delta of an event is the text itself. What a whole response holds is not read where a stream
        // told it before in pieces.
        ("delta", Meaning::Text),
        ("status", Meaning::Word(Word::Status)),
        (
            "incomplete_details.reason",
            Meaning::Word(Word::FinishReason),
        ),
        ("response.status", Meaning::Word(Word::Status)),
        (
            "response.incomplete_details.reason",
            Meaning::Word(Word::FinishReason),
        ),
        ("response.error.code", Meaning::Error(Clue::Code)),
        ("output[].content[].text", Meaning::Text),
        ("output[].summary[].text", Meaning::Text),
        ("output[].arguments", Meaning::Text),
        ("data[].embedding", Meaning::Embedding),
    ],
    usage_at: &["usage", "response.usage"],
    usage: &[
        ("prompt_tokens", Meaning::Count(Count::InputWithCache)),
        ("completion_tokens", Meaning::Count(Count::Output)),
        (
            "prompt_tokens_details.cached_tokens",
            Meaning::Count(Count::CacheReadWithin),
        ),
        (
            "prompt_tokens_details.cache_write_tokens",
            Meaning::Count(Count::CacheWriteWithin),
        ),
        (
            "completion_tokens_details.reasoning_tokens",
            Meaning::Count(Count::Reasoning),
        ),
        ("input_tokens", Meaning::Count(Count::Input)),
        ("output_tokens", Meaning::Count(Count::Output)),
        (
            "input_tokens_details.cached_tokens",
            Meaning::Count(Count::CacheReadWithin),
        ),
        (
            "input_tokens_details.cache_write_tokens",
            Meaning::Count(Count::CacheWriteWithin),
        ),
        (
            "output_tokens_details.reasoning_tokens",
            Meaning::Count(Count::Reasoning),
        ),
    ],
};
