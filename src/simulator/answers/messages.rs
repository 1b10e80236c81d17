//! The Anthropic Messages shape: in InvokeModel, in its stream, and on `/anthropic/v1/messages` as JSON or
//! server-sent events.
//!
//! `input_tokens` leaves cache tokens out; `message_start` tells the input and a provisional output count, `message_delta`
//! the final one.

use serde_json::{Value, json};

use super::super::canonical::sha256_hex;
use super::super::fault::Fault;
use super::super::reply::Reply;
use super::frames;
use super::invoke::{Headers, Invoked};
use super::model;
use super::prompt::{Prompt, missing, parse};
use super::text::{Written, write};
use super::tokens::{InputTokens, PromptCache};

/// A request read and its answer written.
struct Message {
    id: String,
    model: String,
    input: InputTokens,
    written: Written,
}

/// Answers InvokeModel for an Anthropic model.
pub(super) fn invoke(model: &str, body: &[u8], cache: &PromptCache) -> Result<Invoked, Fault> {
    let request = parse(body)?;
    if request.get("anthropic_version").is_none() {
        return Err(missing("anthropic_version"));
    }
    let message = Message::read(model, &request, body, cache)?;
    Ok(Invoked {
        body: message.whole(),
        chunks: message
            .events()
            .into_iter()
            .map(|(_, event)| event)
            .collect(),
        input: message.input,
        output: Some(message.written.tokens),
        headers: Headers::Counts,
        caches: true,
    })
}

/// Answers `/anthropic/v1/messages`, where the body names the model.
pub(super) fn direct(
    model: &str,
    request: &Value,
    body: &[u8],
    cache: &PromptCache,
) -> Result<Reply, Fault> {
    let message = Message::read(model, request, body, cache)?;
    if request.get("stream").and_then(Value::as_bool) != Some(true) {
        return Ok(Reply::json(&message.whole()));
    }
    let mut events: Vec<Vec<u8>> = message
        .events()
        .iter()
        .map(|(name, event)| frames::named(name, event))
        .collect();
    events.insert(1, frames::named("ping", &json!({"type": "ping"})));
    Ok(Reply::stream(frames::SERVER_SENT_EVENTS, events))
}

impl Message {
    fn read(model: &str, request: &Value, body: &[u8], cache: &PromptCache) -> Result<Self, Fault> {
        let prompt = Prompt::of_messages(request)?;
        let input = cache.account(model, &prompt);
        let id: String = sha256_hex(body).chars().take(24).collect();
        Ok(Self {
            id: format!("msg_bdrk_{id}"),
            model: model::bare_name(model).to_owned(),
            written: write(&prompt, input.total()),
            input,
        })
    }

    fn stop_reason(&self) -> &'static str {
        if self.written.finished {
            "end_turn"
        } else {
            "max_tokens"
        }
    }

    fn usage(&self, output: u64) -> Value {
        json!({
            "input_tokens": self.input.plain,
            "cache_creation_input_tokens": self.input.written(),
            "cache_read_input_tokens": self.input.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.input.written_5m,
                "ephemeral_1h_input_tokens": self.input.written_1h,
            },
            "output_tokens": output,
        })
    }

    fn envelope(&self, content: Value, stop_reason: Value, output: u64) -> Value {
        json!({
            "model": self.model,
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": self.usage(output),
        })
    }

    fn whole(&self) -> Value {
        let content = json!([{"type": "text", "text": self.written.text}]);
        self.envelope(content, self.stop_reason().into(), self.written.tokens)
    }

    fn events(&self) -> Vec<(&'static str, Value)> {
        let start =
            json!({"type": "message_start", "message": self.envelope(json!([]), Value::Null, 1)});
        let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
        let mut events = vec![("message_start", start), ("content_block_start", block)];
        for (piece, _) in self.written.pieces() {
            let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}});
            events.push(("content_block_delta", delta));
        }
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.stop_reason(), "stop_sequence": null},
            "usage": {"output_tokens": self.written.tokens},
        });
        events.push((
            "content_block_stop",
            json!({"type": "content_block_stop", "index": 0}),
        ));
        events.push(("message_delta", delta));
        events.push(("message_stop", json!({"type": "message_stop"})));
        events
    }
}
