//! OpenAI shapes: chat completions and Responses, as JSON, as server-sent events, and inside InvokeModel chunks.
//!
//! Jamba, DeepSeek, Qwen, gpt-oss, Writer and others speak chat completions through InvokeModel. Input counts include
//! cache tokens here, whose breakdown stands in the details beside them; reasoning is a breakdown of the output.

use super::{Count, Family, Meaning};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("type", Meaning::Kind),
        ("choices[].finish_reason", Meaning::FinishReason),
        ("choices[].stop_reason", Meaning::FinishReason),
        ("choices[].text", Meaning::Text),
        ("choices[].delta.content", Meaning::Text),
        ("choices[].delta.refusal", Meaning::Text),
        ("choices[].delta.reasoning", Meaning::Text),
        ("choices[].delta.reasoning_content", Meaning::Text),
        (
            "choices[].delta.tool_calls[].function.arguments",
            Meaning::Text,
        ),
        // Responses: the delta of an event is the text itself.
        ("delta", Meaning::Text),
        ("status", Meaning::Status),
        ("incomplete_details.reason", Meaning::FinishReason),
        ("response.status", Meaning::Status),
        ("response.incomplete_details.reason", Meaning::FinishReason),
        ("response.error.code", Meaning::ErrorCode),
        // Embeddings in OpenAI's shape, and TwelveLabs Marengo's.
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
