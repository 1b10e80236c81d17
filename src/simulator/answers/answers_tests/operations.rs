//! Each operation in its shape: paths, Converse, the vendors' own paths, counting, guardrails.
//!
//! Event streams are read with the decoder of `aws-smithy-eventstream`, which checks both CRCs. Counts per family and
//! failures are in the files beside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::{Operation, PromptCache};
use super::{HELLO, ask, field, hello, hello_tokens, messages, sent_events, whole};

#[test]
fn paths_name_operations() {
    let arn =
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc";
    let decoded =
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc".to_owned();
    let rows = [
        (
            "POST",
            format!("/model/{arn}/converse"),
            Some(Operation::Converse(decoded)),
        ),
        (
            "POST",
            "/model/a:0/invoke".to_owned(),
            Some(Operation::InvokeModel("a:0".to_owned())),
        ),
        (
            "POST",
            format!("/guardrail/{arn}/version/1/apply"),
            Some(Operation::ApplyGuardrail),
        ),
        (
            "POST",
            "/v1/chat/completions".to_owned(),
            Some(Operation::ChatCompletions),
        ),
        (
            "GET",
            "/async-invoke".to_owned(),
            Some(Operation::ListAsyncInvokes),
        ),
        ("GET", "/model/a/converse".to_owned(), None),
        ("POST", "/model/a/b/converse".to_owned(), None),
        ("POST", "/model//converse".to_owned(), None),
        ("POST", "//model/a/converse".to_owned(), None),
        (
            "POST",
            "/service/standard/model/a/converse".to_owned(),
            None,
        ),
        ("POST", "/".to_owned(), None),
    ];
    for (method, path, operation) in rows {
        assert_eq!(Operation::of(method, &path), operation, "{method} {path}");
    }
}

#[test]
fn converse_tells_one_usage_whole_and_streamed() {
    let body = json!({"messages": hello(), "serviceTier": {"type": "flex"}});
    let reply = ask(
        &PromptCache::default(),
        "/model/amazon.nova-lite-v1%3A0/converse",
        &body,
    );
    let answer = whole(&reply);
    assert_eq!(
        answer.pointer("/output/message/content/0/text"),
        Some(&json!(HELLO))
    );
    assert_eq!(
        (&answer["stopReason"], &answer["serviceTier"]["type"]),
        (&json!("end_turn"), &json!("flex"))
    );
    assert_eq!(answer["usage"]["inputTokens"], 2);
    assert_eq!(answer["usage"]["outputTokens"], hello_tokens());
    assert_eq!(answer["usage"]["totalTokens"], 2 + hello_tokens());
    assert!(field(&reply, "X-Amzn-Bedrock-Input-Token-Count").is_none());

    let reply = ask(
        &PromptCache::default(),
        "/model/amazon.nova-lite-v1%3A0/converse-stream",
        &body,
    );
    let events = messages(&reply);
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        (kinds[0], kinds[kinds.len() - 1]),
        ("messageStart", "metadata")
    );
    assert_eq!(
        kinds[kinds.len() - 3..kinds.len() - 1],
        ["contentBlockStop", "messageStop"]
    );
    let text: String = events
        .iter()
        .filter_map(|(_, event)| event.pointer("/delta/text")?.as_str())
        .collect();
    assert_eq!(text, HELLO);
    assert_eq!(events.last().unwrap().1["usage"], answer["usage"]);
    assert!(events.iter().all(|(_, event)| {
        event["p"]
            .as_str()
            .is_some_and(|padding| !padding.is_empty())
    }));
}

#[test]
fn a_limit_shortens_the_answer_and_says_so() {
    let body = json!({"messages": hello(), "inferenceConfig": {"maxTokens": 3}});
    let answer = whole(&ask(&PromptCache::default(), "/model/a.b/converse", &body));
    assert_eq!(
        answer.pointer("/output/message/content/0/text"),
        Some(&json!("You sent 2 t"))
    );
    assert_eq!(
        (&answer["stopReason"], &answer["usage"]["outputTokens"]),
        (&json!("max_tokens"), &json!(3))
    );
}

