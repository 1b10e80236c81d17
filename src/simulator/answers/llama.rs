//! Meta Llama: counts in the body.
//!
//! In a stream the prompt's count stands in the first chunk only, and the generation's is a running total, so a reader
//! that adds up, or that looks at the last chunk alone, comes to a wrong result.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::invoke::{Headers, Invoked};
use super::prompt::{Prompt, parse};
use super::text::write;
use super::tokens::{self, InputTokens};

/// Answers a Llama request.
pub(super) fn invoke(body: &[u8]) -> Result<Invoked, Fault> {
    let request = parse(body)?;
    let limit = request.get("max_gen_len").and_then(Value::as_u64);
    let prompt = Prompt::of_text(&request, "prompt", limit)?;
    let input = tokens::of_prompt(prompt.octets());
    let written = write(&prompt, input);
    let reason = if written.finished { "stop" } else { "length" };
    let answer = |text: &str, input: Option<u64>, output: u64, reason: Option<&str>| {
        json!({
            "generation": text,
            "prompt_token_count": input,
            "generation_token_count": output,
            "stop_reason": reason,
        })
    };
    let mut chunks = Vec::new();
    for (piece, so_far) in written.pieces() {
        let input = chunks.is_empty().then_some(input);
        chunks.push(answer(piece, input, so_far, None));
    }
    let input_again = chunks.is_empty().then_some(input);
    chunks.push(answer("", input_again, written.tokens, Some(reason)));
    Ok(Invoked {
        body: answer(&written.text, Some(input), written.tokens, Some(reason)),
        chunks,
        input: InputTokens::plain(input),
        output: Some(written.tokens),
        headers: Headers::None,
        caches: false,
    })
}
