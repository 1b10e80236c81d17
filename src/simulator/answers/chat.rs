//! The OpenAI chat completions shape: on `/openai/v1` and `/v1`, and in InvokeModel for the families that speak it.
//!
//! `prompt_tokens` takes cached tokens in. A stream tells its usage only when the request asks for it with
//! `stream_options.include_usage`, in one more chunk without choices.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::canonical::sha256_hex;
use super::super::fault::Fault;
use super::super::reply::Reply;
use super::frames;
use super::invoke::{Headers, Invoked};
use super::prompt::{Prompt, parse};
use super::text::{Written, write};
use super::tokens::{InputTokens, PromptCache};

struct Completion {
    id: String,
    created: u64,
    model: String,
    input: InputTokens,
    written: Written,
}

/// Answers a chat completion, where the body names the model.
pub(super) fn direct(
    model: &str,
    request: &Value,
    body: &[u8],
    cache: &PromptCache,
    now: SystemTime,
) -> Result<Reply, Fault> {
    let completion = Completion::read(model, request, body, cache, now)?;
    if request.get("stream").and_then(Value::as_bool) != Some(true) {
        return Ok(Reply::json(&completion.whole()));
    }
    let mut events: Vec<Vec<u8>> = completion
        .chunks()
        .iter()
        .map(|chunk| frames::data(&chunk.to_string()))
        .collect();
    if request
        .pointer("/stream_options/include_usage")
        .and_then(Value::as_bool)
        == Some(true)
    {
        let mut last = completion.envelope("chat.completion.chunk", json!([]));
        completion.add_usage(&mut last);
        events.push(frames::data(&last.to_string()));
    }
    events.push(frames::data("[DONE]"));
    Ok(Reply::stream(frames::SERVER_SENT_EVENTS, events))
}

/// Answers InvokeModel for a family that takes chat completions.
pub(super) fn invoke(
    model: &str,
    body: &[u8],
    cache: &PromptCache,
    now: SystemTime,
) -> Result<Invoked, Fault> {
    let completion = Completion::read(model, &parse(body)?, body, cache, now)?;
    Ok(Invoked {
        body: completion.whole(),
        chunks: completion.chunks(),
        // What the cache held is inside prompt_tokens and nowhere else in this shape.
        input: InputTokens::plain(completion.input.total()),
        output: Some(completion.written.tokens),
        headers: Headers::None,
        caches: false,
    })
}

impl Completion {
    fn read(
        model: &str,
        request: &Value,
        body: &[u8],
        cache: &PromptCache,
        now: SystemTime,
    ) -> Result<Self, Fault> {
        let prompt = Prompt::of_chat(request)?;
        let input = cache.account(model, &prompt);
        let id: String = sha256_hex(body).chars().take(24).collect();
        Ok(Self {
            id: format!("chatcmpl-{id}"),
            created: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            model: model.to_owned(),
            written: write(&prompt, input.total()),
            input,
        })
    }

    fn envelope(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }

    fn finish_reason(&self) -> &'static str {
        if self.written.finished {
            "stop"
        } else {
            "length"
        }
    }

    fn add_usage(&self, answer: &mut Value) {
        let usage = json!({
            "prompt_tokens": self.input.total(),
            "completion_tokens": self.written.tokens,
            "total_tokens": self.input.total() + self.written.tokens,
            "prompt_tokens_details": {"cached_tokens": self.input.read},
        });
        if let Some(members) = answer.as_object_mut() {
            members.insert("usage".to_owned(), usage);
        }
    }

    fn whole(&self) -> Value {
        let message = json!({"role": "assistant", "content": self.written.text});
        let choice =
            json!([{"index": 0, "message": message, "finish_reason": self.finish_reason()}]);
        let mut answer = self.envelope("chat.completion", choice);
        self.add_usage(&mut answer);
        answer
    }

    fn chunks(&self) -> Vec<Value> {
        let chunk = |delta: Value, finish_reason: Value| {
            let choice = json!([{"index": 0, "delta": delta, "finish_reason": finish_reason}]);
            self.envelope("chat.completion.chunk", choice)
        };
        let mut chunks = vec![chunk(
            json!({"role": "assistant", "content": ""}),
            Value::Null,
        )];
        chunks.extend(
            self.written
                .pieces()
                .map(|(piece, _)| chunk(json!({"content": piece}), Value::Null)),
        );
        chunks.push(chunk(json!({}), self.finish_reason().into()));
        chunks
    }
}