#[test]
fn chat_completions_tell_usage_in_a_stream_only_when_asked() {
    let cache = PromptCache::default();
    let messages = json!([{"role": "system", "content": "s".repeat(40)}, {"role": "user", "content": "hello"}]);
    let mut body = json!({"model": "openai.gpt-oss-20b-1:0", "messages": messages});
    let first = whole(&ask(&cache, "/openai/v1/chat/completions", &body));
    let output = first["usage"]["completion_tokens"].as_u64().unwrap();
    assert_eq!(first["usage"]["prompt_tokens"], 12);
    assert_eq!(first["usage"]["total_tokens"], 12 + output);
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);

    body["stream"] = json!(true);
    let events = sent_events(&ask(&cache, "/v1/chat/completions", &body));
    assert_eq!(events.last().map(String::as_str), Some("data: [DONE]"));
    assert!(!events.iter().any(|event| event.contains("usage")));

    body["stream_options"] = json!({"include_usage": true});
    let events = sent_events(&ask(&cache, "/v1/chat/completions", &body));
    let last: Value =
        serde_json::from_str(events[events.len() - 2].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(last["choices"], json!([]));
    // Everything before the last message was seen before, and stays inside prompt_tokens.
    assert_eq!(
        (
            &last["usage"]["prompt_tokens"],
            &last["usage"]["prompt_tokens_details"]["cached_tokens"]
        ),
        (&json!(12), &json!(10))
    );
}

#[test]
fn messages_stream_as_named_events() {
    let body = json!({
        "model": "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "max_tokens": 999,
        "stream": true,
        "messages": [{"role": "user", "content": "hello"}],
    });
    let events = sent_events(&ask(
        &PromptCache::default(),
        "/anthropic/v1/messages",
        &body,
    ));
    let names: Vec<&str> = events
        .iter()
        .map(|event| {
            event
                .lines()
                .next()
                .unwrap()
                .strip_prefix("event: ")
                .unwrap()
        })
        .collect();
    assert_eq!(names[..3], ["message_start", "ping", "content_block_start"]);
    assert_eq!(
        names[names.len() - 3..],
        ["content_block_stop", "message_delta", "message_stop"]
    );
    assert!(events[names.len() - 2].contains(&format!(r#""output_tokens":{}"#, hello_tokens())));
}

#[test]
fn counting_agrees_with_calling() {
    let model = "/model/anthropic.claude-sonnet-4-20250514-v1%3A0";
    let converse = json!({"system": [{"text": "be brief"}], "messages": hello()});
    let called = whole(&ask(
        &PromptCache::default(),
        &format!("{model}/converse"),
        &converse,
    ));
    let count = |input: Value| {
        whole(&ask(
            &PromptCache::default(),
            &format!("{model}/count-tokens"),
            &json!({"input": input}),
        ))
    };
    assert_eq!(
        count(json!({"converse": converse}))["inputTokens"],
        called["usage"]["inputTokens"]
    );
    let inner = json!({"anthropic_version": "x", "max_tokens": 1, "system": "be brief", "messages": [{"role": "user", "content": "hello"}]});
    let encoded = STANDARD.encode(inner.to_string());
    assert_eq!(
        count(json!({"invokeModel": {"body": encoded}}))["inputTokens"],
        called["usage"]["inputTokens"]
    );
    let profile = ask(
        &PromptCache::default(),
        "/model/us.anthropic.claude-v2/count-tokens",
        &json!({"input": {"converse": converse}}),
    );
    assert_eq!(profile.status, 400);
}

#[test]
fn guardrails_count_text_units() {
    let long = "x".repeat(1001);
    let body = json!({"source": "INPUT", "content": [{"text": {"text": long}}]});
    let answer = whole(&ask(
        &PromptCache::default(),
        "/guardrail/gr1/version/DRAFT/apply",
        &body,
    ));
    assert_eq!(
        (&answer["action"], &answer["usage"]["topicPolicyUnits"]),
        (&json!("NONE"), &json!(2))
    );
    let body = json!({"source": "INPUT", "content": [{"text": {"text": "simulate.intervene"}}]});
    let answer = whole(&ask(
        &PromptCache::default(),
        "/guardrail/gr1/version/DRAFT/apply",
        &body,
    ));
    assert_eq!(
        (&answer["action"], &answer["usage"]["topicPolicyUnits"]),
        (&json!("GUARDRAIL_INTERVENED"), &json!(1))
    );
}
