//! Amazon Titan: text, and text embeddings.
//!
//! Counts stand in the body and in headers. A stream's chunks leave their counts null until the last one, as recorded
//! ones do.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::cohere::vector;
use super::invoke::{Headers, Invoked};
use super::prompt::{Prompt, parse};
use super::text::write;
use super::tokens::{self, InputTokens};

/// Answers a Titan Text request.
pub(super) fn text(body: &[u8]) -> Result<Invoked, Fault> {
    let request = parse(body)?;
    let limit = request
        .pointer("/textGenerationConfig/maxTokenCount")
        .and_then(Value::as_u64);
    let prompt = Prompt::of_text(&request, "inputText", limit)?;
    let input = tokens::of_prompt(prompt.octets());
    let written = write(&prompt, input);
    let reason = if written.finished { "FINISH" } else { "LENGTH" };
    let chunk = |text: &str, output: Option<u64>, reason: Option<&str>| {
        json!({
            "outputText": text,
            "index": 0,
            "totalOutputTextTokenCount": output,
            "completionReason": reason,
            "inputTextTokenCount": output.map(|_| input),
        })
    };
    let mut chunks: Vec<Value> = written
        .pieces()
        .map(|(piece, _)| chunk(piece, None, None))
        .collect();
    chunks.push(chunk("", Some(written.tokens), Some(reason)));
    Ok(Invoked {
        body: json!({
            "inputTextTokenCount": input,
            "results": [{
                "tokenCount": written.tokens,
                "outputText": written.text,
                "completionReason": reason,
            }],
        }),
        chunks,
        input: InputTokens::plain(input),
        output: Some(written.tokens),
        headers: Headers::Counts,
        caches: false,
    })
}

/// Answers a Titan Embeddings request.
pub(super) fn embeddings(model: &str, body: &[u8]) -> Result<Invoked, Fault> {
    let prompt = Prompt::of_text(&parse(body)?, "inputText", None)?;
    let input = tokens::of_prompt(prompt.octets());
    let embedding = vector(&prompt.last_text);
    let mut answer = json!({"embedding": embedding, "inputTextTokenCount": input});
    if model.contains("-v2") {
        answer = json!({
            "embedding": embedding,
            "embeddingsByType": {"float": embedding},
            "inputTextTokenCount": input,
        });
    }
    Ok(Invoked {
        body: answer,
        chunks: Vec::new(),
        input: InputTokens::plain(input),
        output: None,
        headers: Headers::Counts,
        caches: false,
    })
}
