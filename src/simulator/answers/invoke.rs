//! InvokeModel and InvokeModelWithResponseStream: the family's own body, and what Bedrock adds to it.
//!
//! Bedrock adds the count headers to a whole answer and `amazon-bedrock-invocationMetrics` to the last chunk of a
//! stream. Which family sends the headers follows recordings of real traffic; where none exist they are left out.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::super::fault::Fault;
use super::super::received::Received;
use super::super::reply::Reply;
use super::model::Family;
use super::tokens::{InputTokens, PromptCache};
use super::{chat, cohere, frames, llama, messages, mistral, nova, titan};

/// What a family makes of a request.
pub(super) struct Invoked {
    /// The whole answer.
    pub(super) body: Value,
    /// The same answer as a stream; empty if the model does not stream.
    pub(super) chunks: Vec<Value>,
    pub(super) input: InputTokens,
    /// `None` for embeddings.
    pub(super) output: Option<u64>,
    pub(super) headers: Headers,
    /// Whether the metrics tell cache tokens.
    pub(super) caches: bool,
}

/// Whether a whole answer has the count headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headers {
    Counts,
    None,
}

/// Answers InvokeModel.
pub(super) fn whole(
    model: &str,
    request: &Received,
    body: &[u8],
    cache: &PromptCache,
    now: SystemTime,
) -> Result<Reply, Fault> {
    let invoked = invoke(model, body, cache, now)?;
    let mut reply = Reply::json(&invoked.body);
    if invoked.headers == Headers::Counts {
        reply = reply.with("X-Amzn-Bedrock-Input-Token-Count", invoked.input.plain);
        if let Some(output) = invoked.output {
            reply = reply.with("X-Amzn-Bedrock-Output-Token-Count", output);
        }
        if invoked.input.read > 0 {
            reply = reply.with(
                "X-Amzn-Bedrock-Cache-Read-Input-Token-Count",
                invoked.input.read,
            );
        }
        if invoked.input.written() > 0 {
            reply = reply.with(
                "X-Amzn-Bedrock-Cache-Write-Input-Token-Count",
                invoked.input.written(),
            );
        }
        reply = reply.with("X-Amzn-Bedrock-Invocation-Latency", invoked.latency());
    }
    Ok(echo_choices(request, reply))
}

/// Answers InvokeModelWithResponseStream.
pub(super) fn stream(
    model: &str,
    request: &Received,
    body: &[u8],
    cache: &PromptCache,
    now: SystemTime,
) -> Result<Reply, Fault> {
    let mut invoked = invoke(model, body, cache, now)?;
    let metrics = invoked.metrics();
    let Some(last) = invoked.chunks.last_mut().and_then(Value::as_object_mut) else {
        return Err(Fault::validation("The model is unsupported for streaming."));
    };
    last.insert("amazon-bedrock-invocationMetrics".to_owned(), metrics);
    let events = invoked.chunks.iter().map(frames::chunk).collect();
    let reply = Reply::stream(frames::EVENT_STREAM, events)
        .with("X-Amzn-Bedrock-Content-Type", "application/json");
    Ok(echo_choices(request, reply))
}

fn invoke(
    model: &str,
    body: &[u8],
    cache: &PromptCache,
    now: SystemTime,
) -> Result<Invoked, Fault> {
    match Family::of(model, body) {
        Some(Family::Anthropic) => messages::invoke(model, body, cache),
        Some(Family::Nova) => nova::invoke(model, body, cache),
        Some(Family::TitanText) => titan::text(body),
        Some(Family::TitanEmbeddings) => titan::embeddings(model, body),
        Some(Family::Llama) => llama::invoke(body),
        Some(Family::Mistral) => mistral::invoke(body),
        Some(Family::CohereEmbed) => cohere::embed(body),
        Some(Family::Chat) => chat::invoke(model, body, cache, now),
        None => Err(Fault::validation(
            "The provided model identifier is invalid.",
        )),
    }
}

/// The choices a request made in headers come back in headers.
fn echo_choices(request: &Received, mut reply: Reply) -> Reply {
    for name in [
        "X-Amzn-Bedrock-PerformanceConfig-Latency",
        "X-Amzn-Bedrock-Service-Tier",
    ] {
        if let Some(choice) = request.one(&name.to_ascii_lowercase()) {
            reply = reply.with(name, choice);
        }
    }
    reply
}

impl Invoked {
    /// Made up from the tokens, so that equal requests get equal answers.
    fn latency(&self) -> u64 {
        100 + 9 * self.output.unwrap_or_default()
    }

    fn metrics(&self) -> Value {
        let mut metrics = Map::new();
        let mut add = |name: &str, count: u64| metrics.insert(name.to_owned(), Value::from(count));
        add("inputTokenCount", self.input.plain);
        add("outputTokenCount", self.output.unwrap_or_default());
        add("invocationLatency", self.latency());
        add("firstByteLatency", 90);
        if self.caches {
            add("cacheReadInputTokenCount", self.input.read);
            add("cacheWriteInputTokenCount", self.input.written());
        }
        Value::Object(metrics)
    }
}
