//! Guardrails: units told for a call, and units that add up over the assessments of a trace.

use std::collections::BTreeMap;

use super::*;
use crate::usage::test_support::event;

fn units(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs
        .iter()
        .map(|(unit, count)| ((*unit).to_owned(), *count))
        .collect()
}

#[test]
fn apply_guardrail_tells_its_units_and_its_assessments_do_not_add_to_them() {
    let usage = r#"{"topicPolicyUnits":2,"contentPolicyUnits":3,"wordPolicyUnits":0,"sensitiveInformationPolicyUnits":1,"sensitiveInformationPolicyFreeUnits":4,"contextualGroundingPolicyUnits":0,"contentPolicyImageUnits":5,"automatedReasoningPolicyUnits":6,"automatedReasoningPolicies":1}"#;
    let document = format!(
        r#"{{"action":"NONE","outputs":[],"assessments":[{{"invocationMetrics":{{"usage":{usage}}}}}],"usage":{usage}}}"#
    );
    let seen = observe(Operation::ApplyGuardrail, JSON, document.as_bytes());
    let wanted = units(&[
        ("automated_reasoning_policies", 1),
        ("automated_reasoning_policy_units", 6),
        ("content_policy_image_units", 5),
        ("content_policy_units", 3),
        ("contextual_grounding_policy_units", 0),
        ("sensitive_information_policy_free_units", 4),
        ("sensitive_information_policy_units", 1),
        ("topic_policy_units", 2),
        ("word_policy_units", 0),
    ]);
    assert_eq!(seen.units, wanted);
    assert_eq!(seen.usage, TokenUsage::default());
}

#[test]
fn guardrail_checks_tell_text_units() {
    let document = br#"{"results":{},"usage":{"contentFilter":{"textUnits":1},"promptAttack":{"textUnits":2},"sensitiveInformation":{"textUnits":3}}}"#;
    let seen = observe(Operation::InvokeGuardrailChecks, JSON, document);
    let wanted = units(&[
        ("content_filter_text_units", 1),
        ("prompt_attack_text_units", 2),
        ("sensitive_information_text_units", 3),
    ]);
    assert_eq!(seen.units, wanted);
}

#[test]
fn the_assessments_in_a_trace_add_up_beside_the_tokens() {
    let assessed = |topic: u64, content: u64| {
        format!(
            r#"{{"topicPolicy":{{}},"invocationMetrics":{{"usage":{{"topicPolicyUnits":{topic},"contentPolicyUnits":{content}}}}}}}"#
        )
    };
    let body = format!(
        r#""usage":{{"inputTokens":5,"outputTokens":6,"totalTokens":11}},"trace":{{"guardrail":{{"inputAssessment":{{"g1":{}}},"outputAssessments":{{"g1":[{},{}],"g2":[{}]}}}},"promptRouter":{{"invokedModelId":"arn:routed"}}}}"#,
        assessed(1, 2),
        assessed(10, 20),
        assessed(100, 200),
        assessed(1000, 2000),
    );
    let wanted = units(&[("content_policy_units", 2222), ("topic_policy_units", 1111)]);
    let document = format!(r#"{{"output":{{}},{body}}}"#);
    let whole = observe(Operation::Converse, JSON, document.as_bytes());
    let metadata = format!(r#"{{"metrics":{{}},{body}}}"#);
    let stream = [
        event("contentBlockDelta", r#"{"delta":{"text":"x"}}"#),
        event("metadata", &metadata),
    ]
    .concat();
    for seen in [whole, observe(Operation::ConverseStream, EVENTS, &stream)] {
        assert_eq!(seen.units, wanted);
        assert_eq!(counts(&seen.usage), plain(5, 6));
        assert_eq!(seen.response_model.as_deref(), Some("arn:routed"));
    }
}

#[test]
fn of_a_document_that_was_cut_what_it_had_told_stays() {
    let document = br#"{"usage":{"topicPolicyUnits":2,"contentPolicyUnits":3},"x":"#;
    let head = head(200, &[("Content-Type", JSON)]);
    let seen = observe_in(Some(Operation::ApplyGuardrail), &head, document, 9, false);
    let wanted = units(&[("content_policy_units", 3), ("topic_policy_units", 2)]);
    assert_eq!(seen.units, wanted);
}
