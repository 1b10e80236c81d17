//! Token counts as they are recorded, and how we came to know them.
//!
//! Whatever a wire shape says, `input` here is **without** cache tokens. An absent count is `None`, never zero.

use serde::{Deserialize, Serialize};

/// What one call consumed. The field names are those of the usage record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Input tokens billed at the base rate: without cache reads and writes.
    pub input_tokens: Option<u64>,
    /// Generated tokens, reasoning included.
    pub output_tokens: Option<u64>,
    /// Input tokens read from the prompt cache.
    pub cache_read_tokens: Option<u64>,
    /// Input tokens written to the prompt cache, all lifetimes together.
    pub cache_write_tokens: Option<u64>,
    /// The part of `cache_write_tokens` written for one hour.
    pub cache_write_1h_tokens: Option<u64>,
    /// The part of `output_tokens` spent on reasoning.
    pub reasoning_tokens: Option<u64>,
    /// Sum of input, output, cache reads and cache writes.
    pub total_tokens: Option<u64>,
    /// Where the numbers stood; `None` when there are none.
    pub source: Option<UsageSource>,
}

/// Where token counts came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// A JSON response body.
    Body,
    /// The `x-amzn-bedrock-*-token-count` response headers.
    Headers,
    /// A message of an event stream or of a server-sent event stream, told by a stream that came to its end.
    Stream,
    /// An answer that was cut: what it had told until then.
    Partial,
    /// At least one of the counts was counted by us, because nobody told it.
    Estimated,
}

impl TokenUsage {
    /// The sum of input, output, cache reads and cache writes; `None` where neither input nor output is known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.input_tokens.or(self.output_tokens)?;
        let parts = [
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
        ];
        Some(parts.into_iter().flatten().fold(0, u64::saturating_add))
    }
}
