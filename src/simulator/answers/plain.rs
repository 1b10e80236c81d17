//! Operations that no model answers: CountTokens, ApplyGuardrail, ListAsyncInvokes.
//!
//! None of them consumes tokens: CountTokens only tells what a call would, and a guardrail is counted in text units.
//! Asynchronous invocations cannot be started here, so the list of them is empty.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::reply::Reply;
use super::model;
use super::prompt::{Prompt, missing, parse};
use super::tokens;

/// Answers CountTokens: the count a model call with the same input would tell as its whole input.
pub(super) fn count_tokens(model: &str, body: &[u8]) -> Result<Reply, Fault> {
    if model::is_inference_profile(model) {
        return Err(Fault::validation(
            "The provided model doesn't support counting tokens.",
        ));
    }
    let request = parse(body)?;
    let prompt = if let Some(converse) = request.pointer("/input/converse") {
        Prompt::of_converse(converse)?
    } else {
        let encoded = request
            .pointer("/input/invokeModel/body")
            .and_then(Value::as_str);
        let encoded = encoded.ok_or_else(|| missing("input"))?;
        let inner = STANDARD
            .decode(encoded)
            .map_err(|_| Fault::validation("Malformed input request: body is not base64"))?;
        Prompt::of_messages(&parse(&inner)?)?
    };
    Ok(Reply::json(
        &json!({"inputTokens": tokens::of_prompt(prompt.octets())}),
    ))
}

/// A text unit of a guardrail, in characters.
const TEXT_UNIT: usize = 1000;
/// The word that the one simulated topic denies.
const DENIED: &str = "simulate.intervene";

/// Answers ApplyGuardrail: every policy looks at every text unit, and one topic is denied.
pub(super) fn apply_guardrail(body: &[u8]) -> Result<Reply, Fault> {
    let request = parse(body)?;
    let content = request
        .get("content")
        .and_then(Value::as_array)
        .ok_or_else(|| missing("content"))?;
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|block| block.pointer("/text/text").and_then(Value::as_str))
        .collect();
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    let units = characters.div_ceil(TEXT_UNIT);
    let denied = texts.iter().any(|text| text.contains(DENIED));
    let mut answer = json!({
        "action": if denied { "GUARDRAIL_INTERVENED" } else { "NONE" },
        "outputs": [],
        "assessments": [],
        "usage": {
            "topicPolicyUnits": units,
            "contentPolicyUnits": units,
            "wordPolicyUnits": units,
            "sensitiveInformationPolicyUnits": units,
            "sensitiveInformationPolicyFreeUnits": units,
            "contextualGroundingPolicyUnits": 0,
            "contentPolicyImageUnits": 0,
        },
        "guardrailCoverage": {"textCharacters": {"guarded": characters, "total": characters}},
    });
    if let Some(members) = answer.as_object_mut().filter(|_| denied) {
        let topic = json!({"name": "simulated", "type": "DENY", "action": "BLOCKED"});
        members.insert("actionReason".to_owned(), json!("Guardrail blocked."));
        members.insert(
            "outputs".to_owned(),
            json!([{"text": "Sorry, I cannot help with that."}]),
        );
        members.insert(
            "assessments".to_owned(),
            json!([{"topicPolicy": {"topics": [topic]}}]),
        );
    }
    Ok(Reply::json(&answer))
}

/// Answers ListAsyncInvokes: nothing was ever started.
pub(super) fn list_async_invokes() -> Reply {
    Reply::json(&json!({"asyncInvokeSummaries": []}))
}
