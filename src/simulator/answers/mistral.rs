//! Mistral text models: no counts in the body, only in headers and in a stream's invocation metrics.
//!
//! The shape is the one of the text completion models, `prompt` in and `outputs` out; the chat models of later years are
//! not simulated.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::invoke::{Headers, Invoked};
use super::prompt::{Prompt, parse};
use super::text::write;
use super::tokens::{self, InputTokens};

/// Answers a Mistral request.
pub(super) fn invoke(body: &[u8]) -> Result<Invoked, Fault> {
    let request = parse(body)?;
    let limit = request.get("max_tokens").and_then(Value::as_u64);
    let prompt = Prompt::of_text(&request, "prompt", limit)?;
    let input = tokens::of_prompt(prompt.octets());
    let written = write(&prompt, input);
    let reason = if written.finished { "stop" } else { "length" };
    let answer = |text: &str, reason: Option<&str>| json!({"outputs": [{"text": text, "stop_reason": reason}]});
    let mut chunks: Vec<Value> = written
        .pieces()
        .map(|(piece, _)| answer(piece, None))
        .collect();
    chunks.push(answer("", Some(reason)));
    Ok(Invoked {
        body: answer(&written.text, Some(reason)),
        chunks,
        input: InputTokens::plain(input),
        output: Some(written.tokens),
        headers: Headers::Counts,
        caches: false,
    })
}
