//! Amazon Nova understanding models: Converse's words in InvokeModel's body.
//!
//! The cache counts have the short names that end in `TokenCount`, and a stream's objects are keyed by the names that
//! ConverseStream has in its headers. No count headers were ever recorded for this family.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::converse::{latency, stop_reason};
use super::invoke::{Headers, Invoked};
use super::prompt::{Prompt, parse};
use super::text::write;
use super::tokens::PromptCache;

/// Answers a Nova request.
pub(super) fn invoke(model: &str, body: &[u8], cache: &PromptCache) -> Result<Invoked, Fault> {
    let prompt = Prompt::of_converse(&parse(body)?)?;
    let input = cache.account(model, &prompt);
    let written = write(&prompt, input.total());
    let usage = json!({
        "inputTokens": input.plain,
        "outputTokens": written.tokens,
        "totalTokens": input.total() + written.tokens,
        "cacheReadInputTokenCount": input.read,
        "cacheWriteInputTokenCount": input.written(),
    });
    let mut chunks: Vec<Value> = vec![json!({"messageStart": {"role": "assistant"}})];
    for (piece, _) in written.pieces() {
        chunks
            .push(json!({"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}));
    }
    chunks.push(json!({"contentBlockStop": {"contentBlockIndex": 0}}));
    chunks.push(json!({"messageStop": {"stopReason": stop_reason(&written)}}));
    chunks.push(json!({
        "metadata": {"usage": usage, "metrics": {"latencyMs": latency(&written)}, "trace": {}},
    }));
    Ok(Invoked {
        body: json!({
            "output": {"message": {"content": [{"text": written.text}], "role": "assistant"}},
            "stopReason": stop_reason(&written),
            "usage": usage,
        }),
        chunks,
        input,
        output: Some(written.tokens),
        headers: Headers::None,
        caches: true,
    })
}
