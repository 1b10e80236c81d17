//! Converse and ConverseStream: one shape for every model.
//!
//! `inputTokens` leaves cache tokens out and `totalTokens` takes them in, as recorded from AWS. The latencies are made
//! up from the tokens, so that equal requests get equal answers.

use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::super::reply::Reply;
use super::frames;
use super::prompt::{Prompt, parse};
use super::text::{Written, write};
use super::tokens::{InputTokens, PromptCache};

/// Answers Converse.
pub(super) fn whole(model: &str, body: &[u8], cache: &PromptCache) -> Result<Reply, Fault> {
    let (request, input, written) = read(model, body, cache)?;
    let mut answer = json!({
        "metrics": {"latencyMs": latency(&written)},
        "output": {"message": {"content": [{"text": written.text}], "role": "assistant"}},
        "stopReason": stop_reason(&written),
        "usage": usage(&input, written.tokens),
    });
    echo_choices(&request, &mut answer);
    Ok(Reply::json(&answer))
}

/// Answers ConverseStream.
pub(super) fn stream(model: &str, body: &[u8], cache: &PromptCache) -> Result<Reply, Fault> {
    let (request, input, written) = read(model, body, cache)?;
    let mut events = vec![frames::event("messageStart", json!({"role": "assistant"}))];
    for (piece, _) in written.pieces() {
        let delta = json!({"contentBlockIndex": 0, "delta": {"text": piece}});
        events.push(frames::event("contentBlockDelta", delta));
    }
    events.push(frames::event(
        "contentBlockStop",
        json!({"contentBlockIndex": 0}),
    ));
    events.push(frames::event(
        "messageStop",
        json!({"stopReason": stop_reason(&written)}),
    ));
    let mut metadata = json!({
        "metrics": {"latencyMs": latency(&written)},
        "usage": usage(&input, written.tokens),
    });
    echo_choices(&request, &mut metadata);
    events.push(frames::event("metadata", metadata));
    Ok(Reply::stream(frames::EVENT_STREAM, events))
}

fn read(
    model: &str,
    body: &[u8],
    cache: &PromptCache,
) -> Result<(Value, InputTokens, Written), Fault> {
    let request = parse(body)?;
    let prompt = Prompt::of_converse(&request)?;
    let input = cache.account(model, &prompt);
    let written = write(&prompt, input.total());
    Ok((request, input, written))
}

/// The members that say what the request chose come back in the answer.
fn echo_choices(request: &Value, answer: &mut Value) {
    for name in ["performanceConfig", "serviceTier"] {
        if let (Some(choice), Some(members)) = (request.get(name), answer.as_object_mut()) {
            members.insert(name.to_owned(), choice.clone());
        }
    }
}

/// Why generation stopped, in Converse's words.
pub(super) fn stop_reason(written: &Written) -> &'static str {
    if written.finished {
        "end_turn"
    } else {
        "max_tokens"
    }
}

/// Made up: a tenth of a second, and nine milliseconds a token.
pub(super) fn latency(written: &Written) -> u64 {
    100 + 9 * written.tokens
}

/// The usage object, with the undocumented members AWS sends beside the documented ones.
fn usage(input: &InputTokens, output: u64) -> Value {
    let mut usage = Map::new();
    let details: Vec<Value> = [("1h", input.written_1h), ("5m", input.written_5m)]
        .into_iter()
        .filter(|(_, tokens)| *tokens > 0)
        .map(|(ttl, tokens)| json!({"inputTokens": tokens, "ttl": ttl}))
        .collect();
    if !details.is_empty() {
        usage.insert("cacheDetails".to_owned(), Value::from(details));
    }
    let counts = [
        ("cacheReadInputTokenCount", input.read),
        ("cacheReadInputTokens", input.read),
        ("cacheWriteInputTokenCount", input.written()),
        ("cacheWriteInputTokens", input.written()),
        ("inputTokens", input.plain),
        ("outputTokens", output),
    ];
    for (name, count) in counts {
        usage.insert(name.to_owned(), Value::from(count));
    }
    usage.insert("serverToolUsage".to_owned(), json!({}));
    usage.insert(
        "totalTokens".to_owned(),
        Value::from(input.total() + output),
    );
    Value::Object(usage)
}
