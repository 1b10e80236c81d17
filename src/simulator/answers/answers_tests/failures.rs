//! Failures, on purpose and by bad requests.
//!
//! The types and statuses are those of the service model. A stream that breaks must break before it tells its usage, or
//! a test could not see whether the gate makes counts up.

use serde_json::json;

use super::super::super::reply::ReplyBody;
use super::super::PromptCache;
use super::{ask, field, hello, messages, sent_events, whole};

#[test]
fn models_fail_as_their_names_say() {
    let rows = [
        ("throttling", 429, "ThrottlingException"),
        ("validation", 400, "ValidationException"),
        ("access-denied", 403, "AccessDeniedException"),
        ("timeout", 408, "ModelTimeoutException"),
        ("model-error", 424, "ModelErrorException"),
        ("internal", 500, "InternalServerException"),
        ("unavailable", 503, "ServiceUnavailableException"),
    ];
    let cache = PromptCache::default();
    for (model, status, name) in rows {
        for verb in [
            "converse",
            "converse-stream",
            "invoke",
            "invoke-with-response-stream",
        ] {
            let reply = ask(
                &cache,
                &format!("/model/simulate.{model}/{verb}"),
                &json!({}),
            );
            let error_type = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
            assert_eq!(
                (reply.status, field(&reply, "x-amzn-ErrorType")),
                (status, Some(error_type.as_str())),
                "{model}"
            );
            assert!(whole(&reply)["message"].is_string(), "{model}");
        }
    }
    let chat =
        json!({"model": "simulate.throttling", "messages": [{"role": "user", "content": "hi"}]});
    let error = whole(&ask(&cache, "/v1/chat/completions", &chat));
    assert_eq!(error["error"]["type"], "ThrottlingException");
    let error = whole(&ask(&cache, "/anthropic/v1/messages", &chat));
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!("rate_limit_error"))
    );
}

#[test]
fn streams_break_before_they_tell_their_usage() {
    let cache = PromptCache::default();
    let body = json!({"messages": hello()});
    let broken = messages(&ask(
        &cache,
        "/model/simulate.stream-exception/converse-stream",
        &body,
    ));
    assert_eq!(broken.last().unwrap().0, "modelStreamErrorException");
    assert_eq!(broken.last().unwrap().1["originalStatusCode"], 500);
    assert!(broken.len() > 1 && broken.iter().all(|(kind, _)| kind != "metadata"));
    let cut = ask(&cache, "/model/simulate.stream-cut/converse-stream", &body);
    assert!(matches!(&cut.body, ReplyBody::Stream { cut: true, events } if events.len() == 3));
    let slow = ask(&cache, "/model/simulate.slow/converse", &body);
    assert!(slow.slow);
    let chat = json!({"model": "simulate.stream-exception", "stream": true, "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]});
    let events = sent_events(&ask(&cache, "/v1/chat/completions", &chat));
    assert!(events.last().unwrap().starts_with(r#"data: {"error":"#));
    let events = sent_events(&ask(&cache, "/anthropic/v1/messages", &chat));
    assert!(events.last().unwrap().starts_with("event: error\n"));
}

#[test]
fn what_cannot_be_answered_is_a_validation_error() {
    let rows = [
        ("/model/a.b/converse", json!([])),
        ("/model/a.b/converse", json!({"messages": []})),
        ("/model/nobody.knows/invoke", json!({"prompt": "x"})),
        (
            "/model/anthropic.claude-v2/invoke",
            json!({"max_tokens": 1, "messages": [{"content": "x"}]}),
        ),
        (
            "/model/amazon.titan-text-lite-v1/invoke",
            json!({"prompt": "x"}),
        ),
        (
            "/model/anthropic.claude-v2/count-tokens",
            json!({"input": {"invokeModel": {"body": "%"}}}),
        ),
        (
            "/v1/chat/completions",
            json!({"messages": [{"content": "x"}]}),
        ),
        ("/guardrail/a/version/1/apply", json!({})),
    ];
    for (path, body) in rows {
        let reply = ask(&PromptCache::default(), path, &body);
        assert_eq!(reply.status, 400, "{path} {body}");
        assert!(
            field(&reply, "x-amzn-ErrorType")
                .unwrap()
                .starts_with("ValidationException:"),
            "{path} {body}"
        );
    }
    assert_eq!(
        ask(&PromptCache::default(), "/nowhere", &json!({})).status,
        404
    );
}
